//! Which log a recovery needs next, where it looks for it, and what it finds wrong with what lies there.

use std::path::{Path, PathBuf};

use super::{archiver::archive_name, life::NO_SUCH_FILE, Inner};
use crate::{
    controlfile::{Identity, LogStatus},
    engine::OraError,
    oratime,
    redolog::{self, Log, LogError, LogHeader},
};

/// What recovery stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) thread: u16,
    /// Everything of the thread below is applied.
    pub(super) scn: u64,
    pub(super) sequence: u32,
    /// Oracle time at which that change was made, as far as known.
    pub(super) time: u32,
    /// RESETLOGS_CHANGE# of the incarnation that wrote it.
    pub(super) resetlogs: u64,
}

fn about(error: OraError, path: &Path) -> OraError {
    error.then(334, format!("archived log: '{}'", path.display()))
}

pub(super) fn cannot_open(path: &Path) -> OraError {
    OraError::new(308, format!("cannot open archived log '{}'", path.display())).then(27037, NO_SUCH_FILE)
}

/// A log file that is bad whoever wants it.
pub(super) fn log_error(e: &LogError, path: &Path, scn: u64) -> OraError {
    match e {
        LogError::NotFound => cannot_open(path),
        LogError::Io(io) => OraError::new(308, format!("cannot open archived log '{}'", path.display()))
            .then(27041, format!("unable to open file\nLinux-x86_64 Error: {io}")),
        LogError::Foreign => OraError::new(308, format!("cannot open archived log '{}'", path.display()))
            .then(27047, "unable to read the header block of file\nAdditional information: 2"),
        LogError::HeaderSum => about(OraError::new(367, "checksum error in log file header"), path),
        LogError::TooSmall => {
            about(OraError::new(332, "archived log is too small - may be incompletely archived"), path)
        }
        LogError::Block(n) => about(
            OraError::new(354, "corrupt redo log block header").then(
                353,
                format!(
                    "log corruption near block {n} change {scn} time {}",
                    date(oratime::pack(oratime::now()))
                ),
            ),
            path,
        ),
    }
}

/// As ORA-00279 prints times.
pub(super) fn date(time: u32) -> String {
    oratime::unpack(time)
        .map_or_else(|| "01/01/1988 00:00:00".to_owned(), |t| t.format("%m/%d/%Y %H:%M:%S").to_string())
}

impl Inner {
    /// The sequence of the log that contains `scn`, as far as the control file and the file headers tell.
    pub(super) fn sequence_at(&self, thread: u16, scn: u64) -> u32 {
        let Some(control) = self.control.as_ref().map(|c| &c.data) else { return 0 };
        let Some(incarnation) = control.incarnation_at(scn) else { return 0 };
        let current = control.incarnation().map(|i| i.resetlogs_scn) == Some(incarnation.resetlogs_scn);
        let ours = |resetlogs: u64| resetlogs == incarnation.resetlogs_scn;
        let history = control
            .history
            .iter()
            .filter(|h| h.thread == thread && ours(h.resetlogs_scn))
            .map(|h| (h.sequence, h.first_scn, h.next_scn));
        let archived = control
            .archived
            .iter()
            .filter(|a| a.thread == thread && ours(a.resetlogs_scn))
            .map(|a| (a.sequence, a.first_scn, a.next_scn));
        let online = control
            .logs
            .iter()
            .filter(|l| current && l.thread == thread && l.status != LogStatus::Unused)
            .map(|l| (l.sequence, l.first_scn, l.next_scn.unwrap_or(redolog::OPEN_SCN)));
        let known: Vec<(u32, u64, u64)> = history.chain(archived).chain(online).collect();
        // The current log of an old control file has ended since: only ends that are known count.
        let ended = || known.iter().filter(|(_, _, next)| *next != redolog::OPEN_SCN);
        if let Some((sequence, _, _)) = ended().find(|(_, first, next)| *first <= scn && scn < *next) {
            return *sequence;
        }
        if let Some(before) = ended().filter(|(_, _, next)| *next <= scn).map(|(s, _, _)| s + 1).max() {
            return before;
        }
        let open = known.iter().filter(|(_, first, _)| *first <= scn).map(|(s, _, _)| *s).max();
        open.unwrap_or_else(|| {
            known.iter().map(|(s, _, _)| *s).min().map_or(1, |s| s.saturating_sub(1).max(1))
        })
    }

