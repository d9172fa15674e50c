//! The scripts that the units start, with stand-ins for the tools; mailreport is the real one.

use std::path::Path;
use std::process::Command;

use rig::tool::clean_environment;
use tempfile::TempDir;

use crate::{bracket, repository, said, GAP, STANDBY};

struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        for sub in ["bin", "state", "metrics", "tmp"] {
            std::fs::create_dir(stage.dir.path().join(sub)).unwrap();
        }
        // By it environment.sh knows a directory of ours.
        stage.stand_in("arch-ship", "");
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A tool that notes how it was called.
    fn stand_in(&self, name: &str, text: &str) {
        let calls = self.path("calls");
        let text = format!("#!/bin/bash\necho \"{name} $* sid=$ORACLE_SID home=$ORACLE_HOME env=$ORAPIPE_ENV_FILE\" >>'{}'\n{text}\n", calls.display());
        rig::host::write_program(&self.path("bin").join(name), &text).unwrap();
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(repository("scripts").join(name));
        command.env_clear().envs(clean_environment()).env("HOME", self.dir.path()).env("ORACLE_SID", "PROD");
        command
            .env("ORAPIPE_BIN", self.path("bin"))
            .env("STATE_DIR", self.path("state"))
            .env("TMPDIR", self.path("tmp"));
        command
    }
}

fn records(text: &str) -> String {
    format!("printf '%s' '{}'", text.replace('\'', "'\\''"))
}

#[test]
fn after_a_crash_everything_of_ours_is_put_back_and_the_worst_status_counts() {
    let stage = Stage::new();
    for tool in ["ts-hotbackup", "rman-run", "ib-snap"] {
        stage.stand_in(tool, "exit ${STATUS:-0}");
    }
    let (status, text) = said(&mut stage.script("reconcile.sh"));
    assert_eq!(status, 0, "{text}");
    let calls = stage.calls();
    assert!(
        calls.contains("ts-hotbackup --end-backup ") && calls.contains("rman-run drill --recover "),
        "{calls}"
    );
    assert!(!calls.contains("ib-snap"), "there is no array: {calls}");
    said(stage.script("reconcile.sh").env("SOURCE_INFINIBOX", "box1"));
    assert!(stage.calls().contains("ib-snap --end-backup "));
    // One that fails keeps no other from its work, and systemd tries again.
    for (backup, drill, worst) in
        [(75, 0, 75), (0, 2, 2), (75, 4, 4), (2, 75, 2), (143, 1, 143), (4, 124, 124)]
    {
        stage.stand_in("ts-hotbackup", &format!("exit {backup}"));
        stage.stand_in("rman-run", &format!("exit {drill}"));
        let before = stage.calls().matches("rman-run drill").count();
        assert_eq!(said(&mut stage.script("reconcile.sh")).0, worst, "{backup} and {drill}");
        assert_eq!(stage.calls().matches("rman-run drill").count(), before + 1);
    }
}

#[test]
fn the_status_of_the_standby_becomes_metrics_and_a_mail_only_when_it_changes() {
    let stage = Stage::new();
    stage.stand_in("ts-hotbackup", &records(&bracket("ts-hotbackup", 0, &[])));
    stage.stand_in("arch-ship", &(records(&bracket("arch-ship", 5, &[STANDBY, GAP])) + "\nexit 5"));
    assert_eq!(said(&mut stage.script("report_status.sh")).0, 64, "nobody would hear of it");
    let metrics = stage.path("metrics");
    let (status, text) = said(stage.script("report_status.sh").env("PROMETHEUS_DIR", &metrics));
    assert_eq!(status, 5, "{text}");
    let text = std::fs::read_to_string(metrics.join("orapipe_PROD_status.prom")).unwrap();
    assert!(text.contains("orapipe_redo_gaps{db=\"PROD\",pipeline=\"PROD_status\"} 1\n"), "{text}");
    assert!(stage.path("state/history.PROD.status.jsonl").exists());
    // A tool that dies is no silence.
    stage.stand_in("arch-ship", "kill -9 $$");
    let (status, _) = said(stage.script("report_status.sh").env("PROMETHEUS_DIR", &metrics));
    let text = std::fs::read_to_string(metrics.join("orapipe_PROD_status.prom")).unwrap();
    assert!(
        status == 2 && text.contains("orapipe_tools_missing{db=\"PROD\",pipeline=\"PROD_status\"} 1\n"),
        "{text}"
    );
}

