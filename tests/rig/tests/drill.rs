//! The drill of the standby: equal to the truth, and put back whatever happens.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use orasim::faults::Faults;
use orasim::instance::{FileSpec, Spec, TablespaceSpec};
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind, When};
use rig::instance::Instance;
use rig::tool::{Outcome, Tool};
use rig::world::{Setup, World, STANDBY};
use rustix::process::Signal;
use serde_json::Value;

#[allow(dead_code)]
#[path = "ship/oracle.rs"]
mod oracle;

const QUERIES: &str = "-- name: linhas\nselect count(*) from loja.vendas;\n\
                       -- name: soma\nselect sum(valor) from loja.vendas;\n\
                       -- name: modo\n-- expect: READ ONLY\nselect open_mode from v$database;\n";
const LIMIT: Duration = Duration::from_secs(30);

/// A primary, and a standby that recovers.
struct Stage {
    world: World,
    managed: bool,
}

impl Stage {
    fn new(managed: bool) -> Result<Self> {
        Self::with(managed, &[])
    }

    fn with(managed: bool, pdbs: &[&str]) -> Result<Self> {
        let edition = if managed { "Enterprise Edition" } else { "Standard Edition 2" };
        let spec = Spec {
            log_bytes: 256 << 10,
            changes_per_second: 300,
            edition: edition.to_owned(),
            pdbs: pdbs.iter().map(|p| (*p).to_owned()).collect(),
            ..Spec::default()
        };
        let world = World::shaped(&Setup { spec, over_ssh: false, ..Setup::default() }, |layout| {
            let mut all = layout.tablespaces(13, 128 << 10);
            let seed = (!pdbs.is_empty()).then_some("PDB$SEED");
            for pdb in seed.iter().chain(pdbs) {
                let path = layout.primary_mount(0).join("oradata/DBPROD").join(pdb).join("system01.dbf");
                let file = FileSpec { path, bytes: 128 << 10 };
                all.push(TablespaceSpec {
                    pdb: Some((*pdb).to_owned()),
                    read_only: seed == Some(*pdb),
                    ..TablespaceSpec::new("SYSTEM", vec![file])
                });
            }
            all
        })?;
        oracle::stand_by(&world)?;
        let stage = Self { world, managed };
        stage.feed()?;
        if managed {
            stage.standby().sql("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE DISCONNECT FROM SESSION")?;
        } else {
            oracle::recover_and_compare(&stage.world)?;
        }
        stage.feed()?;
        stage.recovers_to_the_truth()?;
        Ok(stage)
    }

    fn standby(&self) -> &Instance {
        &self.world.standby
    }