    /// The name under which LOG_ARCHIVE_DEST_1 and LOG_ARCHIVE_FORMAT, or the directory of FROM, would have the log.
    pub(super) fn suggestion(&self, need: &Need, from: Option<&Path>) -> PathBuf {
        let (resetlogs_id, dbid, activation) = self
            .control
            .as_ref()
            .map(|c| {
                let written = c.data.incarnations.iter().find(|i| i.resetlogs_scn == need.resetlogs);
                (written.map_or(0, |i| i.resetlogs_id), c.data.dbid, c.data.activation)
            })
            .unwrap_or_default();
        let format = &self.spec.log_archive_format;
        let name = archive_name(format, need.thread, need.sequence, resetlogs_id, dbid, activation);
        if let Some(directory) = from {
            return directory.join(name);
        }
        let dest = self.dests().into_iter().filter(|d| d.directory.is_some()).min_by_key(|d| d.id);
        match dest {
            Some(dest) if dest.omf => {
                let unique = self.spec.unique_name.as_ref().unwrap_or(&self.spec.name).to_uppercase();
                let day = oratime::now().format("%Y_%m_%d").to_string();
                let directory = dest.directory.unwrap_or_default().join(unique).join("archivelog").join(day);
                // Nobody knows the eight characters: the suggestion is never the name of a file.
                directory.join(format!("o1_mf_{}_{}_%u_.arc", need.thread, need.sequence))
            }
            Some(dest) => dest.directory.unwrap_or_default().join(name),
            None => self.dir.join("dbs").join(name),
        }
    }

    /// A log that was registered or catalogued and whose file is there.
    pub(super) fn cataloged(&self, need: &Need) -> Option<PathBuf> {
        let control = &self.control.as_ref()?.data;
        let resetlogs = need.resetlogs;
        control
            .archived
            .iter()
            .rev()
            .filter(|a| {
                (a.thread, a.sequence, a.resetlogs_scn) == (need.thread, need.sequence, resetlogs)
                    && !a.deleted
                    && !a.standby_dest
            })
            .filter_map(|a| Some((PathBuf::from(a.name.as_ref()?), a.identity)))
            // The primary's own file would be on another host.
            .find(|(p, own)| p.exists() && (own.is_none() || Identity::of(p) != *own))
            .map(|(p, _)| p)
    }

    /// An online log at one of the control file's paths that holds the needed redo. It is used without a word.
    pub(super) fn online_log(&self, need: &Need) -> Option<(Log, PathBuf)> {
        let control = &self.control.as_ref()?.data;
        let resetlogs = need.resetlogs;
        for log in control.logs.iter().filter(|l| l.thread == need.thread) {
            // The primary's own log would be on another host.
            if log.identity.is_some() && Identity::of(&log.path) == log.identity {
                continue;
            }
            let Ok(header) = redolog::read_header(&log.path) else { continue };
            let fits = header.dbid == control.dbid
                && header.thread == need.thread
                && header.sequence == need.sequence
                && header.resetlogs_scn == resetlogs
                && header.low_scn <= need.scn
                && need.scn < header.next_scn;
            if fits {
                if let Ok(read) = Log::read_online(&log.path) {
                    return Some((read, log.path.clone()));
                }
            }
        }
        None
    }

    /// Reads a file as the needed log, or says what is wrong with it.
    pub(super) fn read_needed(&self, path: &Path, need: &Need) -> Result<Log, OraError> {
        let header = redolog::read_header(path).map_err(|e| log_error(&e, path, need.scn))?;
        self.check_header(&header, path, need)?;
        Log::read(path).map_err(|e| log_error(&e, path, need.scn))
    }

    fn check_header(&self, header: &LogHeader, path: &Path, need: &Need) -> Result<(), OraError> {
        let control = self.control()?;
        let wrong = |code: u32, text: String| Err(about(OraError::new(code, text), path));
        let resetlogs = need.resetlogs;
        if header.dbid != control.dbid {
            return wrong(309, "log belongs to wrong database".to_owned());
        }
        if header.thread != need.thread {
            return wrong(
                325,
                format!(
                    "archived log for thread {}, wrong thread # {} in header",
                    need.thread, header.thread
                ),
            );
        }
        if header.sequence != need.sequence {
            return wrong(
                310,
                format!(
                    "archived log contains sequence {}; sequence {} required",
                    header.sequence, need.sequence
                ),
            );
        }
        if header.resetlogs_scn != resetlogs {
            return wrong(342, format!("archived log does not have expected resetlogs SCN {resetlogs}"));
        }
        if header.low_scn > need.scn {
            return wrong(
                326,
                format!("log begins at change {} need earlier change {}", header.low_scn, need.scn),
            );
        }
        if header.next_scn != redolog::OPEN_SCN && header.next_scn <= need.scn {
            return wrong(
                328,
                format!("archived log ends at change {} need later change {}", header.next_scn, need.scn),
            );
        }
        Ok(())
    }
}
