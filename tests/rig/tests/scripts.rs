//! The scripts around the tools, with stand-ins for the tools where only the script itself is in question.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rig::tool::clean_environment;
use tempfile::TempDir;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name).canonicalize().unwrap()
}

/// A directory with stand-ins, and a call of a script that finds them first.
struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { dir: tempfile::Builder::new().prefix("orapipe-scripts-").tempdir().unwrap() };
        for sub in ["bin", "state", "tmp"] {
            std::fs::create_dir(stage.path(sub)).unwrap();
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        rig::host::write_program(&path, &format!("#!/bin/bash\n{text}\n")).unwrap();
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(script(name));
        command
            .env_clear()
            .envs(clean_environment())
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.path("tmp"))
            .env("TMUX_TMPDIR", self.path("tmp"))
            .env("TERM", "xterm-256color")
            .env("STATE_DIR", self.path("state"))
            .env("ORAPIPE_BIN", self.path("bin"));
        command
    }
}

fn said(command: &mut Command) -> (i32, String) {
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}

const SHOW: &str = r#"echo "$(basename "$0") $* host=$DEST_HOST discover=$DISCOVER cutoff=$SCN_CUTOFF file=$ORAPIPE_ENV_FILE""#;

#[test]
fn a_wrapper_fills_in_only_what_nobody_has_set() {
    let stage = Stage::new();
    stage.program("arch-ship", SHOW);
    stage.program("ts-hotbackup", SHOW);
    let copy = "copy_archivelog_to_pamvs0003l.sh";
    let (status, text) = said(stage.command(copy).arg("-v"));
    assert_eq!(status, 0, "{text}");
    assert_eq!(text, "arch-ship --follow -v host=pamvs0003l discover=database cutoff=capture file=\n");

    let file = stage.path("prod.env");
    // A setting that is commented out or empty is not set; a second name counts.
    std::fs::write(&file, "export DRSERVER=dr9\n#DISCOVER=scan\nSCN_CUTOFF=\n").unwrap();
    let (_, text) = said(stage.command(copy).env("ORAPIPE_ENV_FILE", &file).env("DISCOVER", "scan"));
    let shown = file.display();
    assert_eq!(text, format!("arch-ship --follow host= discover=scan cutoff=capture file={shown}\n"));

    std::fs::write(&file, "SCN_CUTOFF=12345\nDEST_HOST = other\n").unwrap();
    let (_, text) = said(stage.command(copy).env("ORAPIPE_ENV_FILE", &file));
    assert_eq!(text, format!("arch-ship --follow host= discover=database cutoff= file={shown}\n"));

    let (_, text) = said(stage.command("hot_backup_ts_to_pamvs0003l.sh").args(["USERS", "--new-cycle"]));
    assert_eq!(text, "ts-hotbackup USERS --new-cycle host=pamvs0003l discover= cutoff= file=\n");
    let (_, text) = said(stage.command("envia_archivelogs.sh").arg("/arch/1_2_3.arc"));
    assert_eq!(text, "arch-ship /arch/1_2_3.arc host= discover= cutoff= file=\n");
}

#[test]
fn a_wrapper_hands_on_the_exit_status() {
    let stage = Stage::new();
    stage.program("arch-ship", "exit 75");
    assert_eq!(said(&mut stage.command("envia_archivelogs.sh")).0, 75);
}

