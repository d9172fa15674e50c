//! The programs as they are used: a daemon per instance, its command, sqlplus and rman over the socket.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orasim::journal::{self, Call};

const ORASIM: &str = env!("CARGO_BIN_EXE_orasim");

struct Site {
    dir: tempfile::TempDir,
    daemons: Vec<(PathBuf, Child)>,
}

impl Site {
    fn new() -> Self {
        let mut site = Self { dir: tempfile::tempdir().unwrap(), daemons: Vec::new() };
        let (db, home) = (site.at("db"), site.at("home"));
        site.good(&["create", "--dir", &db]);
        site.good(&["home", "--dir", &home, "--sid", &format!("ORCL={db}"), "--alias", "prod=ORCL"]);
        site.start("db");
        site
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn start(&mut self, name: &str) {
        let dir = self.at(name);
        let mut child =
            Command::new(ORASIM).args(["start", "--dir", &dir]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "READY\n");
        self.daemons.push((dir.into(), child));
    }

    /// SIGKILL for a daemon: the host went down.
    fn kill(&mut self, name: &str) {
        let dir = self.dir.path().join(name);
        let at = self.daemons.iter().position(|(d, _)| *d == dir).unwrap();
        let (_, mut child) = self.daemons.swap_remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn orasim(&self, args: &[&str]) -> (i32, String) {
        let out = Command::new(ORASIM).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }

    fn good(&self, args: &[&str]) -> String {
        let (status, text) = self.orasim(args);
        assert_eq!(status, 0, "orasim {args:?}: {text}");
        text.trim().to_owned()
    }

    fn state(&self, name: &str) -> String {
        self.good(&["state", "--dir", &self.at(name)])
    }

    fn fault(&self, args: &[&str]) {
        let db = self.at("db");
        let mut all = vec!["fault", "--dir", db.as_str()];
        all.extend(args);
        self.good(&all);
    }

    fn client(&self, program: &str, sid: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join("home/bin").join(program));
        command
            .args(args)
            .env_clear()
            .env("ORACLE_HOME", self.dir.path().join("home"))
            .env("ORACLE_SID", sid)
            .env("SECRET_TOKEN", "never-in-the-journal")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, program: &str, sid: &str, args: &[&str], input: &str) -> (i32, String) {
        let mut child = self.client(program, sid, args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }

    fn sql(&self, sid: &str, script: &str) -> String {
        self.run(
            "sqlplus",
            sid,
            &["-S", "/ as sysdba"],
            &format!("set pages 0 feedback off lines 32767\n{script}"),
        )
        .1
    }

    fn journal(&self, name: &str) -> Vec<Call> {
        journal::read(&self.dir.path().join(name)).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for (_, child) in &mut self.daemons {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_instance_is_stopped_killed_and_started_again() {
    let mut site = Site::new();
    let db = site.at("db");
    assert_eq!(site.state("db"), "Open");
    assert_eq!(site.sql("ORCL", "select status from v$instance;\n"), "OPEN\n");
    // One daemon per instance.
    let (status, text) = site.orasim(&["start", "--dir", &db]);
    assert_ne!(status, 0, "{text}");

    let scn = |site: &Site| -> u64 {
        site.sql("ORCL", "select to_char(current_scn) from v$database;\n").trim().parse().unwrap()
    };
    site.good(&["writer", "--dir", &db, "--batch", "50"]);
    let before = scn(&site);
    site.good(&["kill", "--dir", &db]);
    assert_eq!(site.state("db"), "Down");
    assert!(site.sql("ORCL", "select 1 from dual;\n").contains("ORA-01034"));
    let (_, said) = site.run("sqlplus", "ORCL", &["-S", "/ as sysdba"], "startup\n");
    assert!(said.contains("Database opened."), "{said}");
    assert_eq!(site.state("db"), "Open");
    assert!(scn(&site) >= before, "SCNs never go back");

    site.good(&["stop", "--dir", &db]);
    until("the daemon's end", || site.daemons[0].1.try_wait().unwrap().is_some());
    site.daemons.clear();
    assert!(site.sql("ORCL", "select 1 from dual;\n").contains("ORA-01034"));
    site.start("db");
    assert_eq!(site.state("db"), "Open");

    // The host goes down in backup mode: mounted only, and why.
    site.sql("ORCL", "alter tablespace users begin backup;\n");
    site.kill("db");
    site.start("db");
    assert_eq!(site.state("db"), "Mounted");
    let said = site.sql("ORCL", "alter database open;\n");
    assert!(said.contains("ORA-10873"), "{said}");
    site.sql("ORCL", "alter database end backup;\nalter database open;\n");
    assert_eq!(site.state("db"), "Open");
}

#[test]
fn rman_catalogues_and_recovers_and_the_truth_is_compared() {
    let mut site = Site::new();
    let (db, sb, control) = (site.at("db"), site.at("sb"), site.at("sb.ctl"));
    site.good(&["writer", "--dir", &db, "--rate", "500"]);
    let files = site.sql("ORCL", "select name from v$datafile;\n");
    site.sql("ORCL", "alter database begin backup;\n");
    std::fs::create_dir_all(site.at("copy")).unwrap();
    let mut renames = String::new();
    for file in files.lines() {
        let copy = Path::new(&site.at("copy")).join(Path::new(file).file_name().unwrap());
        std::fs::copy(file, &copy).unwrap();
        renames.push_str(&format!("alter database rename file '{file}' to '{}';\n", copy.display()));
    }
    site.sql("ORCL", "alter database end backup;\nalter system archive log current;\n");
    site.sql("ORCL", &format!("alter database create standby controlfile as '{control}';\n"));
    site.good(&["writer", "--dir", &db, "--batch", "50"]);
    let until: u64 =
        site.sql("ORCL", "select to_char(current_scn) from v$database;\n").trim().parse().unwrap();
    site.good(&["writer", "--dir", &db, "--batch", "50"]);
    site.sql("ORCL", "alter system archive log current;\n");

    let arrived = PathBuf::from(site.at("arrived"));
    std::fs::create_dir_all(&arrived).unwrap();
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(format!("{db}/arch")).unwrap().flatten() {
        let to = arrived.join(entry.file_name());
        std::fs::copy(entry.path(), &to).unwrap();
        logs.push(to);
    }
    logs.sort();
    assert!(logs.len() >= 2, "{logs:?}");
    let last = logs.last().unwrap().clone();
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..300]).unwrap();
    std::fs::write(arrived.join("readme.txt"), "not a log").unwrap();

    let spec = serde_json::json!({"standby": true, "sid": "SB", "control_files": [control]});
    std::fs::write(site.at("sb.json"), spec.to_string()).unwrap();
    site.good(&["create", "--dir", &sb, "--spec", &site.at("sb.json")]);
    site.good(&["home", "--dir", &site.at("home"), "--sid", &format!("SB={sb}")]);
    site.start("sb");
    assert_eq!(site.state("sb"), "Down");
    let (_, said) = site.run(
        "sqlplus",
        "SB",
        &["-S", "/ as sysdba"],
        "startup nomount\nalter database mount standby database;\n",
    );
    assert!(said.contains("Database altered."), "{said}");
    let said = site.sql("SB", &renames);
    assert!(!said.contains("ORA-"), "{said}");

    let catalog = format!("catalog start with '{}/' noprompt;\n", arrived.display());
    let (_, said) = site.run("rman", "SB", &["target", "/"], &catalog);
    assert!(said.contains(&logs[0].display().to_string()), "{said}");
    let failed = said.split("Not Cataloged").nth(1).unwrap_or_default().to_owned();
    assert!(failed.contains("readme.txt") && failed.contains(&last.display().to_string()), "{said}");
    assert!(!failed.contains(&logs[0].display().to_string()), "{said}");

    // The log with the end of the window is missing: the error says which.
    let recover = format!("recover database until scn {until};\n");
    let (status, said) = site.run("rman", "SB", &["target", "/"], &recover);
    assert!(status == 1 && said.contains("RMAN-06054"), "{status}: {said}");
    let compare = |site: &Site, more: &[&str]| {
        let mut args = vec!["truth-compare", "--primary", &db, "--standby", &sb];
        args.extend(more);
        site.orasim(&args)
    };
    let scn = until.to_string();
    let (status, said) = compare(&site, &["--scn", &scn]);
    assert!(status == 1 && said.contains("DIFFERENT at SCN"), "{said}");

    std::fs::write(&last, &whole).unwrap();
    let (status, said) = site.run("rman", "SB", &["target", "/"], &format!("{catalog}{recover}"));
    assert_eq!(status, 0, "{said}");
    assert_eq!(compare(&site, &["--scn", &scn]), (0, format!("equal at SCN {until}\n")));
    assert_eq!(compare(&site, &["--at-standby"]), (0, format!("equal at SCN {until}\n")));
    let (status, said) = compare(&site, &["--scn", &(until + 500).to_string()]);
    assert!(status == 1 && said.contains("checkpoint SCN"), "{said}");
    assert_eq!(compare(&site, &[]).0, 1, "an SCN must be named");
    // Of a standby whose daemon is gone too.
    site.kill("sb");
    assert_eq!(compare(&site, &["--at-standby"]), (0, format!("equal at SCN {until}\n")));
    let copy = Path::new(&site.at("copy")).join("users01.dbf");
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[10 * 8192 + 100] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let (status, said) = compare(&site, &["--at-standby"]);
    assert!(status == 1 && said.contains("1 of") && said.contains("users01.dbf"), "{said}");
}

#[test]
fn faults_are_set_by_command() {
    let mut site = Site::new();
    let db = site.at("db");
    let begin = "alter tablespace users begin backup;\n";
    let active = "select count(*) from v$backup where status = 'ACTIVE';\n";
    let count = |site: &Site| site.sql("ORCL", active).trim().to_owned();

    site.fault(&["error", "users begin", "1146", "cannot start online backup", "--times", "1"]);
    assert!(site.sql("ORCL", begin).contains("ORA-01146"));
    site.fault(&["pretend", "begin backup", "--times", "1"]);
    assert_eq!(site.sql("ORCL", begin), "");
    assert_eq!(count(&site), "0", "answered and not done");

    site.fault(&["hang", "begin backup", "--seconds", "1", "--times", "1"]);
    let started = Instant::now();
    assert_eq!(site.sql("ORCL", begin), "");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(count(&site), "2");
    site.fault(&["kill-session", "end backup", "--after", "--times", "1"]);
    let said = site.sql("ORCL", "alter tablespace users end backup;\n");
    assert!(said.contains("ORA-03113"), "{said}");
    assert_eq!(count(&site), "0", "it was done before the session died");

    // A client that is killed in a hung statement: the server goes on without it.
    site.fault(&["hang", "begin backup", "--seconds", "1", "--times", "1"]);
    let mut child = site.client("sqlplus", "ORCL", &["-S", "/ as sysdba"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(begin.as_bytes()).unwrap();
    let hung = |site: &Site| {
        let calls = site.journal("db");
        calls.iter().any(|c| c.pid == child.id() && c.statements.iter().any(|s| s.text.contains("begin")))
    };
    until("the hang", || hung(&site));
    child.kill().unwrap();
    child.wait().unwrap();
    let call = site.journal("db").into_iter().find(|c| c.pid == child.id()).unwrap();
    assert_eq!((call.status, call.statements.last().unwrap().code), (None, None), "{call:?}");
    until("BEGIN BACKUP of a dead client", || count(&site) == "2");
    assert!(journal::every_begin_has_its_end(&site.journal("db")).is_err());
    site.sql("ORCL", "alter database end backup;\n");
    assert!(journal::every_begin_has_its_end(&site.journal("db")).is_ok());

    site.fault(&["crash", "begin backup", "--after"]);
    let said = site.sql("ORCL", begin);
    assert!(said.contains("ORA-03113"), "{said}");
    assert_eq!(site.state("db"), "Down");
    let (_, said) = site.run("sqlplus", "ORCL", &["-S", "/ as sysdba"], "startup\n");
    assert!(said.contains("ORA-10873"), "{said}");
    site.sql("ORCL", "alter database end backup;\nalter database open;\n");
    assert_eq!(site.state("db"), "Open");

    // Logons with a password; OS authentication has none that could expire.
    let system = |site: &Site| {
        site.run(
            "sqlplus",
            "ORCL",
            &["-S", "-L", "/nolog"],
            "connect system/manager\nselect 'in' from dual;\nexit\n",
        )
        .1
    };
    assert!(system(&site).contains("in"));
    site.fault(&["expire-warning", "7"]);
    let said = system(&site);
    assert!(said.contains("ORA-28002") && said.contains("within 7 days") && said.contains("in\n"), "{said}");
    site.fault(&["clear"]);
    site.fault(&["expired"]);
    assert!(system(&site).contains("ORA-28001"));
    assert_eq!(count(&site), "0");
    site.fault(&["clear"]);
    site.fault(&["logon-denied", "--times", "1"]);
    assert!(system(&site).contains("ORA-01017"));
    assert!(system(&site).contains("in\n"));

    // The physics has faults of its own, and a restart does not heal them.
    site.fault(&["physics", "{\"begin_backup_error\": 1123}"]);
    assert!(site.sql("ORCL", begin).contains("ORA-01123"));
    let (status, said) = site.orasim(&["fault", "--dir", &db, "physics", "{\"no_such_fault\": 1}"]);
    assert!(status == 1 && said.contains("no_such_fault"), "{said}");
    site.kill("db");
    site.start("db");
    assert!(site.sql("ORCL", begin).contains("ORA-01123"));
    assert!(site.good(&["fault", "--dir", &db, "list"]).starts_with('['));
}

#[test]
fn the_journal_has_every_call_and_no_value_of_the_environment() {
    let site = Site::new();
    site.run(
        "sqlplus",
        "ORCL",
        &["-S", "/nolog"],
        "connect system/manager\nselect count(*) from dba_tablespaces;\nexit 7\n",
    );
    site.run("rman", "ORCL", &["target", "/", "nocatalog"], "report schema;\n");
    let calls = site.journal("db");
    let programs: Vec<_> = calls.iter().map(|c| (c.program.as_str(), c.status)).collect();
    assert_eq!(programs, [("sqlplus", Some(7)), ("rman", Some(0))]);
    assert_eq!(calls[0].argv, ["-S", "/nolog"]);
    assert!(calls[0].env.contains(&"SECRET_TOKEN".to_owned()));
    assert!(calls[0].statements.iter().any(|s| s.text.contains("dba_tablespaces") && s.code == Some(0)));
    assert!(journal::no_secret_in_argv(&calls, &["manager"]).is_ok());
    let raw = std::fs::read_to_string(site.dir.path().join("db/journal.jsonl")).unwrap();
    assert!(!raw.contains("never-in-the-journal") && !raw.contains("system/manager"), "{raw}");

    site.run("sqlplus", "ORCL", &["-S", "system/manager"], "exit\n");
    let calls = site.journal("db");
    let error = journal::no_secret_in_argv(&calls, &["manager"]).unwrap_err();
    assert!(error.contains("argument 1") && !error.contains("manager"), "{error}");
}
