//! The order of deeds for one tablespace: whatever happens between BEGIN and END, END is done.

use std::time::{Duration, Instant};

use anyhow::{bail, Context};
use common::guardian::{Ended, FileState};

use crate::plan::{How, Step};

/// A datafile that lies at the standby under its temporary name, checked there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub file: u64,
    pub tmp: std::path::PathBuf,
    pub bytes: u64,
    /// In the header of the copy.
    pub checkpoint_scn: u64,
    pub seconds_ms: u64,
}

/// What the order needs done; a test puts its own in place.
pub trait Deeds {
    /// BEGIN BACKUP, read back. After an error nothing is in backup mode by us.
    fn begin(&mut self, step: &Step) -> anyhow::Result<Vec<FileState>>;
    /// All files to temporary names, sizes and headers checked. `frozen` is empty without backup mode.
    fn copy(&mut self, step: &Step, frozen: &[FileState]) -> anyhow::Result<Vec<Checked>>;
    /// END BACKUP, read back.
    fn end(&mut self, step: &Step) -> anyhow::Result<Ended>;
    /// Durable under the final names.
    fn publish(&mut self, step: &Step, copies: &[Checked]) -> anyhow::Result<()>;
    /// Durably done in this cycle.
    fn mark(&mut self, step: &Step, done: &Done) -> anyhow::Result<()>;
}

/// A tablespace that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub copies: Vec<Checked>,
    /// 0 without backup mode.
    pub begin_scn: u64,
    /// SCN after END BACKUP; 0 without backup mode.
    pub end_scn: u64,
    /// `None` without backup mode.
    pub in_backup_mode: Option<Duration>,
}

/// Copies one tablespace.
///
/// # Errors
/// It is not done: no mark, and no copy of it got its final name unless publishing itself failed half way.
pub fn perform<D: Deeds>(step: &Step, deeds: &mut D) -> anyhow::Result<Done> {
    let done = match step.how {
        How::InBackupMode => in_backup_mode(step, deeds)?,
        How::AsItIs => {
            Done { copies: deeds.copy(step, &[])?, begin_scn: 0, end_scn: 0, in_backup_mode: None }
        }
    };
    deeds.publish(step, &done.copies).with_context(|| format!("publish the copies of {}", step.key))?;
    deeds.mark(step, &done)?;
    Ok(done)
}

fn in_backup_mode<D: Deeds>(step: &Step, deeds: &mut D) -> anyhow::Result<Done> {
    let started = Instant::now();
    let begun = deeds.begin(step)?;
    let copied = all_frozen(step, &begun).and_then(|()| deeds.copy(step, &begun));
    let ended = deeds.end(step);
    let in_backup_mode = Some(started.elapsed());
    let ended = match (ended, &copied) {
        (Ok(ended), _) => ended,
        // Backup mode that is still on is worse than a copy that is missing.
        (Err(e), Err(why)) => return Err(e.context(format!("and the copy failed as well: {why:#}"))),
        (Err(e), Ok(_)) => return Err(e),
    };
    let copies = copied?;
    unbroken(step, &begun, &ended.before)?;
    let begin_scn = begun.iter().filter_map(|f| f.checkpoint.or(f.change)).min().unwrap_or(0);
    Ok(Done { copies, begin_scn, end_scn: ended.scn, in_backup_mode })
}

/// Each file ACTIVE, with a frozen SCN, before the first byte is copied.
fn all_frozen(step: &Step, begun: &[FileState]) -> anyhow::Result<()> {
    for file in &step.online {
        match begun.iter().find(|f| f.file == *file) {
            Some(f) if f.active && f.checkpoint.is_some() => {}
            Some(f) if f.active => bail!("datafile {file} {}: its header cannot be read", f.path),
            Some(f) => {
                bail!("V$BACKUP does not show datafile {file} {} as ACTIVE after BEGIN BACKUP", f.path)
            }
            None => bail!("V$BACKUP does not know datafile {file}"),
        }
    }
    Ok(())
}

