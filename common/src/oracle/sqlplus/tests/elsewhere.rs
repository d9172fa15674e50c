//! Sessions and RMAN through a shell that stands for another host.

use std::sync::Arc;

use super::*;
use crate::oracle::rman::Rman;
use crate::oracle::runner::{remote_sh, RemoteCall, RemoteHome, Shell};

/// A shell "on another host": dash here, with a home directory of its own.
struct Dash {
    home: PathBuf,
    env: Vec<(String, String)>,
}

impl Shell for Dash {
    fn command(&self, script_sh: &str, stdin: Vec<u8>, limit: Duration) -> Cmd {
        let mut cmd = Cmd::new("dash", limit).arg("-c").arg(script_sh).stdin(stdin);
        cmd = cmd.env("HOME", &self.home).env("TMPDIR", self.home.join("tmp"));
        for (name, value) in &self.env {
            cmd = cmd.env(name, value);
        }
        cmd.env_remove = ["ORACLE_HOME", "ORACLE_SID"].map(str::to_owned).to_vec();
        cmd
    }

    fn name(&self) -> String {
        "dr1".to_owned()
    }
}

fn remote(fake: &Fake, home: RemoteHome, oratab: &str) -> Sqlplus {
    std::fs::create_dir_all(fake.path("tmp")).unwrap();
    std::fs::write(fake.path("oratab"), oratab.replace("HOME", &fake.dir.path().display().to_string()))
        .unwrap();
    let env = vec![
        ("ORATAB".to_owned(), fake.path("oratab").display().to_string()),
        ("TWO_TASK".to_owned(), "elsewhere".to_owned()),
    ];
    let shell = Arc::new(Dash { home: fake.dir.path().into(), env });
    Sqlplus::new(Runner::Remote { shell, home }, Connect::sysdba()).limit(Duration::from_secs(20))
}

#[test]
fn a_session_on_another_host_finds_its_home_in_oratab_there() {
    let fake = Fake::new().answers("select", br"row '/u15/x\0375\037'");
    let session = remote(&fake, RemoteHome::default(), "# x\n*:/c:N\n+ASM:/g:N\n\nSTBY:HOME:Y # ours");
    let (script, step) = selecting();
    let reply = session.run(&script).unwrap();
    assert_eq!(reply.row(step).unwrap().get::<u64>(1).unwrap(), 5);
    let env = fake.read("env");
    for line in ["ORACLE_SID=STBY", "NLS_LANG=AMERICAN_AMERICA.AL32UTF8", "LC_ALL=C"] {
        assert!(env.lines().any(|l| l == line), "{line} in {env}");
    }
    assert!(!env.contains("TWO_TASK="));
    assert!(fake.read("cwd").contains("/tmp/orapipe.") && fake.read("cwd.files").is_empty());
    assert_eq!(std::fs::read_dir(fake.path("tmp")).unwrap().count(), 0, "the directory is removed");
}

#[test]
fn a_profile_there_may_talk_and_may_not_eat_our_input() {
    let fake = Fake::new();
    std::fs::write(
        fake.path("my profile"),
        format!("echo noise; cat; ORACLE_SID=STBY2; ORACLE_HOME={}\n", fake.dir.path().display()),
    )
    .unwrap();
    let home = RemoteHome { profile: Some("~/my profile".into()), ..RemoteHome::default() };
    remote(&fake, home, "").run(&altering()).unwrap();
    assert!(fake.read("env").lines().any(|l| l == "ORACLE_SID=STBY2"));

    let home = RemoteHome { profile: Some("~/missing".into()), ..RemoteHome::default() };
    let error = remote(&fake, home, "").run(&altering()).unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::NotStarted);
    assert!(error.text.contains("the profile cannot be read: "), "{}", error.text);
}

#[test]
fn a_program_there_stops_by_itself_when_nobody_is_left_to_stop_it() {
    let fake = Fake::new();
    fake.program("sqlplus", "#!/bin/sh\necho $$ > \"$PIDFILE\"; exec sleep 60\n");
    std::fs::create_dir_all(fake.path("tmp")).unwrap();
    let home = RemoteHome {
        oracle_home: Some(fake.dir.path().display().to_string()),
        oracle_sid: Some("S".into()),
        ..RemoteHome::default()
    };
    let call = RemoteCall {
        program: "sqlplus",
        args: &[],
        os_auth: true,
        before: "",
        stop_after: Duration::from_secs(1),
    };
    let started = Instant::now();
    let dash = Dash {
        home: fake.dir.path().into(),
        env: vec![("PIDFILE".into(), fake.path("pid").display().to_string())],
    };
    let done =
        dash.command(&remote_sh(&home, &call, "x"), Vec::new(), Duration::from_secs(30)).run().unwrap();
    assert_eq!(done.ended, Ended::Exited(124));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!Path::new(&format!("/proc/{}", fake.read("pid").trim())).exists());
    assert_eq!(std::fs::read_dir(fake.path("tmp")).unwrap().count(), 0);
}

