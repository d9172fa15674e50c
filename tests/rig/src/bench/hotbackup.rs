//! ts-hotbackup beside `xargs -P4 rsync` of the same bytes, on a fast network and over a slow link.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{ensure, Context};
use common::record::{Datafile, Tablespace};
use orasim::block;
use orasim::instance::{FileSpec, Spec, TablespaceKind, TablespaceSpec};
use orasim::server::admin::Admin;

use super::child;
use super::data::Redo;
use super::measure::{median, progress};
use super::slow::line;
use super::table::{Row, Table};
use super::{cpu, Goal, Options};
use crate::host::{netns_available, HostOptions, SshHost};
use crate::instance::Instance;
use crate::proxy::Proxy;
use crate::tool::{bin_dir, clean_environment};
use crate::world::{Layout, PRIMARY};

const FILES: usize = 40;
/// Of each datafile.
const LAN_BYTES: u64 = 32 << 20;
const SLOW_BYTES: u64 = 16 << 20;
/// Of all blocks, changed between two runs: one in twenty.
const CHANGED: u64 = 20;
/// Files at once, for all.
const WORKERS: usize = 4;

pub fn run(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let mut goals = Vec::new();
    if options.wants("LAN") {
        goals.extend(lan(options, table)?);
    }
    if options.wants("slow") {
        goals.extend(slow(options, table)?);
    }
    Ok(goals)
}

fn lan(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let namespace = netns_available();
    let bench = Bench::new(options, LAN_BYTES, namespace)?;
    let way = Way::direct(&bench.host);
    let (mut ours, mut plain, mut excess) = (Vec::new(), Vec::new(), 0.0_f64);
    for round in 1..=options.rounds {
        bench.empty()?;
        let measured = bench.ours(&way, &[])?;
        progress(&format!("hotbackup LAN: round {round}: ts-hotbackup: {:.2} s", measured.seconds));
        excess = excess.max(measured.excess);
        ours.push(measured);
        bench.empty()?;
        let measured = bench.plain(&way, &["-W"])?;
        progress(&format!("hotbackup LAN: round {round}: xargs -P4 rsync: {:.2} s", measured.seconds));
        plain.push(measured);
    }
    let case = format!("LAN {FILES} x {} MiB", LAN_BYTES >> 20);
    let base = middle(&ours);
    let note = format!("in backup mode up to {excess:.2} s longer than its copy takes");
    table.push(row(&case, "ts-hotbackup", &ours, base, note));
    table.push(row(&case, "xargs -P4 rsync", &plain, base, String::new()));
    Ok(vec![
        Goal::at_most(
            "40 files, 4 at once: ts-hotbackup to xargs -P4 rsync",
            base / middle(&plain),
            1.2,
            "x",
        ),
        Goal::at_most("time in backup mode beyond the copy, worst tablespace", excess, 1.0, " s"),
    ])
}

fn slow(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let bench = Bench::new(options, SLOW_BYTES, false)?;
    let proxy = Proxy::start(bench.host.address(), line())?;
    let way = Way {
        ssh_options: bench.host.ssh_options_via(proxy.address()),
        host: proxy.address().ip().to_string(),
    };
    bench.empty()?;
    let plain = bench.plain(&way, &["-W"])?;
    progress(&format!("hotbackup slow: xargs -P4 rsync: {:.2} s", plain.seconds));
    bench.empty()?;
    let zstd = bench.plain(&way, &["-W", "-z", "--compress-choice=zstd", "--compress-level=1"])?;
    progress(&format!("hotbackup slow: the same with zstd: {:.2} s", zstd.seconds));
    bench.empty()?;
    let first = bench.ours(&way, &[])?;
    progress(&format!("hotbackup slow: ts-hotbackup, first copy: {:.2} s", first.seconds));
    let mut again = Vec::new();
    for round in 1..=options.rounds {
        bench.change(CHANGED)?;
        let measured = bench.ours(&way, &["--new-cycle"])?;
        progress(&format!("hotbackup slow: round {round}: ts-hotbackup, re-run: {:.2} s", measured.seconds));
        again.push(measured);
    }
    let case = format!("slow link {FILES} x {} MiB", SLOW_BYTES >> 20);
    let base = middle(&again);
    let note = format!("{} % of the blocks changed", 100 / CHANGED);
    table.push(row(&case, "ts-hotbackup, re-run", &again, base, note));
    let whole = "whole files";
    let (plain_seconds, first_seconds) = (plain.seconds, first.seconds);
    table.push(row(&case, "ts-hotbackup, first copy", &[first], base, whole.to_owned()));
    table.push(row(&case, "xargs -P4 rsync", &[plain], base, whole.to_owned()));
    table.push(row(&case, "xargs -P4 rsync, zstd 1", &[zstd], base, whole.to_owned()));
    let faster = |who: &str, seconds: f64| {
        Goal::at_least(format!("slow link, 5 % changed: {who} to re-run"), seconds / base, 8.0, "x")
    };
    Ok(vec![
        faster("first copy (whole files)", first_seconds),
        faster("xargs -P4 rsync of whole files", plain_seconds),
    ])
}

