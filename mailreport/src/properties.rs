//! Whatever comes in: no panic, a mail below 100 KB, and no lie about success.

use chrono::{TimeZone, Utc};
use common::exit::Exit;
use common::record::Input;
use proptest::prelude::*;

use crate::cli::Language;
use crate::facts::Facts;
use crate::message::{self, Head, Made, MOST};
use crate::verdict::Verdict;
use crate::view::{Context, View};
use crate::{nagios, prometheus};

fn read(text: &[u8], expect: &[String]) -> Facts {
    let mut facts = Facts::default();
    let mut input = Input::new(text, None);
    while let Some(line) = input.next_line().unwrap() {
        facts.take(&line);
    }
    facts.conclude(input.worst(), input.died(), expect);
    facts
}

fn mail(facts: &mut Facts, language: Language) -> Made {
    let log = std::mem::take(&mut facts.logs).finish(&[]);
    let now = Utc.with_ymd_and_hms(2026, 11, 20, 6, 0, 0).unwrap();
    let context = Context { language, prefix: Some("[PROD]"), history: &[], log: &log, now, run: "PROD-r1" };
    let address = "Backup <dba@example.com>".parse().unwrap();
    let head = Head {
        from: &address,
        to: std::slice::from_ref(&address),
        message_id: message::id("r1", now, "db1"),
        verdict: "success",
        at: now,
    };
    message::make(&head, |limits| View::new(facts, &context, limits)).unwrap()
}

/// Text of any script, with what breaks HTML, JSON, headers and terminals.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[<>&\"'=\\\\\\r\\n\\t\u{0}\u{1b}\u{202e}\u{feff}]{0,200}",
        "(ORA-[0-9]{1,6}|RMAN-[0-9]{5}|rsync exited [0-9]{1,4}| |:){0,8}",
        Just("😀".repeat(3000)),
        Just("x".repeat(20_000)),
    ]
}

fn numbers() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        any::<u64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>()
            .prop_map(|x| serde_json::Number::from_f64(x).map_or(serde_json::Value::Null, Into::into)),
        Just(serde_json::json!({"a": [1]})),
    ]
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let kinds = [
        "run_begin",
        "run_end",
        "file",
        "archived_log",
        "gap",
        "standby",
        "tablespace",
        "datafile",
        "recovery_window",
        "object",
        "export",
        "snapshot",
        "kept",
        "removed",
        "planned",
        "mail",
        "log",
        "future",
    ];
    let fields = [
        "path",
        "name",
        "reason",
        "message",
        "bytes",
        "seconds",
        "status",
        "role",
        "level",
        "exit",
        "counts",
        "schema",
        "bucket",
        "key",
        "thread",
        "from",
        "to",
        "resetlogs_id",
        "where",
        "hint",
        "threads",
        "begin_scn",
        "end_scn",
        "lag_seconds",
        "lag_bytes",
        "recoverable_to_time",
        "host",
        "version",
        "db",
        "code",
        "tablespace",
        "id",
        "file",
        "run",
        "tool",
        "ts",
        "skipped",
        "log",
    ];
    let status =
        prop::sample::select(vec!["failed", "success", "partial", "copied", "shipped", "present", "x"]);
    let value = prop_oneof![
        words().prop_map(serde_json::Value::from),
        numbers(),
        status.prop_map(serde_json::Value::from),
        Just(serde_json::json!({})),
        Just(serde_json::json!([])),
    ];
    let field = (prop::sample::select(fields.to_vec()), value);
    let whole = (prop::sample::select(kinds.to_vec()), prop::collection::vec(field, 0..14)).prop_map(
        |(kind, fields)| {
            let mut object: serde_json::Map<_, _> =
                fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
            object.insert("type".to_owned(), kind.into());
            serde_json::to_vec(&object).unwrap()
        },
    );
    prop_oneof![8 => whole, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

/// A record that is right in all its fields but for texts of any kind.
fn failure() -> impl Strategy<Value = Vec<u8>> {
    (words(), words(), 0..4usize).prop_map(|(name, reason, kind)| {
        let value = match kind {
            0 => serde_json::json!({"type": "archived_log", "path": name, "status": "failed", "reason": reason}),
            1 => serde_json::json!({"type": "export", "schema": name, "status": "failed", "reason": reason}),
            2 => serde_json::json!({"type": "log", "level": "error", "message": format!("{name} {reason}")}),
            _ => serde_json::json!({"type": "run_end", "tool": name, "run": "1", "status": "failed", "exit": 2,
                                    "seconds": 1.0, "counts": {reason: 1}, "message": name}),
        };
        serde_json::to_vec(&value).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_records_make_a_mail_below_the_limit(
        lines in prop::collection::vec(record(), 0..40),
        failures in prop::collection::vec(failure(), 0..120),
        portuguese in any::<bool>(),
    ) {
        let text = lines.iter().chain(&failures).fold(Vec::new(), |mut all, line| {
            all.extend_from_slice(line);
            all.push(b'\n');
            all
        });
        let mut facts = read(&text, &["zip-rotate".to_owned()]);
        let language = if portuguese { Language::Pt } else { Language::En };
        let made = mail(&mut facts, language);
        prop_assert!(made.bytes.len() < MOST, "{}", made.bytes.len());
        prop_assert!(made.bytes.is_ascii());
        prop_assert!(made.bytes.split(|b| *b == b'\n').all(|line| line.len() <= 999));
        prop_assert!(!made.subject.contains(['\n', '\r']));
        // zip-rotate was expected and has not reported.
        prop_assert_eq!(Verdict::of(facts.exit.unwrap()), Verdict::Critical);
        let (line, _) = nagios::line(&facts, facts.exit.unwrap(), &made.subject);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let metrics = prometheus::text(&facts, None, 0, "");
        prop_assert!(metrics.lines().all(|l| l.starts_with("# ") || l.starts_with("orapipe_")));
    }

    #[test]
    fn what_failed_is_never_a_success(
        good in prop::collection::vec(record(), 0..10),
        failures in prop::collection::vec(failure(), 1..5),
    ) {
        let text = good.iter().chain(&failures).fold(Vec::new(), |mut all, line| {
            all.extend_from_slice(line);
            all.push(b'\n');
            all
        });
        let facts = read(&text, &[]);
        let log_only = failures.iter().all(|f| f.windows(5).any(|w| w == b"\"log\""));
        prop_assert!(log_only || facts.exit != Some(Exit::Success));
    }

    #[test]
    fn the_text_of_a_record_is_never_markup(name in "[a-z<>&\"' ]{1,60}") {
        let line = serde_json::json!({"type": "export", "schema": "<script>", "status": "failed", "reason": name});
        let made = mail(&mut read(line.to_string().as_bytes(), &[]), Language::En);
        prop_assert!(!made.html.contains("<script"));
        prop_assert!(made.html.contains("&#60;script&#62;"));
    }
}
