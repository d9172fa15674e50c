//! What the engine tells, in RMAN's words.

mod backup;
mod restore;

use std::path::Path;

use chrono::NaiveDateTime;

use super::out::Out;
use super::session::Channel;
use super::stack::{message, Failed};
use crate::pieces::api::{Event, Kind, Message, Object, Skipped};
use crate::sql::format_date;
use crate::sql::nls::Nls;

/// Which sentences a job uses for the same events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Backup,
    /// VALIDATE DATABASE, which reads what BACKUP would.
    Validate,
    Restore,
    /// Pieces are read and nothing is written.
    RestoreValidate,
    /// RESTORE CONTROLFILE and SPFILE.
    Small,
    Other,
}

/// One row of "List of Datafiles" and the like, which come after their set.
enum Row {
    File(String),
    Log(String),
}

pub struct Printer {
    style: Style,
    nls: Nls,
    /// `warning:` since 18c, `WARNING:` before.
    warning: &'static str,
    channels: Vec<String>,
    rows: Vec<Row>,
    /// The autobackup that was found.
    autobackup: Option<String>,
    /// "Starting media recovery" has been said: a blank line follows before logs are named.
    pub finished: bool,
    pub warned: bool,
    /// Backup sets begun.
    pub sets: u32,
    pub skipped: bool,
    pub found: Vec<std::path::PathBuf>,
    pub listed: Vec<Object>,
    pub cataloged: Vec<std::path::PathBuf>,
    pub refused: Vec<(std::path::PathBuf, Message)>,
    pub mismatched: Vec<Object>,
    pub counted: u32,
    pub preview: Option<Event>,
    pub configured: Option<(Option<String>, Option<String>)>,
    /// Names what ended when the autobackup begins: "Finished backup at" comes before it.
    pub command: &'static str,
    /// RESTORE CONTROLFILE: seconds of the restore come before the names of the files.
    small: bool,
}