    /// A log more, brought over and made known as arch-ship --register does.
    fn feed(&self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(30));
        oracle::switch(&self.world.primary)?;
        let to = self.world.layout().standby_archive();
        for entry in std::fs::read_dir(self.world.layout().primary_archive())? {
            let from = entry?.path();
            let target = to.join(from.file_name().context("a name")?);
            if !target.exists() {
                std::fs::copy(&from, &target)?;
            }
        }
        if !self.managed {
            return Ok(());
        }
        let known = self.standby().sql("SELECT name FROM v$archived_log")?;
        for entry in std::fs::read_dir(&to)? {
            let path = entry?.path().display().to_string();
            if !known.lines().any(|l| l == path) {
                self.standby().sql(&format!("ALTER DATABASE REGISTER LOGFILE '{path}'"))?;
            }
        }
        Ok(())
    }

    fn position(&self) -> Result<u64> {
        self.standby().number("SELECT TO_CHAR(MAX(checkpoint_change#)) FROM v$datafile_header")
    }

    fn mrp(&self) -> Result<u64> {
        self.standby().number("SELECT COUNT(*) FROM v$managed_standby WHERE process = 'MRP0'")
    }

    fn state(&self) -> Result<String> {
        let said = self.standby().admin(Admin::State)?;
        Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
    }

    fn until(&self, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        while !condition()? {
            ensure!(begin.elapsed() < LIMIT, "{what} did not happen; the standby is {}", self.state()?);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What counts after everything: another log goes in, and every block is as the primary had it then.
    fn recovers_to_the_truth(&self) -> Result<()> {
        self.until("mounted", || Ok(self.state()? == "Mounted"))?;
        if !self.managed {
            let before = self.position()?;
            self.feed()?;
            ensure!(oracle::recover_and_compare(&self.world)? > before, "recovery stands still at {before}");
            return Ok(());
        }
        self.until("managed recovery", || Ok(self.mrp()? == 1))?;
        let before = self.position()?;
        self.feed()?;
        let last = self.standby().number("SELECT TO_CHAR(MAX(next_change#)) FROM v$archived_log")?;
        self.until("all that is there applied", || {
            Ok(self.position()? >= last
                && self.standby().number("SELECT COUNT(*) FROM v$datafile_header WHERE fuzzy = 'YES'")? == 0)
        })?;
        let reached = self.position()?;
        ensure!(reached > before, "recovery stands still at {before}");
        let verdict = rig::standby::compare(&self.world.primary.dir, &self.standby().dir, reached)?;
        ensure!(verdict.equal(), "{verdict:#?}");
        Ok(())
    }

    fn tool(&self, args: &[&str]) -> Result<Tool> {
        let queries = self.world.path().join("queries.sql");
        if !queries.exists() {
            std::fs::write(&queries, QUERIES)?;
        }
        let defaults = [("--resume-wait", "10s"), ("--give-up", "20s"), ("--settle", "1s")];
        let missing = defaults.into_iter().filter(|(flag, _)| !args.contains(flag));
        Ok(self
            .world
            .tool("rman-run")?
            .env("ORACLE_SID", STANDBY)
            .env("DRILL_QUERIES", queries)
            .limit(Duration::from_secs(60))
            .arg("drill")
            .args(missing.flat_map(|(flag, value)| [flag, value]))
            .args(args))
    }

    /// A drill during which a log comes, as they do.
    fn drill(&self, args: &[&str]) -> Result<Outcome> {
        let mut started = self.tool(args)?.start()?;
        let begin = Instant::now();
        let patience = Duration::from_millis(400);
        while started.is_running()? {
            // Not too early: it must be applied after the database was open.
            if self.state()? == "OpenReadOnly" || begin.elapsed() > patience {
                // While it is down nothing can be registered.
                let _down = self.feed();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        started.wait()
    }

    fn fault(&self, pattern: &str, kind: Kind, times: Option<u32>) -> Result<()> {
        self.standby().admin(Admin::AddFault(Fault { pattern: pattern.to_owned(), kind, times, skip: 0 }))?;
        Ok(())
    }

    fn physics(&self, faults: &Faults) -> Result<()> {
        self.standby().admin(Admin::Physics(serde_json::to_string(faults)?)).map(|_| ())
    }

    fn calm(&self) -> Result<()> {
        oracle::stop_faults(self.standby())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.world.state_dir().join(name)
    }

    fn evidence(&self) -> Result<Vec<Value>> {
        let _down = self.feed();
        let path = self.file(&format!("drill_evidence.{STANDBY}.jsonl"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).context("a line of evidence")).collect()
    }

    fn journal(&self) -> PathBuf {
        self.file(&format!("drill.{STANDBY}.json"))
    }

    /// The keeper of a drill that was killed has done its work.
    fn kept(&self, lines: usize) -> Result<Value> {
        self.until("evidence of the keeper", || {
            Ok(self.evidence()?.len() == lines && !self.journal().exists())
        })?;
        Ok(self.evidence()?[lines - 1].clone())
    }
}

fn drill_of(outcome: &Outcome) -> Result<Value> {
    let records = outcome.of("drill");
    ensure!(
        records.len() == 1,
        "{} drill records: {}",
        records.len(),
        String::from_utf8_lossy(&outcome.stdout)
    );
    Ok(serde_json::to_value(&records[0].fields)?)
}

fn query<'a>(drill: &'a Value, name: &str) -> &'a Value {
    drill["queries"].as_array().unwrap().iter().find(|q| q["name"] == name).unwrap()
}

/// What was asked is what the primary had at that SCN.
fn answers_are_the_truth(stage: &Stage, drill: &Value) -> Result<()> {
    let scn = drill["scn"].as_u64().context("no scn")?;
    let (rows, sum) = orasim::truth::sales(&stage.world.primary.dir, scn)?;
    let answer = |name: &str| query(drill, name)["result"].as_str().and_then(|n| n.parse::<u64>().ok());
    ensure!(answer("linhas") == Some(rows), "{drill:#}");
    ensure!(answer("soma") == Some(sum), "at SCN {scn} not {sum}: {drill:#}");
    ensure!(query(drill, "modo")["verdict"] == "passed", "{drill:#}");
    Ok(())
}

#[test]
fn a_managed_standby_is_opened_asked_and_recovers_on() -> Result<()> {
    let stage = Stage::new(true)?;
    let outcome = stage.drill(&[])?.expect(0)?;
    let drill = drill_of(&outcome)?;
    ensure!(
        drill["status"] == "success" && drill["recovery"] == "managed" && drill["resumed"] == true,
        "{drill:#}"
    );
    ensure!(drill["resumed_scn"].as_u64() > drill["scn"].as_u64(), "{drill:#}");
    answers_are_the_truth(&stage, &drill)?;
    stage.recovers_to_the_truth()?;
    // The evidence is the record, byte for byte, and the next one follows from it.
    let kept = std::fs::read(stage.file(&format!("drill_evidence.{STANDBY}.jsonl")))?;
    let passed = String::from_utf8(outcome.stdout.clone())?;
    ensure!(passed.contains(std::str::from_utf8(&kept)?), "{passed}");
    ensure!(!stage.journal().exists());
    stage.drill(&[])?.expect(0)?;
    stage.tool(&["--verify-evidence"])?.run()?.expect(0)?;
    ensure!(stage.evidence()?[1]["number"] == 2);

    // A line that says something else now.
    let path = stage.file(&format!("drill_evidence.{STANDBY}.jsonl"));
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text.replacen("\"verdict\":\"passed\"", "\"verdict\":\"differs\"", 1))?;
    let outcome = stage.tool(&["--verify-evidence"])?.run()?.expect(5)?;
    ensure!(String::from_utf8_lossy(&outcome.stdout).contains("line 2 does not follow"), "{outcome:?}");
    // The next drill says so too, and is one.
    let outcome = stage.drill(&[])?.expect(5)?;
    ensure!(drill_of(&outcome)?["status"] == "success");

    // Nobody is there to be asked, or somebody uses it.
    stage.standby().sql("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE CANCEL")?;
    stage.standby().sql("ALTER DATABASE OPEN READ ONLY")?;
    let before = stage.evidence()?.len();
    stage.tool(&[])?.run()?.expect(4)?;
    ensure!(stage.state()? == "OpenReadOnly", "it was somebody else's");
    stage.tool(&[])?.env("ORACLE_SID", rig::world::PRIMARY).run()?.expect(4)?;
    ensure!(stage.evidence()?.len() == before);
    stage.world.check(&["change_on_install"])
}

