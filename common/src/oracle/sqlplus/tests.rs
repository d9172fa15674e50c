//! Sessions against a small stand-in for SQL*Plus whose answers each test writes as shell code.

mod elsewhere;

use std::path::Path;
use std::time::Instant;

use super::*;
use crate::exit::status_of;
use crate::oracle::home::{Environment, Home};
use crate::oracle::script::{date, scn};
use crate::oracle::{reply::Row, sql_error::SqlError};
use crate::secret::Secret;

/// Answers PROMPT, the first query and EXIT; `connect`, `select` and `alter` beside it are sourced where they belong.
const FAKE: &str = r#"#!/bin/sh
d=ROOT
printf '%s\n' "$@" > "$d/argv"; env > "$d/env"; pwd > "$d/cwd"; ls -A . > "$d/cwd.files"
: > "$d/stdin"
row() { printf '%s%s' "$b1" "$b2"; printf "$1"; printf '%s%s\n' "$e1" "$e2"; }
while IFS= read -r line; do
  printf '%s\n' "$line" >> "$d/stdin"
  case $line in
    'PROMPT '*) printf '%s\n' "${line#PROMPT }" ;;
    'PROMPT') echo ;;
    CONNECT*) echo 'Hello from glogin.sql'; [ ! -f "$d/connect" ] || . "$d/connect" ;;
    "SELECT '"*)
      x=${line#SELECT \'}; b1=${x%%\'*}; x=${x#*"||'"}; b2=${x%%\'*}
      head=${line%%"' FROM "*}; e2=${head##*\'}; head=${head%"'||'"*}; e1=${head##*\'}
      case $line in *' FROM DUAL;') [ -n "$dead" ] || echo "$b1$b2" ;; *) . "$d/select" ;; esac ;;
    ALTER*) [ ! -f "$d/alter" ] || . "$d/alter" ;;
    EXIT*) exit 0 ;;
  esac
done
exit 0
"#;

struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        let fake = Self { dir };
        fake.program("sqlplus", &FAKE.replace("ROOT", &fake.path("").display().to_string()));
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Written by a child: a file that we hold open ourselves may be "busy" to a test that forks at that moment.
    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        let write = Cmd::new("sh", Duration::from_secs(20))
            .arg("-c")
            .arg("cat > \"$0\" && chmod 755 \"$0\"")
            .arg(path);
        assert!(write.stdin(text).run().unwrap().success());
    }

    fn answers(self, to: &str, with: &[u8]) -> Self {
        std::fs::write(self.path(to), with).unwrap();
        self
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn local(&self) -> Runner {
        let env = Environment {
            oracle_home: Some(self.dir.path().into()),
            oracle_sid: Some("PROD".into()),
            ..Environment::default()
        };
        Runner::Local(Home::choose(&env, &[], "oratab", true).unwrap())
    }

    fn session(&self) -> Sqlplus {
        Sqlplus::new(self.local(), Connect::sysdba()).limit(Duration::from_secs(20))
    }

    fn alter(&self) -> Result<Reply, SqlError> {
        self.session().run(&altering())
    }
}

fn altering() -> Script {
    let mut script = Script::new();
    script.exec("ALTER TABLESPACE \"My ts\" BEGIN BACKUP");
    script
}

fn selecting() -> (Script, crate::oracle::script::Step) {
    let mut script = Script::new();
    let columns = ["NAME".to_owned(), scn("CHECKPOINT_CHANGE#"), date("CHECKPOINT_TIME")];
    let step = script.query(&columns, "FROM v$datafile ORDER BY FILE#");
    (script, step)
}

fn select(fake: &Fake) -> Result<Vec<Row>, SqlError> {
    let (script, step) = selecting();
    Ok(fake.session().run(&script)?.rows(step).to_vec())
}

#[test]
fn rows_come_back_byte_for_byte() {
    let fake = Fake::new().answers(
        "select",
        br"row '/u01/a |b'\''s \042x\042.dbf\0378910961765228\0372026-10-04T10:09:01'
row 'two\nlines\nORA-00942: not an error\0377\037'
row 'caf\351\0378\037'
row ' \0379\037'",
    );
    let rows = select(&fake).unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0].get::<String>(0).unwrap(), "/u01/a |b's \"x\".dbf");
    assert_eq!(rows[0].get::<u64>(1).unwrap(), 8_910_961_765_228);
    assert_eq!(rows[0].get::<chrono::NaiveDateTime>(2).unwrap().to_string(), "2026-10-04 10:09:01");
    assert_eq!(rows[1].get::<String>(0).unwrap(), "two\nlines\nORA-00942: not an error");
    assert_eq!(rows[1].get::<Option<String>>(2).unwrap(), None);
    assert_eq!(rows[2].get::<String>(0).unwrap(), "caf\u{fffd}");
    assert_eq!(rows[3].get::<String>(0).unwrap(), " ");
}

