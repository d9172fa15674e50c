//! CATALOG, CROSSCHECK, DELETE, CHANGE, LIST, REPORT, VALIDATE, RESET: what is known about backups.

use super::{Parsed, Parser};
use crate::rman::ast::{Catalog, Change, Command, Filter, List, Objects, Report, Validate, What};
use crate::rman::source::Kind;

impl Parser<'_, '_> {
    pub(super) fn catalog(&mut self) -> Parsed<Command> {
        let catalog = if self.accept("start")? {
            self.expect("with")?;
            let prefix = self.text()?;
            let noprompt = self.accept("noprompt")?;
            Catalog::StartWith { prefix, noprompt }
        } else if self.accept("archivelog")? {
            Catalog::Archivelog(self.texts()?)
        } else if self.accept("backuppiece")? {
            Catalog::BackupPiece(self.texts()?)
        } else if self.accept("recovery")? {
            self.expect("area")?;
            self.accept("noprompt")?;
            Catalog::RecoveryArea
        } else if self.accept("db_recovery_file_dest")? {
            self.accept("noprompt")?;
            Catalog::RecoveryArea
        } else if self.accept("datafilecopy")? || self.accept("controlfilecopy")? {
            let paths = self.texts()?;
            let mut level0 = false;
            let mut tag = None;
            loop {
                if self.accept("level")? {
                    self.equals()?;
                    level0 = self.int()? == 0;
                } else if self.accept("tag")? {
                    self.equals()?;
                    tag = Some(self.name()?.to_uppercase());
                } else {
                    break;
                }
            }
            Catalog::Datafilecopy { paths, tag, level0 }
        } else {
            return self.error();
        };
        self.end()?;
        Ok(Command::Catalog(catalog))
    }

    fn ints(&mut self) -> Parsed<Vec<u64>> {
        let mut out = vec![self.int()?];
        while self.accept_punct(',')? {
            out.push(self.int()?);
        }
        Ok(out)
    }

    /// Keys or handles, each as text.
    fn keys(&mut self) -> Parsed<Vec<String>> {
        let mut out = Vec::new();
        loop {
            out.push(if self.is_text()? { self.text()? } else { self.int()?.to_string() });
            if !self.accept_punct(',')? {
                return Ok(out);
            }
        }
    }

    fn of(&mut self) -> Parsed<Option<What>> {
        if !self.accept("of")? {
            return Ok(None);
        }
        match self.what()? {
            Some(what) => Ok(Some(what)),
            None => self.error(),
        }
    }

    /// BACKUP, BACKUPSET n, BACKUPPIECE …, ARCHIVELOG …, COPY.
    fn objects(&mut self) -> Parsed<Option<Objects>> {
        Ok(Some(if self.accept("backup")? {
            Objects::Backup { of: self.of()? }
        } else if self.accept("backupset")? {
            if matches!(self.peek()?.kind, Kind::Int(_)) {
                Objects::BackupSet(self.ints()?)
            } else {
                Objects::Backup { of: self.of()? }
            }
        } else if self.accept("backuppiece")? {
            if self.is_text()? || matches!(self.peek()?.kind, Kind::Int(_)) {
                Objects::BackupPiece(self.keys()?)
            } else {
                Objects::Backup { of: self.of()? }
            }
        } else if self.accept("archivelog")? {
            Objects::Archivelog(self.log_range()?)
        } else if self.accept("copy")? {
            self.of()?;
            Objects::Copy
        } else if self.accept("datafilecopy")? || self.accept("controlfilecopy")? {
            if self.is_text()? || matches!(self.peek()?.kind, Kind::Int(_)) {
                self.keys()?;
            } else {
                self.accept("all")?;
            }
            Objects::Copy
        } else {
            return Ok(None);
        }))
    }

    fn filter(&mut self) -> Parsed<Filter> {
        let mut f = Filter::default();
        loop {
            if self.accept("tag")? {
                self.equals()?;
                f.tag = Some(self.name()?.to_uppercase());
            } else if self.accept("completed")? {
                if self.accept("before")? {
                    f.completed_before = Some(self.text()?);
                } else if self.accept("after")? {
                    f.completed_after = Some(self.text()?);
                } else if self.accept("between")? {
                    f.completed_after = Some(self.text()?);
                    self.expect("and")?;
                    f.completed_before = Some(self.text()?);
                } else {
                    return self.error();
                }
            } else if self.accept("backed")? {
                self.expect("up")?;
                f.backed_up_times = Some(self.int()?);
                self.expect("times")?;
                self.expect("to")?;
            } else if self.accept("device")? {
                self.expect("type")?;
                self.equals()?;
                f.device = Some(self.name()?.to_uppercase());
            } else {
                return Ok(f);
            }
        }
    }

    pub(super) fn crosscheck(&mut self) -> Parsed<Command> {
        let Some(objects) = self.objects()? else { return self.error() };
        let filter = self.filter()?;
        self.end()?;
        Ok(Command::Crosscheck(objects, filter))
    }

