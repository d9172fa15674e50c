//! A world in which a standby is made: both tools, the recovery on the standby's host, and what is asked on the way.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use orasim::block::{self, Damage};
use orasim::datafile;
use orasim::instance::{Spec, TablespaceKind, TablespaceSpec};
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind, When};
use rig::host::{descendants, Process};
use rig::records::Record;
use rig::tool::{clean_environment, program, Outcome, Started, Tool};
use rig::world::{Layout, Setup, World, PRIMARY, STANDBY};

pub struct Stage {
    pub world: World,
}

/// What a program of the standby said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub text: String,
}

impl Said {
    pub fn expect(self, status: i32) -> Result<Self> {
        ensure!(self.status == status, "status {} instead of {status}:\n{}", self.status, self.text);
        Ok(self)
    }

    pub fn says(self, what: &str) -> Result<Self> {
        ensure!(self.text.contains(what), "{what} is not in:\n{}", self.text);
        Ok(self)
    }
}

/// What a story needs of a database: few files, a busy writer.
pub fn small() -> Spec {
    Spec {
        changes_per_second: 1500,
        log_bytes: 2 << 20,
        threads: 2,
        idle_threads: vec![2],
        ..Spec::default()
    }
}

/// SYSTEM, SYSAUX, an undo tablespace and `names` with two files each.
pub fn tablespaces(layout: &Layout, names: &[&str], bytes: u64) -> Vec<TablespaceSpec> {
    let mut number = 0;
    let mut make = |name: &str, files: usize| {
        let files = (1..=files)
            .map(|n| {
                number += 1;
                let file = format!("{}_{n}.dbf", name.to_lowercase());
                let path = layout.primary_mount(number).join("oradata").join(file);
                orasim::instance::FileSpec { path, bytes }
            })
            .collect();
        TablespaceSpec::new(name, files)
    };
    let mut all = vec![make("SYSTEM", 1), make("SYSAUX", 1), make("UNDOTBS1", 1)];
    all[2].kind = TablespaceKind::Undo;
    all.extend(names.iter().map(|name| make(name, 2)));
    all
}

impl Stage {
    /// The eight tablespaces of [`Layout::tablespaces`] with so many files.
    pub fn busy(files: usize, bytes: u64, spec: Spec) -> Result<Self> {
        Self::shaped(spec, true, |layout| layout.tablespaces(files, bytes))
    }

    /// SYSTEM, SYSAUX, UNDOTBS1, "Vendas" and USERS, seven files of `bytes`.
    pub fn small(bytes: u64) -> Result<Self> {
        Self::shaped(small(), true, |layout| tablespaces(layout, &["Vendas", "USERS"], bytes))
    }

    pub fn shaped(
        spec: Spec,
        over_ssh: bool,
        shape: impl FnOnce(&Layout) -> Vec<TablespaceSpec>,
    ) -> Result<Self> {
        // Paths are needed before the world has its directory.
        let world = World::shaped(&Setup { spec, over_ssh, ..Setup::default() }, shape)?;
        Ok(Self { world })
    }

    pub fn layout(&self) -> Layout {
        self.world.layout()
    }

    pub fn hot(&self) -> Result<Tool> {
        self.world.tool("ts-hotbackup")
    }

    pub fn ship(&self) -> Result<Tool> {
        Ok(self.world.tool("arch-ship")?.args(["--discover", "database"]))
    }

    /// A whole cycle; it must end well.
    pub fn cycle(&self) -> Result<Outcome> {
        self.hot()?.run()?.expect(0)
    }

    pub fn fault(&self, pattern: &str, kind: Kind, times: Option<u32>, skip: u32) -> Result<()> {
        self.world.primary.admin(Admin::AddFault(Fault { pattern: pattern.into(), kind, times, skip }))?;
        Ok(())
    }

    /// The next statement like this takes so long; for ever without `seconds`.
    pub fn hang(&self, pattern: &str, seconds: Option<f64>) -> Result<()> {
        self.fault(pattern, Kind::Hang { seconds, when: When::Before }, Some(1), 0)
    }

    pub fn physics(&self, json: &str) -> Result<()> {
        self.world.primary.admin(Admin::Physics(json.to_owned()))?;
        Ok(())
    }

    pub fn clear_faults(&self) -> Result<()> {
        self.world.primary.admin(Admin::ClearFaults)?;
        self.physics("{}")
    }