#[test]
fn what_is_not_known_there_is_said() {
    let fake = Fake::new();
    let error = remote(&fake, RemoteHome::default(), "A:HOME:Y\nB:HOME:Y\n").run(&altering()).unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (SqlErrorKind::NotStarted, Exit::Usage));
    let oratab = fake.path("oratab").display().to_string();
    assert_eq!(error.text, format!("dr1: ORACLE_SID is not set and {oratab} names several databases: A B"));
    assert!(error.failure.hint.as_ref().unwrap().contains("STANDBY_SID"));

    let home = RemoteHome { oracle_sid: Some("B1".into()), ..RemoteHome::default() };
    remote(&fake, home, "A:/x:Y\nB:HOME:Y\n").run(&altering()).unwrap();
    assert!(fake.read("env").lines().any(|l| l == "ORACLE_SID=B1"));

    let home = RemoteHome { oracle_sid: Some("C".into()), ..RemoteHome::default() };
    let error = remote(&fake, home, "A:/x:Y\n").run(&altering()).unwrap_err();
    assert!(
        error.text.contains("there is no sqlplus in ORACLE_HOME (not set) nor in PATH"),
        "{}",
        error.text
    );
}

#[test]
fn a_connection_that_does_not_come_about_is_worth_another_try() {
    struct Dead;
    impl Shell for Dead {
        fn command(&self, _: &str, stdin: Vec<u8>, limit: Duration) -> Cmd {
            Cmd::new("sh", limit).arg("-c").arg("echo 'ssh: connect: refused' >&2; exit 255").stdin(stdin)
        }

        fn name(&self) -> String {
            "dr1".to_owned()
        }
    }
    let runner = Runner::Remote { shell: Arc::new(Dead), home: RemoteHome::default() };
    let error = Sqlplus::new(runner, Connect::sysdba()).run(&altering()).unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (SqlErrorKind::NotAvailable, Exit::TryAgain));
    assert!(error.text.contains("connect: refused"), "{}", error.text);
}

const FAKE_RMAN: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\"\nfor a; do case $a in cmdfile=*) cat \"${a#cmdfile=}\" ;; esac; done\n\
                         echo; echo 'RMAN-07517: Reason: The file header is corrupted'; echo 'Recovery Manager complete.'\n";

#[test]
fn rman_gets_a_command_file_here_and_there() {
    let fake = Fake::new();
    fake.program("rman", FAKE_RMAN);
    let there = remote(&fake, RemoteHome::default(), "STBY:HOME:Y\n").runner;
    for runner in [fake.local(), there] {
        let rman = Rman { runner, limit: Duration::from_secs(20), log: None };
        let done = rman.run("CATALOG START WITH '/u15/arch/' NOPROMPT;\n").unwrap();
        assert!(done.success(), "{done:?}");
        assert!(done.output.starts_with("target\n/\nnocatalog\ncmdfile="), "{}", done.output);
        assert!(done.output.contains("CATALOG START WITH '/u15/arch/' NOPROMPT;"), "{}", done.output);
        assert_eq!(done.codes, ["RMAN-07517"]);
    }
    assert_eq!(std::fs::read_dir(fake.path("tmp")).unwrap().count(), 0);
}

#[test]
fn an_rman_that_fails_or_dies_is_no_success() {
    let fake = Fake::new();
    let rman = |text: &str| {
        fake.program("rman", text);
        Rman { runner: fake.local(), limit: Duration::from_secs(20), log: None }.run("x").unwrap().success()
    };
    assert!(!rman("#!/bin/sh\necho 'RMAN-03002: failure of catalog command'; echo 'Recovery Manager complete.'; exit 1\n"));
    assert!(!rman("#!/bin/sh\nexit 0\n"));
    assert!(!rman("#!/bin/sh\necho 'RMAN-00558: error encountered while parsing input commands'; echo 'Recovery Manager complete.'\n"));
}