    pub(super) fn delete(&mut self) -> Parsed<Command> {
        let (mut noprompt, mut force, mut expired, mut obsolete) = (false, false, false, false);
        loop {
            if self.accept("noprompt")? {
                noprompt = true;
            } else if self.accept("force")? {
                force = true;
            } else if self.accept("expired")? {
                expired = true;
            } else if self.accept("obsolete")? {
                obsolete = true;
            } else {
                break;
            }
        }
        if obsolete {
            let (window, redundancy) = self.policy()?;
            self.filter()?;
            self.end()?;
            return Ok(Command::DeleteObsolete { window, redundancy, noprompt });
        }
        let Some(objects) = self.objects()? else { return self.error() };
        let filter = self.filter()?;
        self.end()?;
        Ok(Command::Delete { objects, filter, noprompt, force, expired })
    }

    pub(super) fn change(&mut self) -> Parsed<Command> {
        let Some(objects) = self.objects()? else { return self.error() };
        let filter = self.filter()?;
        let to = if self.accept("unavailable")? {
            Change::Unavailable
        } else if self.accept("available")? {
            Change::Available
        } else if self.accept("uncatalog")? {
            Change::Uncatalog
        } else if self.accept("delete")? {
            Change::Delete
        } else if self.accept("crosscheck")? {
            Change::Crosscheck
        } else {
            return self.error();
        };
        self.end()?;
        Ok(Command::Change { objects, filter, to })
    }

    pub(super) fn list(&mut self) -> Parsed<Command> {
        let list = if self.accept("incarnation")? {
            if self.accept("of")? {
                self.expect("database")?;
                if !matches!(self.peek()?.kind, Kind::Punct(';') | Kind::End) {
                    self.name()?;
                }
            }
            List::Incarnation
        } else if self.accept("failure")? {
            List::Failure
        } else if self.accept("archivelog")? {
            let range = self.log_range()?;
            List::Archivelog(range, self.filter()?)
        } else if self.accept("copy")? {
            self.of()?;
            self.filter()?;
            List::Copy
        } else if self.accept("expired")? {
            let Some(objects) = self.objects()? else { return self.error() };
            let filter = self.filter()?;
            List::Backup { objects, summary: false, expired: true, filter }
        } else {
            let Some(objects) = self.objects()? else { return self.error() };
            let mut summary = self.accept("summary")?;
            self.accept("by")?;
            let _by_file = self.accept("backup")? || self.accept("file")?;
            let filter = self.filter()?;
            summary |= self.accept("summary")?;
            List::Backup { objects, summary, expired: false, filter }
        };
        self.end()?;
        Ok(Command::List(list))
    }

    /// RECOVERY WINDOW OF n DAYS or REDUNDANCY [=] n.
    fn policy(&mut self) -> Parsed<(Option<u64>, Option<u64>)> {
        if self.accept("recovery")? {
            self.expect("window")?;
            self.expect("of")?;
            let days = self.int()?;
            self.expect("days")?;
            return Ok((Some(days), None));
        }
        if self.accept("redundancy")? {
            self.equals()?;
            return Ok((None, Some(self.int()?)));
        }
        Ok((None, None))
    }

    pub(super) fn report(&mut self) -> Parsed<Command> {
        let report = if self.accept("schema")? {
            Report::Schema
        } else if self.accept("obsolete")? {
            let (window, redundancy) = self.policy()?;
            Report::Obsolete { window, redundancy }
        } else if self.accept("need")? {
            self.expect("backup")?;
            let (mut incremental, mut days, mut redundancy) = (None, None, None);
            loop {
                if self.accept("incremental")? {
                    self.equals()?;
                    incremental = Some(self.int()?);
                } else if self.accept("days")? {
                    self.equals()?;
                    days = Some(self.int()?);
                } else if self.accept("redundancy")? {
                    self.equals()?;
                    redundancy = Some(self.int()?);
                } else if self.accept("database")? {
                } else {
                    break;
                }
            }
            Report::NeedBackup { incremental, days, redundancy }
        } else if self.accept("unrecoverable")? {
            Report::Unrecoverable
        } else {
            return self.error();
        };
        self.end()?;
        Ok(Command::Report(report))
    }

    pub(super) fn validate(&mut self) -> Parsed<Command> {
        let mut check_logical = false;
        if self.accept("check")? {
            self.expect("logical")?;
            check_logical = true;
        }
        let what = if self.accept("backupset")? {
            Validate::BackupSet(self.ints()?)
        } else if self.accept("current")? {
            self.expect("controlfile")?;
            Validate::Controlfile
        } else if self.accept("spfile")? {
            Validate::Spfile
        } else if self.accept("archivelog")? {
            Validate::Archivelog(self.log_range()?)
        } else {
            match self.files()? {
                Some(files) => Validate::Files(files),
                None => return self.error(),
            }
        };
        if self.accept("check")? {
            self.expect("logical")?;
            check_logical = true;
        }
        self.end()?;
        Ok(Command::Validate { what, check_logical })
    }

    /// RESET DATABASE TO INCARNATION n.
    pub(super) fn reset(&mut self) -> Parsed<Command> {
        self.expect("database")?;
        self.expect("to")?;
        self.expect("incarnation")?;
        let n = self.int()?;
        self.end()?;
        Ok(Command::ResetIncarnation(n))
    }
}
