//! logrotate: what is rotated, what must never be, and who is told.

use std::path::Path;
use std::process::Command;

use regex::Regex;

use crate::{program, repository, said};

/// The file for a directory of ours. The user of the package need not exist here.
fn config(dir: &Path) -> String {
    let text = std::fs::read_to_string(repository("packaging/logrotate/orapipe")).unwrap();
    let text: String =
        text.lines().filter(|l| !l.trim().starts_with("su ")).map(|l| format!("{l}\n")).collect();
    // No signal may leave this test.
    let text =
        Regex::new("pkill .*").unwrap().replace(&text, format!("touch '{}/told'", dir.display()).as_str());
    text.replace("/home/oracle/dr/log", &dir.display().to_string())
        .replace("/var/log/orapipe", &dir.join("var").display().to_string())
}

#[test]
fn logs_are_renamed_compressed_later_and_evidence_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    std::fs::create_dir_all(dir.join("var")).unwrap();
    // As logrotate wants it: nobody else may write there.
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let conf = root.path().join("conf");
    std::fs::write(&conf, config(&dir)).unwrap();
    std::fs::set_permissions(&conf, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let rotate = |args: &[&str]| {
        let mut command = Command::new(program("logrotate"));
        said(command.args(args).arg("-s").arg(root.path().join("state")).arg(&conf))
    };
    let kept =
        ["drill_evidence.PROD.jsonl", "history.PROD.rman.jsonl", "shipped_logs.PROD", "drill.PROD.json"];
    for name in ["archivelog_replication.log", "hot_backup_ts_to_dr1.out", "rman.jsonl"].iter().chain(&kept) {
        std::fs::write(dir.join(name), format!("{name}\n")).unwrap();
    }
    std::fs::write(dir.join("empty.log"), "").unwrap();
    let (status, text) = rotate(&["-d"]);
    assert!(status == 0 && !text.contains("error:"), "{text}");
    assert!(dir.join("archivelog_replication.log").exists(), "-d only says what it would do");

    // Somebody writes into a log while it is rotated, and goes on until it is told.
    use std::io::Write;
    let mut open =
        std::fs::OpenOptions::new().append(true).open(dir.join("archivelog_replication.log")).unwrap();
    let (status, text) = rotate(&["-f"]);
    assert_eq!(status, 0, "{text}");
    writeln!(open, "after the rotation").unwrap();
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&dir).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let of = |prefix: &str| names().into_iter().filter(|n| n.starts_with(prefix)).collect::<Vec<_>>();
    for log in ["archivelog_replication.log", "hot_backup_ts_to_dr1.out", "rman.jsonl"] {
        let found = of(log);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{log}-20")), "{log}: {found:?}");
    }
    let renamed = dir.join(&of("archivelog_replication.log")[0]);
    assert_eq!(
        std::fs::read_to_string(&renamed).unwrap(),
        "archivelog_replication.log\nafter the rotation\n"
    );
    assert!(dir.join("told").exists(), "nobody was told");
    assert_eq!(of("empty.log"), ["empty.log"]);
    for name in kept {
        assert_eq!(std::fs::read_to_string(dir.join(name)).unwrap(), format!("{name}\n"));
        assert_eq!(of(name), [name]);
    }
    // The next time it is compressed, with every line in it.
    std::fs::write(dir.join("archivelog_replication.log"), "the second\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (status, text) = rotate(&["-f"]);
    assert_eq!(status, 0, "{text}");
    let packed =
        of("archivelog_replication.log").into_iter().find(|n| n.ends_with(".gz")).expect("a compressed one");
    let (_, text) = said(Command::new("gzip").arg("-dc").arg(dir.join(packed)));
    assert_eq!(text, "archivelog_replication.log\nafter the rotation\n");
}

#[test]
fn only_a_run_that_follows_is_told() {
    let text = std::fs::read_to_string(repository("packaging/logrotate/orapipe")).unwrap();
    assert!(!text.lines().any(|l| l.trim() == "copytruncate"));
    let line = text.lines().find(|l| l.contains("pkill")).unwrap();
    assert!(line.contains("-HUP") && line.contains("-u oracle"), "{line}");
    let pattern = Regex::new(line.split('\'').nth(1).unwrap()).unwrap();
    for told in [
        "arch-ship --follow",
        "/usr/bin/arch-ship --json --follow --interval 1m",
        "/opt/x/bin/arch-ship --follow",
    ] {
        assert!(pattern.is_match(told), "{told}");
    }
    // A single run would be stopped by HUP; a shell that only speaks of it is nobody.
    for left in [
        "arch-ship --status",
        "/usr/bin/arch-ship",
        "bash -c arch-ship --follow",
        "vi arch-ship --follow",
        "my-arch-ship --follow",
    ] {
        assert!(!pattern.is_match(left), "{left}");
    }
}