    /// One statement through a real sqlplus; rows as they are printed.
    pub fn sqlplus(&self, sid: &str, text: &str) -> Result<String> {
        let script = format!(
            "set echo off feedback off heading off pagesize 0 linesize 32767 trimout on tab off sqlprompt \"\"\n\
             connect / as sysdba\nwhenever sqlerror exit failure\n{text};\nexit\n"
        );
        let mut child = Command::new(self.layout().home().join("bin/sqlplus"))
            .args(["-S", "/nolog"])
            .env_clear()
            .envs(clean_environment())
            .env("ORACLE_HOME", self.layout().home())
            .env("ORACLE_SID", sid)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start sqlplus")?;
        std::io::Write::write_all(&mut child.stdin.take().context("stdin")?, script.as_bytes())?;
        let out = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&out.stdout);
        let said: Vec<&str> =
            said.lines().map(str::trim).filter(|l| !l.is_empty() && *l != "Connected.").collect();
        ensure!(out.status.success(), "{text}: {}", said.join("\n"));
        Ok(said.join("\n"))
    }

    /// Files in backup mode, as a DBA asks for them.
    pub fn active(&self) -> Result<u64> {
        let said = self.sqlplus(PRIMARY, "select count(*) from v$backup where status = 'ACTIVE'")?;
        said.trim().parse().with_context(|| said.clone())
    }

    /// Nothing is in backup mode within the 30 seconds that the guardian has; how long it took.
    pub fn calm(&self) -> Result<Duration> {
        let begin = Instant::now();
        while self.active()? > 0 {
            ensure!(begin.elapsed() < Duration::from_secs(30), "still in backup mode after 30 s");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(begin.elapsed())
    }

    /// Pids of the keepers of backup mode.
    pub fn keepers(&self) -> Vec<u32> {
        self.world.keepers().iter().map(|p| p.pid).collect()
    }

    /// Copies under way: temporary names at the standby that have bytes.
    pub fn under_way(&self) -> usize {
        (0..3).map(|i| temporary(&self.layout().standby_mount(i))).sum()
    }

    pub fn mark(&self, tablespace: &str) -> PathBuf {
        self.world.state_dir().join(format!("ts_{tablespace}.done"))
    }

    pub fn marks(&self) -> Result<Vec<String>> {
        let mut marks = Vec::new();
        for entry in std::fs::read_dir(self.world.state_dir())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("ts_") && name.ends_with(".done") {
                marks.push(name);
            }
        }
        marks.sort();
        Ok(marks)
    }

    /// The primary's SCN now, everything below it archived and shipped.
    pub fn ship_up_to_now(&self) -> Result<u64> {
        let scn = self.world.primary.number("SELECT TO_CHAR(CURRENT_SCN) FROM V$DATABASE")?;
        self.sqlplus(PRIMARY, "alter system archive log current")?;
        self.ship()?.run()?.expect(0)?;
        Ok(scn)
    }

    /// `standby-recover.sh` on the standby's host, over ssh.
    pub fn recover(&self, until: Option<u64>) -> Result<Said> {
        let layout = self.layout();
        let until = until.map(|scn| format!("--until-scn {scn}")).unwrap_or_default();
        let temporary = self.world.path().join("recover-tmp");
        std::fs::create_dir_all(&temporary)?;
        let command = format!(
            "TMPDIR='{0}' STATE_DIR='{0}' ORACLE_HOME='{1}' ORACLE_SID={STANDBY} '{2}' {until} --scripts '{3}' --logs '{4}' 2>&1",
            temporary.display(),
            layout.home().display(),
            repository().join("scripts/standby-recover.sh").display(),
            layout.standby_dir().join("control").display(),
            layout.standby_archive().display(),
        );
        self.on_standby_host(&command)
    }

    pub fn on_standby_host(&self, command: &str) -> Result<Said> {
        let mut shell = Command::new("sh");
        shell.env_clear().envs(clean_environment()).env("COMMAND", command).stdin(Stdio::null());
        match &self.world.host {
            Some(host) => {
                let line =
                    format!("exec ssh {} {}@{} \"$COMMAND\"", host.ssh_options(), host.user(), host.host());
                shell.arg("-c").arg(line);
            }
            None => {
                shell.args(["-c", "exec sh -c \"$COMMAND\""]);
            }
        }
        let out = shell.output().context("reach the standby's host")?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        Ok(Said { status: out.status.code().unwrap_or(-1), text })
    }

    /// `orasim truth-compare`; equality is status 0.
    pub fn compare(&self, scn: u64) -> Result<Said> {
        let out = Command::new(program("orasim")?)
            .arg("truth-compare")
            .arg("--primary")
            .arg(&self.world.primary.dir)
            .arg("--standby")
            .arg(&self.world.standby.dir)
            .args(["--scn", &scn.to_string()])
            .output()?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        Ok(Said { status: out.status.code().unwrap_or(-1), text })
    }

    /// Ships what is left, recovers to now and compares; the SCN.
    pub fn prove(&self) -> Result<u64> {
        let scn = self.ship_up_to_now()?;
        self.prove_at(scn)?;
        Ok(scn)
    }

    pub fn prove_at(&self, scn: u64) -> Result<()> {
        self.recover(Some(scn))?.expect(0)?;
        self.compare(scn)?.expect(0)?.says("equal at SCN")?;
        Ok(())
    }

    /// The standby instance is down and its control file gone: the next recovery begins with the shipped one.
    pub fn standby_down(&self) -> Result<()> {
        self.world.standby.admin(Admin::Kill)?;
        Ok(())
    }

    /// Blocks of the copies at the standby that were caught between their two halves, by the records of a run.
    pub fn torn(&self, outcome: &Outcome) -> Result<usize> {
        let mut torn = 0;
        for record in outcome.of("datafile") {
            let (Some(dest), Some(number)) = (record.text("dest"), record.number("file")) else { continue };
            torn += torn_blocks(Path::new(dest), u32::try_from(number)?)?;
        }
        Ok(torn)
    }

    /// No secret, no BEGIN without its END, and nothing in backup mode now; no temporary file is left.
    pub fn check(&self) -> Result<()> {
        self.world.check(&[])?;
        ensure!(self.active()? == 0, "something is in backup mode");
        let left: usize = (0..3).map(|i| every_temporary(&self.layout().standby_mount(i)).len()).sum();
        ensure!(left == 0, "{left} temporary files are left at the standby");
        Ok(())
    }
}

