//! V$RMAN_STATUS and V$RMAN_OUTPUT: what a session did and how it ended.

use super::Session;
use crate::{
    instance::Inner,
    oratime,
    pieces::{
        api::{Backup, Ended, Files, What},
        records::Status,
    },
};

fn word(how: Ended) -> &'static str {
    match how {
        Ended::Completed => "COMPLETED",
        Ended::Warnings => "COMPLETED WITH WARNINGS",
        Ended::Errors => "COMPLETED WITH ERRORS",
        Ended::Failed => "FAILED",
    }
}

/// V$RMAN_STATUS.OBJECT_TYPE of a BACKUP.
fn object_type(backup: &Backup) -> &'static str {
    let incremental = backup.level.is_some();
    let whole = backup.what.iter().any(|w| matches!(w, What::Files(Files::Database)));
    let files = backup.what.iter().any(|w| matches!(w, What::Files(_)));
    match (whole, files, incremental) {
        (true, _, true) => "DB INCR",
        (true, _, false) => "DB FULL",
        (_, true, true) => "DATAFILE INCR",
        (_, true, false) => "DATAFILE FULL",
        _ if backup.what.iter().any(|w| matches!(w, What::Logs(_))) => "ARCHIVELOG",
        _ if backup.what.iter().any(|w| matches!(w, What::CurrentControlfile)) => "CONTROLFILE",
        _ => "SPFILE",
    }
}

impl Inner {
    fn status(&mut self, recid: u32) -> Option<&mut Status> {
        let control = self.control_mut().ok()?;
        control.rman.statuses.iter_mut().find(|s| s.recid == recid)
    }

    fn row(&self, session: &Session, operation: &str, level: u32) -> Status {
        let now = oratime::now();
        let parent = (level > 0).then_some(session.tally.recid);
        Status {
            recid: 0,
            stamp: oratime::pack(now),
            parent_recid: parent,
            parent_stamp: (level > 0).then_some(session.tally.stamp),
            session_recid: session.tally.recid,
            session_stamp: session.tally.stamp,
            row_level: level,
            row_type: if level == 0 { "SESSION" } else { "COMMAND" }.to_owned(),
            command_id: session.command_id.clone(),
            operation: operation.to_owned(),
            status: "RUNNING".to_owned(),
            start: now,
            end: None,
            input_bytes: 0,
            output_bytes: 0,
            object_type: None,
            autobackup_done: false,
        }
    }

    /// The session's row, as soon as there is a control file that can have it. A restored control file gets a new one.
    pub(super) fn enter_session(&mut self, session: &mut Session) {
        if session.command_id.is_empty() {
            return;
        }
        let known = session.tally.recid != 0 && self.status(session.tally.recid).is_some();
        if known || self.control.is_none() {
            return;
        }
        let mut row = self.row(session, "RMAN", 0);
        let Ok(control) = self.control_mut() else { return };
        row.recid = control.rman.recid();
        row.session_recid = row.recid;
        row.session_stamp = row.stamp;
        session.tally.recid = row.recid;
        session.tally.stamp = row.stamp;
        control.rman.statuses.push(row);
        if let Some((operation, object_type)) = session.pending.take() {
            self.begin_command(session, &operation, object_type);
        }
    }

    pub(super) fn note_command_id(&mut self, session: &Session) {
        let id = session.command_id.clone();
        if let Some(row) = self.status(session.tally.recid) {
            row.command_id = id;
        }
    }

    pub(super) fn begin_command(&mut self, session: &mut Session, operation: &str, object: Option<String>) {
        session.tally.input = 0;
        session.tally.output = 0;
        session.tally.autobackup = false;
        session.command = None;
        if session.tally.recid == 0 || self.control.is_none() {
            session.pending = Some((operation.to_owned(), object));
            return;
        }
        let mut row = self.row(session, operation, 1);
        row.object_type = object;
        let Ok(control) = self.control_mut() else { return };
        row.recid = control.rman.recid();
        session.command = Some(row.recid);
        control.rman.statuses.push(row);
        // A row that is lost with the instance says nothing wrong.
        let _ = self.save_control();
    }

    pub(super) fn note_object_type(&mut self, session: &Session, backup: &Backup) {
        if let Some(row) = session.command.and_then(|c| self.status(c)) {
            row.object_type.get_or_insert_with(|| object_type(backup).to_owned());
        }
    }

    pub(super) fn end_command(&mut self, session: &mut Session, how: Ended) {
        session.pending = None;
        let (input, output, autobackup) =
            (session.tally.input, session.tally.output, session.tally.autobackup);
        let Some(recid) = session.command.take() else { return };
        if let Some(row) = self.status(recid) {
            row.status = word(how).to_owned();
            row.end = Some(oratime::now());
            row.input_bytes = input;
            row.output_bytes = output;
            row.autobackup_done = autobackup;
        }
        if let Some(row) = self.status(session.tally.recid) {
            row.input_bytes += input;
            row.output_bytes += output;
        }
        let _ = self.save_control();
    }

    pub(super) fn end_session(&mut self, session: &mut Session, how: Ended) {
        if session.command.is_some() {
            self.end_command(session, how);
        }
        if let Some(row) = self.status(session.tally.recid) {
            row.status = word(how).to_owned();
            row.end = Some(oratime::now());
            let _ = self.save_control();
        }
    }

    pub(super) fn note_output(&mut self, session: &Session, lines: &[String]) {
        let command = session.command.unwrap_or(session.tally.recid);
        let own = (command, session.tally.stamp, session.tally.recid, session.tally.stamp);
        self.rman_output.extend(lines.iter().map(|l| (own.0, own.1, own.2, own.3, l.clone())));
    }
}
