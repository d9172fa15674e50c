//! Where pieces go, what CONFIGURE says, and which files and logs a command means.

use std::path::{Path, PathBuf};

use chrono::NaiveDateTime;

use crate::{
    controlfile::{Archived, ControlFile, Datafile},
    instance::Inner,
    pieces::{
        api::{Failure, Files, Logs, Message},
        select,
    },
};

impl Inner {
    fn config(&self, name: &str) -> Option<&str> {
        self.control.as_ref()?.data.rman.configuration.get(name).map(String::as_str)
    }

    /// CONFIGURE CONTROLFILE AUTOBACKUP; on by default since 12.2.
    pub(super) fn autobackup_on(&self) -> bool {
        self.config("CONTROLFILE AUTOBACKUP").is_none_or(|v| v.eq_ignore_ascii_case("ON"))
    }

    pub(super) fn autobackup_format(&self) -> Option<String> {
        quoted(self.config("CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE")?)
    }

    pub(super) fn optimization(&self) -> bool {
        self.config("BACKUP OPTIMIZATION").is_some_and(|v| v.eq_ignore_ascii_case("ON"))
    }

    pub(super) fn compressed_by_default(&self) -> bool {
        self.config("DEVICE TYPE").is_some_and(|v| v.to_uppercase().contains("COMPRESSED"))
    }

    pub(super) fn channel_format(&self) -> Option<String> {
        let value = self.config("CHANNEL")?;
        let at = value.to_uppercase().find("FORMAT")?;
        quoted(value.get(at..)?)
    }

    pub(super) fn channel_piece_size(&self) -> Option<u64> {
        let value = self.config("CHANNEL")?.to_uppercase();
        let rest = value.split("MAXPIECESIZE").nth(1)?;
        size(rest.trim())
    }

    /// (redundancy, window in days) of the retention policy.
    pub(super) fn retention(&self) -> (Option<u32>, Option<u32>) {
        let value = self.config("RETENTION POLICY").unwrap_or("TO REDUNDANCY 1").to_uppercase();
        let number = value.split(|c: char| !c.is_ascii_digit()).find_map(|w| w.parse().ok());
        if value.contains("WINDOW") {
            (None, number)
        } else if value.contains("NONE") {
            (None, None)
        } else {
            (number, None)
        }
    }

    pub(super) fn deletion_policy(&self) -> String {
        self.config("ARCHIVELOG DELETION POLICY").unwrap_or("TO NONE").to_uppercase()
    }

    pub(super) fn unique_name(&self) -> String {
        self.spec.unique_name.as_ref().unwrap_or(&self.spec.name).to_uppercase()
    }

    /// DB_RECOVERY_FILE_DEST.
    pub(in crate::instance) fn recovery_area(&self) -> Option<PathBuf> {
        let named = self.spec.parameters.get("db_recovery_file_dest").filter(|p| !p.is_empty());
        named
            .map(PathBuf::from)
            .or_else(|| self.dests().into_iter().find(|d| d.omf).and_then(|d| d.directory))
    }

    /// DB_RECOVERY_FILE_DEST_SIZE in bytes.
    pub(in crate::instance) fn recovery_area_limit(&self) -> u64 {
        let value = self.spec.parameters.get("db_recovery_file_dest_size");
        value.and_then(|v| size(v)).unwrap_or(100 << 30)
    }

    /// (bytes, files) that the control file knows in the recovery area: archived logs, pieces.
    pub(in crate::instance) fn recovery_area_used(&self) -> [(u64, u64); 2] {
        let Some(control) = self.control.as_ref().map(|c| &c.data) else { return [(0, 0); 2] };
        let logs = control.archived.iter().filter(|a| a.in_recovery_area && !a.deleted);
        let logs =
            logs.fold((0, 0), |(b, n), a| (b + (u64::from(a.blocks) + 1) * u64::from(a.block_size), n + 1));
        let pieces = control
            .rman
            .pieces
            .iter()
            .filter(|p| p.in_recovery_area && p.status != crate::pieces::records::PieceStatus::Deleted);
        [logs, pieces.fold((0, 0), |(b, n), p| (b + p.bytes, n + 1))]
    }

    /// Eight characters as in Oracle-managed names.
    pub(super) fn omf_letters(&mut self) -> String {
        let mut random = self.random();
        (0..8)
            .map(|_| {
                let c = b"0123456789bcdfghjklmnpqrstvwxyz"[(random % 31) as usize];
                random /= 31;
                char::from(c)
            })
            .collect()
    }

    /// The Oracle-managed name of a piece in the recovery area.
    pub(super) fn omf_piece(
        &mut self,
        area: &Path,
        now: NaiveDateTime,
        kind: &str,
        middle: &str,
        autobackup: bool,
    ) -> PathBuf {
        let letters = self.omf_letters();
        let folder = if autobackup { "autobackup" } else { "backupset" };
        area.join(self.unique_name())
            .join(folder)
            .join(now.format("%Y_%m_%d").to_string())
            .join(format!("o1_mf_{kind}_{middle}_{letters}_.bkp"))
    }
}

/// What stands between the first two apostrophes.
fn quoted(text: &str) -> Option<String> {
    text.split('\'').nth(1).map(str::to_owned)
}

