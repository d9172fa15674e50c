//! The retention from facts to deeds, on the local side and on each copy.

use std::path::{Path, PathBuf};

use anyhow::Context;
use common::record::{Kept, Log, Planned, Removed};

use crate::facts::{Question, Seen, Survey, Worth};
use crate::job::{Answer, Job, Place, Victim};
use crate::plan::{plan, Backup, Decision, Fate, State};
use crate::run::Session;

/// A directory of archives and what is in it.
pub struct Side {
    pub place: Place,
    /// Worked in by a child.
    pub is_copy: bool,
    pub survey: Survey,
}

/// How it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub kept: u64,
    pub removed: u64,
    pub damaged: u64,
}

/// Looks at a directory. The newest good archives of which no proof is known are read in full.
pub fn survey(session: &mut Session<'_>, place: Place, is_copy: bool) -> anyhow::Result<Side> {
    let question = Question {
        template: session.cli.name.clone(),
        db: session.db.clone(),
        prove: session.policy.min.max(1) as usize,
        known: session.store.of(&place.dir),
        today: session.today(),
        now: session.started.timestamp(),
    };
    let dir = place.dir.clone();
    let answer = session.perform(&Job::Survey { place: place.clone(), question }, is_copy);
    let Answer::Survey(survey) =
        answer.with_context(|| format!("look at the archives in {}", dir.display()))?
    else {
        anyhow::bail!("the child answered another question");
    };
    session.store.set(&dir, &survey.marks)?;
    Ok(Side { place, is_copy, survey })
}

/// What becomes of the files of a side; `new` is an archive that a dry run has not made.
pub fn decide(session: &Session<'_>, side: &Side, new: Option<Backup>) -> Vec<Decision> {
    let backups = side.survey.seen.iter().map(|s| s.backup(&session.names));
    let mut backups: Vec<_> = backups.filter(|b| new.as_ref().is_none_or(|n| n.name != b.name)).collect();
    backups.extend(new);
    plan(&backups, session.policy, session.today())
}

/// Removes what is to go, and writes a record for each file.
pub fn rotate(session: &mut Session<'_>, side: &Side) -> anyhow::Result<Tally> {
    let decisions = decide(session, side, None);
    let today = session.today();
    let mut tally = Tally::default();
    let mut victims = Vec::new();
    for decision in &decisions {
        let path = text(&side.place.dir.join(&decision.backup.name));
        if decision.backup.state == State::Damaged {
            tally.damaged += 1;
            let why = damage(side, &decision.backup.name);
            session.warn(&format!("{path} is damaged and counts for nothing: {why}"))?;
        }
        match decision.fate {
            Fate::Kept => {
                tally.kept += 1;
                session.frame.out.emit(&Kept {
                    reason: decision.reason.clone(),
                    path: Some(path),
                    snapshot: None,
                    bytes: Some(decision.backup.bytes),
                    age: Some(decision.age(today)),
                })?;
            }
            Fate::Removed => victims.extend(seen(side, &decision.backup.name).map(|s| Victim {
                name: s.name.clone(),
                bytes: s.bytes,
                mtime: s.mtime,
            })),
        }
    }
    if victims.is_empty() {
        return Ok(tally);
    }
    let dir = side.place.dir.clone();
    let job = Job::Remove { place: side.place.clone(), victims };
    let mut gone = Vec::new();
    // Whatever ended it: what is gone has its record first.
    let ended = session.perform_and_note(&job, side.is_copy, &mut |name| gone.push(name));
    let mut marks = session.store.of(&dir);
    for name in &gone {
        marks.remove(name);
        let Some(decision) = decisions.iter().find(|d| d.backup.name == *name) else { continue };
        tally.removed += 1;
        let path = text(&dir.join(name));
        session.log.info(&format!("removed {path}: {}", decision.reason));
        session.frame.out.emit(&Removed {
            reason: decision.reason.clone(),
            path: Some(path),
            snapshot: None,
            bytes: Some(decision.backup.bytes),
            age: Some(decision.age(today)),
        })?;
    }
    session.store.set(&dir, &marks)?;
    match ended.with_context(|| format!("remove old archives in {}", dir.display()))? {
        Answer::Removed => Ok(tally),
        _ => anyhow::bail!("the child answered another question"),
    }
}

/// Prints what [`rotate`] would do.
pub fn rehearse(session: &Session<'_>, side: &Side, new: Option<Backup>) -> anyhow::Result<()> {
    for decision in decide(session, side, new) {
        let action = match decision.fate {
            Fate::Kept => "keep",
            Fate::Removed => "remove",
        };
        session.frame.out.emit(&Planned {
            action: action.to_owned(),
            reason: decision.reason.clone(),
            path: Some(text(&side.place.dir.join(&decision.backup.name))),
            bytes: Some(decision.backup.bytes),
            ..Planned::default()
        })?;
    }
    Ok(())
}

fn seen<'a>(side: &'a Side, name: &str) -> Option<&'a Seen> {
    side.survey.seen.iter().find(|s| s.name == name)
}

fn damage(side: &Side, name: &str) -> String {
    match seen(side, name).map(|s| &s.worth) {
        Some(Worth::Damaged(why)) => why.clone(),
        _ => "it cannot be read".to_owned(),
    }
}

/// The archives of a side that stay, are good, and were read in full; newest first.
pub fn proven(session: &Session<'_>, side: &Side) -> Vec<PathBuf> {
    let stays = decide(session, side, None).into_iter().filter(|d| d.fate == Fate::Kept);
    stays
        .filter(|d| d.backup.state == State::Good && side.survey.marks.contains_key(&d.backup.name))
        .map(|d| side.place.dir.join(d.backup.name))
        .collect()
}

/// A path as records have it.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Session<'_> {
    /// To the log, to standard error and into the records.
    pub fn warn(&self, message: &str) -> anyhow::Result<()> {
        self.log.warning(message);
        self.frame.out.emit(&Log::warning(message))
    }
}