#[test]
fn a_standby_of_standard_edition_is_recovered_by_hand_before_and_after() -> Result<()> {
    let stage = Stage::new(false)?;
    // MRP would be refused here, and is not even tried.
    let drill = drill_of(&stage.drill(&[])?.expect(0)?)?;
    ensure!(
        drill["recovery"] == "manual" && drill["resumed"] == true && drill["status"] == "success",
        "{drill:#}"
    );
    answers_are_the_truth(&stage, &drill)?;
    stage.recovers_to_the_truth()?;

    // No redo comes: recovery runs again, and nothing proves it.
    let outcome = stage.tool(&["--resume-wait", "1s"])?.run()?.expect(1)?;
    let drill = drill_of(&outcome)?;
    ensure!(drill["status"] == "partial" && drill["resumed"] == false, "{drill:#}");
    stage.recovers_to_the_truth()?;

    // The script takes the lock of standby-recover.sh, and Oracle's programs do not inherit it.
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/dr-drill.sh");
    stage.feed()?;
    let call = |args: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(&script);
        command.env_clear().envs(rig::tool::clean_environment()).envs(stage.world.settings());
        command.env("ORACLE_SID", STANDBY).env("HOME", stage.world.path()).env("TMPDIR", stage.world.path());
        command.env("ORAPIPE_BIN", rig::tool::bin_dir()?).env("DRILL_LOCK_WAIT", "0").args(args);
        let out = command.output()?;
        Ok((out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()))
    };
    let args =
        ["--queries", stage.world.path().join("queries.sql").to_str().unwrap(), "--resume-wait", "10s"]
            .map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (status, text) = call(&args)?;
    ensure!(status == Some(0) && text.contains("\"type\":\"drill\""), "{status:?} {text}");
    // Beside the state and not in /tmp: whoever can open it can hold it.
    let lock = stage.world.state_dir().join(format!("standby-recover.{STANDBY}.lock"));
    let rights = std::fs::metadata(&lock)?.permissions();
    ensure!(std::os::unix::fs::PermissionsExt::mode(&rights) & 0o777 == 0o600, "{rights:?}");
    let held = Command::new("flock").args(["-n", "-o"]).arg(&lock).args(["sleep", "5"]).spawn()?;
    std::thread::sleep(Duration::from_millis(100));
    let (status, text) = call(&args)?;
    ensure!(status == Some(75) && text.contains("still at work"), "{status:?} {text}");
    let mut held = held;
    held.kill()?;
    held.wait()?;
    // A script that is killed leaves the drill to itself, which ends as it would have.
    stage.feed()?;
    let before = stage.evidence()?.len();
    let mut command = Command::new(&script);
    command.env_clear().envs(rig::tool::clean_environment()).envs(stage.world.settings());
    command.env("ORACLE_SID", STANDBY).env("HOME", stage.world.path()).env("TMPDIR", stage.world.path());
    command.env("ORAPIPE_BIN", rig::tool::bin_dir()?).args(&args).stdout(std::process::Stdio::null());
    let mut killed = command.spawn()?;
    stage.until("open", || Ok(stage.state()? == "OpenReadOnly"))?;
    killed.kill()?;
    killed.wait()?;
    stage.until("evidence", || Ok(stage.evidence()?.len() > before && !stage.journal().exists()))?;
    ensure!(stage.evidence()?[before]["status"] == "success", "{:#}", stage.evidence()?[before]);
    ensure!(call(&["--recover"])?.0 == Some(0));
    ensure!(call(&["--verify-evidence"])?.0 == Some(0));
    stage.recovers_to_the_truth()
}

