//! ALLOCATE, RELEASE, SET, CONFIGURE, SHOW, SQL, SPOOL, CONNECT.

use super::{Parsed, Parser};
use crate::rman::ast::{Allocate, Command, Configure, Newname, Set};
use crate::rman::source::Kind;

impl Parser<'_, '_> {
    pub(super) fn allocate(&mut self) -> Parsed<Command> {
        let auxiliary = self.accept("auxiliary")?;
        self.expect("channel")?;
        let maintenance = self.accept("for")?;
        let name = if maintenance {
            self.expect("maintenance")?;
            None
        } else {
            Some(self.name()?)
        };
        self.accept("device")?;
        self.expect("type")?;
        self.equals()?;
        let device = self.name()?.to_uppercase();
        let mut a = Allocate {
            name,
            device,
            format: vec![],
            maxpiecesize: None,
            maintenance,
            refused: auxiliary.then(|| "ALLOCATE AUXILIARY CHANNEL".to_string()),
        };
        loop {
            if self.accept_punct(';')? {
                return Ok(Command::Allocate(a));
            }
            if self.accept("format")? {
                self.equals()?;
                a.format = self.texts()?;
            } else if self.accept("maxpiecesize")? {
                self.equals()?;
                a.maxpiecesize = Some(self.size()?);
            } else if self.accept("rate")? || self.accept("maxopenfiles")? {
                self.equals()?;
                self.size()?;
            } else if self.accept("parms")? || self.accept("connect")? {
                self.equals()?;
                self.text()?;
            } else if self.accept("debug")? {
                self.equals()?;
                self.int()?;
            } else {
                return self.error();
            }
        }
    }

    pub(super) fn release(&mut self) -> Parsed<Command> {
        self.expect("channel")?;
        if self.accept_punct(';')? {
            return Ok(Command::Release(None));
        }
        let name = self.name()?;
        self.end()?;
        Ok(Command::Release(Some(name)))
    }

    /// SET; what may stand outside of RUN is ECHO, DBID, COMMAND ID and the autobackup's format.
    pub(super) fn set(&mut self, in_run: bool) -> Parsed<Command> {
        let set = if self.accept("command")? {
            self.expect("id")?;
            self.expect("to")?;
            Set::CommandId(self.name()?)
        } else if self.accept("dbid")? {
            self.equals()?;
            let dbid = self.int()?;
            if self.line_is_done() {
                return Ok(Command::Set(Set::Dbid(dbid)));
            }
            Set::Dbid(dbid)
        } else if self.accept("echo")? {
            let on = self.accept("on")?;
            if !on {
                self.expect("off")?;
            }
            if self.line_is_done() {
                return Ok(Command::Set(Set::Echo(on)));
            }
            Set::Echo(on)
        } else if self.accept("controlfile")? {
            self.expect("autobackup")?;
            self.expect("format")?;
            self.expect("for")?;
            self.expect("device")?;
            self.expect("type")?;
            self.name()?;
            self.expect("to")?;
            Set::AutobackupFormat(self.text()?)
        } else if in_run && self.accept("until")? {
            Set::Until(self.until()?)
        } else if in_run && self.accept("newname")? {
            self.expect("for")?;
            let files = if self.accept("database")? {
                Newname::Database
            } else if self.accept("tablespace")? {
                Newname::Tablespace(self.tablespace()?)
            } else if self.accept("tempfile")? {
                Newname::Tempfile(self.file_ref()?)
            } else {
                self.expect("datafile")?;
                Newname::Datafile(self.file_ref()?)
            };
            self.expect("to")?;
            let to = if self.accept("new")? { String::new() } else { self.text()? };
            Set::Newname { files, to }
        } else if in_run && self.accept("archivelog")? {
            self.expect("destination")?;
            self.expect("to")?;
            Set::ArchivelogDestination(self.text()?)
        } else if in_run && self.accept("maxcorrupt")? {
            self.expect("for")?;
            self.expect("datafile")?;
            let files = self.file_refs()?;
            self.expect("to")?;
            Set::Maxcorrupt { files, to: self.int()? }
        } else {
            return self.error();
        };
        self.end()?;
        Ok(Command::Set(set))
    }

    /// The words up to the semicolon as V$RMAN_CONFIGURATION keeps them: upper case, texts in single quotes.
    fn value(&mut self) -> Parsed<String> {
        let mut out: Vec<String> = Vec::new();
        loop {
            match self.peek()?.kind.clone() {
                Kind::Punct(';') => {
                    self.next()?;
                    return Ok(out.join(" "));
                }
                Kind::Word(w) => out.push(w.to_uppercase()),
                Kind::Int(n) => out.push(n.to_string()),
                Kind::Size(n) => out.push(sized(n)),
                Kind::Text { text, .. } => out.push(format!("'{}'", text.replace("''", "'"))),
                Kind::Punct('=') => {}
                Kind::Punct(',') => {
                    if let Some(last) = out.last_mut() {
                        last.push(',');
                    }
                }
                _ => return self.error(),
            }
            self.next()?;
        }
    }