/// How the standby is reached.
struct Way {
    ssh_options: String,
    host: String,
}

impl Way {
    fn direct(host: &SshHost) -> Self {
        Self { ssh_options: host.ssh_options(), host: host.host() }
    }
}

struct Measured {
    seconds: f64,
    cpu: f64,
    connections: usize,
    /// The most seconds that a tablespace was in backup mode beyond the time of its longest copy.
    excess: f64,
}

fn middle(all: &[Measured]) -> f64 {
    median(all.iter().map(|m| m.seconds).collect())
}

fn row(case: &str, who: &str, all: &[Measured], base: f64, note: String) -> Row {
    Row {
        case: case.to_owned(),
        who: who.to_owned(),
        seconds: Some(middle(all)),
        ratio: Some(middle(all) / base),
        cpu: Some(median(all.iter().map(|m| m.cpu).collect())),
        connections: all.iter().map(|m| m.connections).max(),
        note,
    }
}

/// A quiet database and an empty standby.
struct Bench {
    // Ended before the directory goes.
    primary: Instance,
    host: SshHost,
    layout: Layout,
    program: PathBuf,
    dir: tempfile::TempDir,
    blocks: u64,
}

impl Bench {
    fn new(options: &Options, bytes: u64, namespace: bool) -> anyhow::Result<Self> {
        let program = options.program("ts-hotbackup")?;
        let dir = options.space(FILES as u64 * bytes * 3 + (1 << 30))?;
        let layout = Layout { root: dir.path().canonicalize()? };
        let home = layout.home();
        orasim::server::home::make(&home, &bin_dir()?)?;
        std::fs::create_dir_all(layout.root.join("scratch"))?;
        let spec = layout.primary(Spec {
            tablespaces: tablespaces(&layout, bytes),
            changes_per_second: 0,
            log_bytes: 16 << 20,
            ..Spec::default()
        });
        let primary = Instance::create(&home, &layout.root.join("primary-instance"), &spec)?;
        let redo = Redo::new();
        for (number, file) in spec.tablespaces.iter().flat_map(|t| &t.files).enumerate() {
            fill(&file.path, &redo, number)?;
        }
        let host = SshHost::start(&HostOptions { namespace, ..HostOptions::default() })?;
        progress(&format!("hotbackup: a database with {FILES} files of {} MiB", bytes >> 20));
        let blocks = FILES as u64 * bytes / block::SIZE as u64;
        Ok(Self { primary, host, layout, program, dir, blocks })
    }

    fn empty(&self) -> anyhow::Result<()> {
        for dir in [self.layout.standby_dir(), self.layout.root.join("state"), self.layout.root.join("plain")]
        {
            if dir.exists() {
                std::fs::remove_dir_all(&dir).with_context(|| format!("empty {}", dir.display()))?;
            }
            std::fs::create_dir_all(&dir)?;
        }
        Ok(())
    }

    /// Changes one block in `part`, anywhere.
    fn change(&self, part: u64) -> anyhow::Result<()> {
        let n = usize::try_from(self.blocks / part)?;
        self.primary.admin(Admin::WriteBatch { n }).context("change blocks")?;
        Ok(())
    }

    fn ours(&self, way: &Way, more: &[&str]) -> anyhow::Result<Measured> {
        let scratch = self.layout.root.join("scratch");
        let mut command = Command::new(&self.program);
        command.env_clear().envs(clean_environment()).env("HOME", &scratch);
        command.env("ORACLE_HOME", self.layout.home()).env("ORACLE_SID", PRIMARY);
        command
            .env("DEST_HOST", &way.host)
            .env("DEST_USER", self.host.user())
            .env("SSH_OPTIONS", &way.ssh_options);
        command.env("PATH_MAP", self.layout.path_map()).env("STATE_DIR", self.layout.root.join("state"));
        command.env("DEST_STANDBY_DIR", self.layout.standby_dir().join("control"));
        command.env("PARALLEL_WORKERS", WORKERS.to_string()).arg("--json").args(more);
        let (text, mut measured) = self.timed(|| child::run(command, "ts-hotbackup", &scratch, b""))?;
        measured.excess = excess(&text)?;
        Ok(measured)
    }

