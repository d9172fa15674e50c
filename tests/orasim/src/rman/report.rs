//! REPORT: the schema, what is obsolete, what needs a backup.

use super::ast::Report;
use super::list::pieces;
use super::print::Style;
use super::session::{Done, Rman};
use super::stack::Failed;
use crate::pieces::api::{self, Answer, Object};
use crate::pieces::records::{PieceStatus, SetType};

impl Rman<'_> {
    pub fn report(&mut self, report: &Report) -> Done {
        self.repository();
        match report {
            Report::Schema => self.schema(),
            Report::Obsolete { window, redundancy } => self.obsolete(*window, *redundancy),
            Report::NeedBackup { incremental: Some(_), .. } | Report::NeedBackup { days: Some(_), .. } => {
                Err(Failed::unimplemented("report", "REPORT NEED BACKUP INCREMENTAL or DAYS"))
            }
            Report::NeedBackup { redundancy, .. } => self.need_backup(*redundancy),
            Report::Unrecoverable => self.unrecoverable(),
        }
    }

    fn schema(&mut self) -> Done {
        let unique = self.unique_name();
        let sql = "SELECT d.file#, d.bytes, t.name, d.name FROM v$datafile d, v$tablespace t WHERE t.ts# = d.ts# AND t.con_id = d.con_id ORDER BY 1";
        let files = self.rows(sql).map_err(|s| Failed::ora("report", &s))?;
        let temp = "SELECT d.file#, d.bytes, t.name, d.name FROM v$tempfile d, v$tablespace t WHERE t.ts# = d.ts# AND t.con_id = d.con_id ORDER BY 1";
        let temps = self.rows(temp).map_err(|s| Failed::ora("report", &s))?;
        self.out.line(&format!("Report of database schema for database with db_unique_name {unique}"));
        self.out.paragraph("List of Permanent Datafiles\n===========================\nFile Size(MB) Tablespace           RB segs Datafile Name\n---- -------- -------------------- ------- ------------------------");
        let mb = |bytes: &str| bytes.parse::<u64>().unwrap_or(0) >> 20;
        for r in files {
            let undo = if r[2] == "SYSTEM" || r[2].starts_with("UNDO") { "YES" } else { "NO" };
            self.out.line(&format!("{:<4} {:<8} {:<20} {undo:<7} {}", r[0], mb(&r[1]), r[2], r[3]));
        }
        if !temps.is_empty() {
            self.out.paragraph("List of Temporary Files\n=======================\nFile Size(MB) Tablespace           Maxsize(MB) Tempfile Name\n---- -------- -------------------- ----------- --------------------");
            for r in temps {
                self.out.line(&format!("{:<4} {:<8} {:<20} 32767       {}", r[0], mb(&r[1]), r[2], r[3]));
            }
        }
        self.out.blank();
        Ok(())
    }

    /// What the retention policy is, in its own words.
    pub fn say_policy(&mut self, window: Option<u64>, redundancy: Option<u64>) {
        self.repository();
        if let Some(days) = window {
            self.out.line(&format!("RMAN retention policy will be applied to the command\nRMAN retention policy is set to recovery window of {days} days"));
            return;
        }
        if let Some(n) = redundancy {
            self.out.line(&format!("RMAN retention policy will be applied to the command\nRMAN retention policy is set to redundancy {n}"));
            return;
        }
        let policy = self.configured("RETENTION POLICY").unwrap_or_else(|| "TO REDUNDANCY 1".into());
        self.out.line("RMAN retention policy will be applied to the command");
        self.out.line(&format!(
            "RMAN retention policy is set to {}",
            policy.trim_start_matches("TO ").to_lowercase()
        ));
    }

    /// The value of a setting, the default's too.
    fn configured(&mut self, name: &str) -> Option<String> {
        let Ok(Answer::Facts(facts)) = self.engine("report", api::Request::Show) else { return None };
        facts.configuration.iter().find(|(n, ..)| n == name).map(|(_, v, _)| v.clone())
    }

    fn obsolete(&mut self, window: Option<u64>, redundancy: Option<u64>) -> Done {
        self.say_policy(window, redundancy);
        let small = |n: Option<u64>| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let request = api::Request::Obsolete { redundancy: small(redundancy), window_days: small(window) };
        let mut printer = self.printer(Style::Other);
        self.job("report", request, &mut printer)?;
        if printer.listed.is_empty() {
            self.out.line("no obsolete backups found");
            return Ok(());
        }
        self.out.line("Report of obsolete backups and copies");
        self.list_obsolete(&printer.listed)
    }

    pub fn list_obsolete(&mut self, objects: &[Object]) -> Done {
        let facts = self.facts("report")?;
        self.out.line("Type                 Key    Completion Time    Filename/Handle\n-------------------- ------ ------------------ --------------------");
        let mut said = Vec::new();
        for object in objects {
            let (what, key, at, path) = match object {
                Object::Piece { recid, handle, .. } => {
                    let piece = facts.pieces.iter().find(|p| p.recid == *recid);
                    let set = piece.and_then(|p| {
                        facts.sets.iter().find(|s| (s.set_stamp, s.set_count) == (p.set_stamp, p.set_count))
                    });
                    if let Some(set) = set.filter(|s| !said.contains(&s.recid)) {
                        said.push(set.recid);
                        self.out.line(&format!(
                            "{:<20} {:<6} {:<18}",
                            "Backup Set",
                            set.recid,
                            self.date(set.completion)
                        ));
                    }
                    ("  Backup Piece", *recid, piece.map(|p| self.date(p.completion)), handle)
                }
                Object::Log { recid, path, first_time, .. } => {
                    ("Archive Log", *recid, Some(self.date(*first_time)), path)
                }
                Object::Copy { recid, path, .. } => {
                    let at = facts.copies.iter().find(|c| c.recid == *recid).map(|c| self.date(c.completion));
                    ("Datafile Copy", *recid, at, path)
                }
            };
            self.out.line(&format!("{what:<20} {key:<6} {:<18} {}", at.unwrap_or_default(), path.display()));
        }
        Ok(())
    }

    /// Files with fewer full or level 0 backups than the policy wants.
    fn need_backup(&mut self, redundancy: Option<u64>) -> Done {
        self.say_policy(None, redundancy);
        let policy = self.configured("RETENTION POLICY").unwrap_or_default();
        let wanted =
            redundancy.or_else(|| policy.strip_prefix("TO REDUNDANCY ")?.trim().parse().ok()).unwrap_or(1);
        let facts = self.facts("report")?;
        let files = self
            .rows("SELECT file#, name FROM v$datafile ORDER BY file#")
            .map_err(|s| Failed::ora("report", &s))?;
        self.out.line(&format!("Report of files with less than {wanted} redundant backups\nFile #bkps Name\n---- ----- -----------------------------------------------------"));
        for row in files {
            let number: u32 = row[0].parse().unwrap_or(0);
            let count = facts
                .sets
                .iter()
                .filter(|s| matches!(s.set_type, SetType::Full | SetType::Level0))
                .filter(|s| s.datafiles.iter().any(|f| f.file == number))
                .filter(|s| {
                    let there = pieces(&facts, s);
                    (1..=s.pieces)
                        .all(|n| there.iter().any(|p| p.piece == n && p.status == PieceStatus::Available))
                })
                .count() as u64;
            if count < wanted {
                self.out.line(&format!("{number:<4} {count:<5} {}", row[1]));
            }
        }
        Ok(())
    }

    /// Files changed without redo since their last backup.
    fn unrecoverable(&mut self) -> Done {
        let facts = self.facts("report")?;
        let sql = "SELECT file#, TO_CHAR(unrecoverable_change#), name FROM v$datafile WHERE unrecoverable_change# > 0 ORDER BY file#";
        let rows = self.rows(sql).map_err(|s| Failed::ora("report", &s))?;
        self.out.line("Report of files that need backup due to unrecoverable operations\nFile Type of Backup Required Name\n---- ----------------------- -----------------------------------");
        for row in rows {
            let number: u32 = row[0].parse().unwrap_or(0);
            let since: u64 = row[1].parse().unwrap_or(0);
            let newest = facts
                .sets
                .iter()
                .flat_map(|s| &s.datafiles)
                .filter(|f| f.file == number)
                .map(|f| f.checkpoint_scn)
                .max()
                .unwrap_or(0);
            if newest <= since {
                self.out.line(&format!("{number:<4} {:<23} {}", "full or incremental", row[2]));
            }
        }
        Ok(())
    }
}
