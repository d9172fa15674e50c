//! Texts for the standby: how to mount it, where its files are, and how far to recover.

use common::oracle::identifier::{constant, quoted};

use crate::facts::Key;

/// What the texts are made of.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    pub run: String,
    pub cycle: String,
    pub db_name: String,
    pub dbid: u64,
    pub sid: String,
    pub resetlogs_id: u64,
    pub begin_scn: u64,
    pub end_scn: u64,
    /// Thread, first and last sequence.
    pub threads: Vec<(u64, u64, u64)>,
    /// Where archived logs arrive; without it the logs have to be catalogued before.
    pub archlog_dir: Option<String>,
    /// Primary's and standby's path of every datafile that was copied.
    pub renames: Vec<(String, String)>,
    /// Tablespaces that recovery has to leave out.
    pub forget: Vec<Key>,
    pub dir: String,
    pub controlfile: String,
    pub controlfile_sha256: String,
    pub pfile: Option<String>,
}

impl Recovery {
    pub fn sql_name(&self) -> String {
        format!("{}/recover_standby_{}.sql", self.dir, self.sid)
    }

    pub fn rman_name(&self) -> String {
        format!("{}/recover_standby_{}.rman", self.dir, self.sid)
    }

    pub fn facts_name(&self) -> String {
        facts_name(&self.dir, &self.sid)
    }

    /// UNTIL stops before this SCN; the last END BACKUP is below it.
    pub fn until_scn(&self) -> u64 {
        self.end_scn + 1
    }

    /// For SQL*Plus: mount the standby and tell it where its datafiles are.
    ///
    /// # Errors
    /// A path with a control character.
    pub fn sql(&self) -> anyhow::Result<String> {
        let mut text = self.head("--");
        text.push_str(
            "-- Needs the standby control file at CONTROL_FILES; then: sqlplus / as sysdba @this\n",
        );
        text.push_str("-- Never END BACKUP here: it would declare torn copies good. Recovery heals them.\n");
        text.push_str("WHENEVER OSERROR EXIT FAILURE\nWHENEVER SQLERROR EXIT FAILURE ROLLBACK\n");
        text.push_str("SET DEFINE OFF\n");
        text.push_str("STARTUP NOMOUNT\n");
        text.push_str("ALTER DATABASE MOUNT STANDBY DATABASE;\n");
        text.push_str("ALTER SYSTEM SET STANDBY_FILE_MANAGEMENT = MANUAL;\n");
        for (from, to) in self.renames.iter().filter(|(from, to)| from != to) {
            text.push_str(&format!("ALTER DATABASE RENAME FILE {} TO {};\n", constant(from)?, constant(to)?));
        }
        text.push_str("EXIT SUCCESS\n");
        Ok(text)
    }

    /// For RMAN: take in the shipped logs and recover to beyond the last END BACKUP.
    ///
    /// # Errors
    /// A directory or tablespace name that RMAN cannot be given.
    pub fn rman(&self) -> anyhow::Result<String> {
        let mut text = self.head("#");
        text.push_str("# After recover_standby_*.sql: rman target / cmdfile=this\n");
        match &self.archlog_dir {
            Some(dir) => {
                let dir = format!("{}/", dir.trim_end_matches('/'));
                text.push_str(&format!("CATALOG START WITH {} NOPROMPT;\n", constant(&dir)?));
            }
            None => {
                text.push_str("# Catalogue the shipped logs first; --archlog-dir would have put it here.\n")
            }
        }
        let mut recover = format!("RECOVER DATABASE UNTIL SCN {}", self.until_scn());
        if !self.forget.is_empty() {
            let names: Vec<String> = self.forget.iter().map(rman_name).collect::<anyhow::Result<_>>()?;
            recover.push_str(&format!(" SKIP FOREVER TABLESPACE {}", names.join(", ")));
        }
        text.push_str(&format!("{recover};\n"));
        Ok(text)
    }

    /// For a shell: `NAME='value'` lines.
    pub fn facts(&self) -> String {
        let mut pairs = vec![
            ("COMPLETE".to_owned(), "yes".to_owned()),
            ("RUN".to_owned(), self.run.clone()),
            ("CYCLE".to_owned(), self.cycle.clone()),
            ("DB_NAME".to_owned(), self.db_name.clone()),
            ("DBID".to_owned(), self.dbid.to_string()),
            ("PRIMARY_SID".to_owned(), self.sid.clone()),
            ("RESETLOGS_ID".to_owned(), self.resetlogs_id.to_string()),
            ("BEGIN_SCN".to_owned(), self.begin_scn.to_string()),
            ("END_SCN".to_owned(), self.end_scn.to_string()),
            ("UNTIL_SCN".to_owned(), self.until_scn().to_string()),
        ];
        let threads: Vec<String> = self.threads.iter().map(|(t, _, _)| t.to_string()).collect();
        pairs.push(("THREADS".to_owned(), threads.join(" ")));
        for (thread, first, last) in &self.threads {
            pairs.push((format!("FIRST_SEQUENCE_{thread}"), first.to_string()));
            pairs.push((format!("LAST_SEQUENCE_{thread}"), last.to_string()));
        }
        pairs.push(("ARCHLOG_DIR".to_owned(), self.archlog_dir.clone().unwrap_or_default()));
        pairs.push(("STANDBY_CONTROLFILE".to_owned(), self.controlfile.clone()));
        pairs.push(("STANDBY_CONTROLFILE_SHA256".to_owned(), self.controlfile_sha256.clone()));
        pairs.push(("STANDBY_PFILE".to_owned(), self.pfile.clone().unwrap_or_default()));
        pairs.push(("RECOVER_SQL".to_owned(), self.sql_name()));
        pairs.push(("RECOVER_RMAN".to_owned(), self.rman_name()));
        let mut text = self.head("#");
        for (name, value) in pairs {
            let value = common::remote::sh_quote(value.as_bytes());
            text.push_str(&format!("{name}={}\n", String::from_utf8_lossy(&value)));
        }
        text
    }

