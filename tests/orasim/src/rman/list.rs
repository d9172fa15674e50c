//! LIST: what the control file knows of backups, logs and incarnations.

use super::ast::{Filter, List, LogRange, Objects};
use super::print::elapsed;
use super::session::{Done, Rman};
use super::stack::Failed;
use crate::pieces::api::{self, Answer, Facts, Object};
use crate::pieces::records::{BackupSet, Piece, PieceStatus, SetType};

/// `365.34M` and the like; bytes below one kilobyte.
pub fn size(bytes: u64) -> String {
    for (unit, shift) in [('G', 30), ('M', 20), ('K', 10)] {
        if bytes >> shift > 0 {
            return format!("{:.2}{unit}", bytes as f64 / f64::from(1_u32 << shift));
        }
    }
    bytes.to_string()
}

pub fn status(s: PieceStatus) -> (&'static str, char) {
    match s {
        PieceStatus::Available => ("AVAILABLE", 'A'),
        PieceStatus::Expired => ("EXPIRED", 'X'),
        PieceStatus::Deleted => ("DELETED", 'D'),
        PieceStatus::Unavailable => ("UNAVAILABLE", 'U'),
    }
}

fn level(set: &BackupSet) -> (&'static str, &'static str, &'static str) {
    match set.set_type {
        SetType::Full => ("Full", "  ", "F"),
        SetType::Level0 => ("Incr", "0 ", "0"),
        SetType::Level1 => ("Incr", "1 ", "1"),
        SetType::Logs => ("", "", "A"),
    }
}

