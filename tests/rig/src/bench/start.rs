//! How long a tool needs to start, and how large it is.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{ensure, Context};

use super::measure::median;
use super::table::{Row, Table};
use super::{Goal, Options};

/// All tools that this workspace has.
const TOOLS: [&str; 2] = ["arch-ship", "ts-hotbackup"];
const STARTS: usize = 200;
/// Milliseconds.
const LIMIT: f64 = 10.0;

pub fn run(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let mut goals = Vec::new();
    let nothing = starts(Path::new("/bin/true"))?;
    table.push(row("/bin/true", nothing, String::new()));
    for name in TOOLS {
        let program = options.program(name)?;
        let seconds = starts(&program)?;
        let bytes = program.metadata()?.len();
        table.push(row(
            name,
            seconds,
            format!("{:.2} MiB release binary", bytes as f64 / f64::from(1 << 20)),
        ));
        goals.push(Goal::at_most(format!("start of {name}"), seconds * 1000.0, LIMIT, " ms"));
    }
    Ok(goals)
}

fn row(who: &str, seconds: f64, note: String) -> Row {
    Row {
        case: format!("--version, {STARTS} starts"),
        who: who.to_owned(),
        seconds: Some(seconds),
        ratio: None,
        cpu: None,
        connections: None,
        note,
    }
}

/// Median of wall seconds from fork to end.
fn starts(program: &Path) -> anyhow::Result<f64> {
    let mut all = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let begin = Instant::now();
        let status = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        let status = status.with_context(|| format!("start {}", program.display()))?;
        ensure!(status.success(), "{} --version ended with {status}", program.display());
        all.push(begin.elapsed().as_secs_f64());
    }
    Ok(median(all))
}
