//! What an archive says of itself: a comment that is read with the directory, and a member that names every file.

use std::io::BufRead;

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use common::record::Role;
use serde::{Deserialize, Serialize};

/// The last member of each archive.
pub const MEMBER: &str = "zip-rotate.jsonl";
const MARK: &str = "orapipe zip-rotate";

/// First line of the member, and in short form the comment of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Every export was a success and every file is in it.
    pub complete: bool,
    /// When the run began that made it.
    pub backup_time: DateTime<FixedOffset>,
    /// Name of the database, empty where none was known.
    pub db: String,
    /// Name of the host that made it; only in the member. Several hosts may share a directory for copies.
    #[serde(default)]
    pub host: String,
    /// Why it is not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

impl Head {
    /// The comment: readable by people, and by [`Head::from_comment`].
    pub fn comment(&self) -> String {
        let state = if self.complete { "complete" } else { "partial" };
        let db = if self.db.is_empty() { String::new() } else { format!("; {}", self.db) };
        format!("{MARK}; {state}; {}{db}", self.backup_time.to_rfc3339())
    }

    /// Whether a run for this database may count it, remove it or take its name. An archive that names a database is
    /// for runs of that one only: a run without ORACLE_SID, as of a cron job that has lost its environment, leaves the
    /// archives of every database in a shared directory alone. Where the archive names none, the name of the file
    /// decides.
    pub fn is_of(&self, db: &str) -> bool {
        self.db.is_empty() || self.db == db
    }

    /// Reads a comment back; `None` when it is not one of ours.
    pub fn from_comment(comment: &str) -> Option<Self> {
        let mut parts = comment.split("; ");
        if parts.next()? != MARK {
            return None;
        }
        let complete = match parts.next()? {
            "complete" => true,
            "partial" => false,
            _ => return None,
        };
        let backup_time = DateTime::parse_from_rfc3339(parts.next()?).ok()?;
        Some(Self {
            complete,
            backup_time,
            db: parts.next().unwrap_or_default().to_owned(),
            host: String::new(),
            lacks: Vec::new(),
        })
    }
}

/// One file of an archive as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Name in the archive.
    pub name: String,
    /// Where it was.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    /// Time of the last change, seconds since 1970 and nanoseconds.
    pub mtime: (i64, i64),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// Writes the member's content.
pub fn write(head: &Head, members: &[Member], out: &mut impl std::io::Write) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(head)?;
    line.push(b'\n');
    out.write_all(&line)?;
    for member in members {
        line.clear();
        serde_json::to_writer(&mut line, member)?;
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

/// Reads it.
pub fn read(input: impl BufRead) -> anyhow::Result<(Head, Vec<Member>)> {
    let mut lines = input.lines();
    let head = lines.next().with_context(|| format!("{MEMBER} is empty"))??;
    let head = serde_json::from_str(&head).with_context(|| format!("read the head of {MEMBER}"))?;
    let mut members = Vec::new();
    for line in lines {
        members.push(serde_json::from_str(&line?).with_context(|| format!("read {MEMBER}"))?);
    }
    Ok((head, members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_names_a_database_is_for_runs_of_that_one_only() {
        let head = |db: &str| Head {
            complete: true,
            backup_time: DateTime::parse_from_rfc3339("2026-11-20T03:00:00-03:00").unwrap(),
            db: db.to_owned(),
            host: String::new(),
            lacks: Vec::new(),
        };
        let may = |archive: &str, run: &str| head(archive).is_of(run);
        assert!(may("PROD", "PROD") && may("", "PROD") && may("", ""));
        assert!(!may("PROD", "") && !may("PROD", "TEST"));
    }

    #[test]
    fn a_comment_is_read_back_and_a_strange_one_is_not_ours() {
        let head = Head {
            complete: false,
            backup_time: DateTime::parse_from_rfc3339("2026-11-20T03:00:00-03:00").unwrap(),
            db: "PROD".to_owned(),
            host: String::new(),
            lacks: Vec::new(),
        };
        assert_eq!(head.comment(), "orapipe zip-rotate; partial; 2026-11-20T03:00:00-03:00; PROD");
        assert_eq!(Head::from_comment(&head.comment()), Some(head));
        for strange in ["", "created by 7-Zip", "orapipe zip-rotate; fine; x; y"] {
            assert_eq!(Head::from_comment(strange), None);
        }
    }
}
