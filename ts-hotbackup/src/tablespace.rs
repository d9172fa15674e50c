//! One tablespace, really: the keeper, the transfers, the marks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context};
use common::exit::{Exit, Failure};
use common::guardian::{Ended, FileState, Keeper, Scope};
use common::logfile::LogFile;
use common::remote::{reading_limit, TransferError};

use crate::cycle::{Copied, CopiedFile, Cycle, Store};
use crate::depot::Depot;
use crate::finish::sha256;
use crate::plan::{FileCopy, How, Step};
use crate::sequence::{Checked, Deeds, Done};

/// Files and what was wrong with their copies.
type Failures = Vec<(FileCopy, String)>;

/// The world in which a tablespace is copied.
pub struct Work<'a> {
    pub keeper: &'a Keeper,
    pub depot: &'a Depot,
    pub store: &'a Store,
    pub cycle: &'a Cycle,
    pub dbid: u64,
    /// Paths by file number: all datafiles of the tablespace, for the keeper's journal.
    pub paths: &'a BTreeMap<u64, String>,
    /// CHECKPOINT_CHANGE# of read-only files.
    pub standing: &'a BTreeMap<u64, u64>,
    /// Sizes of earlier copies at the destination.
    pub old: &'a BTreeMap<String, u64>,
    pub earlier: Option<&'a Copied>,
    pub log: LogFile,
    /// What went wrong with single files.
    pub failed: Failures,
}

pub fn scope(step: &Step) -> Scope {
    Scope::Tablespace { container: step.key.container.clone(), name: step.key.name.clone() }
}

impl Work<'_> {
    /// Sends files and checks them; the second value names those that have to be sent again.
    fn send_and_check(
        &mut self,
        step: &Step,
        files: &[FileCopy],
        frozen: &BTreeMap<u64, u64>,
    ) -> anyhow::Result<(Vec<Checked>, Failures)> {
        let scope = scope(step);
        let keeper = self.keeper;
        let sent = self.depot.send(files, &|dest| self.old.contains_key(dest), &|| !keeper.is_capped(&scope));
        let mut arrived = Vec::new();
        for (file, result) in files.iter().zip(sent) {
            match result {
                Ok(sent) => arrived.push((file, sent)),
                Err(error) => self.failed.push((file.clone(), said(&error))),
            }
        }
        if keeper.is_capped(&scope) {
            return Err(Failure::new(
                Exit::TimedOut,
                "it was in backup mode for longer than --max-backup-mode allows",
            )
            .hint("give it more time, more --workers or a faster way; the next run copies it again")
            .into());
        }
        if let Some((file, why)) = self.failed.first() {
            bail!("copy datafile {} {}: {why}", file.file, file.path);
        }
        let copies: Vec<(&FileCopy, PathBuf)> = arrived.iter().map(|(f, s)| (*f, s.tmp.clone())).collect();
        let checked = self
            .depot
            .check(self.dbid, &copies, &|file| frozen.get(&file).copied())
            .map_err(|e| e.failure())
            .context("check the copies at the standby")?;
        let (mut good, mut again) = (Vec::new(), Vec::new());
        for ((file, sent), verdict) in arrived.into_iter().zip(checked) {
            match verdict {
                Ok((scn, bytes)) => {
                    self.log.info(&format!(
                        "copied datafile {} {} to {}: {bytes} bytes, checkpoint SCN {scn}, {:.1}s",
                        file.file,
                        file.path,
                        file.dest,
                        sent.elapsed.as_secs_f64()
                    ));
                    good.push(Checked {
                        file: file.file,
                        tmp: sent.tmp,
                        bytes,
                        checkpoint_scn: scn,
                        seconds_ms: u64::try_from(sent.elapsed.as_millis()).unwrap_or(u64::MAX),
                    });
                }
                Err(why) => again.push((file.clone(), why)),
            }
        }
        Ok((good, again))
    }

    /// A file that cannot change must be the same on both sides, byte for byte.
    fn compare(&self, step: &Step, copies: &[Checked]) -> anyhow::Result<()> {
        let tmps: Vec<PathBuf> = copies.iter().map(|c| c.tmp.clone()).collect();
        let bytes = copies.iter().map(|c| c.bytes).sum();
        // Both sides read at the same time.
        let (there, here) = std::thread::scope(|scope| {
            let there = scope.spawn(|| self.depot.conn().sha256(&tmps, reading_limit(bytes)));
            let file = |c: &Checked| step.files.iter().find(|f| f.file == c.file);
            let here: anyhow::Result<Vec<(&FileCopy, String)>> =
                copies.iter().filter_map(file).map(|f| Ok((f, sha256(Path::new(&f.path))?.0))).collect();
            (there.join(), here)
        });
        let there =
            there.map_err(|_| anyhow::anyhow!("hash the copies at the standby"))?.map_err(|e| e.failure())?;
        for ((file, here), there) in here?.into_iter().zip(there) {
            let there = there.map_err(|why| anyhow::anyhow!("hash {} at the standby: {why}", file.dest))?;
            if here != there {
                bail!("datafile {} {} differs from its copy although it is read only", file.file, file.path);
            }
        }
        Ok(())
    }

    /// Removes what did not become a copy.
    pub fn clean(&self, step: &Step) {
        let mut tmps = Vec::new();
        for file in &step.files {
            for attempt in 1..=self.depot.way.retries + 1 {
                tmps.push(self.depot.tmp(&file.dest, &format!("f{}-{attempt}", file.file)));
            }
        }
        // What cannot be removed now is swept by the next run.
        if let Err(error) = self.depot.conn().remove(&tmps) {
            self.log.info(&format!("temporary files at the standby are left for the next run: {error}"));
        }
    }
}

