//! RESTORE, and what a restored control file brings with it.

use super::ast::{Filter, From, Preview, Restore, What};
use super::convert::tablespace;
use super::print::Style;
use super::session::{Done, Rman};
use super::stack::Failed;
use crate::pieces::api::{self, Event, Mode};

impl Rman<'_> {
    pub fn restore(&mut self, r: &Restore) -> Done {
        self.out.paragraph(&format!("Starting restore at {}", self.now()));
        if let Some(what) = &r.refused {
            return Err(Failed::unimplemented("restore", what));
        }
        let logs = r.what.iter().any(|w| matches!(w, What::Archivelog(_)));
        let files = r.what.iter().any(|w| matches!(w, What::Files(_)));
        match &r.from {
            Some(From::Tag(_)) if logs => {
                return Err(Failed::unimplemented("restore", "RESTORE ARCHIVELOG FROM TAG"));
            }
            Some(From::Piece(_) | From::Autobackup { .. }) if logs || files => {
                return Err(Failed::unimplemented(
                    "restore",
                    "RESTORE of files or logs FROM a piece by its name",
                ));
            }
            _ if r.standby_controlfile => {
                return Err(Failed::unimplemented("restore", "RESTORE STANDBY CONTROLFILE"));
            }
            _ => {}
        }
        let operation = match (r.validate, r.preview) {
            (true, _) => "RESTORE VALIDATE",
            (_, Preview::No) => "RESTORE",
            _ => "RESTORE PREVIEW",
        };
        self.recorded(operation, None, |rman| rman.restore_work(r))
    }

    fn restore_work(&mut self, r: &Restore) -> Done {
        self.implicit_crosscheck();
        let channels = self.use_channels();
        self.out.blank();
        let mode = match (r.validate, r.preview) {
            (true, _) => Mode::Validate,
            (_, Preview::No) => Mode::Restore,
            _ => Mode::Preview,
        };
        for what in &r.what {
            let (request, style) = match what {
                What::Files(files) => {
                    let (newnames, newname_all) = self.newnames("restore")?;
                    let request = api::Request::Restore(api::Restore {
                        files: self.files("restore", files)?,
                        until: self.until("restore", r.until.as_ref())?,
                        from_tag: match &r.from {
                            Some(From::Tag(tag)) => Some(tag.clone()),
                            _ => None,
                        },
                        newnames,
                        newname_all,
                        mode,
                        force: r.force,
                        channels,
                        skip: r.skip.iter().map(tablespace).collect(),
                    });
                    (request, Style::Restore)
                }
                What::Archivelog(range) => {
                    let logs = self.logs("restore", range, &Filter::default())?;
                    let to = self.settings.destination.clone();
                    (api::Request::RestoreLogs { logs, to, mode, channels }, Style::Restore)
                }
                What::Controlfile => {
                    let from = self.small_source(r)?;
                    let to = r.to.as_ref().map(|t| self.path(t));
                    (api::Request::RestoreControlfile { from, to, mode }, Style::Small)
                }
                What::Spfile => {
                    let from = self.small_source(r)?;
                    let to = r.to.as_ref().map(|t| self.path(t));
                    (api::Request::RestoreSpfile { from, to, pfile: r.pfile, mode }, Style::Small)
                }
            };
            if style == Style::Small && matches!(r.from, Some(From::Autobackup { .. })) {
                self.say_recovery_area();
            }
            let style = if r.validate { Style::RestoreValidate } else { style };
            let mut printer = self.printer(style);
            self.job("restore", request, &mut printer)?;
            if let Some(Event::Preview { sets, logs, log_sets, from_scn, fuzzy_scn }) = &printer.preview {
                let summary = r.preview == Preview::Summary;
                self.preview(summary, (sets, log_sets), logs, *from_scn, *fuzzy_scn)?;
            }
            if *what == What::Controlfile && mode == Mode::Restore {
                self.crosschecked = false;
            }
        }
        self.out.line(&format!("Finished restore at {}", self.now()));
        Ok(())
    }

    fn say_recovery_area(&mut self) {
        let area = self.one("SELECT value FROM v$parameter WHERE name = 'db_recovery_file_dest'");
        let name = self.one(
            "SELECT UPPER(value) FROM v$parameter WHERE name IN ('db_unique_name', 'db_name') AND value IS NOT NULL ORDER BY name DESC",
        );
        if let Some(area) = area {
            self.out.line(&format!("recovery area destination: {area}"));
            self.out.line(&format!(
                "database name (or database unique name) used for search: {}",
                name.unwrap_or_default()
            ));
        }
    }

    fn small_source(&mut self, r: &Restore) -> Result<api::Source, Failed> {
        Ok(match &r.from {
            Some(From::Piece(handle)) => api::Source::Handle(self.path(handle)),
            Some(From::Tag(_)) => {
                return Err(Failed::unimplemented("restore", "RESTORE CONTROLFILE FROM TAG"))
            }
            Some(From::Autobackup { maxdays }) => {
                let until = match self.until("restore", r.until.as_ref())? {
                    Some(api::Until::Time(at)) => Some(at),
                    _ => None,
                };
                api::Source::Autobackup {
                    dbid: self.dbid.map(|d| u32::try_from(d).unwrap_or(u32::MAX)),
                    format: self.autobackup_format.clone(),
                    max_days: u32::try_from(*maxdays).unwrap_or(u32::MAX),
                    max_seq: 255,
                    until,
                }
            }
            None => api::Source::Known { until: self.until("restore", r.until.as_ref())? },
        })
    }

    /// A restored control file does not know what has become of the backups: RMAN looks once, if there is a recovery area.
    pub fn implicit_crosscheck(&mut self) {
        if std::mem::replace(&mut self.crosschecked, true) {
            return;
        }
        let backup = self.one("SELECT 'Y' FROM v$database WHERE controlfile_type = 'BACKUP'").is_some();
        let area = self.one("SELECT value FROM v$parameter WHERE name = 'db_recovery_file_dest'");
        let (true, Some(area)) = (backup, area) else { return };
        let mut found = Vec::new();
        for (what, request) in [
            ("backup", api::Request::CrosscheckBackups(api::Backups::default())),
            ("copy", api::Request::CrosscheckCopies),
        ] {
            self.out.paragraph(&format!("Starting implicit crosscheck {what} at {}", self.now()));
            self.use_channels();
            // Only the count is printed.
            let quiet = super::out::Out::new(Box::new(std::io::sink()));
            let shown = std::mem::replace(&mut self.out, quiet);
            let mut printer = self.printer(Style::Other);
            let result = self.job("crosscheck", request, &mut printer);
            self.out = shown;
            if result.is_ok() && printer.counted > 0 {
                self.out.line(&format!("Crosschecked {} objects", printer.counted));
            }
            self.out.line(&format!("Finished implicit crosscheck {what} at {}", self.now()));
        }
        self.out.paragraph("searching for all files in the recovery area\ncataloging files...");
        let mut printer = self.printer(Style::Other);
        for apply in [false, true] {
            let request = api::Request::CatalogPrefix { prefix: area.clone(), apply };
            if self.job("catalog", request, &mut printer).is_err() {
                break;
            }
        }
        found.append(&mut printer.cataloged);
        if found.is_empty() {
            self.out.line("no files cataloged");
        } else {
            self.out.line("cataloging done");
            self.out.paragraph("List of Cataloged Files\n=======================");
            for path in found {
                self.out.line(&format!("File Name: {}", path.display()));
            }
        }
        self.out.blank();
    }
}
