//! The words of RESTORE and RECOVER.

use super::{elapsed, show, Printer, Style};
use crate::pieces::api::{Event, Restoring};
use crate::rman::out::Out;
use crate::rman::stack::message;

impl Printer {
    pub(super) fn recovery(&mut self, out: &Out, event: &Event) {
        match event {
            Event::MediaRecoveryStart => out.paragraph("starting media recovery\n"),
            Event::LogOnDisk { thread, sequence, path } => out.line(&format!(
                "archived log for thread {thread} with sequence {sequence} is already on disk as file {}",
                show(path)
            )),
            Event::LogApplied { thread, sequence, path } => out.line(&format!(
                "archived log file name={} thread={thread} sequence={sequence}",
                show(path)
            )),
            Event::RestoredLogDeleted { path, recid, stamp } => out.line(&format!(
                "channel default: deleting archived log(s)\narchived log file name={} RECID={recid} STAMP={stamp}",
                show(path)
            )),
            Event::MediaRecoveryComplete { seconds } => {
                out.line(&format!("media recovery complete, elapsed time: {}", elapsed(*seconds)));
            }
            Event::OracleError(lines) => {
                self.warned = true;
                out.line("Oracle Error:");
                for line in lines {
                    out.line(&message(line));
                }
                out.blank();
            }
            _ => {}
        }
    }

    pub(super) fn restore(&mut self, out: &Out, event: &Event) {
        let validate = self.style == Style::RestoreValidate;
        match event {
            Event::AlreadyRestored { file, path } => {
                out.line(&format!("skipping datafile {file}; already restored to file {}", show(path)));
            }
            Event::CreatingFile { file, path } => {
                out.line(&format!("creating datafile file number={file} name={}", show(path)));
            }
            Event::RestoreStart { channel, what } => self.restore_start(out, *channel, what),
            Event::Reading { channel, handle } if !self.small => {
                out.line(&format!(
                    "channel {}: reading from backup piece {}",
                    self.channel(*channel),
                    show(handle)
                ));
            }
            Event::PieceRead { channel, handle, tag, piece } if !self.small => {
                let (c, tag) = (self.channel(*channel), tag.as_deref().unwrap_or("NULL"));
                out.line(&format!("channel {c}: piece handle={} tag={tag}", show(handle)));
                out.line(&format!("channel {c}: restored backup piece {piece}"));
            }
            Event::PieceValidated { channel, handle, tag, piece } => {
                let (c, tag) = (self.channel(*channel), tag.as_deref().unwrap_or("NULL"));
                out.line(&format!("channel {c}: piece handle={} tag={tag}", show(handle)));
                out.line(&format!("channel {c}: restored backup piece {piece}"));
            }
            Event::RestoreEnd { channel, seconds } if self.autobackup.is_none() => {
                let what = if validate { "validation" } else { "restore" };
                out.line(&format!(
                    "channel {}: {what} complete, elapsed time: {}",
                    self.channel(*channel),
                    elapsed(*seconds)
                ));
            }
            Event::Failover { channel, lines, duplicate } => {
                self.warned = true;
                for (n, line) in lines.iter().enumerate() {
                    let prefix =
                        if n == 0 { format!("channel {}: ", self.channel(*channel)) } else { String::new() };
                    out.line(&format!("{prefix}{}", message(line)));
                }
                out.line(&format!(
                    "failover to {} backup\n",
                    if *duplicate { "duplicate" } else { "previous" }
                ));
            }
            Event::ScannedLog { path } => {
                out.line(&format!("channel {}: scanning archived log {}", self.channel(0), show(path)));
            }
            Event::LookingForAutobackup { channel, day } => {
                out.line(&format!(
                    "channel {}: looking for AUTOBACKUP on day: {day}",
                    self.channel(*channel)
                ));
            }
            Event::AutobackupFound { channel, handle, in_recovery_area } => {
                let c = self.channel(*channel);
                self.autobackup = Some(show(handle));
                out.line(&if *in_recovery_area {
                    format!("channel {c}: AUTOBACKUP {} found in the recovery area", show(handle))
                } else {
                    format!("channel {c}: AUTOBACKUP found: {}", show(handle))
                });
            }
            Event::NoAutobackup { channel, days } => {
                out.line(&format!("channel {}: no AUTOBACKUP in {days} days found", self.channel(*channel)));
            }
            Event::ControlfileWritten { channel, paths } => {
                if self.autobackup.is_some() {
                    out.line(&format!(
                        "channel {}: control file restore from AUTOBACKUP complete",
                        self.channel(*channel)
                    ));
                } else {
                    let c = self.channel(*channel);
                    out.line(&format!("channel {c}: restore complete, elapsed time: {}", elapsed(0)));
                }
                for path in paths {
                    out.line(&format!("output file name={}", show(path)));
                }
            }
            Event::SpfileWritten { channel, .. } if self.autobackup.is_some() => {
                let c = self.channel(*channel);
                out.line(&format!("channel {c}: SPFILE restore from AUTOBACKUP complete"));
            }
            Event::SpfileWritten { channel, path } => {
                let c = self.channel(*channel);
                out.line(&format!("channel {c}: restore complete, elapsed time: {}", elapsed(0)));
                out.line(&format!("output file name={}", show(path)));
            }
            _ => {}
        }
    }

    fn restore_start(&mut self, out: &Out, channel: u32, what: &Restoring) {
        let c = self.channel(channel);
        let line = |text: &str| out.line(&format!("channel {c}: {text}"));
        if self.style == Style::RestoreValidate {
            line(match what {
                Restoring::Logs { .. } => "starting validation of archived log backup set",
                _ => "starting validation of datafile backup set",
            });
            return;
        }
        match what {
            Restoring::Datafiles(files) => {
                line("starting datafile backup set restore");
                line("specifying datafile(s) to restore from backup set");
                for (file, path) in files {
                    line(&format!("restoring datafile {file:05} to {}", show(path)));
                }
            }
            Restoring::Incremental(files) => {
                line("starting incremental datafile backup set restore");
                line("specifying datafile(s) to restore from backup set");
                for (file, path) in files {
                    out.line(&format!("destination for restore of datafile {file:05}: {}", show(path)));
                }
            }
            Restoring::Logs { logs, to } => {
                match to {
                    Some(to) => {
                        line("starting archived log restore to user-specified destination");
                        out.line(&format!("archived log destination={}", show(to)));
                    }
                    None => line("starting archived log restore to default destination"),
                }
                for (thread, sequence) in logs {
                    line("restoring archived log");
                    out.line(&format!("archived log thread={thread} sequence={sequence}"));
                }
            }
            Restoring::Controlfile => match &self.autobackup {
                Some(handle) => line(&format!("restoring control file from AUTOBACKUP {handle}")),
                None => line("restoring control file"),
            },
            Restoring::Spfile => match &self.autobackup {
                Some(handle) => line(&format!("restoring spfile from AUTOBACKUP {handle}")),
                None => line("restoring SPFILE"),
            },
        }
    }
}