/// `100M`, `2 G`, `1000`.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text.get(digits.len()..)?.trim().chars().next().map(|c| c.to_ascii_uppercase());
    let shift = match unit {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => 0,
    };
    digits.parse::<u64>().ok().map(|n| n << shift)
}

fn translate(code: u32, first: &str, name: &str) -> Failure {
    Failure::new(vec![
        Message::rman(code, first),
        Message::rman(6019, format!("could not translate tablespace name \"{name}\"")),
    ])
}

/// The datafiles that a command names, in the order of their numbers.
pub(super) fn files(control: &ControlFile, wanted: &Files) -> Result<Vec<Datafile>, Failure> {
    let container = |name: &str| {
        control.containers.iter().find(|c| c.name == name).map(|c| c.con_id).ok_or_else(|| {
            Failure::new(vec![Message::rman(
                6818,
                format!("Pluggable database {name} does not exist in the target database"),
            )])
        })
    };
    let root = u32::from(!control.containers.is_empty());
    let mut out: Vec<Datafile> = Vec::new();
    match wanted {
        Files::Database => out.clone_from(&control.datafiles),
        Files::Tablespaces(names) => {
            for name in names {
                let (con_id, bare) = match name.split_once(':') {
                    Some((pdb, bare)) => (container(pdb)?, bare),
                    None => (root, name.as_str()),
                };
                let found = control.tablespaces.iter().find(|t| t.con_id == con_id && t.name == bare);
                let Some(ts) = found else {
                    return Err(translate(20202, "Tablespace not found in the recovery catalog", name));
                };
                let own = control.datafiles.iter().filter(|f| (f.con_id, f.ts) == (ts.con_id, ts.ts));
                out.extend(own.cloned());
            }
        }
        Files::Pluggable(names) => {
            for name in names {
                let con_id = container(name)?;
                out.extend(control.datafiles.iter().filter(|f| f.con_id == con_id).cloned());
            }
        }
        Files::Datafiles(numbers) => {
            for number in numbers {
                let found = control.datafile(*number).cloned();
                out.push(found.ok_or_else(|| {
                    Failure::new(vec![
                        Message::rman(20201, "datafile not found in the recovery catalog"),
                        Message::rman(6010, format!("error while looking up datafile: {number}")),
                    ])
                })?);
            }
        }
        Files::Paths(paths) => {
            for path in paths {
                let found = control.datafiles.iter().find(|f| f.path == *path).cloned();
                out.push(found.ok_or_else(|| {
                    Failure::new(vec![
                        Message::rman(20201, "datafile not found in the recovery catalog"),
                        Message::rman(6010, format!("error while looking up datafile: {}", path.display())),
                    ])
                })?);
            }
        }
    }
    out.sort_by_key(|f| f.file);
    out.dedup_by_key(|f| f.file);
    Ok(out)
}

fn like(text: &str, pattern: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('%'), _) => {
            let rest = &pattern[1..];
            like(text, rest) || text.char_indices().any(|(i, c)| like(&text[i + c.len_utf8()..], rest))
        }
        (Some('_'), Some(c)) => like(&text[c.len_utf8()..], &pattern[1..]),
        (Some(p), Some(c)) if p == c => like(&text[c.len_utf8()..], &pattern[p.len_utf8()..]),
        _ => false,
    }
}

/// Whether a log is one of those named; backups are counted in `control`.
pub(super) fn wanted_log(control: &ControlFile, logs: &Logs, log: &Archived) -> bool {
    let backups = || select::log_backups(&control.rman, log);
    logs.thread.is_none_or(|t| log.thread == t)
        && logs.from_sequence.is_none_or(|s| log.sequence >= s)
        && logs.until_sequence.is_none_or(|s| log.sequence <= s)
        && logs.from_scn.is_none_or(|s| log.next_scn > s)
        && logs.until_scn.is_none_or(|s| log.first_scn <= s)
        && logs.from_time.is_none_or(|t| log.next_time > t)
        && logs.until_time.is_none_or(|t| log.first_time <= t)
        && logs.completed_before.is_none_or(|t| log.completion <= t)
        && logs.completed_after.is_none_or(|t| log.completion >= t)
        && logs.like.as_ref().is_none_or(|p| log.name.as_ref().is_some_and(|n| like(n, p)))
        && logs.not_backed_up.is_none_or(|n| backups() < n)
        && logs.backed_up.is_none_or(|n| backups() >= n)
}

/// Local archived logs that are thought to be on disk, of all destinations.
pub(super) fn local_logs<'a>(control: &'a ControlFile, logs: &'a Logs) -> impl Iterator<Item = &'a Archived> {
    control
        .archived
        .iter()
        .filter(move |a| !a.deleted && !a.standby_dest && a.name.is_some() && wanted_log(control, logs, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_sizes() {
        assert!(like("/arch/1_5_9.dbf", "/arch/%.dbf"));
        assert!(like("/arch/1_5_9.dbf", "%1_5_9%"));
        assert!(!like("/arch/1_5_9.dbf", "/arch/%.arc"));
        assert_eq!((size("2 G"), size("100M"), size("77")), (Some(2 << 30), Some(100 << 20), Some(77)));
    }
}