#[test]
fn a_drill_that_finds_something_puts_the_standby_back_all_the_same() -> Result<()> {
    let stage = Stage::new(true)?;
    let error = |code: u32, text: &str| Kind::Error { code, text: text.to_owned() };
    let hang = Kind::Hang { seconds: None, when: When::Before };
    let dies = Kind::KillSession { when: When::Before };
    // Statement, fault, how often, flags, status, what the evidence says.
    type Case<'a> = (&'a str, Kind, Option<u32>, &'a [&'a str], i32, &'a str);
    let cases: [Case<'_>; 9] = [
        ("open read only", error(10458, "standby database requires recovery"), Some(1), &[], 5, "ORA-10458"),
        ("open read only", hang.clone(), Some(1), &["--step-limit", "2s"], 124, ""),
        ("sum\\(valor\\)", error(942, "table or view does not exist"), Some(1), &[], 5, "ORA-00942"),
        ("sum\\(valor\\)", dies, Some(1), &[], 5, "query soma"),
        ("sum\\(valor\\)", hang, Some(1), &["--query-limit", "1s"], 124, "query soma"),
        ("database cancel", Kind::Pretend, Some(1), &[], 2, "still runs after CANCEL"),
        (
            "database cancel",
            error(16136, "Managed Standby Recovery not active"),
            Some(1),
            &[],
            2,
            "still runs",
        ),
        ("SHUTDOWN", error(1013, "user requested cancel"), Some(1), &[], 0, ""),
        ("mount standby", error(205, "error in identifying control file"), Some(2), &[], 0, ""),
    ];
    for (pattern, kind, times, args, status, said) in cases {
        let what = format!("{pattern} {kind:?}");
        stage.fault(pattern, kind, times)?;
        let outcome = stage.drill(args)?.expect(status).context(what.clone())?;
        stage.calm()?;
        let drill = drill_of(&outcome)?;
        ensure!(drill["resumed"] == true, "{what}: {drill:#}");
        ensure!((drill["status"] == "success") == (status == 0), "{what}: {drill:#}");
        ensure!(drill["reason"].as_str().unwrap_or_default().contains(said), "{what}: {drill:#}");
        stage.recovers_to_the_truth().context(what)?;
    }
    let aborts = || -> Result<usize> {
        let calls = stage.standby().journal()?;
        let texts = calls.iter().flat_map(|c| &c.statements).map(|s| s.text.to_lowercase());
        Ok(texts.filter(|t| t.contains("abort")).count())
    };
    let before = aborts()?;
    // Never ABORT where that would stop the primary, whatever else failed before.
    stage.fault(
        "SHUTDOWN",
        error(1154, "database busy. Open, close, mount, and dismount not allowed now"),
        Some(2),
    )?;
    stage.drill(&[])?.expect(0)?;
    stage.calm()?;
    ensure!(aborts()? == before, "SHUTDOWN ABORT after ORA-01154");
    stage.recovers_to_the_truth()?;
    // Somebody cancels recovery after the drill: a failover begins like that.
    let mut started = stage.tool(&[])?.start()?;
    started.until(LIMIT, "open", |_| Ok(stage.state()? == "OpenReadOnly"))?;
    started.until(LIMIT, "back", |_| Ok(stage.state()? == "Mounted" && stage.mrp()? == 1))?;
    std::thread::sleep(Duration::from_millis(500));
    stage.standby().sql("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE CANCEL")?;
    let drill = drill_of(&started.wait()?.expect(5)?)?;
    ensure!(stage.mrp()? == 0 && drill["resumed"] == false && !stage.journal().exists(), "{drill:#}");
    ensure!(drill["reason"].as_str().unwrap_or_default().contains("left alone"), "{drill:#}");
    stage.standby().sql("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE DISCONNECT FROM SESSION")?;
    stage.recovers_to_the_truth()?;
    // Another answer than was expected.
    let queries = stage.world.path().join("wrong.sql");
    std::fs::write(&queries, "-- expect: 1\nselect count(*) from loja.vendas")?;
    let drill = drill_of(&stage.drill(&["--queries", queries.to_str().unwrap()])?.expect(5)?)?;
    ensure!(drill["queries"][0]["verdict"] == "differs", "{drill:#}");
    stage.recovers_to_the_truth()?;
    // A file that is none costs the standby nothing.
    std::fs::write(&queries, "drop table loja.vendas;")?;
    let scn = stage.position()?;
    stage.tool(&["--queries", queries.to_str().unwrap()])?.run()?.expect(64)?;
    ensure!(stage.mrp()? == 1 && stage.position()? == scn);
    stage.tool(&["--dry-run"])?.run()?.expect(0)?;
    ensure!(stage.mrp()? == 1 && !stage.journal().exists());

    // Managed recovery that does not start again: status 2, nobody says it did, and the keeper goes on trying.
    stage.fault("disconnect", error(1034, "ORACLE not available"), None)?;
    let before = stage.evidence()?.len();
    let outcome = stage.tool(&["--give-up", "1s"])?.run()?.expect(2)?;
    ensure!(outcome.stderr.contains("rman-run drill --recover"), "{}", outcome.stderr);
    ensure!(drill_of(&outcome)?["resumed"] == false && stage.journal().exists());
    stage.calm()?;
    // The keeper has a second to go as well; the next call does it else.
    stage.until("put back", || {
        Ok(stage.mrp()? == 1 || stage.tool(&["--recover", "--resume-wait", "1s"])?.run()?.status.is_none())
    })?;
    ensure!(stage.evidence()?.len() >= before + 1);
    stage.tool(&["--recover", "--resume-wait", "1s"])?.run()?;
    stage.recovers_to_the_truth()?;
    stage.tool(&["--verify-evidence"])?.run()?.expect(0)?;
    stage.world.check(&["change_on_install"])
}