#[test]
fn no_rows_is_an_answer() {
    assert_eq!(select(&Fake::new().answers("select", b"")).unwrap().len(), 0);
}

#[test]
fn the_call_has_the_right_arguments_environment_and_order() {
    let fake = Fake::new();
    fake.alter().unwrap();
    assert_eq!(fake.read("argv"), "-S\n-L\n/nolog\n");
    let env = fake.read("env");
    for line in [
        "NLS_LANG=AMERICAN_AMERICA.AL32UTF8",
        "NLS_DATE_FORMAT=YYYY-MM-DD HH24:MI:SS",
        "LC_ALL=C",
        "ORACLE_SID=PROD",
        &format!("ORACLE_HOME={}", fake.dir.path().display()),
    ] {
        assert!(env.lines().any(|l| l == line), "{line} in {env}");
    }
    assert!(env.lines().any(|l| l.starts_with("LD_LIBRARY_PATH=") && l.contains("/lib")));
    assert!(!env.lines().any(|l| l.starts_with("SQLPATH=") || l.starts_with("ORACLE_PATH=")));
    assert_eq!(fake.read("cwd.files"), "");
    assert!(!Path::new(fake.read("cwd").trim()).exists());

    let stdin = fake.read("stdin");
    let at = |text: &str| stdin.find(text).unwrap_or_else(|| panic!("{text} in {stdin}"));
    let order = [
        "SET DEFINE OFF\n",
        "WHENEVER OSERROR EXIT FAILURE\n",
        "CONNECT / AS SYSDBA\n",
        "SET PAGESIZE 0\n",
        "WHENEVER SQLERROR EXIT FAILURE ROLLBACK\n",
        "FROM DUAL;\n",
        "ALTER TABLESPACE \"My ts\" BEGIN BACKUP;\n",
        "EXIT SUCCESS COMMIT\n",
    ]
    .map(at);
    assert!(order.windows(2).all(|w| w[0] < w[1]), "{stdin}");
    let connect = stdin.lines().position(|l| l.starts_with("CONNECT")).unwrap();
    let after: Vec<&str> = stdin.lines().skip(connect + 1).take(2).collect();
    assert_ne!(after[0], after[1], "an expired password would be changed to this");
    let marks = Marks::new();
    let removed = fake.session().command(&altering(), &marks).unwrap().env_remove;
    assert_eq!(removed, ["ORACLE_PATH", "SQLPATH", "TWO_TASK"]);
    assert_eq!(stdin.matches("SET DEFINE OFF").count(), 2, "glogin may have switched it on again");
}

#[test]
fn an_sp2_error_with_status_0_is_an_error() {
    let fake = Fake::new()
        .answers("alter", b"echo 'SP2-0734: unknown command beginning \"ALTR\" - rest of line ignored.'");
    let error = fake.alter().unwrap_err();
    assert_eq!((error.kind, error.first_code()), (SqlErrorKind::Statement, Some("SP2-0734")));
    assert_eq!(error.failure.exit, Exit::Failed);
}

#[test]
fn a_session_that_ends_early_with_status_0_is_an_error() {
    let error = Fake::new().answers("alter", b"exit 0").alter().unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Protocol);
    assert!(error.text.starts_with("the end marker is missing: sqlplus exited 0"), "{}", error.text);
    assert_eq!(error.step.as_deref(), Some("ALTER TABLESPACE \"My ts\" BEGIN BACKUP"));
    assert!(error.begun);
}

#[test]
fn all_marks_and_a_bad_status_is_an_error() {
    let fake = Fake::new();
    let text = fake.read("bin/sqlplus").replace("EXIT*) exit 0", "EXIT*) exit 1");
    fake.program("sqlplus", &text);
    assert_eq!(fake.alter().unwrap_err().kind, SqlErrorKind::Protocol);
}

#[test]
fn an_echo_of_the_script_is_not_taken_for_an_answer() {
    let fake = Fake::new().answers("alter", b"cat | sed 's/^/  2  /'; exit 0");
    assert_eq!(fake.alter().unwrap_err().kind, SqlErrorKind::Protocol);
    // A SELECT that is echoed with its error shows its literals in pieces only.
    let fake = Fake::new().answers("select", b"printf '%s\\n' \"$line\"");
    assert_eq!(select(&fake).unwrap().len(), 0);
}