#[test]
fn set_up_names_what_is_missing_and_installs_only_that() {
    let stage = Stage::new();
    let bin = stage.path("few");
    rig::host::bin_without(&bin, &["rsync", "tmux", "apt-get", "dnf", "yum", "sudo", "shellcheck"]).unwrap();
    for name in ["cargo", "sshd", "ip", "cc", "shellcheck"] {
        rig::host::write_program(&bin.join(name), "#!/bin/sh\necho cargo 1.95.0\n").unwrap();
    }
    // It was built once.
    let text = std::fs::read_to_string(script("setup.sh")).unwrap();
    let version = text.lines().find_map(|l| l.strip_prefix("garage_version=")).unwrap();
    let garage = stage.path(&format!(".cache/orapipe/garage-{version}/bin"));
    std::fs::create_dir_all(&garage).unwrap();
    rig::host::write_program(&garage.join("garage"), "#!/bin/sh\n").unwrap();
    let set_up = |argument: Option<&str>| {
        let mut command = stage.command("setup.sh");
        // The script adds sbin directories of the machine at the end; rsync and tmux are in none of them.
        command.env("PATH", &bin).env("APT_LOG", stage.path("apt.log")).args(argument);
        said(&mut command)
    };
    let (status, text) = set_up(Some("--check"));
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("missing programs: rsync tmux (packages: rsync tmux)"), "{text}");

    let apt = format!(
        "#!/bin/sh\necho \"$@\" >> \"$APT_LOG\"\ncase \" $* \" in *' install '*) \
         ln -s /bin/true {0}/rsync; ln -s /bin/true {0}/tmux;; esac\n",
        bin.display()
    );
    rig::host::write_program(&bin.join("apt-get"), &apt).unwrap();
    if !rustix::process::geteuid().is_root() {
        rig::host::write_program(&bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n").unwrap();
    }
    let (status, text) = set_up(None);
    assert_eq!(status, 0, "{text}");
    let asked = std::fs::read_to_string(stage.path("apt.log")).unwrap();
    assert_eq!(asked, "update -q\ninstall -q -y --no-install-recommends rsync tmux\n");
    assert_eq!(set_up(Some("--check")).0, 0);
}

#[test]
fn set_up_says_what_to_do_about_an_old_rust() {
    let stage = Stage::new();
    let bin = stage.path("few");
    rig::host::bin_without(&bin, &["apt-get", "apt-cache", "dnf", "yum", "rustup", "cargo"]).unwrap();
    rig::host::write_program(&bin.join("cargo"), "#!/bin/sh\necho cargo 1.63.0\n").unwrap();
    let mut command = stage.command("setup.sh");
    let (status, text) = said(command.env("PATH", format!("{}:/usr/sbin", bin.display())));
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("cargo is 1.63.0, needed is 1.92 or later"), "{text}");
    assert!(text.contains("rustup.rs"), "{text}");
}

/// Records of both tools that fill the screen: long names, many tablespaces, gaps, errors.
fn busy_stage() -> Stage {
    let stage = Stage::new();
    let mut backup = String::from("case \" $* \" in *' --status '*) cat <<'T'\n");
    for i in 0..30 {
        backup.push_str(&format!(
            "{{\"v\":1,\"type\":\"tablespace\",\"tool\":\"ts-hotbackup\",\"name\":\"Nota \\\"Fiscal\\\" {i:02}\",\
             \"status\":\"{}\",\"files\":4,\"bytes\":33554432,\"reason\":\"a reason that is much longer than the \
             line that it has to fit into, as reasons are\"}}\n",
            if i % 3 == 0 { "failed" } else { "copied" }
        ));
    }
    backup.push_str(
        "{\"type\":\"run_end\",\"tool\":\"ts-hotbackup\",\"status\":\"success\"}\nT\n;; *) echo backing up \
         $ORACLE_SID; trap 'echo END BACKUP; exit 143' TERM; for i in $(seq ${BACKUP_TICKS:-5}); do sleep 0.1; \
         done; exit ${BACKUP_EXIT:-0};; esac",
    );
    stage.program("ts-hotbackup", &backup);
    stage.program(
        "arch-ship",
        "case \" $* \" in *' --status '*) cat <<'T'\n\
         {\"type\":\"standby\",\"tool\":\"arch-ship\",\"threads\":[{\"thread\":1,\"applied\":10,\"received\":12,\
         \"current\":13},{\"thread\":2,\"received\":2,\"current\":3}],\"recoverable_to_scn\":959994799549,\
         \"lag_seconds\":12.3,\"lag_bytes\":1234567}\n\
         {\"type\":\"gap\",\"tool\":\"arch-ship\",\"thread\":1,\"from\":5,\"to\":6,\"where\":\"source\",\
         \"reason\":\"deleted at the source\"}\n\
         {\"type\":\"run_end\",\"tool\":\"arch-ship\",\"status\":\"finding\"}\nT\n;; *) echo \"following $NOTE\"; \
         trap 'exit 143' TERM; while :; do sleep 0.1; done;; esac",
    );
    let errors: String = (0..9)
        .map(|i| format!("2026-11-20 09:17:3{i}.123 error ship thread 1 sequence {i} to dr1: rsync exited 23 after 14s: x\n"))
        .collect();
    std::fs::write(stage.path("state/archivelog_replication.log"), errors).unwrap();
    stage
}

