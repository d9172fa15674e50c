//! What is checked before the first BEGIN BACKUP.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::guardian::FileState;
use common::oracle::datafile::Header;
use common::remote::Script;

use crate::depot::Depot;
use crate::facts::Facts;
use crate::plan::{FileCopy, Plan};
use crate::run::foreign;

/// Refuses a database that cannot be backed up this way; returns warnings about what will be wrong with the copy.
pub fn database(facts: &Facts) -> Result<Vec<String>, Failure> {
    if !facts.database.archivelog {
        return Err(Failure::new(Exit::Refused, format!("{} is in NOARCHIVELOG mode", facts.database.name))
            .hint("a copy made while it runs can only be recovered with archived logs; ALTER DATABASE ARCHIVELOG, or shut it down and copy it")
            .code("ORA-01123"));
    }
    let active: Vec<FileState> = facts
        .files()
        .filter(|(_, f)| f.in_backup)
        .map(|(_, f)| FileState {
            file: f.file,
            path: f.path.clone(),
            active: true,
            since: f.backup_since.clone(),
            ..FileState::default()
        })
        .collect();
    if !active.is_empty() {
        return Err(foreign(&active));
    }
    let mut warnings = Vec::new();
    if !facts.database.force_logging {
        warnings.push(
            "the database is not in FORCE LOGGING: what is loaded with NOLOGGING is lost at the standby (ORA-26040)"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// Makes the directories, removes what dead runs have left there, and checks the space. Returns the sizes of earlier
/// copies by their names.
///
/// # Errors
/// Status 4 when a file system there would be full before the end, or a copy would replace the database's own file.
pub fn destination(
    depot: &Depot,
    sid: &str,
    plan: &Plan,
    facts: &Facts,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let files: Vec<_> = plan.steps.iter().flat_map(|s| &s.files).collect();
    let dirs: BTreeSet<PathBuf> = files.iter().map(|f| dir_of(&f.dest)).collect();
    let dirs: Vec<PathBuf> = dirs.into_iter().collect();
    let there = |e: common::remote::TransferError| e.failure();
    depot.conn().make_dirs(&dirs).map_err(there).context("make directories at the standby")?;
    let swept = depot.sweep(&dirs, sid).map_err(there).context("remove temporary files of dead runs")?;
    if swept > 0 {
        depot.log_info(&format!("removed {swept} temporary files of dead runs at the standby"));
    }
    let paths: Vec<PathBuf> = files.iter().map(|f| PathBuf::from(&f.dest)).collect();
    let sizes = depot.sizes(&paths)?;
    let old: BTreeMap<String, u64> =
        files.iter().zip(sizes).filter_map(|(f, size)| Some((f.dest.clone(), size?))).collect();
    not_its_own(depot, facts, &old)?;
    not_another(depot, facts.database.dbid, &files, &old)?;
    space(depot, plan, &dirs, &old)?;
    let widest = plan.steps.iter().map(|s| s.files.len()).max().unwrap_or(0);
    depot.warm(widest).map_err(there)?;
    Ok(old)
}

/// A map of a directory onto itself, a wrong host name, a link: the copy would take the place of the live datafile,
/// which the database goes on writing to without a name. Names say nothing about that, inodes do.
fn not_its_own(depot: &Depot, facts: &Facts, old: &BTreeMap<String, u64>) -> anyhow::Result<()> {
    if old.is_empty() || boot_id(depot)? != std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim() {
        return Ok(());
    }
    let own: BTreeMap<String, &str> = facts
        .files()
        .filter_map(|(_, f)| {
            let found = std::fs::metadata(&f.path).ok()?;
            Some((format!("{}:{}", found.dev(), found.ino()), f.path.as_str()))
        })
        .collect();
    let script = Script::new(r#"xargs -0 -r stat -L -c %d:%i --"#, depot.conn().limits.script)
        .list(old.keys().map(|d| d.as_bytes().to_vec()));
    let out = depot.conn().run(&script).map_err(|e| e.failure()).context("look at the earlier copies")?;
    let text = String::from_utf8_lossy(&out);
    let there: Vec<&str> = text.split_whitespace().collect();
    anyhow::ensure!(there.len() == old.len(), "look at the earlier copies: {} answers", there.len());
    let same: Vec<String> = old
        .keys()
        .zip(there)
        .filter_map(|(dest, inode)| Some(format!("{dest} is {}", own.get(inode)?)))
        .collect();
    if same.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        format!("the copies would replace the datafiles of the running database: {}", same.join(", ")),
    )
    .hint("give --map another directory, or --dest-host the right host")
    .into())
}

/// What lies there may be a database that somebody uses: by its headers, a file of another DBID is no earlier copy.
fn not_another(
    depot: &Depot,
    dbid: u64,
    files: &[&FileCopy],
    old: &BTreeMap<String, u64>,
) -> anyhow::Result<()> {
    let files: Vec<&FileCopy> = files.iter().copied().filter(|f| old.contains_key(&f.dest)).collect();
    let Some(largest) = files.iter().map(|f| f.block_size).max() else { return Ok(()) };
    let paths: Vec<PathBuf> = files.iter().map(|f| PathBuf::from(&f.dest)).collect();
    let bytes = u32::try_from(2 * largest).unwrap_or(65536);
    let heads = depot.conn().read_head(&paths, bytes).map_err(|e| e.failure())?;
    let foreign: Vec<String> = files
        .iter()
        .zip(heads)
        .filter_map(|(file, head)| {
            let size = usize::try_from(file.block_size).ok()?;
            let header = Header::parse(head.ok()?.get(size..2 * size)?).ok()?;
            (u64::from(header.dbid) != dbid).then(|| format!("{} (DBID {})", file.dest, header.dbid))
        })
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let text = format!(
        "at {} there are datafiles of another database: {}",
        depot.way.target.label(),
        foreign.join(", ")
    );
    Err(Failure::new(Exit::Refused, text)
        .hint("give --map another directory; if nobody needs that database any more, remove its files first")
        .into())
}

/// One value for each start of a kernel: the same on both sides means the same host.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn boot_id(depot: &Depot) -> anyhow::Result<String> {
    let text = "cat /proc/sys/kernel/random/boot_id 2>/dev/null || true";
    let script = Script::new(text, depot.conn().limits.script);
    let out = depot.conn().run(&script).map_err(|e| e.failure()).context("ask the standby who it is")?;
    Ok(String::from_utf8_lossy(&out).trim().to_owned())
}

fn space(depot: &Depot, plan: &Plan, dirs: &[PathBuf], old: &BTreeMap<String, u64>) -> anyhow::Result<()> {
    let devices = devices(depot, dirs)?;
    let mut free: BTreeMap<&str, (u64, &Path)> = BTreeMap::new();
    for (dir, device) in dirs.iter().zip(&devices) {
        if !free.contains_key(device.as_str()) {
            let space = depot.conn().free_space(dir).map_err(|e| e.failure())?;
            free.insert(device, (space.bytes, dir));
        }
    }
    let device_of: BTreeMap<&Path, &str> =
        dirs.iter().map(PathBuf::as_path).zip(devices.iter().map(String::as_str)).collect();
    for (device, (bytes, dir)) in &free {
        let steps: Vec<Vec<(u64, u64)>> = plan
            .steps
            .iter()
            .map(|s| {
                let here =
                    s.files.iter().filter(|f| device_of.get(dir_of(&f.dest).as_path()) == Some(device));
                here.map(|f| (f.bytes, old.get(&f.dest).copied().unwrap_or(0))).collect()
            })
            .collect();
        let need = peak(&steps);
        if need > *bytes {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "{} at {} has {} MiB free and the copies need {} MiB",
                    dir.display(),
                    depot.way.target.label(),
                    bytes >> 20,
                    need.div_ceil(1 << 20)
                ),
            )
            .hint(
                "a new copy needs its place beside the old one until it is proven; make space and run again",
            )
            .into());
        }
    }
    Ok(())
}

