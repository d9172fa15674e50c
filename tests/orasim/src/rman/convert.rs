//! From what was written to what the engine is asked: files, logs and backups.

use std::path::{Path, PathBuf};

use super::ast::{Bound, FileRef, Files, Filter, LogRange, Newname, Objects, TablespaceRef, What};
use super::session::Rman;
use super::stack::Failed;
use crate::pieces::api;

/// New names by file number, and the pattern for all other files.
pub type Newnames = (Vec<(u32, PathBuf)>, Option<String>);

pub fn tablespace(t: &TablespaceRef) -> String {
    match &t.pdb {
        Some(pdb) => format!("{pdb}:{}", t.name),
        None => t.name.clone(),
    }
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Rman<'_> {
    pub fn path(&self, name: &str) -> PathBuf {
        self.process.cwd.join(name)
    }

    /// FILE# of a datafile by its present or its new name.
    ///
    /// # Errors
    /// RMAN-06010 and RMAN-20201 when there is none.
    pub fn file_number(&mut self, command: &str, file: &FileRef) -> Result<u32, Failed> {
        let name = match file {
            FileRef::Number(n) => return Ok(*n),
            FileRef::Name(name) => name.clone(),
        };
        for (newname, to) in self.settings.newnames.clone() {
            if let (Newname::Datafile(FileRef::Number(n)), true) = (newname, to == name) {
                return Ok(n);
            }
        }
        let sql =
            format!("SELECT TO_CHAR(file#) FROM v$datafile WHERE name = '{}'", name.replace('\'', "''"));
        self.one(&sql).and_then(|n| n.parse().ok()).ok_or_else(|| {
            Failed::new(
                command,
                None,
                vec![
                    format!("RMAN-06010: error while looking up datafile: {name}"),
                    "RMAN-20201: datafile not found in the recovery catalog".into(),
                ],
            )
        })
    }

    pub fn files(&mut self, command: &str, files: &Files) -> Result<api::Files, Failed> {
        Ok(match files {
            Files::Database => api::Files::Database,
            Files::Pluggable(names) => api::Files::Pluggable(names.clone()),
            Files::Tablespace(names) => api::Files::Tablespaces(names.iter().map(tablespace).collect()),
            Files::Datafile(list) => {
                let numbers: Result<Vec<u32>, Failed> =
                    list.iter().map(|f| self.file_number(command, f)).collect();
                api::Files::Datafiles(numbers?)
            }
        })
    }

    pub fn logs(&mut self, command: &str, range: &LogRange, filter: &Filter) -> Result<api::Logs, Failed> {
        let mut logs = api::Logs {
            thread: range.thread.map(|t| u16::try_from(t).unwrap_or(u16::MAX)),
            like: range.like.clone(),
            backed_up: filter.backed_up_times.map(small),
            ..api::Logs::default()
        };
        match &range.from {
            Some(Bound::Scn(n)) => logs.from_scn = Some(*n),
            Some(Bound::Sequence(n)) => logs.from_sequence = Some(small(*n)),
            Some(Bound::Time(text)) => logs.from_time = Some(self.time(command, text)?),
            None => {}
        }
        match &range.until {
            Some(Bound::Scn(n)) => logs.until_scn = Some(*n),
            Some(Bound::Sequence(n)) => logs.until_sequence = Some(small(*n)),
            Some(Bound::Time(text)) => logs.until_time = Some(self.time(command, text)?),
            None => {}
        }
        // A log by its name: the pattern that only it fits.
        if let [name] = range.names.as_slice() {
            logs.like = Some(self.path(name).to_string_lossy().into_owned());
        } else if !range.names.is_empty() {
            return Err(Failed::unimplemented(command, "several archived logs by name in one command"));
        }
        logs.completed_before = self.opt_time(command, filter.completed_before.as_deref())?;
        logs.completed_after = self.opt_time(command, filter.completed_after.as_deref())?;
        Ok(logs)
    }

    fn opt_time(
        &mut self,
        command: &str,
        text: Option<&str>,
    ) -> Result<Option<chrono::NaiveDateTime>, Failed> {
        text.map(|t| self.time(command, t)).transpose()
    }

    /// The backups that a command speaks of.
    pub fn backups(
        &mut self,
        command: &str,
        objects: &Objects,
        filter: &Filter,
    ) -> Result<api::Backups, Failed> {
        let mut b = api::Backups {
            tag: filter.tag.clone(),
            completed_before: self.opt_time(command, filter.completed_before.as_deref())?,
            completed_after: self.opt_time(command, filter.completed_after.as_deref())?,
            ..api::Backups::default()
        };
        match objects {
            Objects::Backup { of: Some(What::Files(files)) } => b.of = Some(self.files(command, files)?),
            Objects::Backup { of: Some(What::Archivelog(range)) } => {
                b.of_logs = Some(self.logs(command, range, &Filter::default())?);
            }
            Objects::Backup { of: Some(What::Controlfile) } => b.of_controlfile = true,
            Objects::Backup { of: Some(What::Spfile) } => b.of_spfile = true,
            Objects::Backup { of: None } | Objects::Archivelog(_) | Objects::Copy => {}
            Objects::BackupSet(keys) => b.sets = keys.iter().map(|k| small(*k)).collect(),
            Objects::BackupPiece(names) => {
                for name in names {
                    match name.parse::<u32>() {
                        Ok(key) => b.pieces.push(key),
                        Err(_) => b.handles.push(self.path(name)),
                    }
                }
            }
        }
        Ok(b)
    }

    /// SET NEWNAME as the engine wants it: by file number, and the pattern for all others.
    pub fn newnames(&mut self, command: &str) -> Result<Newnames, Failed> {
        let (mut list, mut all) = (Vec::new(), None);
        for (what, to) in self.settings.newnames.clone() {
            if to.is_empty() {
                return Err(Failed::unimplemented(command, "SET NEWNAME TO NEW"));
            }
            match what {
                Newname::Datafile(file) => {
                    let number = self.file_number(command, &file)?;
                    let path = self.path(&to);
                    list.push((number, path));
                }
                Newname::Database => all = Some(self.path(&to).to_string_lossy().into_owned()),
                Newname::Tablespace(t) => {
                    let sql = format!(
                        "SELECT TO_CHAR(d.file#), d.name FROM v$datafile d, v$tablespace t WHERE t.ts# = d.ts# AND t.con_id = d.con_id AND t.name = '{}' ORDER BY d.file#",
                        t.name.replace('\'', "''")
                    );
                    let rows = self.rows(&sql).map_err(|s| Failed::ora(command, &s))?;
                    for row in rows {
                        let base =
                            Path::new(&row[1]).file_name().unwrap_or_default().to_string_lossy().into_owned();
                        let name = to.replace("%b", &base).replace("%f", &row[0]).replace("%N", &t.name);
                        if let Ok(number) = row[0].parse() {
                            list.push((number, self.path(&name)));
                        }
                    }
                }
                Newname::Tempfile(_) => {}
            }
        }
        Ok((list, all))
    }
}
