//! Whether recovered files would open: the same questions after a recovery and before an open.

use super::{
    life::{header_error, naming},
    recover::Session,
    Inner,
};
use crate::{
    controlfile::Datafile,
    datafile::{self, Header},
    engine::OraError,
};

pub(super) fn fuzzy_error(file: &Datafile, header: &Header) -> Option<OraError> {
    let flags = header.flags;
    let text = |code: u32, text: &str| Some(naming(OraError::new(code, text), file));
    let n = file.file;
    if flags & datafile::HOT_BACKUP != 0 {
        return text(1195, &format!("online backup of file {n} needs more recovery to be consistent"));
    }
    if flags & datafile::ONLINE_FUZZY != 0 || header.fuzzy_until().is_some() {
        return text(1194, &format!("file {n} needs more recovery to be consistent"));
    }
    if flags & datafile::MEDIA_FUZZY != 0 {
        return text(1196, &format!("file {n} is inconsistent due to a failed media recovery session"));
    }
    None
}

fn warned(error: OraError) -> OraError {
    let mut all = OraError::new(1547, "warning: RECOVER succeeded but OPEN RESETLOGS would get error below");
    all.stack.extend(error.stack);
    all
}

impl Inner {
    /// What opening the recovered files would find.
    pub(super) fn check_recovered(&self) -> Result<(), OraError> {
        if self.recovery.is_some() {
            return Err(OraError::new(1156, "recovery or flashback in progress may need access to files"));
        }
        let control = self.control()?;
        let mut live = Vec::new();
        for file in control.datafiles.iter().filter(|f| !f.offline) {
            let header = self.header_of(file).map_err(|e| header_error(&e, file))?;
            self.check_identity(file, &header)?;
            self.check_incarnation(file, &header)?;
            if let Some(error) = fuzzy_error(file, &header) {
                return Err(error);
            }
            if file.read_only {
                if header.checkpoint_scn != file.checkpoint_scn {
                    return Err(naming(
                        OraError::new(1113, format!("file {} needs media recovery", file.file)),
                        file,
                    ));
                }
            } else {
                live.push((file, header.checkpoint_scn));
            }
        }
        let highest = live.iter().map(|(_, scn)| *scn).max().unwrap_or(0);
        if let Some((file, _)) = live.iter().find(|(_, scn)| *scn < highest) {
            let text = format!("file {} needs more recovery to be consistent", file.file);
            return Err(naming(OraError::new(1194, text), file));
        }
        Ok(())
    }

    pub(super) fn check_identity(&self, file: &Datafile, header: &Header) -> Result<(), OraError> {
        let control = self.control()?;
        let failed = |code: u32, text: &str| {
            let first = OraError::new(1122, format!("database file {} failed verification check", file.file));
            Err(naming(first, file).then(code, text))
        };
        if header.dbid != control.dbid {
            return failed(1206, "file is not part of this database - wrong database id");
        }
        if header.file != file.file {
            return failed(1205, &format!("not a data file - type number in header is {}", header.file));
        }
        if header.creation_scn != file.creation_scn {
            return failed(1203, "wrong incarnation of this file - wrong creation SCN");
        }
        let orphan = || {
            let text = format!("datafile {} belongs to an orphan incarnation", file.file);
            Err(naming(OraError::new(19909, text), file))
        };
        let line = control.lineage();
        match line.iter().find(|(i, _)| i.resetlogs_scn == header.resetlogs_scn) {
            None => orphan(),
            // Changed in a parent after the child had left it.
            Some((_, Some(end))) if header.checkpoint_scn > *end => orphan(),
            Some(_) => Ok(()),
        }
    }

    /// Whether a file that is to be opened has come to the current incarnation.
    fn check_incarnation(&self, file: &Datafile, header: &Header) -> Result<(), OraError> {
        let current = self.control()?.incarnation().map_or(0, |i| i.resetlogs_scn);
        if header.resetlogs_scn == current || file.read_only {
            return Ok(());
        }
        let text = format!("control file or data file {} is from before the last RESETLOGS", file.file);
        Err(naming(OraError::new(1190, text), file))
    }

    /// What is inconsistent when recovery has come to its end at `scn`.
    pub(super) fn verdict(&self, session: &Session, scn: u64) -> Result<(), OraError> {
        let control = self.control()?;
        for file in &control.datafiles {
            let Some(target) = session.applier.files.get(&file.file).filter(|t| !t.stopped) else { continue };
            if target.header.checkpoint_scn > scn {
                let text = format!("file {} was not restored from a sufficiently old backup", file.file);
                return Err(warned(naming(OraError::new(1152, text), file)));
            }
            let mut header = target.header.clone();
            header.flags &= !datafile::MEDIA_FUZZY;
            if let Some(error) = fuzzy_error(file, &header) {
                return Err(warned(error));
            }
        }
        Ok(())
    }
}
