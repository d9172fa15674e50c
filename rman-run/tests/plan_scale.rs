//! `plan` over a million pieces: a measurement, so it only runs when it is asked for.
//!
//! `cargo test --release -p rman-run --test plan_scale -- --ignored --nocapture`

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: u64 = 60;
const PER_SET: u64 = 4;

/// Nights of one database: every seventh a level 0, else a level 1; after each the logs of the day.
fn write(path: &std::path::Path, pieces: u64) {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let facts: Vec<String> = (1..=FILES)
        .map(|f| {
            format!(
                r#"{{"file":{f},"path":"/u01/oradata/PROD/users{f:03}.dbf","tablespace":"USERS{f}","creation_change":5,"bytes":34359738368}}"#
            )
        })
        .collect();
    let facts = facts.join(",");
    let (mut written, mut scn, mut count, mut sequence, mut night) = (0u64, 1000u64, 0u64, 1u64, 0u64);
    let mut last = 0;
    let sets = FILES / PER_SET;
    while written < pieces {
        let level = u64::from(night % 7 != 0);
        let since = if level == 0 { 0 } else { last };
        let mut piece = |name: String, bytes: u64, scn: u64, contents: String| {
            count += 1;
            written += 1;
            let sha = format!("{:016x}", count.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(4);
            writeln!(
                out,
                r#"{{"v":1,"type":"file","tool":"rman-run","run":"PROD-20261004T025112000Z-4711","ts":"2026-10-04T02:51:12.000Z","path":"/u05/rman/20261004_025112_run/{name}","bytes":{bytes},"sha256":"{sha}","role":"backup_piece","db":"PROD","dbid":1234567890,"tag":"BK_1004025112","set_stamp":{scn},"set_count":{count},"piece":1,"pieces":1,"completed":"2026-10-04T02:51:12","contents":[{contents}]}}"#
            )
            .unwrap();
        };
        for set in 0..sets {
            let contents: Vec<String> = (1..=PER_SET)
                .map(|i| {
                    let file = set * PER_SET + i;
                    let checkpoint = scn + set;
                    format!(
                        r#"{{"kind":"datafile","file":{file},"level":{level},"incremental_change":{},"checkpoint_change":{checkpoint},"checkpoint_time":"2026-10-04T02:51:12","resetlogs_change":1,"creation_change":5,"bytes":34359738368}}"#,
                        if since == 0 { 0 } else { since + set }
                    )
                })
                .collect();
            let bytes = if level == 0 { 60_000_000_000 } else { 900_000_000 };
            piece(format!("db_backup_{scn}_{set}"), bytes, scn + set, contents.join(","));
        }
        last = scn;
        let logs = 24;
        for _ in 0..logs {
            let next = scn + 1000;
            piece(
                format!("archivelog_{sequence}"),
                500_000_000,
                scn,
                format!(
                    r#"{{"kind":"archived_log","thread":1,"sequence":{sequence},"first_change":{scn},"next_change":{next},"first_time":"2026-10-04T02:51:12","next_time":"2026-10-04T03:51:12","resetlogs_change":1,"resetlogs_id":99}}"#
                ),
            );
            sequence += 1;
            scn = next;
        }
        piece(
            format!("c-{scn}"),
            20_000_000,
            scn,
            format!(
                r#"{{"kind":"controlfile","checkpoint_change":{scn},"resetlogs_change":1,"autobackup":true,"datafiles":[{facts}],"threads":[{{"thread":1,"enabled_change":1}}],"incarnations":[{{"resetlogs_change":1,"resetlogs_id":99,"status":"CURRENT"}}]}}"#
            ),
        );
        night += 1;
    }
    out.flush().unwrap();
}

/// Wall time and highest resident set.
fn run(path: &std::path::Path, args: &[&str], state: &std::path::Path) -> (Duration, u64, String) {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rman-run"))
        .arg("plan")
        .args(args)
        .env_clear()
        .env("STATE_DIR", state)
        .env("ORAPIPE_ALLOW_ROOT", "1")
        .stdin(std::fs::File::open(path).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()) else {
                break;
            };
            peak = peak.max(kib);
            std::thread::sleep(Duration::from_millis(10));
        }
        peak
    });
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
    child.wait().unwrap();
    let took = started.elapsed();
    let end = text.lines().last().unwrap_or_default().to_owned();
    (took, watch.join().unwrap(), end)
}

#[test]
#[ignore = "a measurement over a gigabyte of records"]
fn a_million_pieces_in_seconds() {
    let dir = tempfile::tempdir().unwrap();
    for pieces in [250_000, 500_000, 1_000_000] {
        let path = dir.path().join("catalogue.jsonl");
        write(&path, pieces);
        let size = path.metadata().unwrap().len();
        for args in [&[][..], &["--until-scn", "5000000"]] {
            let (took, kib, end) = run(&path, args, dir.path());
            println!(
                "{pieces} pieces, {} MB, {args:?}: {:.2} s, {} MiB; {end}",
                size >> 20,
                took.as_secs_f64(),
                kib >> 10
            );
            if pieces == 1_000_000 {
                assert!(took < Duration::from_secs(5), "{took:?}");
                assert!(kib < 1 << 20, "{kib} KiB");
            }
        }
    }
}