#[test]
fn a_hang_ends_at_the_limit() {
    let fake = Fake::new().answers("alter", b"sleep 60");
    let started = Instant::now();
    let error = fake.session().limit(Duration::from_millis(400)).run(&altering()).unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (SqlErrorKind::TimedOut, Exit::TimedOut));
    assert!(error.text.starts_with("sqlplus did not end within 400ms"), "{}", error.text);
    assert!(error.begun);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn a_portuguese_error_in_foreign_bytes_is_understood_by_its_code() {
    let fake = Fake::new().answers(
        "alter",
        b"printf 'ALTER TABLESPACE\\n*\\nERRO na linha 1:\\nORA-01123: c\\363pia n\\343o\\npode come\\347ar\\n'; exit 1",
    );
    let error = fake.alter().unwrap_err();
    assert_eq!((error.kind, error.first_code()), (SqlErrorKind::Statement, Some("ORA-01123")));
    assert_eq!(error.text, "ORA-01123: c\u{fffd}pia n\u{fffd}o pode come\u{fffd}ar");
    assert_eq!(error.failure.code.as_deref(), Some("ORA-01123"));
    assert!(error.failure.hint.as_ref().unwrap().contains("ALTER DATABASE ARCHIVELOG"));
    let error = anyhow::Error::from(error);
    assert_eq!(status_of(&error), Exit::Failed);
    assert_eq!(
        format!("{error:#}"),
        "run ALTER TABLESPACE \"My ts\" BEGIN BACKUP on PROD as / as sysdba: \
         ORA-01123: c\u{fffd}pia n\u{fffd}o pode come\u{fffd}ar"
    );
}

#[test]
fn a_password_that_expires_soon_is_a_warning() {
    let fake = Fake::new()
        .answers("connect", b"printf 'ERROR:\\nORA-28002: the password will expire within 7 days\\n\\n'");
    let reply = fake.alter().unwrap();
    assert_eq!(reply.warnings, ["ORA-28002: the password will expire within 7 days"]);
}

#[test]
fn a_logon_that_fails_says_why_and_changes_nothing() {
    let refused = |text: &str| {
        let answer = format!("dead=1; printf 'ERROR:\\n{text}\\n\\n'; echo 'SP2-0640: Not connected'");
        Fake::new().answers("connect", answer.as_bytes()).alter().unwrap_err()
    };
    let denied = refused("ORA-01017: invalid username/password; logon denied");
    assert_eq!((denied.kind, denied.failure.exit), (SqlErrorKind::LogonDenied, Exit::Usage));
    assert_eq!(denied.to_string(), "connect to PROD as / as sysdba");
    let away = refused("ORA-12541: TNS:no listener");
    assert_eq!((away.kind, away.failure.exit), (SqlErrorKind::NotAvailable, Exit::TryAgain));
    let down = refused("ORA-01034: ORACLE not available");
    assert_eq!((down.kind, down.first_code()), (SqlErrorKind::NotAvailable, Some("ORA-01034")));
    let name = refused("ORA-12154: TNS:could not resolve the connect identifier specified");
    assert_eq!((name.kind, name.failure.exit), (SqlErrorKind::Statement, Exit::Failed));
    // Not a word: a profile that ended the session, or another program of that name.
    let silent = Fake::new().answers("connect", b"exit 0").alter().unwrap_err();
    assert_eq!(silent.kind, SqlErrorKind::Protocol);
}

#[test]
fn a_connection_lost_in_a_change_is_not_promised_to_have_changed_nothing() {
    let lost = b"printf 'ORA-03113: end-of-file on communication channel\\n'; exit 1";
    let change = Fake::new().answers("alter", lost).alter().unwrap_err();
    assert_eq!((change.kind, change.failure.exit), (SqlErrorKind::NotAvailable, Exit::Failed));
    let query = select(&Fake::new().answers("select", lost)).unwrap_err();
    assert_eq!((query.kind, query.failure.exit), (SqlErrorKind::NotAvailable, Exit::TryAgain));
}