#[test]
fn what_a_drill_could_not_put_back_is_refused() -> Result<()> {
    let stage = Stage::new(true)?;
    let refused = |args: &[&str], what: &str| -> Result<()> {
        let outcome = stage.tool(args)?.run()?.expect(4).with_context(|| what.to_owned())?;
        ensure!(outcome.stderr.contains(what) && outcome.stderr.contains("hint: "), "{}", outcome.stderr);
        ensure!(!stage.journal().exists() && stage.evidence()?.is_empty() && stage.state()? == "Mounted");
        Ok(())
    };
    stage.standby().sql("ALTER SYSTEM SET dg_broker_start = TRUE")?;
    refused(&[], "broker")?;
    refused(&["--dry-run"], "broker")?;
    stage.standby().sql("ALTER SYSTEM SET dg_broker_start = FALSE")?;
    let protection = Some("MAXIMUM PROTECTION".to_owned());
    stage.physics(&Faults { protection_mode: protection, ..Faults::default() })?;
    refused(&[], "maximum protection")?;
    stage.physics(&Faults { other_instances: 1, ..Faults::default() })?;
    refused(&[], "2 instances")?;
    stage.physics(&Faults { no_spfile: true, ..Faults::default() })?;
    refused(&[], "no spfile")?;
    stage.tool(&["--dry-run", "--pfile", "/x/init.ora"])?.run()?.expect(0)?;
    stage.physics(&Faults::default())?;
    ensure!(stage.mrp()? == 1);

    // Nobody recovers it, and DEST_ARCHLOG_DIR alone does not say that RMAN does.
    stage.standby().sql("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE CANCEL")?;
    refused(&[], "MRP is not running")?;
    stage.tool(&["--dry-run", "--manual"])?.run()?.expect(0)?;
    stage.tool(&["--dry-run"])?.env("DRILL_MANUAL", "yes").run()?.expect(0)?;
    stage.physics(&Faults { receives_redo: true, ..Faults::default() })?;
    refused(&["--manual"], "RFS")?;
    stage.physics(&Faults::default())?;
    ensure!(stage.mrp()? == 0);
    stage.feed()?;
    // Held back on purpose: the drill applies one log, not all.
    stage.feed()?;
    stage.feed()?;
    let last = stage.standby().number("SELECT TO_CHAR(MAX(next_change#)) FROM v$archived_log")?;
    let drill = drill_of(&stage.tool(&["--manual"])?.run()?.expect(0)?)?;
    ensure!(drill["recovery"] == "manual" && drill["resumed"] == true, "{drill:#}");
    ensure!(stage.mrp()? == 0 && stage.position()? < last, "{} of {last}: {drill:#}", stage.position()?);
    ensure!(drill["resumed_scn"].as_u64() == Some(stage.position()?), "{drill:#}");
    stage.standby().sql("ALTER DATABASE RECOVER MANAGED STANDBY DATABASE DISCONNECT FROM SESSION")?;
    stage.recovers_to_the_truth()
}