fn said(error: &TransferError) -> String {
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

impl Deeds for Work<'_> {
    fn begin(&mut self, step: &Step) -> anyhow::Result<Vec<FileState>> {
        let files: Vec<(u64, String)> =
            step.online.iter().map(|n| (*n, self.paths.get(n).cloned().unwrap_or_default())).collect();
        self.log.info(&format!("BEGIN BACKUP of {}", step.key));
        let begun = self.depot.meter.busy(|| self.keeper.begin(self.dbid, &scope(step), &files))?;
        for file in &begun.files {
            self.log.info(&format!(
                "datafile {} is {}, frozen at SCN {}",
                file.file,
                if file.active { "ACTIVE" } else { "NOT ACTIVE" },
                file.checkpoint.unwrap_or(0)
            ));
        }
        Ok(begun.files)
    }

    fn copy(&mut self, step: &Step, frozen: &[FileState]) -> anyhow::Result<Vec<Checked>> {
        let frozen: BTreeMap<u64, u64> = match step.how {
            How::InBackupMode => frozen.iter().filter_map(|f| Some((f.file, f.checkpoint?))).collect(),
            How::AsItIs => self.standing.clone(),
        };
        let (mut good, again) = self.send_and_check(step, &step.files, &frozen)?;
        if !again.is_empty() {
            for (file, why) in &again {
                self.log
                    .warning(&format!("copy of datafile {} {}: {why}: copy it again", file.file, file.path));
            }
            let files: Vec<FileCopy> = again.into_iter().map(|(f, _)| f).collect();
            let (more, still) = self.send_and_check(step, &files, &frozen)?;
            good.extend(more);
            if let Some((file, why)) = still.first() {
                self.failed.extend(still.iter().cloned());
                bail!("check the copy of datafile {} {} at the standby: {why}", file.file, file.path);
            }
        }
        if step.how == How::AsItIs {
            self.depot.meter.busy(|| self.compare(step, &good))?;
        }
        Ok(good)
    }

    fn end(&mut self, step: &Step) -> anyhow::Result<Ended> {
        let ended = self.keeper.end(&scope(step));
        match &ended {
            Ok(ended) => self.log.info(&format!("END BACKUP of {}, SCN {}", step.key, ended.scn)),
            Err(error) => self.log.error(&format!("END BACKUP of {}: {error:#}", step.key)),
        }
        ended
    }

    fn publish(&mut self, step: &Step, copies: &[Checked]) -> anyhow::Result<()> {
        let mut pairs = Vec::new();
        for copy in copies {
            let file = step.files.iter().find(|f| f.file == copy.file);
            let file = file.with_context(|| format!("datafile {} was not in the plan", copy.file))?;
            pairs.push((copy.tmp.clone(), PathBuf::from(&file.dest)));
        }
        self.depot.meter.busy(|| self.depot.publish(&pairs, copies.iter().map(|c| c.bytes).sum()))
    }

    fn mark(&mut self, step: &Step, done: &Done) -> anyhow::Result<()> {
        self.store.mark(&mark(step, done, self.earlier, self.cycle))
    }
}

/// The mark for a tablespace: what is new, and what earlier runs of this cycle have copied of it.
fn mark(step: &Step, done: &Done, earlier: Option<&Copied>, cycle: &Cycle) -> Copied {
    let mut files: Vec<CopiedFile> = Vec::new();
    for copy in &done.copies {
        let Some(file) = step.files.iter().find(|f| f.file == copy.file) else { continue };
        files.push(CopiedFile {
            file: file.file,
            path: file.path.clone(),
            dest: file.dest.clone(),
            bytes: copy.bytes,
            creation_change: file.creation_change,
            checkpoint_scn: copy.checkpoint_scn,
            read_only: step.how == How::AsItIs,
        });
    }
    let new: Vec<u64> = files.iter().map(|f| f.file).collect();
    files
        .extend(earlier.into_iter().flat_map(|e| e.files.iter().filter(|f| !new.contains(&f.file)).cloned()));
    files.sort_by_key(|f| f.file);
    Copied {
        cycle: cycle.id.clone(),
        dbid: cycle.dbid,
        container: step.key.container.clone(),
        tablespace: step.key.name.clone(),
        end_scn: done.end_scn.max(earlier.map_or(0, |e| e.end_scn)),
        files,
    }
}

/// Rounded for a record.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
