//! The order of deeds around backup mode: whatever happens between BEGIN and END, END is done.

use std::time::{Duration, Instant};

use common::guardian::{Ended, FileState};

use crate::window::Window;

/// What the order needs done; a test puts its own in place.
pub trait Deeds {
    type Taken;

    /// BEGIN BACKUP, read back. After an error nothing is in backup mode by us.
    fn begin(&mut self) -> anyhow::Result<Vec<FileState>>;
    /// The snapshots; comes back at the cap at the latest, and when the run is asked to stop.
    fn take(&mut self) -> Self::Taken;
    /// END BACKUP, read back.
    fn end(&mut self) -> anyhow::Result<Ended>;
    /// Host time, epoch milliseconds.
    fn now(&self) -> i64;
}

/// What happened.
#[derive(Debug)]
pub struct Held<T> {
    /// `None` when nothing was asked for, because a file was not in backup mode.
    pub taken: Option<T>,
    pub window: Window,
    /// The error means that the database may still be in backup mode.
    pub ended: anyhow::Result<Ended>,
    /// Why the database was not in backup mode from before the first snapshot to after the last, if so.
    pub broken: Option<String>,
    /// Lowest checkpoint SCN of the frozen headers.
    pub begin_scn: u64,
    pub length: Duration,
}

/// Puts the database in backup mode, takes the snapshots, and ends it.
///
/// # Errors
/// BEGIN BACKUP failed; nothing is in backup mode by us.
pub fn hold<D: Deeds>(expected: &[(u64, String)], deeds: &mut D) -> anyhow::Result<Held<D::Taken>> {
    let begun = deeds.begin()?;
    let started = Instant::now();
    // The clock's millisecond has begun when it is read.
    let begin_done = deeds.now() + 1;
    let frozen = all_frozen(expected, &begun);
    let taken = frozen.is_ok().then(|| deeds.take());
    let end_sent = deeds.now();
    let ended = deeds.end();
    let length = started.elapsed();
    let broken = match (&frozen, &ended) {
        (Err(why), _) => Some(why.clone()),
        (Ok(()), Ok(ended)) => unbroken(expected, &begun, &ended.before).err(),
        (Ok(()), Err(_)) => Some("nobody knows until when the database was in backup mode".to_owned()),
    };
    let begin_scn = begun.iter().filter_map(|f| f.checkpoint.or(f.change)).min().unwrap_or(0);
    Ok(Held { taken, window: Window { begin_done, end_sent }, ended, broken, begin_scn, length })
}

/// Each file ACTIVE, with a frozen SCN, before the first snapshot.
fn all_frozen(expected: &[(u64, String)], begun: &[FileState]) -> Result<(), String> {
    for (file, path) in expected {
        match begun.iter().find(|f| f.file == *file) {
            Some(f) if f.active && f.checkpoint.is_some() => {}
            Some(f) if f.active => return Err(format!("datafile {file} {path}: its header cannot be read")),
            Some(_) => {
                return Err(format!(
                    "V$BACKUP does not show datafile {file} {path} as ACTIVE after BEGIN BACKUP"
                ))
            }
            None => return Err(format!("V$BACKUP does not know datafile {file} {path}")),
        }
    }
    Ok(())
}

/// The same BEGIN BACKUP still in force right before END.
fn unbroken(expected: &[(u64, String)], begun: &[FileState], before_end: &[FileState]) -> Result<(), String> {
    for first in begun.iter().filter(|f| expected.iter().any(|(n, _)| *n == f.file)) {
        let last = before_end.iter().find(|f| f.file == first.file);
        if !last.is_some_and(|l| l.active && l.change == first.change && l.checkpoint == first.checkpoint) {
            return Err(format!(
                "datafile {} {} did not stay in backup mode until the snapshots were taken: somebody, or a limit, has \
                 ended it",
                first.file, first.path
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Fake {
        fails: Option<&'static str>,
        done: Vec<&'static str>,
        not_active: bool,
        ended_by_somebody: bool,
        time: i64,
    }

    fn state(active: bool) -> Vec<FileState> {
        vec![FileState { file: 4, active, change: Some(100), checkpoint: Some(100), ..FileState::default() }]
    }

    impl Deeds for Fake {
        type Taken = bool;

        fn begin(&mut self) -> anyhow::Result<Vec<FileState>> {
            self.done.push("begin");
            self.time += 100;
            if self.fails == Some("begin") {
                bail!("no");
            }
            Ok(state(!self.not_active))
        }
        fn take(&mut self) -> bool {
            self.done.push("take");
            self.time += 100;
            self.fails != Some("take")
        }
        fn end(&mut self) -> anyhow::Result<Ended> {
            self.done.push("end");
            if self.fails == Some("end") {
                bail!("no");
            }
            Ok(Ended { before: state(!self.ended_by_somebody), after: state(false), scn: 200 })
        }
        fn now(&self) -> i64 {
            self.time
        }
    }

    fn expected() -> Vec<(u64, String)> {
        vec![(4, "/u05/4".to_owned())]
    }

    #[test]
    fn the_window_is_inside_of_backup_mode() {
        let held = hold(&expected(), &mut Fake::default()).unwrap();
        assert_eq!(held.window, Window { begin_done: 101, end_sent: 200 });
        assert_eq!((held.begin_scn, held.ended.unwrap().scn), (100, 200));
        assert!(held.broken.is_none() && held.taken == Some(true));
    }

    #[test]
    fn nothing_is_taken_before_every_file_is_active() {
        let mut fake = Fake { not_active: true, ..Fake::default() };
        let held = hold(&expected(), &mut fake).unwrap();
        assert_eq!(fake.done, ["begin", "end"]);
        assert!(held.broken.unwrap().contains("does not show datafile 4"));
        let held = hold(&[(9, "/u05/9".to_owned())], &mut Fake::default()).unwrap();
        assert!(held.broken.unwrap().contains("does not know datafile 9"));
    }

    #[test]
    fn backup_mode_that_somebody_ended_is_no_backup_mode() {
        let held = hold(&expected(), &mut Fake { ended_by_somebody: true, ..Fake::default() }).unwrap();
        assert!(held.broken.unwrap().contains("did not stay in backup mode"));
    }

    proptest! {
        #[test]
        fn every_begin_has_its_end_wherever_it_fails(place in 0_usize..4, not_active: bool, ended_by_somebody: bool) {
            let fails = ["begin", "take", "end"].get(place).copied();
            let mut fake = Fake { fails, not_active, ended_by_somebody, ..Fake::default() };
            let result = hold(&expected(), &mut fake);
            let count = |deed| fake.done.iter().filter(|d| **d == deed).count();
            prop_assert_eq!(count("begin"), 1);
            prop_assert_eq!(count("end"), usize::from(fails != Some("begin")));
            prop_assert_eq!(result.is_err(), fails == Some("begin"));
            if let Ok(held) = result {
                let good = fails != Some("end") && !not_active && !ended_by_somebody;
                prop_assert_eq!(held.broken.is_none(), good);
                prop_assert_eq!(held.ended.is_err(), fails == Some("end"));
            }
        }
    }
}