impl Rman<'_> {
    pub fn facts(&mut self, command: &str) -> Result<Box<Facts>, Failed> {
        match self.engine(command, api::Request::List)? {
            Answer::Facts(facts) => Ok(facts),
            _ => Ok(Box::default()),
        }
    }

    pub fn list(&mut self, list: &List) -> Done {
        self.repository();
        match list {
            List::Incarnation => self.list_incarnations(),
            List::Failure => {
                self.out.line("Database Role: PRIMARY\n\nno failures found that match specification");
                Ok(())
            }
            List::Archivelog(range, filter) => self.list_logs(range, filter),
            List::Copy => {
                let facts = self.facts("list")?;
                if facts.copies.is_empty() {
                    self.out.line("specification does not match any datafile copy in the repository");
                    return Ok(());
                }
                self.out.line("List of Datafile Copies\n=======================\n\nKey     File S Completion Time Ckp SCN    Ckp Time  Sparse\n------- ---- - --------------- ---------- --------------- ------");
                for c in &facts.copies {
                    self.out.line(&format!(
                        "{:<7} {:<4} {} {:<15} {:<10} {} NO\n        Name: {}\n        Tag: {}\n",
                        c.recid,
                        c.file,
                        status(c.status).1,
                        self.date(c.completion),
                        c.checkpoint_scn,
                        self.date(c.checkpoint_time),
                        c.path.display(),
                        c.tag.as_deref().unwrap_or("")
                    ));
                }
                Ok(())
            }
            List::Backup { objects, summary, expired, filter } => {
                if let Objects::Archivelog(range) = objects {
                    let range = range.clone();
                    return self.list_logs(&range, filter);
                }
                let wanted = self.backups("list", objects, filter)?;
                let facts = self.facts("list")?;
                let sets: Vec<&BackupSet> =
                    facts.sets.iter().filter(|s| wanted_set(s, &facts, &wanted, *expired)).collect();
                self.list_sets(&facts, &sets, *summary);
                Ok(())
            }
        }
    }

    fn list_sets(&self, facts: &Facts, sets: &[&BackupSet], summary: bool) {
        if sets.is_empty() {
            self.out.line("specification does not match any backup in the repository");
            return;
        }
        if summary {
            self.out.blank();
            self.out.line("List of Backups\n===============\nKey     TY LV S Device Type Completion Time #Pieces #Copies Compressed Tag\n------- -- -- - ----------- --------------- ------- ------- ---------- ---");
            for set in sets {
                let pieces = pieces(facts, set);
                let state = pieces.iter().map(|p| status(p.status).1).find(|s| *s != 'A').unwrap_or('A');
                let copies = pieces.iter().map(|p| p.copy).max().unwrap_or(1);
                let tag = pieces.iter().find_map(|p| p.tag.clone()).unwrap_or_default();
                self.out.line(&format!(
                    "{:<7} B  {:<2} {state} DISK        {:<15} {:<7} {copies:<7} {:<10} {tag}",
                    set.recid,
                    level(set).2,
                    self.date(set.completion),
                    set.pieces,
                    if set.compressed { "YES" } else { "NO" },
                ));
            }
            return;
        }
        self.out.blank();
        self.out.line("List of Backup Sets\n===================\n");
        for set in sets {
            self.out.raw("\n");
            self.list_set(facts, set);
        }
    }

    fn list_set(&self, facts: &Facts, set: &BackupSet) {
        let pieces = pieces(facts, set);
        let bytes: u64 = pieces.iter().filter(|p| p.copy <= 1).map(|p| p.bytes).sum();
        let seconds = (set.completion - set.start).num_seconds().max(0) as u64;
        let done = self.date(set.completion);
        let width = done.len().max(15);
        let rule = "-".repeat(width);
        let logs = set.set_type == SetType::Logs;
        let (kind, lv, _) = level(set);
        let first = if logs {
            format!("{:<7} {:<10}", set.recid, size(bytes))
        } else {
            format!("{:<7} {kind:<4} {lv:<2} {:<10}", set.recid, size(bytes))
        };
        let (head, dashes) = if logs {
            ("BS Key  Size      ", "------- ----------")
        } else {
            ("BS Key  Type LV Size      ", "------- ---- -- ----------")
        };
        if let [piece] = pieces.as_slice() {
            self.out.line(&format!("{head} Device Type Elapsed Time {:<width$}", "Completion Time"));
            self.out.line(&format!("{dashes} ----------- ------------ {rule}"));
            self.out.line(&format!("{first} DISK        {}     {done:<width$}", elapsed(seconds)));
            self.out.line(&format!(
                "        BP Key: {}   Status: {}  Compressed: {}  Tag: {}\n        Piece Name: {}",
                piece.recid,
                status(piece.status).0,
                if set.compressed { "YES" } else { "NO" },
                piece.tag.as_deref().unwrap_or(""),
                piece.handle.display()
            ));
            self.list_contents(set);
            return;
        }
        self.out.line(&format!("{head}\n{dashes}\n{first}"));
        self.list_contents(set);
        let copies = pieces.iter().map(|p| p.copy).max().unwrap_or(1);
        for copy in 1..=copies {
            let tag = pieces.iter().find_map(|p| p.tag.clone()).unwrap_or_default();
            self.out.line(&format!(
                "\n  Backup Set Copy #{copy} of backup set {}\n  Device Type Elapsed Time {:<width$} Compressed Tag\n  ----------- ------------ {rule} ---------- ---\n  DISK        {}     {done:<width$} {:<10} {tag}\n\n    List of Backup Pieces for backup set {} Copy #{copy}\n    BP Key  Pc# Status      Piece Name\n    ------- --- ----------- ----------",
                set.recid,
                "Completion Time",
                elapsed(seconds),
                if set.compressed { "YES" } else { "NO" },
                set.recid,
            ));
            for p in pieces.iter().filter(|p| p.copy == copy) {
                self.out.line(&format!(
                    "    {:<7} {:<3} {:<11} {}",
                    p.recid,
                    p.piece,
                    status(p.status).0,
                    p.handle.display()
                ));
            }
        }
    }

    fn list_contents(&self, set: &BackupSet) {
        if let Some(spfile) = &set.spfile {
            self.out.line(&format!(
                "  SPFILE Included: Modification time: {}\n  SPFILE db_unique_name: {}",
                self.date(spfile.modified),
                spfile.unique_name
            ));
        }
        if let Some(control) = &set.controlfile {
            self.out.line(&format!(
                "  Control File Included: Ckp SCN: {:<12} Ckp time: {}",
                control.checkpoint_scn,
                self.date(control.checkpoint_time)
            ));
        }
        if !set.datafiles.is_empty() {
            let width =
                set.datafiles.iter().map(|f| self.date(f.checkpoint_time).len()).max().unwrap_or(9).max(8);
            self.out.line(&format!(
                "  List of Datafiles in backup set {}\n  File LV Type Ckp SCN    {:<width$} Abs Fuz SCN Sparse Name\n  ---- -- ---- ---------- {} ----------- ------ ----",
                set.recid, "Ckp Time", "-".repeat(width)
            ));
            for f in &set.datafiles {
                let (kind, lv, _) = level(set);
                let fuzzy = if f.fuzzy_scn > 0 { f.fuzzy_scn.to_string() } else { String::new() };
                self.out.line(&format!(
                    "  {:<4} {lv:<2} {kind:<4} {:<10} {:<width$} {fuzzy:<11} NO     {}",
                    f.file,
                    f.checkpoint_scn,
                    self.date(f.checkpoint_time),
                    f.path.display()
                ));
            }
        }
        if !set.logs.is_empty() {
            let width = set.logs.iter().map(|l| self.date(l.first_time).len()).max().unwrap_or(9).max(9);
            let rule = "-".repeat(width);
            self.out.line(&format!(
                "\n  List of Archived Logs in backup set {}\n  Thrd Seq     Low SCN    {:<width$} Next SCN   Next Time\n  ---- ------- ---------- {rule} ---------- ---------",
                set.recid, "Low Time"
            ));
            for l in &set.logs {
                self.out.line(&format!(
                    "  {:<4} {:<7} {:<10} {:<width$} {:<10} {}",
                    l.thread,
                    l.sequence,
                    l.first_scn,
                    self.date(l.first_time),
                    l.next_scn,
                    self.date(l.next_time)
                ));
            }
        }
    }

    /// The objects that DELETE has found, as it lists them.
    pub fn list_objects(&mut self, objects: &[Object], expired: bool) {
        let unique = self.unique_name();
        let pieces: Vec<&Object> = objects.iter().filter(|o| matches!(o, Object::Piece { .. })).collect();
        if !pieces.is_empty() {
            // Key of the set, number of the piece and copy come from the control file.
            let facts = self.facts("delete").unwrap_or_default();
            self.out.paragraph("List of Backup Pieces\nBP Key  BS Key  Pc# Cp# Status      Device Type Piece Name\n------- ------- --- --- ----------- ----------- ----------");
            for object in pieces {
                let Object::Piece { recid, set, piece, copy, handle, .. } = object else { continue };
                let state = facts.pieces.iter().find(|p| p.recid == *recid).map(|p| status(p.status).0);
                let state = state.unwrap_or(if expired { "EXPIRED" } else { "AVAILABLE" });
                self.out.line(&format!(
                    "{recid:<7} {set:<7} {piece:<3} {copy:<3} {state:<11} DISK        {}",
                    handle.display()
                ));
            }
        }
        let mut head = false;
        for object in objects {
            let Object::Log { recid, thread, sequence, path, first_time, .. } = object else { continue };
            if !head {
                head = true;
                self.log_head(&unique);
            }
            let state = if expired { 'X' } else { 'A' };
            self.out.line(&format!(
                "{recid:<7} {thread:<4} {sequence:<7} {state} {}\n        Name: {}\n",
                self.date(*first_time),
                path.display()
            ));
        }
    }

    fn log_head(&self, unique: &str) {
        let width = self.now().len().max(9);
        self.out.line(&format!(
            "List of Archived Log Copies for database with db_unique_name {unique}\n=====================================================================\n\nKey     Thrd Seq     S {:<width$}\n------- ---- ------- - {}",
            "Low Time",
            "-".repeat(width)
        ));
    }

    pub fn unique_name(&mut self) -> String {
        self.one("SELECT UPPER(db_unique_name) FROM v$database").unwrap_or_default()
    }

    fn list_logs(&mut self, range: &LogRange, filter: &Filter) -> Done {
        let logs = self.logs("list", range, filter)?;
        let mut sql = String::from(
            "SELECT recid, thread#, sequence#, TO_CHAR(first_time, 'YYYY-MM-DD HH24:MI:SS'), name, status FROM v$archived_log WHERE name IS NOT NULL AND standby_dest = 'NO' AND status <> 'D'",
        );
        for (condition, value) in [
            ("sequence# >=", logs.from_sequence.map(u64::from)),
            ("sequence# <=", logs.until_sequence.map(u64::from)),
            ("thread# =", logs.thread.map(u64::from)),
            ("next_change# >", logs.from_scn),
            ("first_change# <=", logs.until_scn),
        ] {
            if let Some(value) = value {
                sql.push_str(&format!(" AND {condition} {value}"));
            }
        }
        for (condition, at) in [
            ("first_time >=", logs.from_time),
            ("first_time <=", logs.until_time),
            ("completion_time <", logs.completed_before),
            ("completion_time >", logs.completed_after),
        ] {
            if let Some(at) = at {
                sql.push_str(&format!(" AND {condition} TO_DATE('{at}', 'YYYY-MM-DD HH24:MI:SS')"));
            }
        }
        if let Some(like) = &logs.like {
            sql.push_str(&format!(" AND name LIKE '{}'", like.replace('\'', "''")));
        }
        sql.push_str(" ORDER BY thread#, sequence#, recid");
        let rows = self.rows(&sql).map_err(|s| Failed::ora("list", &s))?;
        if rows.is_empty() {
            self.out.line("specification does not match any archived log in the repository");
            return Ok(());
        }
        let unique = self.unique_name();
        self.log_head(&unique);
        for row in rows {
            let at = chrono::NaiveDateTime::parse_from_str(&row[3], "%Y-%m-%d %H:%M:%S")
                .map(|at| self.date(at))
                .unwrap_or_default();
            self.out.line(&format!(
                "{:<7} {:<4} {:<7} {} {at}\n        Name: {}\n",
                row[0], row[1], row[2], row[5], row[4]
            ));
        }
        Ok(())
    }

    fn list_incarnations(&mut self) -> Done {
        let sql = "SELECT incarnation#, TO_CHAR(resetlogs_change#), TO_CHAR(resetlogs_time, 'YYYY-MM-DD HH24:MI:SS'), status FROM v$database_incarnation ORDER BY incarnation#";
        let rows = self.rows(sql).map_err(|s| Failed::ora("list", &s))?;
        let name = self.one("SELECT name FROM v$database").unwrap_or_default();
        let dbid = self.one("SELECT TO_CHAR(dbid) FROM v$database").unwrap_or_default();
        self.out.paragraph("\nList of Database Incarnations\nDB Key  Inc Key DB Name  DB ID            STATUS  Reset SCN  Reset Time\n------- ------- -------- ---------------- --- ---------- ----------");
        for row in rows {
            let at = chrono::NaiveDateTime::parse_from_str(&row[2], "%Y-%m-%d %H:%M:%S")
                .map(|at| self.date(at))
                .unwrap_or_default();
            self.out.line(&format!(
                "{:<7} {:<7} {name:<8} {dbid:<16} {:<7} {:<10} {at}",
                row[0], row[0], row[3], row[1]
            ));
        }
        self.out.blank();
        Ok(())
    }

    /// RESTORE … PREVIEW.
    pub fn preview(
        &mut self,
        summary: bool,
        (sets, log_sets): (&[u32], &[u32]),
        logs: &[Object],
        from_scn: u64,
        fuzzy_scn: u64,
    ) -> Done {
        let facts = self.facts("restore")?;
        let chosen = |keys: &[u32]| -> Vec<&BackupSet> {
            facts.sets.iter().filter(|s| keys.contains(&s.recid)).collect()
        };
        self.list_sets(&facts, &chosen(sets), summary);
        if !log_sets.is_empty() {
            self.list_sets(&facts, &chosen(log_sets), summary);
        }
        if logs.is_empty() && log_sets.is_empty() {
            self.out.line("no archived logs needed for recovery");
        }
        self.list_objects(logs, false);
        self.out.line(&format!(
            "recovery will be done up to SCN {from_scn}\nMedia recovery start SCN is {from_scn}\nRecovery must be done beyond SCN {fuzzy_scn} to clear datafile fuzziness"
        ));
        Ok(())
    }
}

