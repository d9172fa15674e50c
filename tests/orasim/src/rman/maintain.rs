//! CATALOG, CROSSCHECK, DELETE, CHANGE, VALIDATE.

use super::ast::{Catalog, Change, Filter, Objects, Validate};
use super::print::{Printer, Style};
use super::session::{Done, Rman};
use super::stack::{message, Failed};
use crate::oratime;
use crate::pieces::api::{self, Delete, Object};

const NO_BACKUP: &str = "specification does not match any backup in the repository";
const NO_LOG: &str = "specification does not match any archived log in the repository";
const NO_COPY: &str = "specification does not match any datafile copy in the repository";

impl Rman<'_> {
    pub fn catalog(&mut self, catalog: &Catalog) -> Done {
        self.repository();
        self.recorded("CATALOG", None, |rman| match catalog {
            Catalog::StartWith { prefix, noprompt } => rman.catalog_prefix(prefix, *noprompt, false),
            Catalog::RecoveryArea => {
                match rman.one("SELECT value FROM v$parameter WHERE name = 'db_recovery_file_dest'") {
                    Some(area) => rman.catalog_prefix(&area, true, true),
                    None => Err(Failed::rman("catalog", 6590, "parameter DB_RECOVERY_FILE_DEST is not set")),
                }
            }
            Catalog::Archivelog(names) => rman.catalog_each(names, api::Request::CatalogLog),
            Catalog::BackupPiece(names) => rman.catalog_each(names, api::Request::CatalogPiece),
            Catalog::Datafilecopy { paths, tag, level0 } => rman.catalog_each(paths, |path| {
                api::Request::CatalogCopy { path, tag: tag.clone(), level0: *level0 }
            }),
        })
    }

    fn catalog_each(
        &mut self,
        names: &[String],
        request: impl Fn(std::path::PathBuf) -> api::Request,
    ) -> Done {
        for name in names {
            let path = self.path(name);
            let mut printer = self.printer(Style::Other);
            self.job("catalog", request(path), &mut printer)?;
            if let Some((path, why)) = printer.refused.first() {
                let lines =
                    vec![format!("ORA-19625: error identifying file {}", path.display()), message(why)];
                return Err(Failed::new("catalog", None, lines));
            }
        }
        Ok(())
    }

    /// Every file that fits is tried; what is nothing of this database is listed, with status 0.
    fn catalog_prefix(&mut self, prefix: &str, noprompt: bool, area: bool) -> Done {
        self.implicit_crosscheck();
        self.out.line(&if area {
            "searching for all files in the recovery area".to_string()
        } else {
            format!("searching for all files that match the pattern {prefix}")
        });
        let mut printer = self.printer(Style::Other);
        let request = |apply| api::Request::CatalogPrefix { prefix: prefix.into(), apply };
        self.job("catalog", request(false), &mut printer)?;
        if printer.found.is_empty() {
            self.out.line(if area {
                "no files found to be unknown to the database in the recovery area"
            } else {
                "no files found to be unknown to the database"
            });
            return Ok(());
        }
        self.out.paragraph("List of Files Unknown to the Database\n=====================================");
        for path in &printer.found {
            self.out.line(&format!("File Name: {}", path.display()));
        }
        if !noprompt && !self.confirm("Do you really want to catalog the above files") {
            return Ok(());
        }
        self.out.line("cataloging files...");
        self.job("catalog", request(true), &mut printer)?;
        self.out.line(if printer.cataloged.is_empty() { "no files cataloged" } else { "cataloging done" });
        if !printer.cataloged.is_empty() {
            self.out.paragraph("List of Cataloged Files\n=======================");
            for path in &printer.cataloged {
                self.out.line(&format!("File Name: {}", path.display()));
            }
        }
        if !printer.refused.is_empty() {
            self.out
                .paragraph("List of Files Which Were Not Cataloged\n=======================================");
            for (path, why) in &printer.refused {
                self.out.line(&format!("File Name: {}\n  {}", path.display(), message(why)));
            }
        }
        Ok(())
    }

    pub fn crosscheck(&mut self, objects: &Objects, filter: &Filter) -> Done {
        self.recorded("CROSSCHECK", None, |rman| {
            rman.use_channels();
            let (request, none) = match objects {
                Objects::Archivelog(range) => {
                    (api::Request::CrosscheckLogs(rman.logs("crosscheck", range, filter)?), NO_LOG)
                }
                Objects::Copy => (api::Request::CrosscheckCopies, NO_COPY),
                other => {
                    (api::Request::CrosscheckBackups(rman.backups("crosscheck", other, filter)?), NO_BACKUP)
                }
            };
            let mut printer = rman.printer(Style::Other);
            rman.job("crosscheck", request, &mut printer)?;
            if printer.counted == 0 {
                rman.out.line(none);
            } else {
                rman.out.line(&format!("Crosschecked {} objects\n", printer.counted));
            }
            Ok(())
        })
    }

    pub fn delete(
        &mut self,
        objects: &Objects,
        filter: &Filter,
        noprompt: bool,
        force: bool,
        expired: bool,
    ) -> Done {
        self.recorded("DELETE", None, |rman| {
            rman.use_channels();
            let (what, none) = match objects {
                Objects::Archivelog(range) => {
                    (Delete::Logs { logs: rman.logs("delete", range, filter)?, expired, force }, NO_LOG)
                }
                Objects::Copy => return Err(Failed::unimplemented("delete", "DELETE COPY")),
                other => {
                    let backups = api::Backups { expired, ..rman.backups("delete", other, filter)? };
                    (Delete::Backups(backups), NO_BACKUP)
                }
            };
            let mut printer = rman.printer(Style::Other);
            rman.job("delete", api::Request::Delete { what: what.clone(), apply: false }, &mut printer)?;
            if printer.listed.is_empty() {
                rman.out.line(none);
                return Ok(());
            }
            rman.list_objects(&printer.listed, expired);
            rman.delete_listed(what, noprompt, printer, expired)
        })
    }

    fn delete_listed(&mut self, what: Delete, noprompt: bool, mut printer: Printer, expired: bool) -> Done {
        if !noprompt && !self.confirm("Do you really want to delete the above objects") {
            return Ok(());
        }
        let logs = matches!(what, Delete::Logs { .. });
        self.job("delete", api::Request::Delete { what, apply: true }, &mut printer)?;
        if printer.counted > 0 {
            let word = if expired && !logs { "EXPIRED " } else { "" };
            self.out.line(&format!("Deleted {} {word}objects\n", printer.counted));
        }
        self.mismatched(&printer.mismatched);
        Ok(())
    }

    /// RMAN-06207 … 06214: what is thought to be there and is not, or the other way round. No error, status 0.
    fn mismatched(&mut self, objects: &[Object]) {
        if objects.is_empty() {
            return;
        }
        self.warned = true;
        let word = if self.front.major() >= 18 { "warning" } else { "WARNING" };
        self.out.paragraph(&format!(
            "RMAN-06207: {word}: {} objects could not be deleted for DISK channel(s) due\n\
             RMAN-06208:          to mismatched status.  Use CROSSCHECK command to fix status\n\
             RMAN-06210: List of Mismatched objects\n\
             RMAN-06211: ==========================\n\
             RMAN-06212:   Object Type   Filename/Handle\n\
             RMAN-06213: --------------- ---------------------------------------------------",
            objects.len()
        ));
        for object in objects {
            let (what, path) = match object {
                Object::Piece { handle, .. } => ("Backup Piece", handle),
                Object::Log { path, .. } => ("Archivelog", path),
                Object::Copy { path, .. } => ("Datafile Copy", path),
            };
            self.out.line(&format!("RMAN-06214: {what:<15} {}", path.display()));
        }
        self.out.blank();
    }

    pub fn delete_obsolete(&mut self, window: Option<u64>, redundancy: Option<u64>, noprompt: bool) -> Done {
        self.recorded("DELETE", None, |rman| {
            rman.say_policy(window, redundancy);
            rman.use_channels();
            let small = |n: Option<u64>| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            let what = Delete::Obsolete { redundancy: small(redundancy), window_days: small(window) };
            let mut printer = rman.printer(Style::Other);
            rman.job("delete", api::Request::Delete { what: what.clone(), apply: false }, &mut printer)?;
            if printer.listed.is_empty() {
                rman.out.line("no obsolete backups found");
                return Ok(());
            }
            rman.out.line("Deleting the following obsolete backups and copies:");
            rman.list_obsolete(&printer.listed)?;
            rman.delete_listed(what, noprompt, printer, false)
        })
    }

    pub fn change(&mut self, objects: &Objects, filter: &Filter, to: Change) -> Done {
        let (operation, request): (_, fn(api::Backups) -> api::Request) = match to {
            Change::Crosscheck => return self.crosscheck(objects, filter),
            Change::Delete => return self.delete(objects, filter, false, false, false),
            Change::Unavailable => ("UNAVAILABLE", api::Request::Unavailable),
            Change::Available => ("AVAILABLE", api::Request::Available),
            Change::Uncatalog => ("UNCATALOG", api::Request::Uncatalog),
        };
        self.recorded("CHANGE", None, |rman| {
            rman.repository();
            if matches!(objects, Objects::Archivelog(_) | Objects::Copy) {
                return Err(Failed::unimplemented(
                    "change",
                    &format!("CHANGE ARCHIVELOG or COPY {operation}"),
                ));
            }
            let backups = rman.backups("change", objects, filter)?;
            // The engine changes without a word; what it is about is asked for first.
            let mut printer = rman.printer(Style::Other);
            let what = Delete::Backups(backups.clone());
            rman.job("change", api::Request::Delete { what, apply: false }, &mut printer)?;
            let word = match to {
                Change::Unavailable => "changed",
                Change::Available => "changed",
                _ => "uncataloged",
            };
            let listed = std::mem::take(&mut printer.listed);
            rman.job("change", request(backups), &mut printer)?;
            for object in &listed {
                let (what, line) = super::print::named(object);
                let now =
                    if word == "changed" { format!(" {}", operation.to_lowercase()) } else { String::new() };
                rman.out.line(&format!("{word} {what}{now}\n{line}"));
            }
            let count = listed.len();
            match (to, count) {
                (_, 0) => rman.out.line(NO_BACKUP),
                (Change::Uncatalog, n) => rman.out.line(&format!("Uncataloged {n} objects\n")),
                (_, n) => rman.out.line(&format!("Changed {n} objects to {operation} status\n")),
            }
            Ok(())
        })
    }

    pub fn validate(&mut self, what: &Validate, _check_logical: bool) -> Done {
        self.out.paragraph(&format!("Starting validate at {}", self.now()));
        self.recorded("VALIDATE", None, |rman| {
            match what {
                Validate::BackupSet(keys) => {
                    rman.use_channels();
                    let keys = keys.iter().map(|k| u32::try_from(*k).unwrap_or(u32::MAX)).collect();
                    let mut printer = rman.printer(Style::RestoreValidate);
                    rman.job("validate", api::Request::ValidateSets(keys), &mut printer)?;
                }
                Validate::Files(files) => {
                    let files = rman.files("validate", files)?;
                    rman.validate_live(api::What::Files(files))?;
                }
                Validate::Archivelog(range) => {
                    let logs = rman.logs("validate", range, &Filter::default())?;
                    rman.validate_live(api::What::Logs(logs))?;
                }
                Validate::Controlfile => rman.validate_live(api::What::CurrentControlfile)?,
                Validate::Spfile => rman.validate_live(api::What::Spfile)?,
            }
            let at = rman.date(oratime::now());
            rman.out.line(&format!("Finished validate at {at}"));
            Ok(())
        })
    }
}
