//! `systemctl stop` of a wrapper: the signal reaches the tool, which ends what it has begun, and the report still comes.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rig::tool::clean_environment;
use rustix::process::{kill_process, Pid, Signal};
use tempfile::TempDir;

use crate::{bracket, repository, said};

struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        for sub in ["bin", "state", "metrics", "log", "home"] {
            std::fs::create_dir(stage.path(sub)).unwrap();
        }
        for tool in ["arch-ship", "ts-hotbackup", "rman-run", "dp-export", "ib-snap", "ib-prune"] {
            stage.producer(tool);
        }
        for tool in ["s3-put", "zip-rotate"] {
            stage.tool(tool, &format!("cat\n{}", records(&bracket(tool, 0, &[]))));
        }
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn tool(&self, name: &str, text: &str) {
        rig::host::write_program(&self.path("bin").join(name), &format!("#!/bin/bash\n{text}\n")).unwrap();
    }

    /// A tool that works until it is asked to stop, and needs its time to put back what it has done, as END BACKUP does.
    fn producer(&self, name: &str) {
        let text = bracket(name, 143, &[]);
        let (begin, end) = text.split_once('\n').unwrap();
        let dir = self.dir.path().display();
        self.tool(
            name,
            &format!(
                "{}\nwork() {{ sleep 0.5; echo 'END BACKUP' >>'{dir}/ended.{name}'; {}; exit 143; }}\ntrap work TERM\n\
                 echo $$ >'{dir}/began'\nwhile :; do sleep 0.02; done",
                records(&format!("{begin}\n")),
                records(end)
            ),
        );
    }

    fn command(&self, script: &str, args: &[&str]) -> Command {
        // Whoever runs the tests may ignore signals (nohup), and a shell cannot catch what it was born ignoring.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=HUP,INT,TERM", "--"])
            .arg(repository("scripts").join(script))
            .env_clear()
            .envs(clean_environment())
            .env("HOME", self.path("home"))
            .env("ORACLE_SID", "PROD");
        command.env("ORAPIPE_BIN", self.path("bin")).env("STATE_DIR", self.path("state"));
        command.env("PROMETHEUS_DIR", self.path("metrics")).env("ORACLE_USERS", "[]");
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a script, sends it a signal when the file is there, and waits for its end: status and both outputs.
    fn stopped(&self, mut command: Command, when: &str, signal: Signal) -> (i32, String) {
        let child = command.spawn().unwrap();
        let begin = Instant::now();
        while !std::fs::read_to_string(self.path(when)).is_ok_and(|t| t.ends_with('\n')) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{command:?} never came to {when}");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        (out.status.code().unwrap_or(-1), text)
    }
}

fn records(text: &str) -> String {
    format!("printf '%s' '{}'", text.replace('\'', "'\\''"))
}

/// Wrapper, arguments, the tool that is asked, and the job of its metrics.
const CASES: [(&str, &[&str], &str, &str); 6] = [
    ("orasync.sh", &[], "ib-snap", "snap"),
    ("remove_old_snaps.sh", &[], "ib-prune", "prune"),
    ("backup_oracle_s3.sh", &["FULL"], "rman-run", "rman"),
    ("backup_oracle.sh", &[], "dp-export", "export"),
    ("dr-drill.sh", &[], "rman-run", "drill"),
    ("report_status.sh", &[], "arch-ship", "status"),
];

#[test]
fn a_stop_reaches_the_tool_and_the_report_still_comes() {
    for (script, args, tool, job) in CASES {
        for (signal, log) in [(Signal::TERM, false), (Signal::HUP, true)] {
            let stage = Stage::new();
            let mut command = stage.command(script, args);
            if log {
                command.env("LOG_DIR", stage.path("log"));
            }
            let (status, text) = stage.stopped(command, "began", signal);
            let what = format!("{script} {signal:?}: {status} {text}");
            // The tool had its time, and the script did not end before it.
            let ended = std::fs::read_to_string(stage.path(&format!("ended.{tool}")));
            assert_eq!(ended.ok().as_deref(), Some("END BACKUP\n"), "{what}");
            assert!(
                text.contains(&format!("\"tool\":\"{tool}\"")) && text.contains("\"exit\":143"),
                "{what}"
            );
            let metrics = stage.path("metrics").join(format!("orapipe_PROD_{job}.prom"));
            let metrics = std::fs::read_to_string(metrics).expect(&what);
            let line = format!(
                "orapipe_tool_exit_status{{db=\"PROD\",pipeline=\"PROD_{job}\",tool=\"{tool}\"}} 143\n"
            );
            assert!(metrics.contains(&line), "{line}{metrics}");
            // What was not begun is not begun any more, and the report says that it is missing.
            assert!(!stage.path("ended.ts-hotbackup").exists(), "{what}");
            assert_eq!(status, if job == "status" { 2 } else { 143 }, "{what}");
            if log && job == "export" {
                let name = format!("backup_completo_{}.log", chrono::Local::now().format("%F"));
                let kept = std::fs::read_to_string(stage.path("log").join(name)).unwrap();
                assert!(kept.contains("backup ended with status 143"), "{kept}");
            }
        }
    }
}

