//! RMAN's work on an instance: backup, restore, recovery, and what the control file keeps of it.

use std::{path::PathBuf, sync::Arc};

use super::Instance;
use crate::{
    engine::{OraError, State},
    pieces::api::{Answer, Failure, Request, Step},
    pieces::records::PieceStatus,
};

mod backup;
mod catalog;
mod control;
mod maintain;
mod messages;
mod pieces;
mod place;
mod recover;
mod restore;
mod set;
mod settings;
mod status;
mod until;

/// Something that takes more than one answer.
pub(super) trait Job: std::fmt::Debug + Send {
    fn next(&mut self, instance: &Arc<Instance>, tally: &mut Tally) -> Step;
}

/// What a session's commands have done so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Bytes read and written by the command that runs.
    input: u64,
    output: u64,
    /// RECID and STAMP of the session in V$RMAN_STATUS; 0 before there is a control file.
    recid: u32,
    stamp: u32,
    autobackup: bool,
    /// SET CONTROLFILE AUTOBACKUP FORMAT.
    autobackup_format: Option<String>,
    /// The server process has died in the middle of it.
    died: bool,
    /// Files that were restored under another name and not switched to yet.
    newnames: Vec<(u32, PathBuf)>,
}

/// What the engine keeps of an RMAN session between two requests.
#[derive(Debug, Default)]
pub struct Session {
    job: Option<Box<dyn Job>>,
    tally: Tally,
    command_id: String,
    /// RECID of the running command in V$RMAN_STATUS, and what it is when there is no control file yet.
    command: Option<u32>,
    pending: Option<(String, Option<String>)>,
}

fn answer(step: Step) -> Answer {
    Answer::Step(step)
}

impl Instance {
    fn begin_job(
        self: &Arc<Self>,
        session: &mut Session,
        job: Result<Box<dyn Job>, Failure>,
    ) -> Result<Answer, OraError> {
        match job {
            Err(failure) => Ok(answer(Step::failed(Vec::new(), failure))),
            Ok(job) => {
                session.job = Some(job);
                self.go_on_with(session)
            }
        }
    }

    fn go_on_with(self: &Arc<Self>, session: &mut Session) -> Result<Answer, OraError> {
        let Some(mut job) = session.job.take() else { return Ok(answer(Step::last(Vec::new()))) };
        let step = job.next(self, &mut session.tally);
        if session.tally.died {
            session.tally.died = false;
            return Err(OraError::new(3113, "end-of-file on communication channel"));
        }
        if !step.done {
            session.job = Some(job);
        }
        Ok(answer(step))
    }