/// The most that is used at once beyond what is used now: the new copies of a tablespace lie beside the old ones until
/// it is done. Pairs of new and old size, by step.
fn peak(steps: &[Vec<(u64, u64)>]) -> u64 {
    let (mut level, mut peak): (i128, i128) = (0, 0);
    for step in steps {
        let (new, old): (u64, u64) = step.iter().fold((0, 0), |sum, f| (sum.0 + f.0, sum.1 + f.1));
        peak = peak.max(level + i128::from(new));
        level += i128::from(new) - i128::from(old);
    }
    u64::try_from(peak).unwrap_or(0)
}

fn devices(depot: &Depot, dirs: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let text = r#"xargs -0 -r stat -L -c %d --"#;
    let list = dirs.iter().map(|d| d.as_os_str().as_encoded_bytes().to_vec());
    let script = Script::new(text, depot.conn().limits.script).list(list);
    let out = depot.conn().run(&script).map_err(|e| e.failure()).context("look at the file systems there")?;
    let devices: Vec<String> = String::from_utf8_lossy(&out).split_whitespace().map(str::to_owned).collect();
    anyhow::ensure!(devices.len() == dirs.len(), "look at the file systems there: {} answers", devices.len());
    Ok(devices)
}

pub fn dir_of(path: &str) -> PathBuf {
    Path::new(path).parent().unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_needed_is_that_of_the_worst_moment() {
        assert_eq!(peak(&[vec![(10, 0)], vec![(20, 0)]]), 30);
        // Over old copies only one tablespace at a time lies there twice.
        assert_eq!(peak(&[vec![(10, 10)], vec![(20, 20), (5, 5)]]), 25);
        assert_eq!(peak(&[vec![(10, 100)], vec![(20, 0)]]), 10);
        assert_eq!(peak(&[]), 0);
    }
}
