//! Decides what a backup does. Pure: facts in, script out.

use std::path::PathBuf;

use chrono::NaiveDateTime;
use common::exit::{Exit, Failure};
use common::record::{Gap, Where};

use crate::facts::{Facts, LogKey};

/// Which backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Full,
    Incremental,
    Archivelog,
}

impl Kind {
    /// As in tags and names of pieces.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Incremental => "INCREMENTAL",
            Self::Archivelog => "ARCHIVELOG",
        }
    }

    pub fn level(self) -> Option<u64> {
        match self {
            Self::Full => Some(0),
            Self::Incremental => Some(1),
            Self::Archivelog => None,
        }
    }
}

/// What the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub kind: Kind,
    pub output_dir: PathBuf,
    pub compressed: bool,
    pub section_size: Option<String>,
    pub max_piece_size: Option<String>,
    pub channels: u32,
    pub tag: Option<String>,
    /// Free bytes at the output directory, where they are known.
    pub free: Option<u64>,
}

/// Something the plan says beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A warning makes the run partial.
    pub warning: bool,
    pub message: String,
}

/// What will be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub kind: Kind,
    pub run_dir: PathBuf,
    pub tag: String,
    /// V$RMAN_STATUS.COMMAND_ID of the run.
    pub command_id: String,
    /// File name of RMAN's log.
    pub log_name: String,
    pub script: String,
    /// Expected size of the pieces in bytes.
    pub estimate: u64,
    pub notes: Vec<Note>,
    /// Logs that are neither on disk nor in a backup.
    pub gaps: Vec<Gap>,
    /// Logs that have to be in this backup.
    pub logs: Vec<LogKey>,
    /// Datafiles for which a level 1 has no level 0 although they are not new.
    pub without_level_0: Vec<u64>,
}

/// Control file, its autobackup and the spfile, roughly.
const CONTROLFILES: u64 = 64 << 20;

/// # Errors
/// Status 4: not ARCHIVELOG, not mounted, no space. Status 64: settings that RMAN would refuse.
pub fn plan(facts: &Facts, policy: &Policy, now: NaiveDateTime) -> Result<Plan, Failure> {
    let db = &facts.database;
    if !db.archivelog {
        return Err(Failure::new(Exit::Refused, format!("{} is not in ARCHIVELOG mode", db.name))
            .code("ORA-19602")
            .hint("an open database can only be backed up in ARCHIVELOG mode: SHUTDOWN, STARTUP MOUNT, ALTER DATABASE ARCHIVELOG"));
    }
    if policy.section_size.is_some() && policy.max_piece_size.is_some() {
        return Err(Failure::new(
            Exit::Usage,
            "--section-size and --max-piece-size exclude each other in RMAN",
        )
        .hint("give one of them"));
    }
    let mut notes = Vec::new();
    let mut note = |warning, message: String| notes.push(Note { warning, message });
    let channels = if db.standard && policy.channels > 1 {
        note(
            false,
            format!("{} is a Standard Edition: one channel is used and not {}", db.name, policy.channels),
        );
        1
    } else {
        policy.channels
    };
    let without_level_0 = match policy.kind {
        Kind::Incremental => missing_level_0(facts, &mut note),
        Kind::Full | Kind::Archivelog => Vec::new(),
    };
    for file in facts.files.iter().filter(|f| !f.online()) {
        if policy.kind != Kind::Archivelog {
            note(
                true,
                format!(
                    "datafile {} {} is {}: it can be restored only up to where it was taken offline",
                    file.file, file.path, file.status
                ),
            );
        }
    }
    if policy.kind != Kind::Archivelog && facts.optimization() {
        note(
            false,
            "BACKUP OPTIMIZATION is on and would leave files out: FORCE puts them all into this backup"
                .to_owned(),
        );
    }
    let holes: Vec<_> = facts.logs.iter().filter(|l| !l.names.is_empty() && !l.on_disk).collect();
    for log in holes.iter().filter(|l| l.backed_up) {
        note(
            false,
            format!(
                "archived log {} of thread {} is not on disk any more; it is in an earlier backup",
                log.key.sequence, log.key.thread
            ),
        );
    }
    let gaps = gaps(facts);
    let on_disk: Vec<_> = facts.logs.iter().filter(|l| l.on_disk).collect();
    let estimate =
        estimate(facts, policy, without_level_0.is_empty()) + on_disk.iter().map(|l| l.bytes).sum::<u64>();
    if let Some(free) = policy.free {
        if free < estimate {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "{} has {} MiB free and the backup needs about {} MiB",
                    policy.output_dir.display(),
                    free >> 20,
                    estimate >> 20
                ),
            )
            .hint("free space there, name another --output-dir, or use --compressed"));
        }
    }
    let stamp = now.format("%Y%m%d_%H%M%S");
    let command_id = format!("BK_{}_{}", policy.kind.word(), now.format("%m%d%H%M%S"));
    let tag = policy.tag.clone().unwrap_or_else(|| command_id.clone());
    let run_dir = policy.output_dir.join(format!("{stamp}_run"));
    let script = Script {
        facts,
        policy,
        dir: &run_dir.to_string_lossy(),
        tag: &tag,
        command_id: &command_id,
        channels,
        skip: !holes.is_empty(),
    }
    .text();
    Ok(Plan {
        kind: policy.kind,
        log_name: format!("backup_log_{}_{stamp}.log", policy.kind.word()),
        command_id,
        run_dir,
        tag,
        script,
        estimate,
        notes,
        gaps,
        logs: on_disk.iter().map(|l| l.key).collect(),
        without_level_0,
    })
}

