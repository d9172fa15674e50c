//! zip-rotate beside what it replaces (Python's zipfile) and what else packs dumps: Info-ZIP and pigz.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};

use super::dumps::Dump;
use super::measure::median;
use super::table::{Row, Table};
use super::{cpu, Goal, Options, Originals};
use crate::tool::clean_environment;

/// Size of all dumps together, in MiB; with `--quick` a quarter of it.
const MIB: u64 = 512;
/// As the backup script before did it.
const PYTHON: &str = "import sys, zipfile, os\n\
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED, compresslevel=6) as z:\n\
    for f in sys.argv[2:]: z.write(f, os.path.basename(f))\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    Fast,
    Python,
    InfoZip,
    Pigz,
}

const ALL: [Who; 5] = [Who::Ours, Who::Fast, Who::Python, Who::InfoZip, Who::Pigz];

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "zip-rotate (with proof)",
            Self::Fast => "zip-rotate --fast",
            Self::Python => "Python zipfile 6",
            Self::InfoZip => "zip -6",
            Self::Pigz => "pigz -6 -p 2",
        }
    }
}

/// One run of one contestant.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    wall: f64,
    cpu: f64,
    /// Wall seconds of packing alone, as our log tells.
    packing: Option<f64>,
    size: u64,
    memory: u64,
}

pub fn run(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let mib = if options.originals == Originals::Subset { MIB / 4 } else { MIB };
    let dir = options.space((mib * 3) << 20)?;
    let dumps = make(dir.path(), mib << 20)?;
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); ALL.len()];
    for _ in 0..options.rounds {
        for (who, runs) in ALL.into_iter().zip(&mut runs) {
            runs.push(measure(who, options, dir.path(), &dumps)?);
        }
    }
    let content = (mib << 20) as f64;
    let all: Vec<Run> = runs.iter().map(|r| middle(r)).collect();
    let [ours, fast, python, infozip, pigz] = all[..] else { anyhow::bail!("a contestant is missing") };
    for (who, run) in ALL.into_iter().zip(&all) {
        let packing = run.packing.map(|s| format!("packing alone {s:.2} s, ")).unwrap_or_default();
        table.push(Row {
            case: format!("{mib} MiB of dumps"),
            who: who.name().to_owned(),
            seconds: Some(run.wall),
            ratio: Some(run.wall / ours.wall),
            cpu: Some(run.cpu),
            connections: None,
            note: format!(
                "{packing}{:.4} of the size, {} MiB of memory",
                run.size as f64 / content,
                run.memory >> 20
            ),
        });
    }
    let packing = |run: &Run| run.packing.unwrap_or(f64::NAN);
    let larger = |run: &Run| (run.size as f64 / python.size as f64 - 1.0) * 100.0;
    Ok(vec![
        Goal::at_least("packing against Python's zipfile", python.wall / packing(&ours), 3.3, "x"),
        Goal::at_least("packing against Info-ZIP", infozip.wall / packing(&ours), 3.3, "x"),
        Goal::at_least("packing against pigz -p 2", pigz.wall / packing(&ours), 1.6, "x"),
        Goal::at_least("with proof against Python's zipfile", python.wall / ours.wall, 2.5, "x"),
        Goal::at_least("--fast, packing against Python's zipfile", python.wall / packing(&fast), 8.0, "x"),
        Goal::at_most("larger than Python's zipfile", larger(&ours), 1.0, " %"),
        Goal::at_most("--fast, larger than Python's zipfile", larger(&fast), 6.0, " %"),
        Goal::at_most("peak memory", (ours.memory >> 20) as f64, 64.0, " MiB"),
    ])
}

fn middle(runs: &[Run]) -> Run {
    let of = |f: &dyn Fn(&Run) -> f64| median(runs.iter().map(f).collect());
    let last = runs.last().copied().unwrap_or_default();
    Run {
        wall: of(&|r| r.wall),
        cpu: of(&|r| r.cpu),
        packing: last.packing.map(|_| of(&|r| r.packing.unwrap_or_default())),
        memory: runs.iter().map(|r| r.memory).max().unwrap_or(0),
        size: last.size,
    }
}

/// Three dumps, one of them half of it all.
fn make(dir: &Path, bytes: u64) -> anyhow::Result<Vec<PathBuf>> {
    let parts = [("VENDAS.DMP", bytes / 2), ("RH.DMP", bytes / 4), ("FISCAL.DMP", bytes / 4)];
    let all = parts.into_iter().enumerate().map(|(n, (name, bytes))| {
        let path = dir.join(name);
        let file = std::fs::File::create(&path).with_context(|| format!("make {}", path.display()))?;
        Dump::new(n as u64).write(bytes, &mut std::io::BufWriter::with_capacity(1 << 20, file))?;
        Ok(path)
    });
    all.collect()
}

fn measure(who: Who, options: &Options, dir: &Path, dumps: &[PathBuf]) -> anyhow::Result<Run> {
    let out = tempfile::Builder::new().prefix("out-").tempdir_in(dir)?;
    let zip = out.path().join("out.zip");
    let mut command = match who {
        Who::Ours | Who::Fast => {
            let mut command = Command::new(options.program("zip-rotate")?);
            command.env("DB_FOLDER", out.path()).env("STATE_DIR", out.path());
            command.args((who == Who::Fast).then_some("--fast"));
            command
        }
        Who::Python => {
            let mut command = Command::new("python3");
            command.args(["-c", PYTHON]).arg(&zip);
            command
        }
        Who::InfoZip => {
            let mut command = Command::new("zip");
            command.args(["-q", "-6", "-j"]).arg(&zip);
            command
        }
        Who::Pigz => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(
                "o=$1; shift; for f; do pigz -6 -p 2 -c \"$f\" > \"$o/$(basename \"$f\").gz\" || exit; done",
            );
            command.arg("sh").arg(out.path());
            command
        }
    };
    command.args(dumps).envs(clean_environment()).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let (before, begin) = (cpu::of_ended_children()?, Instant::now());
    let mut child =
        command.spawn().with_context(|| format!("start {}; scripts/setup.sh installs it", who.name()))?;
    let mut memory = 0;
    let status = loop {
        memory = memory.max(crate::tool::peak_memory(child.id()));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    ensure!(status.success(), "{} ended with {status}", who.name());
    let wall = begin.elapsed().as_secs_f64();
    let cpu = (cpu::of_ended_children()? - before).as_secs_f64();
    let packed = std::fs::read_dir(out.path())?.filter_map(Result::ok).filter(|e| {
        let name = e.file_name();
        name.to_str().is_some_and(|n| n.ends_with(".zip") || n.ends_with(".gz"))
    });
    let size = packed.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum();
    let log = std::fs::read_to_string(out.path().join("zip-rotate.log")).unwrap_or_default();
    let packing = log.lines().find_map(|l| l.split_once("packed in ")?.1.split(' ').next()?.parse().ok());
    Ok(Run { wall, cpu, packing, size, memory })
}