#[test]
fn after_a_stop_nothing_more_is_put_back_and_the_next_run_is_asked_for() {
    let stage = Stage::new();
    let (status, text) = stage.stopped(stage.command("reconcile.sh", &[]), "began", Signal::TERM);
    assert_eq!(status, 143, "{text}");
    assert!(stage.path("ended.ts-hotbackup").exists() && !stage.path("ended.rman-run").exists(), "{text}");
}

/// Whoever can open the lock can hold it, and then recovery never runs again.
#[test]
fn the_lock_of_a_standby_is_where_only_its_owner_can_open_it() {
    let stage = Stage::new();
    stage.tool("rman-run", "");
    let drill = || said(stage.command("dr-drill.sh", &["--recover"]).env("DRILL_LOCK_WAIT", "0"));
    assert_eq!(drill().0, 0);
    let lock = stage.path("state/standby-recover.PROD.lock");
    assert_eq!(std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
    // One that is open to all is closed.
    std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(drill().0, 0);
    assert_eq!(std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);

    // Both scripts take the same, the other one with its place from the settings.
    let held = std::fs::File::open(&lock).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (status, text) = drill();
    assert!(status == 75 && text.contains("still at work"), "{status} {text}");
    let home = stage.path("home");
    std::fs::create_dir(home.join("bin")).unwrap();
    let sqlplus = "#!/bin/sh\necho 'ORA-01034: ORACLE not available'\n";
    rig::host::write_program(&home.join("bin/sqlplus"), sqlplus).unwrap();
    let settings = stage.path("PROD.env");
    std::fs::write(&settings, format!("STATE_DIR='{}'\n", stage.path("state").display())).unwrap();
    let recover = || {
        let mut command = stage.command("standby-recover.sh", &[]);
        command.env_remove("STATE_DIR").env("ORAPIPE_ENV_FILE", &settings).env("ORACLE_HOME", &home);
        said(&mut command)
    };
    let (status, text) = recover();
    assert!(status == 75 && text.contains("another recovery of PROD runs"), "{status} {text}");
    drop(held);
    let (status, text) = recover();
    assert!(status == 2 && text.contains("starting PROD"), "{status} {text}");
}

/// Its programs may not outlive it: the lock would be free while they are at work.
#[test]
fn recovery_that_is_stopped_ends_after_the_step_that_is_under_way() {
    let stage = Stage::new();
    let home = stage.path("home");
    std::fs::create_dir(home.join("bin")).unwrap();
    let sqlplus = format!(
        "#!/bin/sh\ncat >/dev/null\necho 1 >'{0}/began'\nsleep 0.5\necho done >>'{0}/step'\necho 'R|MOUNTED'\n",
        stage.dir.path().display()
    );
    rig::host::write_program(&home.join("bin/sqlplus"), &sqlplus).unwrap();
    let mut command = stage.command("standby-recover.sh", &[]);
    command.env("ORACLE_HOME", &home);
    // The first one asks for the state and comes before the lock.
    let wait = stage.path("state/standby-recover.PROD.lock");
    let child = command.spawn().unwrap();
    let begin = Instant::now();
    while !wait.exists() || std::fs::read_to_string(stage.path("step")).is_ok_and(|t| t.lines().count() > 1) {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(143), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(std::fs::read_to_string(stage.path("step")).unwrap(), "done\ndone\n");
}

#[test]
fn empty_quotes_in_the_settings_are_no_value() {
    let stage = Stage::new();
    stage.tool("ib-snap", "echo snap");
    stage.tool("mailreport", "cat; echo \"mailreport $*\"");
    let settings = stage.path("PROD.env");
    let call = |text: &str| {
        std::fs::write(&settings, text).unwrap();
        let mut command = stage.command("orasync.sh", &[]);
        said(command.env_remove("PROMETHEUS_DIR").env("ORAPIPE_ENV_FILE", &settings))
    };
    for nobody in [
        "EMAIL_TO=\"\"\nSMTP_SERVER=\"\"\n",
        "EMAIL_TO=''\nSMTP_SERVER=mail\n",
        "export EMAIL_TO = \"\"  # later\r\nSMTP_SERVER=mail\n",
        "EMAIL_TO=\r\nSMTP_SERVER=mail\r\n",
        "PROMETHEUS_DIR=\"\"\n",
    ] {
        assert_eq!(call(nobody), (0, "snap\n".to_owned()), "{nobody:?}");
    }
    for somebody in
        ["EMAIL_TO=\"a@b\"\nSMTP_SERVER='mail'\n", "EMAIL_TO=''\nEMAIL_TO=a@b # us\nSMTP_SERVER=\"mail\"\r\n"]
    {
        assert_eq!(call(somebody), (0, "snap\nmailreport --expect ib-snap\n".to_owned()), "{somebody:?}");
    }
}