    /// Answers one request of RMAN.
    ///
    /// # Errors
    /// When the instance is not in the state that the request needs.
    pub fn rman(self: &Arc<Self>, session: &mut Session, request: &Request) -> Result<Answer, OraError> {
        if !matches!(request, Request::Next | Request::Output(_)) {
            session.job = None;
        }
        self.lock().enter_session(session);
        fn boxed<J: Job + 'static>(job: J) -> Box<dyn Job> {
            Box::new(job)
        }
        match request {
            Request::Session { command_id } => {
                session.command_id.clone_from(command_id);
                if command_id.is_empty() {
                    session.command_id = crate::oratime::now().format("%Y-%m-%dT%H:%M:%S").to_string();
                }
                self.lock().enter_session(session);
                return Ok(Answer::Ok);
            }
            Request::CommandId(id) => {
                session.command_id.clone_from(id);
                self.lock().note_command_id(session);
                return Ok(Answer::Ok);
            }
            Request::AutobackupFormat(format) => {
                session.tally.autobackup_format.clone_from(format);
                return Ok(Answer::Ok);
            }
            Request::Begin { operation, object_type } => {
                self.lock().begin_command(session, operation, object_type.clone());
                return Ok(Answer::Ok);
            }
            Request::End(how) => {
                self.lock().end_command(session, *how);
                return Ok(Answer::Ok);
            }
            Request::Finish(how) => {
                self.lock().end_session(session, *how);
                return Ok(Answer::Ok);
            }
            Request::Output(lines) => {
                self.lock().note_output(session, lines);
                return Ok(Answer::Ok);
            }
            Request::Next => return self.go_on_with(session),
            Request::RestoreControlfile { from, to, mode } => {
                return Ok(answer(self.restore_controlfile(from, to.as_deref(), *mode, &mut session.tally)));
            }
            Request::RestoreSpfile { from, to, mode, pfile: _ } => {
                return Ok(answer(self.restore_spfile(from, to.as_deref(), *mode)));
            }
            _ => {}
        }
        match self.lock().state {
            State::Down => return Err(OraError::new(1034, "ORACLE not available")),
            State::Nomount => return Err(super::not_mounted()),
            _ => {}
        }
        if let Request::Backup(r) = request {
            self.lock().note_object_type(session, r);
        }
        Ok(match request {
            Request::Backup(r) => {
                return self.begin_job(session, backup::BackupJob::plan(self, r).map(boxed))
            }
            Request::Restore(r) => {
                return self.begin_job(session, restore::RestoreJob::plan(self, r).map(boxed))
            }
            Request::RestoreLogs { logs, to, mode, channels: _ } => {
                let job = restore::RestoreLogsJob::plan(self, logs, to.clone(), *mode);
                return self.begin_job(session, job.map(boxed));
            }
            Request::Recover(r) => {
                return self.begin_job(session, recover::RecoverJob::plan(self, r).map(boxed))
            }
            Request::Switch(files) => answer(self.switch_files(session, files)),
            Request::CatalogPrefix { prefix, apply } => answer(self.catalog_prefix(prefix, *apply)),
            Request::CatalogPiece(path) => {
                answer(self.catalog_path(path, crate::pieces::api::Kind::Piece, None))
            }
            Request::CatalogLog(path) => answer(self.catalog_path(path, crate::pieces::api::Kind::Log, None)),
            Request::CatalogCopy { path, tag, .. } => {
                answer(self.catalog_path(path, crate::pieces::api::Kind::Copy, tag.as_deref()))
            }
            Request::CrosscheckBackups(wanted) => answer(self.rman_crosscheck(wanted)),
            Request::CrosscheckLogs(wanted) => answer(self.rman_crosscheck_logs(wanted)),
            Request::CrosscheckCopies => answer(self.rman_crosscheck_copies()),
            Request::Delete { what, apply } => answer(self.rman_delete(what, *apply)),
            Request::Uncatalog(wanted) => answer(self.rman_change(wanted, PieceStatus::Deleted)),
            Request::Unavailable(wanted) => answer(self.rman_change(wanted, PieceStatus::Unavailable)),
            Request::Available(wanted) => answer(self.rman_change(wanted, PieceStatus::Available)),
            Request::ValidateSets(keys) => answer(self.rman_validate(keys)),
            Request::Configure { name, value } => answer(self.configure(name, value.as_deref())),
            Request::Show => self.show(),
            Request::List => self.list_backups(),
            Request::Obsolete { redundancy, window_days } => {
                let what = crate::pieces::api::Delete::Obsolete {
                    redundancy: *redundancy,
                    window_days: *window_days,
                };
                answer(self.rman_delete(&what, false))
            }
            Request::NeedBackup => self.need_backup(),
            Request::ResetIncarnation(number) => answer(self.reset_incarnation(*number)),
            Request::Session { .. }
            | Request::CommandId(_)
            | Request::AutobackupFormat(_)
            | Request::Begin { .. }
            | Request::End(_)
            | Request::Finish(_)
            | Request::Output(_)
            | Request::Next
            | Request::RestoreControlfile { .. }
            | Request::RestoreSpfile { .. } => Answer::Ok,
        })
    }
}