#[test]
fn the_monitor_fits_a_terminal_of_80_by_24() {
    let stage = busy_stage();
    let (status, text) = said(stage.command("monitor_dr.sh").arg("--once"));
    assert_eq!(status, 0, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= 24, "{} lines:\n{text}", lines.len());
    for line in &lines {
        assert!(line.chars().count() < 80, "{} columns: {line}", line.chars().count());
    }
    for part in [
        "20 of 30 tablespaces",
        "640.0 MiB of 960.0 MiB",
        "failed    Nota \"Fiscal\" 00",
        "lag 12 s, 1.2 MiB on the way; recoverable to SCN 959994799549",
        "thread 2   archived 3          at the standby 2          applied unknown",
        "GAP: thread 1 sequence 5 to 6 missing at the source: deleted at the source",
        "error ship thread 1 sequence 8",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(stage.path("tmp")).unwrap().count(), 0);
}

#[test]
fn the_monitor_says_so_when_a_tool_gives_no_answer() {
    let stage = Stage::new();
    stage.program("arch-ship", "exit 3");
    stage.program("ts-hotbackup", "exit 3");
    let (status, text) = said(stage.command("monitor_dr.sh").arg("--once"));
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("arch-ship gave no answer"), "{text}");
    assert!(text.contains("ts-hotbackup gave no answer"), "{text}");
}

/// The tmux server of a stage, ended by its own socket.
struct Session<'a>(&'a Stage);