#[test]
fn pluggable_databases_are_opened_too_and_named() -> Result<()> {
    let stage = Stage::with(true, &["VENDAS", "RH"])?;
    let queries = stage.world.path().join("queries.sql");
    let inside = "-- name: dentro\n-- container: vendas\n-- expect: VENDAS\nselect name from v$containers;\n";
    std::fs::write(&queries, format!("{QUERIES}{inside}"))?;
    let drill = drill_of(&stage.drill(&[])?.expect(0)?)?;
    ensure!(drill["pdbs"] == serde_json::json!(["VENDAS", "RH"]), "{drill:#}");
    ensure!(query(&drill, "dentro")["verdict"] == "passed", "{drill:#}");
    answers_are_the_truth(&stage, &drill)?;
    stage.recovers_to_the_truth()?;
    stage.physics(&Faults { pdbs_stay_mounted: vec!["RH".to_owned()], ..Faults::default() })?;
    let drill = drill_of(&stage.drill(&[])?.expect(5)?)?;
    ensure!(drill["pdbs"] == serde_json::json!(["VENDAS"]) && drill["resumed"] == true, "{drill:#}");
    ensure!(drill["reason"].as_str().unwrap_or_default().contains("RH (MOUNTED)"), "{drill:#}");
    stage.recovers_to_the_truth()
}

/// The statements of a drill at which it is stopped.
const STEPS: [&str; 7] = [
    "database cancel",
    "open read only",
    "sum\\(valor\\)",
    "SHUTDOWN",
    "STARTUP",
    "mount standby",
    "disconnect",
];

/// Waits until the standby has been asked for a step, which hangs for a moment.
fn reach(stage: &Stage, step: &str) -> Result<rig::tool::Started> {
    stage.fault(step, Kind::Hang { seconds: Some(0.7), when: When::Before }, Some(1))?;
    let seen = || -> Result<usize> {
        let pattern = step.replace('\\', "").to_lowercase();
        let calls = stage.standby().journal()?;
        Ok(calls
            .iter()
            .flat_map(|c| &c.statements)
            .filter(|s| s.text.to_lowercase().contains(&pattern))
            .count())
    };
    let before = seen()?;
    let mut started = stage.tool(&["--resume-wait", "3s"])?.start()?;
    started.until(LIMIT, step, |_| Ok(seen()? > before))?;
    Ok(started)
}