#[test]
fn the_jobs_of_a_standby_find_their_home_and_their_places() {
    let stage = Stage::new();
    let oratab = stage.path("oratab");
    let home = stage.path("home");
    std::fs::create_dir_all(home.join("bin")).unwrap();
    std::fs::write(&oratab, format!("# comment\nOTHER:/nowhere:N\nPROD:{}:N\n", home.display())).unwrap();
    let settings = stage.path("PROD.env");
    std::fs::write(&settings, "DEST_STANDBY_DIR=/u15/standby # the copy\nDEST_ARCHLOG_DIR='/u16/arch'\n")
        .unwrap();
    // The lock of standby-recover.sh is not handed on: an instance that is started would hold it for ever.
    stage.stand_in("rman-run", "[ ! -e /proc/$$/fd/9 ] || exit 9");
    let job = |args: &[&str]| {
        let mut command = stage.script("standby_job.sh");
        command.env("ORATAB", &oratab).env("ORAPIPE_ENV_FILE", &settings).args(args);
        said(&mut command)
    };
    let (status, text) = job(&["drill", "--queries", "q.sql"]);
    assert_eq!(status, 0, "{text}");
    let line =
        format!("rman-run drill --queries q.sql sid=PROD home={} env={}", home.display(), settings.display());
    assert!(stage.calls().contains(&line), "{line}\n{}", stage.calls());
    // It gets as far as Oracle's own programs, which are not there.
    let (status, text) = job(&["recover"]);
    assert!(
        status == 64 && text.contains(&format!("{}/bin/sqlplus is not there", home.display())),
        "{status} {text}"
    );
    let mut unknown = stage.script("standby_job.sh");
    let (status, text) = said(unknown.env("ORATAB", &oratab).env("ORACLE_SID", "XE").arg("drill"));
    assert!(status == 64 && text.contains("XE is not in"), "{text}");
    for args in [&[][..], &["fly"]] {
        assert_eq!(job(args).0, 64);
    }
}

#[test]
fn a_unit_that_fails_is_mailed_with_the_end_of_its_journal() {
    let stage = Stage::new();
    stage.stand_in("journalctl", "printf 'arch-ship: error: \"dr1\" is \\\\ away\\n\\tand a tab\\n'");
    let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());
    let mail = stage.path("mail");
    std::fs::create_dir(&mail).unwrap();
    let call = |unit: &str| {
        let mut command = stage.script("unit_failed.sh");
        command.env("PATH", &path).env_remove("ORACLE_SID").arg(unit);
        command.env("EMAIL_TO", "dba@example.com").env("SMTP_SERVER", "127.0.0.1:1").env("SMTP_TLS", "none");
        said(&mut command)
    };
    // Nobody listens there: the mail waits in the spool, whole.
    let (_, text) = call("orapipe-arch-ship@PROD.service");
    let spool = stage.path("state/spool");
    let waiting = |dir: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
        entries.filter(|p| p.extension().is_some_and(|e| e == "mail")).collect()
    };
    let mails = waiting(&spool);
    assert_eq!(mails.len(), 1, "{text}");
    let mail = String::from_utf8_lossy(&std::fs::read(&mails[0]).unwrap()).into_owned();
    assert!(mail.contains("PROD") && mail.contains("orapipe-arch-ship@PROD.service"), "{mail}");
    assert!(stage.calls().contains("journalctl -u orapipe-arch-ship@PROD.service "), "{}", stage.calls());
    for wrong in ["", "sshd.service", "orapipe-arch-ship@.service", "orapipe-arch-ship"] {
        assert_eq!(call(wrong).0, 64, "{wrong}");
    }
    let mut silent = stage.script("unit_failed.sh");
    let (status, text) = said(silent.env("PATH", &path).arg("orapipe-mail@PROD.service"));
    assert!(status == 0 && text.contains("nobody is told"), "{status} {text}");
}
