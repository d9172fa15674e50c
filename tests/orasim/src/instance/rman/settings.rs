//! CONFIGURE, SHOW, LIST, SWITCH, RESET DATABASE.

use std::collections::BTreeSet;

use super::{messages::failed, Session};
use crate::{
    instance::{Inner, Instance},
    pieces::{
        api::{Answer, Event, Facts, Failure, Message, Step},
        records::PieceStatus,
        select::Choice,
    },
};

/// SHOW ALL's order and what holds without CONFIGURE. Names are those of V$RMAN_CONFIGURATION.
fn defaults(inner: &Inner) -> Vec<(&'static str, String)> {
    let snapshot = inner.dir.join("dbs").join(format!("snapcf_{}.f", inner.spec.sid));
    vec![
        ("RETENTION POLICY", "TO REDUNDANCY 1".into()),
        ("BACKUP OPTIMIZATION", "OFF".into()),
        ("DEFAULT DEVICE TYPE TO", "DISK".into()),
        ("CONTROLFILE AUTOBACKUP", "ON".into()),
        ("CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE", "DISK TO '%F'".into()),
        ("DEVICE TYPE", "DISK PARALLELISM 1 BACKUP TYPE TO BACKUPSET".into()),
        ("DATAFILE BACKUP COPIES FOR DEVICE TYPE", "DISK TO 1".into()),
        ("ARCHIVELOG BACKUP COPIES FOR DEVICE TYPE", "DISK TO 1".into()),
        ("MAXSETSIZE TO", "UNLIMITED".into()),
        ("ENCRYPTION FOR DATABASE", "OFF".into()),
        ("ENCRYPTION ALGORITHM", "'AES128'".into()),
        ("COMPRESSION ALGORITHM", "'BASIC' AS OF RELEASE 'DEFAULT' OPTIMIZE FOR LOAD TRUE".into()),
        ("RMAN OUTPUT TO", "KEEP FOR 7 DAYS".into()),
        ("ARCHIVELOG DELETION POLICY", "TO NONE".into()),
        ("SNAPSHOT CONTROLFILE NAME", format!("TO '{}'", snapshot.display())),
    ]
}

impl Inner {
    /// All settings as SHOW ALL has them: name, value, whether it is the default.
    fn settings(&self) -> Vec<(String, String, bool)> {
        let own = self.control.as_ref().map(|c| c.data.rman.configuration.clone()).unwrap_or_default();
        let mut out: Vec<(String, String, bool)> = Vec::new();
        for (name, value) in defaults(self) {
            match own.get(name) {
                Some(set) => out.push((name.to_owned(), set.clone(), false)),
                None => out.push((name.to_owned(), value, true)),
            }
        }
        for (name, value) in own {
            if !out.iter().any(|(n, _, _)| *n == name) {
                out.push((name, value, false));
            }
        }
        out
    }
}

impl Instance {
    pub(super) fn configure(&self, name: &str, value: Option<&str>) -> Step {
        let mut inner = self.lock();
        let name = name.to_uppercase();
        let control = match inner.control_mut() {
            Ok(control) => control,
            Err(e) => return Step::failed(Vec::new(), failed(&crate::instance::io_error(&e))),
        };
        let old = match value {
            Some(value) => control.rman.configuration.insert(name, value.to_owned()),
            None => control.rman.configuration.remove(&name),
        };
        match inner.save_control() {
            Ok(()) => Step::last(vec![Event::Configured { old, new: value.map(str::to_owned) }]),
            Err(e) => Step::failed(Vec::new(), failed(&crate::instance::io_error(&e))),
        }
    }

    pub(super) fn show(&self) -> Answer {
        let inner = self.lock();
        Answer::Facts(Box::new(Facts {
            configuration: inner.settings(),
            unique_name: inner.unique_name(),
            ..Facts::default()
        }))
    }

    pub(super) fn list_backups(&self) -> Answer {
        let inner = self.lock();
        let Some(control) = inner.control.as_ref().map(|c| &c.data) else {
            return Answer::Facts(Box::default());
        };
        let there = |p: &&crate::pieces::records::Piece| p.status != PieceStatus::Deleted;
        let pieces: Vec<_> = control.rman.pieces.iter().filter(there).cloned().collect();
        let with_pieces: BTreeSet<(u32, u32)> = pieces.iter().map(|p| (p.set_stamp, p.set_count)).collect();
        let sets = control.rman.sets.iter().filter(|s| with_pieces.contains(&(s.set_stamp, s.set_count)));
        Answer::Facts(Box::new(Facts {
            sets: sets.cloned().collect(),
            pieces,
            copies: control.rman.copies.clone(),
            configuration: inner.settings(),
            unique_name: inner.unique_name(),
        }))
    }

    pub(super) fn need_backup(&self) -> Answer {
        let inner = self.lock();
        let Some(control) = inner.control.as_ref().map(|c| &c.data) else {
            return Answer::Numbers(Vec::new());
        };
        let lineage = control.lineage();
        let none = BTreeSet::new();
        let choice = Choice {
            records: &control.rman,
            lineage: &lineage,
            until: u64::MAX,
            until_time: None,
            tag: None,
            failed: &none,
        };
        let files = control.datafiles.iter().filter(|f| choice.base(f.file, f.creation_scn).is_none());
        Answer::Numbers(files.map(|f| f.file).collect())
    }

    /// SWITCH DATAFILE: the control file takes the names under which files were restored.
    pub(super) fn switch_files(&self, session: &mut Session, files: &[u32]) -> Step {
        let mut inner = self.lock();
        let mut events = Vec::new();
        let (now, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut session.tally.newnames)
            .into_iter()
            .partition(|(n, _)| files.is_empty() || files.contains(n));
        session.tally.newnames = rest;
        let control = match inner.control_mut() {
            Ok(control) => control,
            Err(e) => return Step::failed(Vec::new(), failed(&crate::instance::io_error(&e))),
        };
        for (file, path) in now {
            let recid = control.rman.recid();
            if let Some(rec) = control.datafile_mut(file) {
                rec.path.clone_from(&path);
                rec.identity = None;
            }
            let stamp = crate::oratime::pack(crate::oratime::now());
            events.push(Event::Switched { file, path, recid, stamp });
        }
        match inner.save_control() {
            Ok(()) => Step::last(events),
            Err(e) => Step::failed(events, failed(&crate::instance::io_error(&e))),
        }
    }

    pub(super) fn reset_incarnation(&self, number: u32) -> Step {
        let mut inner = self.lock();
        let open = inner.state != crate::engine::State::Mounted;
        let control = match inner.control_mut() {
            Ok(control) => control,
            Err(e) => return Step::failed(Vec::new(), failed(&crate::instance::io_error(&e))),
        };
        let fail = |code, text: &str| Step::failed(Vec::new(), Failure::new(vec![Message::rman(code, text)]));
        if open {
            return fail(6189, "current DBID does not match target mounted database");
        }
        if !control.incarnations.iter().any(|i| i.number == number) {
            return fail(20009, "database incarnation already registered or unknown");
        }
        for i in &mut control.incarnations {
            i.current = i.number == number;
        }
        // The files that come from before the RESETLOGS can only be opened with another one.
        control.kind = crate::controlfile::Kind::Backup;
        match inner.save_control() {
            Ok(()) => Step::last(Vec::new()),
            Err(e) => Step::failed(Vec::new(), failed(&crate::instance::io_error(&e))),
        }
    }
}
