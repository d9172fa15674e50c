//! The words of BACKUP and VALIDATE.

use super::{elapsed, named, show, Printer, Row, Style};
use crate::pieces::api::{Event, Input, SetKind};
use crate::rman::out::Out;

impl Printer {
    pub(super) fn backup(&mut self, out: &Out, event: &Event) {
        match event {
            Event::SetStart { channel, kind, compressed, inputs } => {
                self.sets += 1;
                let c = self.channel(*channel);
                let squeezed = if *compressed { "compressed " } else { "" };
                if self.style == Style::Validate {
                    let (what, which) = match kind {
                        SetKind::Logs => ("archived log", "archived log(s)"),
                        _ => ("datafile", "datafile(s)"),
                    };
                    out.line(&format!("channel {c}: starting validation of {what}"));
                    out.line(&format!("channel {c}: specifying {which} for validation"));
                } else {
                    let (what, which) = match kind {
                        SetKind::Full => ("full datafile".to_string(), "datafile(s)"),
                        SetKind::Incremental(n) => (format!("incremental level {n} datafile"), "datafile(s)"),
                        SetKind::Logs => ("archived log".to_string(), "archived log(s)"),
                    };
                    out.line(&format!("channel {c}: starting {squeezed}{what} backup set"));
                    out.line(&format!("channel {c}: specifying {which} in backup set"));
                }
                for input in inputs {
                    out.line(&match input {
                        Input::Datafile { file, path } => {
                            format!("input datafile file number={file:05} name={}", show(path))
                        }
                        Input::Log { thread, sequence, recid, stamp } => format!(
                            "input archived log thread={thread} sequence={sequence} RECID={recid} STAMP={stamp}"
                        ),
                        Input::Controlfile => "including current control file in backup set".into(),
                        Input::Spfile => "including current SPFILE in backup set".into(),
                    });
                }
            }
            Event::PieceStart { channel, piece, at } => out.line(&format!(
                "channel {}: starting piece {piece} at {}",
                self.channel(*channel),
                self.date(*at)
            )),
            Event::PieceEnd { channel, piece, at, handles, tag } => {
                let c = self.channel(*channel);
                let tag = tag.as_deref().unwrap_or("NULL");
                let at = self.date(*at);
                if let [one] = handles.as_slice() {
                    out.line(&format!("channel {c}: finished piece {piece} at {at}"));
                    out.line(&format!("piece handle={} tag={tag} comment=NONE", show(one)));
                } else {
                    out.line(&format!(
                        "channel {c}: finished piece {piece} at {at} with {} copies and tag {tag}",
                        handles.len()
                    ));
                    for handle in handles {
                        out.line(&format!("piece handle={} comment=NONE", show(handle)));
                    }
                }
            }
            Event::SetEnd { channel, seconds } => {
                let what = if self.style == Style::Validate { "validation" } else { "backup set" };
                out.line(&format!(
                    "channel {}: {what} complete, elapsed time: {}",
                    self.channel(*channel),
                    elapsed(*seconds)
                ));
            }
            Event::Deleting { channel, logs } => {
                out.line(&format!("channel {}: deleting archived log(s)", self.channel(*channel)));
                for log in logs {
                    out.line(&named(log).1);
                }
            }
            Event::LogKept { message, path, thread, sequence } => {
                self.warn(out, message);
                out.line(&format!(
                    "archived log file name={} thread={thread} sequence={sequence}",
                    show(path)
                ));
            }
            Event::AutobackupStart { at } => {
                self.finish(out, *at);
                out.paragraph(&format!("Starting Control File and SPFILE Autobackup at {}", self.date(*at)));
            }
            Event::Autobackup { handle } => out.line(&format!("piece handle={} comment=NONE", show(handle))),
            Event::AutobackupEnd { at } => {
                out.line(&format!("Finished Control File and SPFILE Autobackup at {}\n", self.date(*at)));
            }
            Event::FileValidated { file, path, failed, marked_corrupt, empty, examined, high_scn } => {
                let status = if *failed { "FAILED" } else { "OK" };
                let failing = if *failed { 1 } else { 0 };
                self.rows.push(Row::File(format!(
                    "{file:<4} {status:<6} {marked_corrupt:<14} {empty:<12} {examined:<15} {high_scn:<10}\n  File Name: {}\n  Block Type Blocks Failing Blocks Processed\n  ---------- -------------- ----------------\n  Data       {failing:<14} {:<16}\n  Index      0              0               \n  Other      0              {empty:<16}\n",
                    show(path),
                    examined.saturating_sub(*empty),
                )));
            }
            Event::LogValidated { thread, sequence, path, failed, corrupt, examined } => {
                let status = if *failed { "FAILED" } else { "OK" };
                self.rows.push(Row::Log(format!(
                    "{thread:<4} {sequence:<7} {status:<6} {corrupt:<14} {examined:<15} {}",
                    show(path)
                )));
            }
            _ => {}
        }
    }
}