/// Blocks of one file that are in two pieces.
pub fn torn_blocks(path: &Path, number: u32) -> Result<usize> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let blocks = u32::try_from(file.metadata()?.len() / block::SIZE as u64)?;
    let mut torn = 0;
    for n in 2..blocks {
        let bytes = datafile::read_block(&file, n)?;
        if block::check(&bytes, block::TYPE_DATA, block::rdba(number, n)) == Err(Damage::Fractured) {
            torn += 1;
        }
    }
    Ok(torn)
}

/// Waits for a moment of a run: a tablespace in backup mode and bytes of it under way.
pub fn until_copying(stage: &Stage, run: &mut Started) -> Result<()> {
    run.until(Duration::from_secs(60), "a copy under way", |_| {
        Ok(stage.under_way() > 0 && stage.world.primary.in_backup_mode()? > 0)
    })
}

/// The names of all temporary files below a directory.
pub fn every_temporary(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(every_temporary(&path));
        } else if entry.file_name().to_string_lossy().starts_with(".orapipe-") {
            found.push(path);
        }
    }
    found
}

fn temporary(dir: &Path) -> usize {
    let sized = |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| m.len() > 0);
    every_temporary(dir).iter().filter(|p| sized(p)).count()
}

/// The processes below a run with this name.
pub fn below(run: &Started, name: &str) -> Vec<Process> {
    descendants(run.pid()).into_iter().filter(|p| p.name == name).collect()
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of the tablespaces that ended in this status, in order.
pub fn with_status(outcome: &Outcome, status: &str) -> Vec<String> {
    let of = outcome.of("tablespace").into_iter().filter(|r| r.text("status") == Some(status));
    of.filter_map(|r| r.text("name").map(str::to_owned)).collect()
}

pub fn record_of<'o>(outcome: &'o Outcome, tablespace: &str) -> Result<&'o Record> {
    let found = outcome.of("tablespace").into_iter().rfind(|r| r.text("name") == Some(tablespace));
    found.with_context(|| format!("no record of {tablespace}:\n{}", said(outcome)))
}

pub fn reason(outcome: &Outcome, tablespace: &str) -> Result<String> {
    Ok(record_of(outcome, tablespace)?.text("reason").unwrap_or_default().to_owned())
}

pub fn said(outcome: &Outcome) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr)
}

pub fn number(outcome: &Outcome, kind: &str, field: &str) -> Result<u64> {
    let found = outcome.of(kind);
    let Some(record) = found.first() else { bail!("no {kind}:\n{}", said(outcome)) };
    record.number(field).with_context(|| record.line.clone())
}

/// First and last sequence by thread of the window that a cycle has told.
pub fn window(outcome: &Outcome) -> Result<BTreeMap<u64, (u64, u64)>> {
    let found = outcome.of("recovery_window");
    let record = found.first().with_context(|| said(outcome))?;
    let window: common::record::RecoveryWindow = record.decode()?;
    Ok(window.threads.iter().map(|t| (t.thread, (t.first_sequence, t.last_sequence))).collect())
}

/// Copies a directory with all that is in it.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    run("cp", [OsStr::new("-a"), from.as_os_str(), to.as_os_str()])
}

pub fn run<'a>(program: &str, args: impl IntoIterator<Item = &'a OsStr>) -> Result<()> {
    let out = Command::new(program).args(args).output().with_context(|| program.to_owned())?;
    ensure!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// Chance that can be had again: the seed is printed.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let seed = std::env::var("HOT_SEED").ok().and_then(|s| s.parse().ok());
        let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 0x5eed);
        eprintln!("HOT_SEED={seed}");
        Self(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}
