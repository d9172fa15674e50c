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

pub(super) fn fuzzy_error(file: &Datafile, flags: u16) -> Option<OraError> {
    let text = |code: u32, text: &str| Some(naming(OraError::new(code, text), file));
    let n = file.file;
    if flags & datafile::HOT_BACKUP != 0 {
        return text(1195, &format!("online backup of file {n} needs more recovery to be consistent"));
    }
    if flags & datafile::ONLINE_FUZZY != 0 {
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
            if let Some(error) = fuzzy_error(file, header.flags) {
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
        match control.incarnations.iter().find(|i| i.resetlogs_scn == header.resetlogs_scn) {
            None => {
                let text = format!("datafile {} belongs to an orphan incarnation", file.file);
                Err(naming(OraError::new(19909, text), file))
            }
            Some(i) if !i.current && !file.read_only => Err(naming(
                OraError::new(
                    1190,
                    format!("control file or data file {} is from before the last RESETLOGS", file.file),
                ),
                file,
            )),
            Some(_) => Ok(()),
        }
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
            if let Some(error) = fuzzy_error(file, target.header.flags & !datafile::MEDIA_FUZZY) {
                return Err(warned(error));
            }
        }
        Ok(())
    }
}