    /// As the shell script before did it, without its `--append-verify`, which leaves old blocks as they are.
    fn plain(&self, way: &Way, options: &[&str]) -> anyhow::Result<Measured> {
        let scratch = self.layout.root.join("scratch");
        let dest = self.layout.root.join("plain");
        let mut command = Command::new("xargs");
        command.env_clear().envs(clean_environment()).env("HOME", &scratch);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.args(["-d", "\n", "-P", &WORKERS.to_string(), "-I", "{}", "rsync", "-a"]).args(options);
        command.args(["-e", &format!("ssh {} -c aes128-gcm@openssh.com", way.ssh_options), "{}"]);
        command.arg(format!("{}@{}:{}/", self.host.user(), way.host, dest.display()));
        let spec = self.paths()?;
        let list: Vec<u8> = spec.iter().flat_map(|p| format!("{}\n", p.display()).into_bytes()).collect();
        let (_, measured) = self.timed(|| child::run(command, "xargs rsync", &scratch, &list))?;
        let copied = std::fs::read_dir(&dest)?.count();
        ensure!(copied == FILES, "xargs rsync copied {copied} of {FILES} files");
        Ok(measured)
    }

    fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let names = self.primary.sql("SELECT name FROM v$datafile ORDER BY file#")?;
        Ok(names.lines().map(PathBuf::from).collect())
    }

    fn timed<T>(&self, what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Measured)> {
        ensure!(self.dir.path().is_dir(), "the directory of the benchmark has gone");
        let (connections, cpu, begin) = (self.host.connections()?, cpu::of_ended_children()?, Instant::now());
        let result = what()?;
        let measured = Measured {
            seconds: begin.elapsed().as_secs_f64(),
            cpu: (cpu::of_ended_children()? - cpu).as_secs_f64(),
            connections: self.host.connections()? - connections,
            excess: 0.0,
        };
        Ok((result, measured))
    }
}

/// At most as many files in a tablespace as are copied at once: its copy takes as long as its longest file.
fn tablespaces(layout: &Layout, bytes: u64) -> Vec<TablespaceSpec> {
    let named = [("SYSTEM", 1), ("SYSAUX", 1), ("UNDOTBS1", 2)].map(|(n, files)| (n.to_owned(), files));
    let data = (1..=9).map(|i| (format!("DATA{i}"), WORKERS));
    let mut number = 0;
    let mut all = Vec::new();
    for (name, count) in named.into_iter().chain(data) {
        let files = (1..=count).map(|i| {
            number += 1;
            let file = format!("{}_{i:02}.dbf", name.to_lowercase());
            FileSpec { path: layout.primary_mount(number).join("oradata").join(file), bytes }
        });
        let mut tablespace = TablespaceSpec::new(&name, files.collect());
        if name.starts_with("UNDO") {
            tablespace.kind = TablespaceKind::Undo;
        }
        all.push(tablespace);
    }
    all
}

/// Rows instead of zeros, which any compressor makes nothing of. Sums and tails stay right.
fn fill(path: &Path, redo: &Redo, number: usize) -> anyhow::Result<()> {
    let name = || format!("fill {}", path.display());
    let file = OpenOptions::new().read(true).write(true).open(path).with_context(name)?;
    let mut bytes = std::fs::read(path).with_context(name)?;
    // Block 0 is the operating system's, block 1 the file header.
    for (i, data) in bytes.chunks_exact_mut(block::SIZE).enumerate().skip(2) {
        let scn = block::scn(data);
        redo.copy_into(number * 1009 + i, &mut data[block::BODY..block::BODY_END]);
        block::seal(data, scn);
    }
    file.write_all_at(&bytes, 0).with_context(name)
}

fn excess(records: &str) -> anyhow::Result<f64> {
    let mut copies: BTreeMap<String, f64> = BTreeMap::new();
    let mut modes: Vec<(String, f64)> = Vec::new();
    for line in records.lines() {
        if line.contains(r#""type":"datafile""#) {
            let file: Datafile = serde_json::from_str(line).with_context(|| format!("read {line}"))?;
            let longest = copies.entry(file.tablespace).or_default();
            *longest = longest.max(file.seconds.unwrap_or(0.0));
        } else if line.contains(r#""type":"tablespace""#) {
            let tablespace: Tablespace =
                serde_json::from_str(line).with_context(|| format!("read {line}"))?;
            modes.extend(tablespace.backup_mode_seconds.map(|s| (tablespace.name, s)));
        }
    }
    ensure!(!modes.is_empty(), "ts-hotbackup told of no tablespace in backup mode");
    let excess = modes.iter().map(|(name, s)| s - copies.get(name).copied().unwrap_or(0.0));
    Ok(excess.fold(0.0, f64::max))
}