    fn head(&self, comment: &str) -> String {
        // Only names that cannot hold a line end come here.
        format!(
            "{comment} Written by ts-hotbackup, run {}: standby of {} (DBID {}), SCN {} to {}.\n",
            self.run, self.db_name, self.dbid, self.begin_scn, self.end_scn
        )
    }
}

/// Where the facts are.
pub fn facts_name(dir: &str, sid: &str) -> String {
    format!("{dir}/recover_standby_{sid}.env")
}

/// While a cycle is under way the files there are a mixture: the scripts of the cycle before must not be used.
pub fn unfinished(run: &str) -> String {
    format!("# Written by ts-hotbackup, run {run}: a cycle is under way, the copies do not belong together yet.\nCOMPLETE='no'\n")
}

fn rman_name(key: &Key) -> anyhow::Result<String> {
    Ok(match &key.container {
        Some(container) => format!("{}:{}", quoted(container)?, quoted(&key.name)?),
        None => quoted(&key.name)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovery() -> Recovery {
        Recovery {
            run: "PROD-1".to_owned(),
            cycle: "PROD-1".to_owned(),
            db_name: "PROD".to_owned(),
            dbid: 7,
            sid: "PROD1".to_owned(),
            resetlogs_id: 5,
            begin_scn: 100,
            end_scn: 200,
            threads: vec![(1, 10, 12), (2, 4, 4)],
            archlog_dir: Some("/u15/arch/".to_owned()),
            renames: vec![
                ("/u05/o'x & y.dbf".to_owned(), "/u15/o'x & y.dbf".to_owned()),
                ("/same".to_owned(), "/same".to_owned()),
            ],
            forget: Vec::new(),
            dir: "/u15".to_owned(),
            controlfile: "/u15/standby_PROD1.ctl".to_owned(),
            controlfile_sha256: "ab".to_owned(),
            pfile: None,
        }
    }

    #[test]
    fn the_sql_mounts_and_renames_and_never_ends_backup() {
        let sql = recovery().sql().unwrap();
        let body: Vec<&str> = sql.lines().filter(|l| !l.starts_with("--")).collect();
        assert_eq!(
            body,
            [
                "WHENEVER OSERROR EXIT FAILURE",
                "WHENEVER SQLERROR EXIT FAILURE ROLLBACK",
                "SET DEFINE OFF",
                "STARTUP NOMOUNT",
                "ALTER DATABASE MOUNT STANDBY DATABASE;",
                "ALTER SYSTEM SET STANDBY_FILE_MANAGEMENT = MANUAL;",
                "ALTER DATABASE RENAME FILE '/u05/o''x & y.dbf' TO '/u15/o''x & y.dbf';",
                "EXIT SUCCESS",
            ]
        );
    }

    #[test]
    fn the_rman_script_goes_beyond_the_last_end_backup() {
        let rman = recovery().rman().unwrap();
        assert!(
            rman.contains("\nCATALOG START WITH '/u15/arch/' NOPROMPT;\nRECOVER DATABASE UNTIL SCN 201;\n")
        );
        let pdb = Key { container: Some("PDB1".to_owned()), name: "My ts".to_owned() };
        let rman = Recovery { forget: vec![pdb], archlog_dir: None, ..recovery() }.rman().unwrap();
        assert!(
            rman.ends_with("RECOVER DATABASE UNTIL SCN 201 SKIP FOREVER TABLESPACE \"PDB1\":\"My ts\";\n")
        );
        assert!(!rman.contains("CATALOG START"));
    }

    #[test]
    fn a_shell_reads_the_facts() {
        let facts = Recovery { archlog_dir: Some("/a'b $(x)".to_owned()), ..recovery() }.facts();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        std::fs::write(&path, facts).unwrap();
        let out = std::process::Command::new("sh")
            .arg("-c")
            .arg(". \"$0\"; echo \"$COMPLETE|$THREADS|$FIRST_SEQUENCE_2|$LAST_SEQUENCE_1|$UNTIL_SCN|$ARCHLOG_DIR\"")
            .arg(path)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "yes|1 2|4|12|201|/a'b $(x)\n");
    }
}