    pub(super) fn configure(&mut self) -> Parsed<Command> {
        let mut c = Configure { name: String::new(), value: None };
        c.name = self.setting()?.to_uppercase();
        if self.accept("clear")? {
            self.end()?;
            return Ok(Command::Configure(c));
        }
        if matches!(self.peek()?.kind, Kind::Punct(';')) {
            self.expected = vec!["clear".into(), "to".into()];
            return self.error();
        }
        let mut value = self.value()?;
        if value.ends_with(" CLEAR") {
            // CONFIGURE … DEVICE TYPE DISK CLEAR.
            return Ok(Command::Configure(c));
        }
        if c.name == "DEVICE TYPE" && !value.contains("BACKUP TYPE") {
            value.push_str(" BACKUP TYPE TO BACKUPSET");
        }
        c.value = Some(value);
        Ok(Command::Configure(c))
    }

    fn rest(&mut self, words: &str) -> Parsed<()> {
        words.split(' ').try_for_each(|word| self.expect(word))
    }

    /// The name of a setting as V$RMAN_CONFIGURATION has it, in lower case.
    fn setting(&mut self) -> Parsed<String> {
        for (first, rest) in [
            ("retention", "policy"),
            ("default", "device type to"),
            ("device", "type"),
            ("datafile", "backup copies for device type"),
            ("compression", "algorithm"),
            ("rman", "output to"),
            ("snapshot", "controlfile name"),
        ] {
            if self.accept(first)? {
                for word in rest.split(' ') {
                    // CONFIGURE DEFAULT DEVICE TYPE CLEAR: no TO then.
                    if word == "to" && self.is_word("clear")? {
                        break;
                    }
                    self.expect(word)?;
                }
                return Ok(format!("{first} {rest}"));
            }
        }
        if self.accept("channel")? {
            return Ok("channel".into());
        }
        if self.accept("maxsetsize")? {
            self.accept("to")?;
            return Ok("maxsetsize to".into());
        }
        if self.accept("backup")? {
            self.expect("optimization")?;
            return Ok("backup optimization".into());
        }
        if self.accept("controlfile")? {
            self.expect("autobackup")?;
            if self.accept("format")? {
                self.rest("for device type")?;
                return Ok("controlfile autobackup format for device type".into());
            }
            return Ok("controlfile autobackup".into());
        }
        if self.accept("archivelog")? {
            if self.accept("deletion")? {
                self.expect("policy")?;
                return Ok("archivelog deletion policy".into());
            }
            self.rest("backup copies for device type")?;
            return Ok("archivelog backup copies for device type".into());
        }
        if self.accept("encryption")? {
            if self.accept("algorithm")? {
                return Ok("encryption algorithm".into());
            }
            self.rest("for database")?;
            return Ok("encryption for database".into());
        }
        self.error()
    }

    pub(super) fn show(&mut self) -> Parsed<Command> {
        if self.accept("all")? {
            self.end()?;
            return Ok(Command::Show(None));
        }
        let name = self.value()?;
        if name.is_empty() {
            return self.unexpected("all, archivelog, auxiliary, auxname, backup, channel, compression, controlfile, datafile, db_unique_name, default, device, encryption, exclude, maxsetsize, retention, rman, snapshot");
        }
        Ok(Command::Show(Some(name)))
    }

    pub(super) fn sql(&mut self) -> Parsed<Command> {
        self.accept("channel")?;
        let Kind::Text { text, .. } = self.peek()?.kind.clone() else {
            // SQL SELECT …: the keyword alone before a statement (12c).
            let token = self.next()?;
            if let Kind::Word(w) = &token.kind {
                let w = w.clone();
                return self.sql_statement(&w, &token);
            }
            self.ahead = Some(token);
            self.expected = vec!["double-quoted-string".into(), "single-quoted-string".into()];
            return self.error();
        };
        self.next()?;
        self.end()?;
        Ok(Command::Sql(text))
    }

    /// SPOOL LOG TO 'file' [APPEND], SPOOL LOG OFF.
    pub(super) fn spool(&mut self) -> Parsed<Command> {
        self.expect("log")?;
        if self.accept("off")? {
            if !self.line_is_done() {
                self.end()?;
            }
            return Ok(Command::SpoolLog { to: None, append: false });
        }
        self.expect("to")?;
        let to = self.name()?;
        let append = !self.line_is_done() && self.accept("append")?;
        if !self.line_is_done() {
            self.end()?;
        }
        Ok(Command::SpoolLog { to: Some(to), append })
    }

    pub(super) fn connect(&mut self) -> Parsed<Command> {
        let mut what = String::new();
        for word in ["target", "catalog", "auxiliary"] {
            if what.is_empty() && self.accept(word)? {
                what = word.into();
            }
        }
        if what.is_empty() {
            return self.error();
        }
        let mut to = String::new();
        while !self.line_is_done() {
            match self.next()?.kind {
                Kind::Word(w) => to.push_str(&w),
                Kind::Int(n) => to.push_str(&n.to_string()),
                Kind::Text { text, .. } => to.push_str(&text),
                Kind::Punct(';') | Kind::End => break,
                Kind::Punct(c) => to.push(c),
                Kind::Size(n) => to.push_str(&n.to_string()),
            }
        }
        Ok(Command::Connect { what, to })
    }
}

/// `2 G` as RMAN writes a size back.
fn sized(bytes: u64) -> String {
    for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}
