//! Contestants take turns; the median of each counts.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{ensure, Context};

use super::contestants::{Arena, Way};
use super::table::{Row, Table};
use super::{cpu, Options, Originals};
use crate::host::SshHost;

/// What one contestant needed, scaled to all files.
#[derive(Debug, Clone)]
pub struct Result {
    pub way: Way,
    /// Median of wall seconds.
    pub seconds: f64,
    /// Processor seconds of the local side.
    pub cpu: f64,
    /// Authenticated ssh connections.
    pub connections: usize,
    note: String,
}

/// Results of one case.
#[derive(Debug, Clone)]
pub struct Comparison {
    case: String,
    pub results: Vec<Result>,
}

impl Comparison {
    /// Wall seconds of one way.
    pub fn seconds(&self, way: Way) -> f64 {
        self.results.iter().find(|r| r.way == way).map_or(f64::NAN, |r| r.seconds)
    }

    /// Connections of one way.
    pub fn connections(&self, way: Way) -> f64 {
        self.results.iter().find(|r| r.way == way).map_or(f64::NAN, |r| r.connections as f64)
    }

    /// One row for each contestant.
    pub fn rows(&self, table: &mut Table) {
        let ours = self.seconds(Way::ArchShip);
        for result in &self.results {
            table.push(Row {
                case: self.case.clone(),
                who: result.way.name(),
                seconds: Some(result.seconds),
                ratio: Some(result.seconds / ours),
                cpu: Some(result.cpu),
                connections: Some(result.connections),
                note: result.note.clone(),
            });
        }
    }
}

/// The middle of some figures; the mean of the two middle ones of an even number.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match (figures.len(), figures.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 1 => figures[half],
        (_, half) => (figures[half - 1] + figures[half]) / 2.0,
    }
}

/// Says on standard error how far a benchmark is.
pub fn progress(text: &str) {
    // A benchmark goes on when nobody listens.
    let _closed = writeln!(std::io::stderr(), "bench: {text}");
}

/// Lets all `ways` ship the logs of the arena in turns. `subset` is how many logs the originals get when they are not to
/// ship all.
pub fn compare(
    case: &str,
    options: &Options,
    arena: &Arena,
    host: &SshHost,
    ways: &[Way],
    subset: usize,
) -> anyhow::Result<Comparison> {
    let ways: Vec<Way> =
        ways.iter().copied().filter(|w| !w.is_original() || options.originals != Originals::Never).collect();
    let all = arena.logs.names.len();
    let mut samples: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new(); ways.len()];
    let mut shipped = vec![all; ways.len()];
    for round in 0..options.rounds {
        for turn in 0..ways.len() {
            // Each round begins with another one, so that none always finds the machine as the same one left it.
            let at = (turn + round) % ways.len();
            let way = ways[at];
            if way.is_original() && round > 0 && options.originals != Originals::Always {
                continue;
            }
            if way.is_original() && options.originals == Originals::Subset {
                shipped[at] = subset.min(all);
            }
            let scale = all as f64 / shipped[at] as f64;
            empty(&arena.dest)?;
            let (connections, cpu) = (host.connections()?, cpu::of_ended_children()?);
            let begin = Instant::now();
            arena.ship(way, shipped[at]).with_context(|| format!("{case}: {}", way.name()))?;
            let seconds = begin.elapsed().as_secs_f64();
            let cpu = (cpu::of_ended_children()? - cpu).as_secs_f64();
            let connections = (host.connections()? - connections) as f64;
            let (files, bytes) = arrived(&arena.dest)?;
            ensure!(
                files == shipped[at] && bytes == arena.logs.bytes * shipped[at] as u64,
                "{case}: {} delivered {files} files with {bytes} bytes",
                way.name()
            );
            progress(&format!(
                "{case}: round {}: {}: {seconds:.2} s for {files} files",
                round + 1,
                way.name()
            ));
            samples[at].push((seconds * scale, cpu * scale, connections * scale));
        }
    }
    empty(&arena.dest)?;
    let results = ways.into_iter().zip(samples).zip(shipped).map(|((way, samples), shipped)| {
        let middle = |pick: fn(&(f64, f64, f64)) -> f64| median(samples.iter().map(pick).collect());
        let (least, most) = samples.iter().fold((f64::MAX, 0.0_f64), |(a, b), s| (a.min(s.0), b.max(s.0)));
        let mut note = match samples.len() {
            1 => "1 round".to_owned(),
            n => format!("{n} rounds, {least:.2} to {most:.2}"),
        };
        if shipped < all {
            note.push_str(&format!("; {shipped} of {all} files, scaled"));
        }
        Result {
            way,
            seconds: middle(|s| s.0),
            cpu: middle(|s| s.1),
            connections: middle(|s| s.2).round() as usize,
            note,
        }
    });
    Ok(Comparison { case: case.to_owned(), results: results.collect() })
}

fn empty(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("empty {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))
}

/// Number and bytes of the logs below `dir`.
pub fn arrived(dir: &Path) -> anyhow::Result<(usize, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            let (f, b) = arrived(&entry.path())?;
            files += f;
            bytes += b;
        } else if entry.file_name().to_string_lossy().ends_with(".arc") {
            files += 1;
            bytes += meta.len();
        }
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }
}
