//! RESTORE, RECOVER and SWITCH.

use super::{Parsed, Parser};
use crate::rman::ast::{Command, FileRef, Files, From, Preview, Recover, Restore, What};
use crate::rman::source::Kind;

impl Parser<'_, '_> {
    /// SKIP [FOREVER] TABLESPACE; true for FOREVER.
    fn skip_tablespaces(&mut self, into: &mut Vec<crate::rman::ast::TablespaceRef>) -> Parsed<bool> {
        let forever = self.accept("forever")?;
        self.expect("tablespace")?;
        into.extend(self.tablespaces()?);
        Ok(forever)
    }

    fn restore_from(&mut self, r: &mut Restore) -> Parsed<()> {
        if self.accept("autobackup")? {
            let mut maxdays = 7;
            loop {
                if self.accept("maxdays")? {
                    self.equals()?;
                    maxdays = self.int()?;
                } else if self.accept("maxseq")? {
                    self.equals()?;
                    self.int()?;
                } else {
                    break;
                }
            }
            r.from = Some(From::Autobackup { maxdays });
        } else if self.accept("tag")? {
            self.equals()?;
            r.from = Some(From::Tag(self.name()?.to_uppercase()));
        } else if self.accept("backupset")? {
        } else if self.accept("service")? {
            self.name()?;
            r.refused = Some("FROM SERVICE".into());
        } else if self.accept("datafilecopy")? {
            r.refused = Some("FROM DATAFILECOPY".into());
        } else if self.is_text()? {
            r.from = Some(From::Piece(self.text()?));
        } else {
            return self.error();
        }
        Ok(())
    }

    pub(super) fn restore(&mut self) -> Parsed<Command> {
        let mut r = Restore::default();
        loop {
            if !r.what.is_empty() && self.accept_punct(';')? {
                break;
            }
            if matches!(self.peek()?.kind, Kind::Punct(';') | Kind::End) && r.what.is_empty() {
                break;
            }
            let small = matches!(r.what.last(), Some(What::Controlfile | What::Spfile));
            if small && self.accept("to")? {
                r.pfile = self.accept("pfile")?;
                r.to = Some(self.text()?);
            } else if self.accept("standby")? {
                self.expect("controlfile")?;
                r.standby_controlfile = true;
                r.what.push(What::Controlfile);
            } else if self.accept("primary")? {
            } else if self.accept("from")? {
                self.restore_from(&mut r)?;
            } else if self.accept("until")? {
                r.until = Some(self.until()?);
            } else if self.accept("validate")? {
                r.validate = true;
                self.accept("header")?;
            } else if self.accept("preview")? {
                r.preview = if self.accept("summary")? { Preview::Summary } else { Preview::Full };
                self.accept("recall")?;
            } else if self.accept("check")? {
                self.expect("logical")?;
                r.check_logical = true;
            } else if self.accept("force")? {
                r.force = true;
            } else if self.accept("skip")? {
                self.skip_tablespaces(&mut r.skip)?;
            } else if self.accept("channel")? {
                self.equals()?;
                self.name()?;
            } else if self.accept("device")? {
                self.expect("type")?;
                self.equals()?;
                self.name()?;
            } else if self.accept("foreign")? || self.accept("point")? {
                r.refused = Some("this clause of RESTORE".into());
            } else {
                if !r.what.is_empty() {
                    self.accept_punct(',')?;
                }
                match self.what()? {
                    Some(what) => r.what.push(what),
                    None => return self.error(),
                }
            }
        }
        if r.what.is_empty() {
            return self.unexpected("archivelog, channel, check, controlfile, clone, database, datafile, device, from, force, (, point, preview, primary, skip readonly, spfile, standby, tablespace, until, validate");
        }
        Ok(Command::Restore(r))
    }

    pub(super) fn recover(&mut self) -> Parsed<Command> {
        let mut files = None;
        let mut r = Recover {
            files: Files::Database,
            until: None,
            noredo: false,
            skip: vec![],
            skip_forever: false,
            from_tag: None,
            delete_archivelog: false,
            refused: None,
        };
        let standby = self.accept("standby")?;
        if self.accept("copy")? {
            self.expect("of")?;
            r.refused = Some("RECOVER COPY".into());
        }
        loop {
            if files.is_some() && self.accept_punct(';')? {
                break;
            }
            if matches!(self.peek()?.kind, Kind::Punct(';') | Kind::End) && files.is_none() {
                break;
            }
            if self.accept("until")? {
                r.until = Some(self.until()?);
            } else if self.accept("noredo")? {
                r.noredo = true;
            } else if self.accept("skip")? {
                r.skip_forever |= self.skip_tablespaces(&mut r.skip)?;
            } else if self.accept("from")? {
                if self.accept("tag")? {
                    self.equals()?;
                    r.from_tag = Some(self.name()?.to_uppercase());
                } else if self.accept("service")? {
                    self.name()?;
                    r.refused = Some("FROM SERVICE".into());
                } else {
                    self.expect("backupset")?;
                }
            } else if self.accept("delete")? {
                self.expect("archivelog")?;
                if self.accept("maxsize")? {
                    self.size()?;
                }
                r.delete_archivelog = true;
            } else if self.accept("block")? || self.accept("corruption")? {
                r.refused = Some("block media recovery".into());
                while !matches!(self.peek()?.kind, Kind::Punct(';') | Kind::End) {
                    self.next()?;
                }
            } else if self.accept("with")? {
                self.expect("tag")?;
                self.equals()?;
                r.from_tag = Some(self.name()?.to_uppercase());
            } else if self.accept("using")? {
                self.expect("backup")?;
                self.expect("controlfile")?;
            } else if self.accept("channel")? {
                self.equals()?;
                self.name()?;
            } else if files.is_none() {
                match self.files()? {
                    Some(f) => files = Some(f),
                    None => return self.error(),
                }
            } else {
                return self.error();
            }
        }
        let Some(files) = files else {
            return self.unexpected("advise, allow, archivelog, auxiliary, check, copy, database, datafile, device, foreign, from, (, noredo, pluggable, standby, tablespace, test, to, until");
        };
        if standby && files != Files::Database {
            return self.unexpected("database");
        }
        r.files = files;
        Ok(Command::Recover(r))
    }

    /// SWITCH DATAFILE ALL, SWITCH DATABASE TO COPY, SWITCH DATAFILE n TO COPY | TO DATAFILECOPY 'path'.
    pub(super) fn switch(&mut self) -> Parsed<Command> {
        if self.accept("database")? {
            self.expect("to")?;
            self.expect("copy")?;
            self.end()?;
            return Ok(Command::SwitchDatafile(None));
        }
        if self.accept("tempfile")? {
            self.expect("all")?;
            self.end()?;
            return Ok(Command::SwitchDatafile(Some(vec![])));
        }
        self.expect("datafile")?;
        if self.accept("all")? {
            self.end()?;
            return Ok(Command::SwitchDatafile(None));
        }
        let mut list: Vec<(FileRef, Option<String>)> = Vec::new();
        loop {
            let file = self.file_ref()?;
            let mut to = None;
            if self.accept("to")? && !self.accept("copy")? {
                self.expect("datafilecopy")?;
                to = Some(self.text()?);
            }
            list.push((file, to));
            if !self.accept_punct(',')? {
                break;
            }
        }
        self.end()?;
        Ok(Command::SwitchDatafile(Some(list)))
    }
}