pub fn elapsed(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn show(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Printer {
    pub fn new(style: Style, nls: &Nls, major: u32) -> Self {
        Self {
            style,
            nls: nls.clone(),
            warning: if major >= 18 { "warning:" } else { "WARNING:" },
            channels: vec![],
            rows: vec![],
            autobackup: None,
            finished: false,
            warned: false,
            sets: 0,
            skipped: false,
            found: vec![],
            listed: vec![],
            cataloged: vec![],
            refused: vec![],
            mismatched: vec![],
            counted: 0,
            preview: None,
            configured: None,
            command: "",
            small: style == Style::Small,
        }
    }

    pub fn name_channels(&mut self, channels: &[Channel]) {
        self.channels = channels.iter().map(|c| c.name.clone()).collect();
    }

    fn channel(&self, n: u32) -> String {
        self.channels.get(n as usize).cloned().unwrap_or_else(|| format!("ORA_DISK_{}", n + 1))
    }

    fn date(&self, at: NaiveDateTime) -> String {
        format_date::to_char(at, &self.nls.date_format, &self.nls).unwrap_or_else(|_| at.to_string())
    }

    /// "Finished backup at", once.
    pub fn finish(&mut self, out: &Out, at: NaiveDateTime) {
        if !self.finished && !self.command.is_empty() {
            self.finished = true;
            out.line(&format!("Finished {} at {}", self.command, self.date(at)));
        }
    }

    /// Warnings have the word as the release writes it.
    pub fn warn(&mut self, out: &Out, m: &Message) {
        self.warned = true;
        let mut text = message(m);
        for word in ["WARNING:", "warning:"] {
            text = text.replace(word, self.warning);
        }
        out.line(&text);
    }

    /// The end of a job, good or bad: the tables that were collected.
    pub fn end(&mut self, out: &Out) {
        let rows = std::mem::take(&mut self.rows);
        let (files, logs): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| matches!(r, Row::File(_)));
        if !files.is_empty() {
            out.line("List of Datafiles\n=================\nFile Status Marked Corrupt Empty Blocks Blocks Examined High SCN\n---- ------ -------------- ------------ --------------- ----------");
        }
        if !logs.is_empty() && files.is_empty() {
            out.line("List of Archived Logs\n=====================\nThrd Seq     Status Blocks Failing Blocks Examined Name\n---- ------- ------ -------------- --------------- ---------------");
        }
        for row in files.iter().chain(&logs) {
            let (Row::File(text) | Row::Log(text)) = row;
            out.line(text);
        }
        if !files.is_empty() || !logs.is_empty() {
            out.blank();
        }
    }

    pub fn event(&mut self, out: &Out, event: &Event) {
        match event {
            Event::ChannelFailed(failure) => {
                let channel = self.channel(failure.channel.unwrap_or(0));
                let failed = Failed::new(self.command, Some(&channel), failure.lines.iter().map(message).collect());
                for line in &failed.lines {
                    out.line(line);
                }
                out.line("continuing other job steps, job failed will not be re-run");
            }
            Event::Message(m) => self.warn(out, m),
            Event::SkippingFile { file, reason, .. } => {
                self.skipped = true;
                out.line(&match reason {
                    Skipped::ReadOnly => format!("skipping read-only file {file}"),
                    Skipped::Offline => format!("skipping offline file {file}"),
                    Skipped::Inaccessible => format!("skipping inaccessible file {file}"),
                    Skipped::BackedUp(n) => format!("skipping datafile {file}; already backed up {n} time(s)"),
                });
            }
            Event::Compromised { tablespace } => {
                let text = format!("WARNING: skipping datafile compromises tablespace {tablespace} recoverability");
                self.warn(out, &Message::rman(6060, text));
            }
            Event::SkippingLogs { thread, from, to } => {
                self.skipped = true;
                out.line(&if from == to {
                    format!("skipping archived log of thread {thread} with sequence {from}; already backed up")
                } else {
                    format!("skipping archived logs of thread {thread} from sequence {from} to {to}; already backed up")
                });
            }
            Event::NoParent { file } => out.line(&format!("no parent backup or copy of datafile {file} found")),
            Event::NoLogs => {
                self.skipped = true;
                out.line("specification does not match any archived log in the repository");
            }
            Event::SetStart { .. }
            | Event::PieceStart { .. }
            | Event::PieceEnd { .. }
            | Event::SetEnd { .. }
            | Event::Deleting { .. }
            | Event::LogKept { .. }
            | Event::AutobackupStart { .. }
            | Event::Autobackup { .. }
            | Event::AutobackupEnd { .. }
            | Event::FileValidated { .. }
            | Event::LogValidated { .. } => self.backup(out, event),
            Event::MediaRecoveryStart
            | Event::LogOnDisk { .. }
            | Event::LogApplied { .. }
            | Event::RestoredLogDeleted { .. }
            | Event::MediaRecoveryComplete { .. }
            | Event::OracleError(_) => self.recovery(out, event),
            Event::Unknown(paths) => self.found.extend(paths.iter().cloned()),
            Event::Cataloged { path, kind, recid, stamp } => {
                self.cataloged.push(path.clone());
                // One by one; CATALOG START WITH lists them at its end.
                if self.found.is_empty() {
                    let (what, name) = match kind {
                        Kind::Piece => ("backup piece", "backup piece handle"),
                        Kind::Log => ("archived log", "archived log file name"),
                        Kind::Copy => ("datafile copy", "datafile copy file name"),
                        Kind::Controlfile => ("control file copy", "control file copy file name"),
                    };
                    out.line(&format!("cataloged {what}\n{name}={} RECID={recid} STAMP={stamp}\n", show(path)));
                }
            }
            Event::NotCataloged { path, message } => self.refused.push((path.clone(), message.clone())),
            Event::Crosschecked { object, available } => self.crosschecked(out, object, *available),
            Event::ToDelete(objects) => self.listed.extend(objects.iter().cloned()),
            Event::Deleted(object) => {
                self.counted += 1;
                let (what, line) = named(object);
                out.line(&format!("deleted {what}\n{line}"));
            }
            Event::Mismatched(object) => self.mismatched.push(object.clone()),
            Event::Configured { old, new } => self.configured = Some((old.clone(), new.clone())),
            Event::Switched { file, path, recid, stamp } => out.line(&format!(
                "datafile {file} switched to datafile copy\ninput datafile copy RECID={recid} STAMP={stamp} file name={}",
                show(path)
            )),
            Event::Preview { .. } => self.preview = Some(event.clone()),
            _ => self.restore(out, event),
        }
    }

    fn crosschecked(&mut self, out: &Out, object: &Object, available: bool) {
        self.counted += 1;
        let (what, line) = named(object);
        out.line(&match object {
            Object::Log { .. } => {
                format!("validation {} for {what}\n{line}", if available { "succeeded" } else { "failed" })
            }
            Object::Piece { .. } => format!(
                "crosschecked {what}: found to be '{}'\n{line}",
                if available { "AVAILABLE" } else { "EXPIRED" }
            ),
            Object::Copy { .. } => {
                format!("validation {} for {what}\n{line}", if available { "succeeded" } else { "failed" })
            }
        });
    }
}

/// What an object is called, and the line that names it.
pub fn named(object: &Object) -> (&'static str, String) {
    match object {
        Object::Piece { recid, stamp, handle, .. } => {
            ("backup piece", format!("backup piece handle={} RECID={recid} STAMP={stamp}", show(handle)))
        }
        Object::Log { recid, stamp, path, .. } => {
            ("archived log", format!("archived log file name={} RECID={recid} STAMP={stamp}", show(path)))
        }
        Object::Copy { recid, stamp, path, .. } => {
            ("datafile copy", format!("datafile copy file name={} RECID={recid} STAMP={stamp}", show(path)))
        }
    }
}