impl Session<'_> {
    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.env_clear().envs(clean_environment()).env("TMUX_TMPDIR", self.0.path("tmp")).args(args);
        said(&mut command).1
    }

    fn orquestra(&self, args: &[&str]) -> (i32, String) {
        let mut command = self.0.command("orquestra_dr.sh");
        command.env("ORACLE_SID", "PROD").env("NOTE", "a 'quoted' word\nand a second line").args(args);
        said(&mut command)
    }

    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !condition() {
            let state = self.orquestra(&["--status"]).1;
            assert!(begin.elapsed() < Duration::from_secs(20), "{what} did not happen: {state}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn the_session_has_its_three_windows_and_may_be_started_again() {
    let stage = busy_stage();
    let session = Session(&stage);
    // An older server with another environment must not matter.
    session.tmux(&["new-session", "-d", "-s", "DR_DBPROD_OLD", "sleep 60"]);
    assert_eq!(session.orquestra(&["--status"]).0, 1);
    let (status, text) = session.orquestra(&["--detached"]);
    assert_eq!(status, 0, "{text}");
    let windows = session.tmux(&["list-windows", "-t", "DR_DBPROD", "-F", "#I #W"]);
    assert_eq!(windows, "0 archivelog\n1 hot_backup\n2 monitor\n");
    let screen = |window: &str| session.tmux(&["capture-pane", "-p", "-t", &format!("DR_DBPROD:{window}")]);
    session.until("the windows show what runs in them", || {
        screen("archivelog").contains("following a 'quoted' word\nand a second line")
            && screen("hot_backup").contains("backing up PROD")
            && screen("monitor").contains("20 of 30 tablespaces")
    });
    // What runs is left alone.
    let pids = session.tmux(&["list-panes", "-s", "-t", "DR_DBPROD", "-F", "#{pane_pid}"]);
    session.until("the backup ends", || session.orquestra(&["--status"]).1.contains("hot_backup: done"));
    let (_, text) = session.orquestra(&["--detached"]);
    assert!(text.contains("archivelog: runs already"), "{text}");
    assert!(text.contains("hot_backup: this cycle is done; --new-cycle begins the next"), "{text}");
    assert_eq!(session.tmux(&["list-panes", "-s", "-t", "DR_DBPROD", "-F", "#{pane_pid}"]), pids);
    let (_, text) = session.orquestra(&["--detached", "--new-cycle"]);
    assert!(text.contains("hot_backup: began a new cycle"), "{text}");
    let (status, text) = session.orquestra(&["--stop"]);
    assert_eq!(status, 0, "{text}");
    let left = session.tmux(&["list-sessions", "-F", "#S"]);
    assert_eq!(left, "DR_DBPROD_OLD\n");
    assert_eq!(session.orquestra(&["--stop"]), (0, "orquestra_dr: nothing runs\n".to_owned()));
}

#[test]
fn a_backup_that_was_killed_is_started_again_and_shipping_too() {
    let stage = busy_stage();
    let session = Session(&stage);
    stage
        .program("ts-hotbackup", "case \" $* \" in *' --status '*) exit 0;; esac; echo backing up; sleep 60");
    let start = || session.orquestra(&["--detached"]).1;
    start();
    session.until("both run", || {
        let screen = |w: &str| session.tmux(&["capture-pane", "-p", "-t", &format!("DR_DBPROD:{w}")]);
        screen("archivelog").contains("following") && screen("hot_backup").contains("backing up")
    });
    for window in ["hot_backup", "archivelog"] {
        let pid = session.tmux(&["list-panes", "-t", &format!("DR_DBPROD:{window}"), "-F", "#{pane_pid}"]);
        rig::host::kill(pid.trim().parse().unwrap());
    }
    session.until("both are seen dead", || {
        session.orquestra(&["--status"]).1.matches("ended with status signal 9").count() == 2
    });
    let text = start();
    assert!(text.contains("hot_backup: had ended with status signal 9; started again"), "{text}");
    assert!(text.contains("archivelog: had ended with status signal 9; started again"), "{text}");
}

#[test]
fn stop_gives_the_backup_its_time_to_end_backup_mode() {
    let stage = busy_stage();
    stage.program(
        "ts-hotbackup",
        "case \" $* \" in *' --status '*) exit 0;; esac; trap 'sleep 1; touch \"$STATE_DIR/ended\"; exit 143' TERM; \
         touch \"$STATE_DIR/began\"; while :; do sleep 0.1; done",
    );
    let session = Session(&stage);
    session.orquestra(&["--detached"]);
    session.until("the backup begins", || stage.path("state/began").exists());
    let (status, text) = session.orquestra(&["--stop"]);
    assert_eq!(status, 0, "{text}");
    assert!(stage.path("state/ended").exists(), "{text}");
    assert!(text.contains("hot_backup: ended 143"), "{text}");
}

const TOOLS: [&str; 10] = [
    "arch-ship",
    "ts-hotbackup",
    "rman-run",
    "s3-put",
    "s3-get",
    "dp-export",
    "zip-rotate",
    "ib-snap",
    "ib-prune",
    "mailreport",
];

/// Every setting of the example file, those that are commented out as well.
fn example_settings(stage: &Stage) -> (PathBuf, Vec<String>) {
    let text = std::fs::read_to_string(script("PROD.env.example")).unwrap();
    let is_name = |s: &str| {
        !s.is_empty() && s.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let lines = text.lines().map(|l| l.strip_prefix("# ").unwrap_or(l));
    let lines: Vec<_> = lines.filter(|l| l.split_once('=').is_some_and(|(name, _)| is_name(name))).collect();
    let names = lines.iter().filter_map(|l| Some(l.split_once('=')?.0.to_owned())).collect();
    let file = stage.path("PROD.env");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    // A password is in it.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (file, names)
}

#[test]
fn wrong_usage_ends_with_64_and_a_hint_before_any_tool_runs() {
    let stage = Stage::new();
    for tool in TOOLS {
        stage.program(tool, "touch \"$STATE_DIR/called\"");
    }
    let cases: [(&str, &[&[&str]]); 11] = [
        ("backup_oracle_s3.sh", &[&[], &["LATEST"], &["--force"]]),
        ("restore_oracle.sh", &[&[], &["LATEST"], &["FULL", "--until-scn"], &["FULL"], &["incremental"]]),
        ("backup_oracle.sh", &[&[], &["--force"], &["/not/there.jsonl"]]),
        ("demo.sh", &[&["--fast"], &["--dir"], &["--only"], &["--only", "all"]]),
        ("monitor_dr.sh", &[&["--twice"]]),
        ("orquestra_dr.sh", &[&["--again"]]),
        ("setup.sh", &[&["--all"]]),
        ("standby-recover.sh", &[&["--force"], &["--until-scn"], &["--until-scn", "soon"]]),
        ("test.sh", &[&["--all"]]),
        ("standby_job.sh", &[&[], &["fly"]]),
        ("unit_failed.sh", &[&[], &["sshd.service"]]),
    ];
    for (name, calls) in &cases {
        for args in *calls {
            let (status, text) = said(stage.command(name).args(*args));
            assert_eq!(status, 64, "{name} {args:?}: {text}");
            let told = ["usage: ", "hint: ", "FULL|INCREMENTAL [--until", "takes an SCN in digits"];
            assert!(told.iter().any(|t| text.contains(t)), "{name} {args:?}: {text}");
            assert!(!stage.path("state/called").exists(), "{name} {args:?} has called a tool");
        }
    }
    // These hand their arguments to a program, are part of another script, or take none.
    let others = ["copy_archivelog_to_pamvs0003l", "hot_backup_ts_to_pamvs0003l", "envia_archivelogs"];
    let others = [&others[..], &["environment", "licences", "bench"]].concat();
    // These are in snapscripts.
    let others = [&others[..], &["orasync", "remove_old_snaps"]].concat();
    // These are in the tests of operate and drill.
    let others = [&others[..], &["dr-drill", "check_orapipe", "report_status", "reconcile"]].concat();
    // These are in the tests of the packages.
    let others = [&others[..], &["package", "install"]].concat();
    for entry in std::fs::read_dir(script("demo.sh").parent().unwrap()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = others.contains(&name.trim_end_matches(".sh")) || cases.iter().any(|(n, _)| *n == name);
        assert!(known || !name.ends_with(".sh"), "{name} is in no test");
    }
}

#[test]
fn the_wrappers_of_backups_and_exports_are_these_pipelines() {
    let stage = Stage::new();
    for tool in TOOLS {
        stage.program(tool, "cat; echo \"$(basename \"$0\") $*\"");
    }
    let schemas = stage.path("schemas.jsonl");
    std::fs::write(&schemas, "{\"user\":\"GOLD\",\"password_env\":\"GOLD_PW\"}\n").unwrap();
    let (file, _) = example_settings(&stage);
    let call = |name: &str, args: &[&str], settings: bool, env: &[(&str, &str)]| {
        let mut command = stage.command(name);
        command.args(args).stdin(std::process::Stdio::null()).envs(env.iter().copied());
        if settings {
            // The directory of the example is nobody's here.
            command.env("ORAPIPE_ENV_FILE", &file).env("LOG_DIR", stage.path("log"));
            // The metrics are in the tests of operate.
            command.env("PROMETHEUS_DIR", "");
        }
        let (status, text) = said(&mut command);
        assert_eq!(status, 0, "{text}");
        text
    };
    let backup = "rman-run INCREMENTAL --channels 2\ns3-put --delete-source\n";
    let args = ["INCREMENTAL", "--channels", "2"];
    assert_eq!(call("backup_oracle_s3.sh", &args, false, &[]), backup);
    let mailed = format!("{backup}mailreport --expect rman-run,s3-put\n");
    assert_eq!(call("backup_oracle_s3.sh", &args, true, &[]), mailed);

    let lines = std::fs::read_to_string(&schemas).unwrap();
    let file_of_schemas = schemas.to_str().unwrap();
    let export = format!("{lines}dp-export -\nzip-rotate --remove-dumps\n");
    assert_eq!(call("backup_oracle.sh", &[file_of_schemas], false, &[]), export);
    let mailed = format!("{export}mailreport --expect dp-export,zip-rotate\n");
    assert_eq!(call("backup_oracle.sh", &[file_of_schemas], true, &[]), mailed);
    let users = [("ORACLE_USERS", "[]")];
    assert_eq!(call("backup_oracle.sh", &[], false, &users), "dp-export \nzip-rotate --remove-dumps\n");

    let restore = stage.path("restore");
    let env = [("RESTORE_SOURCE_DIR", restore.to_str().unwrap())];
    let args = ["FULL", "--until-scn", "17", "--resetlogs"];
    assert_eq!(
        call("restore_oracle.sh", &args, false, &env),
        "rman-run restore FULL --until-scn 17 --resetlogs\n"
    );
    let text = call("restore_oracle.sh", &args, true, &env);
    let expected = format!(
        "s3-get --manifests\nrman-run plan FULL --until-scn 17\ns3-get --dest {}\n\
         rman-run restore FULL --until-scn 17 --resetlogs\n",
        restore.display()
    );
    assert_eq!(text, expected);
    let text = call("restore_oracle.sh", &["FULL", "--plan", "--until-scn=17"], true, &env);
    assert_eq!(text, "s3-get --manifests\nrman-run plan FULL --until-scn=17\n");
}

#[test]
fn a_pipeline_fails_when_its_last_tool_does() {
    let stage = Stage::new();
    for tool in TOOLS {
        stage.program(tool, "cat >/dev/null");
    }
    stage.program("s3-put", "cat >/dev/null; exit 75");
    assert_eq!(said(stage.command("backup_oracle_s3.sh").arg("FULL")).0, 75);
    stage.program("zip-rotate", "cat >/dev/null; exit 4");
    assert_eq!(said(stage.command("backup_oracle.sh").env("ORACLE_USERS", "[]")).0, 4);
}

#[test]
fn the_lines_of_the_examples_work_when_they_are_uncommented() {
    let stage = Stage::new();
    let (file, names) = example_settings(&stage);
    assert!(names.len() > 30, "{names:?}");
    let mut told = String::new();
    for tool in TOOLS {
        let real = rig::tool::program(tool).unwrap();
        let mut command = Command::new(&real);
        command.env_clear().envs(clean_environment()).arg("--env-file").arg(&file).arg("--show-config");
        if tool == "rman-run" {
            command.arg("full");
        }
        let (status, text) = said(&mut command);
        assert_eq!(status, 0, "{tool}: {text}");
        assert!(!text.contains("unknown"), "{tool}: {text}");
        told.push_str(&text);
        // For the lines of the crontab: the real tool reads its flags and does nothing else.
        stage.program(
            tool,
            &format!("exec '{}' \"$@\" --show-config </dev/null >>\"$STATE_DIR/shown\"", real.display()),
        );
    }
    // These are read by Oracle's programs, by the AWS SDK, or by the tools without a flag.
    let without = ["ORACLE_SID", "ORACLE_HOME", "AWS_PROFILE", "PROMETHEUS_DIR"];
    for name in names.iter().filter(|n| !without.contains(&n.as_str())) {
        assert!(told.contains(&format!("[{name} in ")), "{name} is a setting of no tool");
    }

    let crontab = std::fs::read_to_string(script("crontab.example")).unwrap();
    let scripts = script("demo.sh").parent().unwrap().display().to_string();
    let home = stage.dir.path().display().to_string();
    std::fs::create_dir(stage.path("log")).unwrap();
    std::fs::write(stage.path("schemas.jsonl"), "").unwrap();
    let mut ran = 0;
    for line in crontab.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let fields = if line.starts_with("@reboot") { 1 } else { 5 };
        let time = |b: u8| b.is_ascii_digit() || b"*/-,".contains(&b);
        let first = line.split_whitespace().next().unwrap_or_default();
        if fields == 5 && (first.is_empty() || !first.bytes().all(time)) {
            continue;
        }
        let command = line.split_whitespace().skip(fields).collect::<Vec<_>>().join(" ");
        if command.contains("standby-recover.sh") {
            // It needs a standby; the demo and the stories run it.
            continue;
        }
        let command = command
            .replace("/tmp/", "/home/oracle/dr/tmp/")
            .replace("/home/oracle/dr", &home)
            .replace("/opt/orapipe/scripts", &scripts)
            .replace("sleep 120", "sleep 0");
        let path = format!("{}:{}", stage.path("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = stage.command("demo.sh");
        let env: Vec<_> = shell.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
        shell = Command::new("/bin/sh");
        shell.env_clear().envs(env).env("PATH", path).env("ORAPIPE_ENV_FILE", &file).args(["-c", &command]);
        let (status, text) = said(&mut shell);
        assert_eq!(status, 0, "{command}: {text}");
        ran += 1;
    }
    assert!(ran >= 8, "only {ran} lines of the crontab ran");
}
