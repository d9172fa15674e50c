//! BACKUP, and what its archived logs and files may be.

use super::{Parsed, Parser};
use crate::rman::ast::{Backup, Command, DeleteInput, NotBackedUp, Options, What};
use crate::rman::source::Kind;

impl Parser<'_, '_> {
    pub(super) fn what(&mut self) -> Parsed<Option<What>> {
        if let Some(files) = self.files()? {
            return Ok(Some(What::Files(files)));
        }
        if self.accept("archivelog")? {
            return Ok(Some(What::Archivelog(self.log_range()?)));
        }
        if self.accept("spfile")? {
            return Ok(Some(What::Spfile));
        }
        if self.accept("controlfile")? {
            return Ok(Some(What::Controlfile));
        }
        Ok(None)
    }

    /// One clause that may stand before or after the things to back up; false when the next word is none.
    fn option(&mut self, o: &mut Options) -> Parsed<bool> {
        if self.accept("format")? {
            self.equals()?;
            o.format = self.texts()?;
        } else if self.accept("tag")? {
            self.equals()?;
            o.tag = Some(self.name()?.to_uppercase());
        } else if self.accept("filesperset")? {
            self.equals()?;
            o.filesperset = Some(self.int()?);
        } else if self.accept("maxsetsize")? {
            self.equals()?;
            o.maxsetsize = Some(self.size()?);
        } else if self.accept("section")? {
            self.expect("size")?;
            self.equals()?;
            o.section_size = Some(self.size()?);
        } else if self.accept("delete")? {
            let all = self.accept("all")?;
            self.expect("input")?;
            o.delete = if all { DeleteInput::AllInput } else { DeleteInput::Input };
        } else if self.accept("skip")? {
            if self.accept("offline")? {
                o.skip.offline = true;
            } else if self.accept("readonly")? {
                o.skip.readonly = true;
            } else if self.accept("inaccessible")? {
                o.skip.inaccessible = true;
            } else {
                return self.error();
            }
        } else if self.accept("not")? {
            self.expect("backed")?;
            self.expect("up")?;
            o.not_backed_up = Some(if self.accept("since")? {
                self.expect("time")?;
                self.equals()?;
                NotBackedUp::Since(self.text()?)
            } else if matches!(self.peek()?.kind, Kind::Int(_)) {
                let n = self.int()?;
                self.expect("times")?;
                NotBackedUp::Times(n)
            } else {
                NotBackedUp::Ever
            });
        } else if self.accept("include")? {
            self.expect("current")?;
            self.expect("controlfile")?;
            o.include_controlfile = true;
        } else if self.accept("force")? {
            o.force = true;
        } else if self.accept("noexclude")? || self.accept("reuse")? || self.accept("nochecksum")? {
            // Nothing is excluded, pieces are written anew only under new names, and blocks have their checksums.
        } else if self.accept("channel")? {
            self.equals()?;
            o.channel = Some(self.name()?);
        } else if self.accept("device")? {
            self.expect("type")?;
            self.equals()?;
            o.device = Some(self.name()?.to_uppercase());
        } else if self.accept("copies")? {
            self.equals()?;
            o.copies = Some(self.int()?);
        } else if self.accept("diskratio")? || self.accept("pool")? {
            self.equals()?;
            self.int()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn refuse(b: &mut Backup, what: &str) {
        b.refused.get_or_insert_with(|| what.to_string());
    }

    /// Clauses of the command as a whole.
    fn general(&mut self, b: &mut Backup) -> Parsed<bool> {
        if self.accept("as")? {
            if self.accept("copy")? {
                Self::refuse(b, "AS COPY");
            } else {
                b.compressed |= self.accept("compressed")?;
                self.expect("backupset")?;
            }
        } else if self.accept("incremental")? {
            self.accept("from")?;
            if self.accept("scn")? {
                self.equals()?;
                self.int()?;
                Self::refuse(b, "INCREMENTAL FROM SCN");
                return Ok(true);
            }
            self.expect("level")?;
            self.equals()?;
            b.level = Some(match self.peek()?.kind {
                Kind::Int(n @ (0 | 1)) => n as u8,
                _ => {
                    self.expected = vec!["0".into(), "1".into()];
                    return self.error();
                }
            });
            self.next()?;
        } else if self.accept("cumulative")? {
            b.cumulative = true;
        } else if self.accept("full")? {
            b.level = None;
        } else if self.accept("validate")? {
            b.validate = true;
        } else if self.accept("check")? {
            self.expect("logical")?;
            b.check_logical = true;
        } else if self.accept("for")? {
            self.expect("recover")?;
            self.expect("of")?;
            self.expect("copy")?;
            if self.accept("with")? {
                self.expect("tag")?;
                self.equals()?;
                self.name()?;
            }
            Self::refuse(b, "FOR RECOVER OF COPY");
        } else if self.accept("keep")? {
            if self.accept("until")? {
                self.expect("time")?;
                self.equals()?;
                self.text()?;
            } else {
                self.expect("forever")?;
            }
            if self.accept("restore")? {
                self.expect("point")?;
                self.name()?;
            }
            Self::refuse(b, "KEEP");
        } else if self.accept("duration")? {
            self.name()?;
            while self.accept_punct(':')? {
                self.int()?;
            }
            for word in ["partial", "minimize"] {
                if self.accept(word)? && word == "minimize" && !self.accept("time")? {
                    self.expect("load")?;
                }
            }
            Self::refuse(b, "DURATION");
        } else if self.accept("proxy")? {
            Self::refuse(b, "PROXY");
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn backup_what(&mut self, b: &mut Backup) -> Parsed<Option<What>> {
        if self.accept("current")? {
            self.expect("controlfile")?;
            if self.accept("for")? {
                self.expect("standby")?;
                Self::refuse(b, "CURRENT CONTROLFILE FOR STANDBY");
            }
            return Ok(Some(What::Controlfile));
        }
        for word in
            ["backupset", "datafilecopy", "controlfilecopy", "recovery", "db_recovery_file_dest", "copy"]
        {
            if self.accept(word)? {
                Self::refuse(b, &word.to_uppercase());
                while !matches!(self.peek()?.kind, Kind::Punct(';') | Kind::End) {
                    self.next()?;
                }
                return Ok(Some(What::Spfile));
            }
        }
        // CONTROLFILE alone is no BACKUP clause.
        if self.is_word("controlfile")? {
            return Ok(None);
        }
        self.what()
    }

    pub(super) fn backup(&mut self) -> Parsed<Command> {
        let mut b = Backup::default();
        let mut last: Option<usize> = None;
        loop {
            if !b.specs.is_empty() && self.accept_punct(';')? {
                break;
            }
            if matches!(self.peek()?.kind, Kind::Punct(';') | Kind::End) && b.specs.is_empty() {
                break;
            }
            if self.general(&mut b)? {
                continue;
            }
            let mut options = match (&b.plus_archivelog, last) {
                (Some(plus), _) => plus.clone(),
                (None, Some(i)) => b.specs[i].1.clone(),
                (None, None) => b.options.clone(),
            };
            if self.option(&mut options)? {
                match (&mut b.plus_archivelog, last) {
                    (Some(plus), _) => *plus = options,
                    (None, Some(i)) => b.specs[i].1 = options,
                    (None, None) => b.options = options,
                }
                continue;
            }
            if last.is_some() && self.accept("plus")? {
                self.expect("archivelog")?;
                b.plus_archivelog = Some(Options::default());
                continue;
            }
            // A comma may stand between two things.
            if last.is_some() {
                self.accept_punct(',')?;
            }
            match self.backup_what(&mut b)? {
                Some(what) => {
                    b.specs.push((what, Options::default()));
                    last = Some(b.specs.len() - 1);
                }
                None => return self.error(),
            }
        }
        if b.specs.is_empty() {
            return self.unexpected("archivelog, as, auxiliary, backupset, channel, check, controlfilecopy, copies, copy, cumulative, current, database, datafile, datafilecopy, db_file_name_convert, db_recovery_file_dest, device, diskratio, duration, filesperset, for, force, format, from, full, incremental, keep, maxsetsize, nochecksum, noexclude, nokeep, not, passwordfile, pluggable, pool, proxy, recovery, reuse, section, skip readonly, skip, spfile, tablespace, tag, to, validate, (");
        }
        Ok(Command::Backup(b))
    }
}