fn missing_level_0(facts: &Facts, note: &mut impl FnMut(bool, String)) -> Vec<u64> {
    let there = facts.with_level_0();
    let missing: Vec<_> = facts.files.iter().filter(|f| !there.contains(&f.file)).collect();
    // A file that came after the last level 0 is backed up whole, and nothing is lost by that.
    let newest =
        facts.parents.iter().filter(|p| p.level == 0).map(|p| p.checkpoint_change).max().unwrap_or(0);
    let (new, old): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|f| newest > 0 && f.creation_change > newest);
    let list = |files: &[&crate::facts::Datafile]| {
        files.iter().map(|f| f.file.to_string()).collect::<Vec<_>>().join(", ")
    };
    if !new.is_empty() {
        note(
            false,
            format!("datafiles {} are new since the last level 0 and are backed up whole", list(&new)),
        );
    }
    if !old.is_empty() {
        note(
            true,
            format!(
                "no level 0 is known for datafiles {}: RMAN makes this incremental a level 0 for them",
                list(&old)
            ),
        );
    }
    old.iter().map(|f| f.file).collect()
}

/// The last backup of the kind with a margin, or the size of the datafiles.
fn estimate(facts: &Facts, policy: &Policy, has_parent: bool) -> u64 {
    let all: u64 = facts.files.iter().map(|f| f.bytes).sum();
    let whole = if policy.compressed { all / 2 } else { all };
    let level_0 = facts.last_bytes.get(&0).map_or(whole, |last| (last + last / 5).min(whole.max(*last)));
    let datafiles = match policy.kind {
        Kind::Archivelog => 0,
        Kind::Full => level_0,
        Kind::Incremental if !has_parent => level_0,
        Kind::Incremental => facts.last_bytes.get(&1).map_or(whole / 10, |last| last * 2).min(level_0),
    };
    datafiles + CONTROLFILES
}

/// Runs of sequences that exist nowhere any more.
fn gaps(facts: &Facts) -> Vec<Gap> {
    let mut found: Vec<(u64, Gap)> = Vec::new();
    for log in facts.logs.iter().filter(|l| !l.names.is_empty() && !l.on_disk && !l.backed_up) {
        match found.last_mut() {
            Some((change, gap))
                if *change == log.key.resetlogs_change
                    && gap.thread == log.key.thread
                    && gap.to + 1 == log.key.sequence =>
            {
                gap.to = log.key.sequence;
            }
            _ => found.push((
                log.key.resetlogs_change,
                Gap {
                    thread: log.key.thread,
                    resetlogs_id: log.resetlogs_id,
                    from: log.key.sequence,
                    to: log.key.sequence,
                    r#where: Where::Source,
                    reason: format!("{} is gone and in no backup", log.names.join(", ")),
                    hint: "no backup can be recovered across it: make a level 0 now (rman-run full)"
                        .to_owned(),
                },
            )),
        }
    }
    found.into_iter().map(|(_, gap)| gap).collect()
}

struct Script<'a> {
    facts: &'a Facts,
    policy: &'a Policy,
    dir: &'a str,
    tag: &'a str,
    /// Not the tag: one that the user gives is the same every night.
    command_id: &'a str,
    channels: u32,
    /// Logs are missing on disk: RMAN would back up none of them without SKIP INACCESSIBLE.
    skip: bool,
}

impl Script<'_> {
    fn text(&self) -> String {
        let (dir, tag, word) = (self.dir, self.tag, self.policy.kind.word());
        let compressed = if self.policy.compressed { "AS COMPRESSED BACKUPSET " } else { "" };
        let mut text = "RUN {\n".to_owned();
        let mut line = |l: String| text.push_str(&format!("  {l};\n"));
        line(format!("SET COMMAND ID TO '{}'", self.command_id));
        line(format!("SET CONTROLFILE AUTOBACKUP FORMAT FOR DEVICE TYPE DISK TO '{dir}/%F'"));
        let limit =
            self.policy.max_piece_size.as_ref().map(|s| format!(" MAXPIECESIZE {s}")).unwrap_or_default();
        for n in 1..=self.channels {
            line(format!("ALLOCATE CHANNEL c{n} DEVICE TYPE DISK{limit}"));
        }
        if let Some(level) = self.policy.kind.level() {
            let section =
                self.policy.section_size.as_ref().map(|s| format!(" SECTION SIZE {s}")).unwrap_or_default();
            let force = if self.facts.optimization() { " FORCE" } else { "" };
            line(format!(
                "BACKUP {compressed}INCREMENTAL LEVEL {level} FORMAT '{dir}/db_backup_{word}_%U' TAG '{tag}'{section}{force} DATABASE"
            ));
        }
        if self.facts.database.open() && self.facts.database.primary() {
            line("SQL 'ALTER SYSTEM ARCHIVE LOG CURRENT'".to_owned());
        }
        let skip = if self.skip { " SKIP INACCESSIBLE" } else { "" };
        // Optimization would leave out logs that are in a backup of which nobody here knows whether it is still there.
        let force = if self.facts.optimization() { " FORCE" } else { "" };
        line(format!(
            "BACKUP {compressed}FORMAT '{dir}/archivelog_%U' TAG '{tag}'{skip}{force} ARCHIVELOG ALL"
        ));
        line(format!("BACKUP FORMAT '{dir}/controlfile_%U' TAG '{tag}' CURRENT CONTROLFILE"));
        if self.facts.spfile {
            line(format!("BACKUP FORMAT '{dir}/spfile_%U' TAG '{tag}' SPFILE"));
        }
        for n in 1..=self.channels {
            line(format!("RELEASE CHANNEL c{n}"));
        }
        text.push_str("}\nEXIT;\n");
        text
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