pub fn pieces<'f>(facts: &'f Facts, set: &BackupSet) -> Vec<&'f Piece> {
    let mut found: Vec<&Piece> = facts
        .pieces
        .iter()
        .filter(|p| {
            (p.set_stamp, p.set_count) == (set.set_stamp, set.set_count) && p.status != PieceStatus::Deleted
        })
        .collect();
    found.sort_by_key(|p| (p.copy, p.piece, p.recid));
    found
}

fn wanted_set(set: &BackupSet, facts: &Facts, w: &api::Backups, expired: bool) -> bool {
    let pieces = pieces(facts, set);
    let of_files = |files: &api::Files| match files {
        api::Files::Database => !set.datafiles.is_empty(),
        api::Files::Datafiles(numbers) => set.datafiles.iter().any(|f| numbers.contains(&f.file)),
        api::Files::Tablespaces(names) => set
            .datafiles
            .iter()
            .any(|f| names.iter().any(|n| n.rsplit(':').next() == Some(f.tablespace.as_str()))),
        api::Files::Paths(paths) => set.datafiles.iter().any(|f| paths.contains(&f.path)),
        api::Files::Pluggable(_) => !set.datafiles.is_empty(),
    };
    let of_logs = |logs: &api::Logs| {
        set.logs.iter().any(|l| {
            logs.thread.is_none_or(|t| t == l.thread)
                && logs.from_sequence.is_none_or(|n| l.sequence >= n)
                && logs.until_sequence.is_none_or(|n| l.sequence <= n)
                && logs.from_scn.is_none_or(|n| l.next_scn > n)
                && logs.until_scn.is_none_or(|n| l.first_scn <= n)
        })
    };
    !pieces.is_empty()
        && (!expired || pieces.iter().any(|p| p.status == PieceStatus::Expired))
        && (w.sets.is_empty() || w.sets.contains(&set.recid))
        && (w.pieces.is_empty() || pieces.iter().any(|p| w.pieces.contains(&p.recid)))
        && (w.handles.is_empty() || pieces.iter().any(|p| w.handles.contains(&p.handle)))
        && w.tag.as_ref().is_none_or(|t| pieces.iter().any(|p| p.tag.as_ref() == Some(t)))
        && w.completed_before.is_none_or(|at| set.completion < at)
        && w.completed_after.is_none_or(|at| set.completion > at)
        && w.of.as_ref().is_none_or(of_files)
        && w.of_logs.as_ref().is_none_or(of_logs)
        && (!w.of_controlfile || set.controlfile.is_some())
        && (!w.of_spfile || set.spfile.is_some())
}