#[test]
fn a_row_cut_short_is_an_error() {
    let fake = Fake::new().answers("select", br#"printf '%s%s/u01/a\0371' "$b1" "$b2""#);
    assert_eq!(select(&fake).unwrap_err().kind, SqlErrorKind::Protocol);
    let few = Fake::new().answers("select", br"row '/u01/a\0371'");
    assert_eq!(select(&few).unwrap_err().kind, SqlErrorKind::Protocol);
}

#[test]
fn tolerated_codes_are_told_and_others_fail_after_all_was_sent() {
    let mut script = Script::new();
    let first = script.exec_tolerating("ALTER TABLESPACE A END BACKUP", &["ORA-01142"]);
    let second = script.exec_tolerating("ALTER TABLESPACE B END BACKUP", &["ORA-01142"]);
    let answer = b"case $line in *' A '*) printf 'ERROR at line 1:\\nORA-01142: none\\nORA-01110: data file 1\\n' ;; esac";
    let fake = Fake::new().answers("alter", answer);
    let reply = fake.session().run(&script).unwrap();
    assert_eq!(reply.tolerated(first), ["ORA-01142", "ORA-01110"]);
    assert!(reply.tolerated(second).is_empty());

    let other = b"case $line in *' A '*) echo 'ORA-01109: database not open' ;; esac";
    let fake = Fake::new().answers("alter", other);
    let error = fake.session().run(&script).unwrap_err();
    assert_eq!(error.first_code(), Some("ORA-01109"));
    assert!(
        fake.read("stdin").contains("ALTER TABLESPACE B END BACKUP;"),
        "B must get its END whatever A says"
    );
}

#[test]
fn a_password_is_on_standard_input_and_nowhere_else() {
    let fake = Fake::new().answers("alter", b"echo 'SP2-0734: beginning \"CONNECT scott/t1ger&x\"'");
    let log = fake.path("transcript.log");
    let connect = Connect::parse(&Secret::new("sqlplus -s scott/t1ger&x@db")).unwrap();
    let session = Sqlplus::new(fake.local(), connect).limit(Duration::from_secs(20)).log(Some(log.clone()));
    let error = session.run(&altering()).unwrap_err();
    assert!(fake.read("stdin").contains("CONNECT scott/\"t1ger&x\"@db\n"));
    let transcript = std::fs::read_to_string(log).unwrap();
    assert!(
        transcript.contains("ALTER TABLESPACE \"My ts\" BEGIN BACKUP;") && transcript.contains("SP2-0734")
    );
    let shown = format!("{error} {error:?} {} {:?}", error.text, session.connect);
    for text in [&fake.read("argv"), &fake.read("env"), &transcript, &shown] {
        assert!(!text.contains("t1ger"), "{text}");
    }
}

#[test]
fn an_uninterruptible_session_is_so_to_its_process() {
    let fake = Fake::new();
    let marks = Marks::new();
    assert!(fake.session().command(&altering(), &marks).unwrap().interruptible);
    assert!(!fake.session().uninterruptible().command(&altering(), &marks).unwrap().interruptible);
}

#[test]
fn a_script_that_cannot_stop_is_not_sent() {
    let fake = Fake::new();
    let mut script = Script::new();
    script.exec_tolerating("ALTER DATABASE END BACKUP", &[]);
    script.exec("ALTER SYSTEM SWITCH LOGFILE");
    assert_eq!(fake.session().run(&script).unwrap_err().failure.exit, Exit::Bug);
    assert!(!fake.path("stdin").exists());
}

#[test]
fn a_missing_installation_is_a_usage_error_with_a_hint() {
    let home = Environment {
        oracle_home: Some("/nonexistent".into()),
        oracle_sid: Some("X".into()),
        ..Environment::default()
    };
    let runner = Runner::Local(Home::choose(&home, &[], "oratab", true).unwrap());
    let error = Sqlplus::new(runner, Connect::sysdba()).run(&altering()).unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (SqlErrorKind::NotStarted, Exit::Usage));
    assert!(error.failure.hint.is_some());
}

#[test]
fn ten_thousand_rows_are_read_in_well_under_a_second() {
    let long = "/u01/app/oracle/fast_recovery_area/PROD/archivelog/2026_10_04/o1_mf_1_48213_abcdefgh_.arc";
    let answer =
        format!("yes \"$b1$b2{long}$(printf '\\037')8910961765228$(printf '\\037')$e1$e2\" | head -n 10000");
    let fake = Fake::new().answers("select", answer.as_bytes());
    let started = Instant::now();
    let rows = select(&fake).unwrap();
    assert_eq!((rows.len(), rows[9999].get::<u64>(1).unwrap()), (10_000, 8_910_961_765_228));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}