fn killed_at_every_step(managed: bool) -> Result<()> {
    let stage = Stage::new(managed)?;
    let mut lines = 0;
    for step in STEPS {
        if !managed && matches!(step, "database cancel" | "disconnect") {
            continue;
        }
        let mut started = reach(&stage, step)?;
        started.signal(Signal::KILL)?;
        lines += 1;
        let evidence = stage.kept(lines).context(step)?;
        ensure!(
            evidence["status"] == "failed" && evidence["put_back_by"] == "keeper",
            "{step}: {evidence:#}"
        );
        ensure!(evidence["resumed"] == true, "{step}: {evidence:#}");
        stage.calm()?;
        stage.recovers_to_the_truth().with_context(|| format!("killed at {step}"))?;
    }
    stage.tool(&["--verify-evidence"])?.run()?.expect(0)?;
    Ok(())
}

#[test]
fn a_drill_that_is_killed_at_any_step_is_put_back_by_its_keeper() -> Result<()> {
    killed_at_every_step(true)
}

#[test]
fn a_drill_of_standard_edition_that_is_killed_is_put_back_too() -> Result<()> {
    killed_at_every_step(false)
}

#[test]
fn a_signal_or_a_second_run_puts_it_back_too() -> Result<()> {
    let stage = Stage::new(true)?;
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 143)] {
        let mut started = reach(&stage, "sum\\(valor\\)")?;
        started.signal(signal)?;
        // A second one does not cut it short.
        std::thread::sleep(Duration::from_millis(100));
        started.signal(signal)?;
        let outcome = started.wait()?.expect(status)?;
        ensure!(drill_of(&outcome)?["status"] == "failed");
        stage.calm()?;
        stage.recovers_to_the_truth()?;
    }
    // Killed together with its keeper: as after a crash of the host.
    let orphan = |stage: &Stage| -> Result<()> {
        let mut started = reach(stage, "sum\\(valor\\)")?;
        let ours = rig::host::with_environment(&format!("{}/", stage.world.path().display()));
        let keepers: Vec<_> = ours.iter().filter(|p| p.args.iter().any(|a| a == "__drill_keeper")).collect();
        ensure!(keepers.len() == 1, "{} keepers", keepers.len());
        rig::host::kill(keepers[0].pid);
        started.signal(Signal::KILL)?;
        stage.until("dead", || Ok(stage.journal().exists()))?;
        ensure!(stage.state()? == "OpenReadOnly");
        stage.calm()
    };
    orphan(&stage)?;
    let before = stage.evidence()?.len();
    // Another ORACLE_HOME sees no instance, and would start a second one.
    let other = stage.world.path().join("other-home");
    std::os::unix::fs::symlink(stage.world.layout().home(), &other)?;
    let outcome = stage.tool(&["--recover"])?.env("ORACLE_HOME", &other).run()?.expect(4)?;
    ensure!(outcome.stderr.contains("ORACLE_HOME") && stage.state()? == "OpenReadOnly", "{}", outcome.stderr);
    let outcome = stage.tool(&["--recover", "--resume-wait", "1s"])?.run()?;
    ensure!(matches!(outcome.status, Some(0 | 1)), "{outcome:?}");
    ensure!(stage.evidence()?[before]["put_back_by"] == "recover");
    stage.recovers_to_the_truth()?;
    orphan(&stage)?;
    let outcome = stage.drill(&[])?;
    ensure!(matches!(outcome.status, Some(0 | 1)), "{outcome:?}");
    ensure!(outcome.of("drill").len() == 2, "the old one's evidence and its own");
    stage.recovers_to_the_truth()?;
    // While one runs, another waits for another day.
    let started = reach(&stage, "sum\\(valor\\)")?;
    stage.tool(&[])?.run()?.expect(75)?;
    stage.tool(&["--recover"])?.run()?.expect(75)?;
    stage.feed()?;
    started.wait()?.expect(0)?;
    if stage.evidence()?.is_empty() {
        bail!("no evidence");
    }
    stage.tool(&["--verify-evidence"])?.run()?.expect(0)?;
    stage.world.check(&["change_on_install"])
}