/// The same BEGIN BACKUP still in force after the last byte.
fn unbroken(step: &Step, begun: &[FileState], before_end: &[FileState]) -> anyhow::Result<()> {
    for first in begun.iter().filter(|f| step.online.contains(&f.file)) {
        let last = before_end.iter().find(|f| f.file == first.file);
        let same =
            last.is_some_and(|l| l.active && l.change == first.change && l.checkpoint == first.checkpoint);
        if !same {
            bail!(
                "datafile {} {} did not stay in backup mode until its copy was done: somebody, or a limit, has ended it",
                first.file,
                first.path
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Key;
    use crate::plan::FileCopy;
    use proptest::prelude::*;

    /// Deeds that fail at a chosen place and write down what was done.
    #[derive(Default)]
    struct Fake {
        fails: Option<&'static str>,
        done: Vec<&'static str>,
        not_active: bool,
        ended_by_somebody: bool,
    }

    impl Fake {
        fn note(&mut self, deed: &'static str) -> anyhow::Result<()> {
            self.done.push(deed);
            if self.fails == Some(deed) {
                bail!("{deed} failed");
            }
            Ok(())
        }
    }

    fn state(active: bool) -> Vec<FileState> {
        vec![FileState { file: 4, active, change: Some(100), checkpoint: Some(100), ..FileState::default() }]
    }

    impl Deeds for Fake {
        fn begin(&mut self, _: &Step) -> anyhow::Result<Vec<FileState>> {
            self.note("begin")?;
            Ok(state(!self.not_active))
        }
        fn copy(&mut self, _: &Step, _: &[FileState]) -> anyhow::Result<Vec<Checked>> {
            self.note("copy").map(|()| Vec::new())
        }
        fn end(&mut self, _: &Step) -> anyhow::Result<Ended> {
            self.note("end")?;
            Ok(Ended { before: state(!self.ended_by_somebody), after: state(false), scn: 200 })
        }
        fn publish(&mut self, _: &Step, _: &[Checked]) -> anyhow::Result<()> {
            self.note("publish")
        }
        fn mark(&mut self, _: &Step, _: &Done) -> anyhow::Result<()> {
            self.note("mark")
        }
    }

    fn step(how: How) -> Step {
        let file = FileCopy {
            file: 4,
            path: "/u05/4".to_owned(),
            dest: "/u15/4".to_owned(),
            bytes: 1,
            block_size: 8192,
            creation_change: 1,
        };
        Step {
            key: Key { container: None, name: "USERS".to_owned() },
            con_id: 0,
            how,
            last: false,
            online: vec![4],
            files: vec![file],
            reason: String::new(),
        }
    }

    #[test]
    fn the_good_order() {
        let mut fake = Fake::default();
        let done = perform(&step(How::InBackupMode), &mut fake).unwrap();
        assert_eq!(fake.done, ["begin", "copy", "end", "publish", "mark"]);
        assert_eq!((done.begin_scn, done.end_scn), (100, 200));
        let mut fake = Fake::default();
        perform(&step(How::AsItIs), &mut fake).unwrap();
        assert_eq!(fake.done, ["copy", "publish", "mark"]);
    }

    #[test]
    fn nothing_is_copied_before_every_file_is_active() {
        let mut fake = Fake { not_active: true, ..Fake::default() };
        let error = perform(&step(How::InBackupMode), &mut fake).unwrap_err();
        assert!(format!("{error:#}").contains("does not show datafile 4"));
        assert_eq!(fake.done, ["begin", "end"]);
    }

    #[test]
    fn a_copy_during_which_backup_mode_ended_is_no_copy() {
        let mut fake = Fake { ended_by_somebody: true, ..Fake::default() };
        perform(&step(How::InBackupMode), &mut fake).unwrap_err();
        assert_eq!(fake.done, ["begin", "copy", "end"]);
    }

    proptest! {
        #[test]
        fn every_begin_has_its_end_wherever_it_fails(place in 0_usize..6, not_active: bool, ended_by_somebody: bool) {
            let fails = ["begin", "copy", "end", "publish", "mark"].get(place).copied();
            let mut fake = Fake { fails, not_active, ended_by_somebody, done: Vec::new() };
            let result = perform(&step(How::InBackupMode), &mut fake);
            let count = |deed| fake.done.iter().filter(|d| **d == deed).count();
            prop_assert_eq!(count("begin"), 1);
            prop_assert_eq!(count("end"), usize::from(fails != Some("begin")));
            let at = |deed| fake.done.iter().position(|d| *d == deed);
            prop_assert!(at("publish").is_none() || at("end") < at("publish"));
            let good = fails.is_none() && !not_active && !ended_by_somebody;
            prop_assert_eq!(result.is_ok(), good);
            prop_assert!(at("mark").is_none() || (!not_active && !ended_by_somebody && fails != Some("copy")));
        }
    }
}
