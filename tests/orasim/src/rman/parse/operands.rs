//! What several commands name alike: tablespaces, datafiles, UNTIL, ranges of archived logs.

use super::{Parsed, Parser};
use crate::rman::ast::{Bound, FileRef, Files, LogRange, TablespaceRef, Until};

impl Parser<'_, '_> {
    pub(super) fn tablespace(&mut self) -> Parsed<TablespaceRef> {
        let one = |p: &mut Self| -> Parsed<String> {
            let quoted = p.is_text()?;
            let name = p.name()?;
            Ok(if quoted { name } else { name.to_uppercase() })
        };
        let name = one(self)?;
        if self.accept_punct(':')? {
            return Ok(TablespaceRef { pdb: Some(name), name: one(self)? });
        }
        Ok(TablespaceRef { pdb: None, name })
    }

    pub(super) fn tablespaces(&mut self) -> Parsed<Vec<TablespaceRef>> {
        let mut out = vec![self.tablespace()?];
        while self.accept_punct(',')? {
            out.push(self.tablespace()?);
        }
        Ok(out)
    }

    pub(super) fn file_ref(&mut self) -> Parsed<FileRef> {
        if self.is_text()? {
            return Ok(FileRef::Name(self.text()?));
        }
        let n = self.int()?;
        Ok(FileRef::Number(u32::try_from(n).unwrap_or(u32::MAX)))
    }

    pub(super) fn file_refs(&mut self) -> Parsed<Vec<FileRef>> {
        let mut out = vec![self.file_ref()?];
        while self.accept_punct(',')? {
            out.push(self.file_ref()?);
        }
        Ok(out)
    }

    /// DATABASE, PLUGGABLE DATABASE, TABLESPACE or DATAFILE.
    pub(super) fn files(&mut self) -> Parsed<Option<Files>> {
        if self.accept("database")? {
            if self.accept("root")? {
                return Ok(Some(Files::Pluggable(vec!["CDB$ROOT".into()])));
            }
            return Ok(Some(Files::Database));
        }
        if self.accept("pluggable")? {
            self.expect("database")?;
            let mut names = vec![self.name()?.to_uppercase()];
            while self.accept_punct(',')? {
                names.push(self.name()?.to_uppercase());
            }
            return Ok(Some(Files::Pluggable(names)));
        }
        if self.accept("tablespace")? {
            return Ok(Some(Files::Tablespace(self.tablespaces()?)));
        }
        if self.accept("datafile")? {
            return Ok(Some(Files::Datafile(self.file_refs()?)));
        }
        Ok(None)
    }

    /// UNTIL or TO and what follows; the word itself is read already.
    pub(super) fn until(&mut self) -> Parsed<Until> {
        if self.accept("scn")? {
            self.equals()?;
            return Ok(Until::Scn(self.int()?));
        }
        if self.accept("time")? {
            self.equals()?;
            return Ok(Until::Time(self.text()?));
        }
        if self.accept("sequence")? {
            self.equals()?;
            let sequence = self.int()?;
            let thread = if self.accept("thread")? {
                self.equals()?;
                Some(self.int()?)
            } else {
                None
            };
            return Ok(Until::Sequence { sequence, thread });
        }
        self.error()
    }

    pub(super) fn bound(&mut self) -> Parsed<Bound> {
        Ok(match self.until()? {
            Until::Scn(n) => Bound::Scn(n),
            Until::Time(text) => Bound::Time(text),
            Until::Sequence { sequence, thread } => {
                if thread.is_some() {
                    self.thread = thread;
                }
                Bound::Sequence(sequence)
            }
        })
    }

    /// After ARCHIVELOG.
    pub(super) fn log_range(&mut self) -> Parsed<LogRange> {
        let mut range = LogRange::default();
        self.thread = None;
        if self.is_text()? {
            range.names = self.texts()?;
            return Ok(range);
        }
        if self.accept("all")? {
            return Ok(range);
        }
        if self.accept("like")? {
            range.like = Some(self.text()?);
            return Ok(range);
        }
        loop {
            if self.accept("from")? {
                range.from = Some(self.bound()?);
            } else if self.accept("until")? {
                range.until = Some(self.bound()?);
            } else if self.is_word("scn")? || self.is_word("sequence")? || self.is_word("time")? {
                self.single(&mut range)?;
            } else if self.accept("thread")? {
                self.equals()?;
                self.thread = Some(self.int()?);
            } else if range == LogRange::default() {
                return self.error();
            } else {
                break;
            }
        }
        range.thread = self.thread.take();
        Ok(range)
    }

    /// SEQUENCE n, SEQUENCE BETWEEN a AND b, and the same with SCN and TIME.
    pub(super) fn single(&mut self, range: &mut LogRange) -> Parsed<()> {
        let word = self.name()?.to_ascii_lowercase();
        let value = |p: &mut Self| -> Parsed<Bound> {
            Ok(match word.as_str() {
                "scn" => Bound::Scn(p.int()?),
                "sequence" => Bound::Sequence(p.int()?),
                _ => Bound::Time(p.text()?),
            })
        };
        self.equals()?;
        if self.accept("between")? {
            range.from = Some(value(self)?);
            self.expect("and")?;
            range.until = Some(value(self)?);
        } else {
            let one = value(self)?;
            range.from = Some(one.clone());
            range.until = Some(one);
        }
        Ok(())
    }
}
