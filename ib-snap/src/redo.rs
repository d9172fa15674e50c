//! The redo that the set needs: archived, and which sequences.

use std::collections::btree_map::{BTreeMap, Entry};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::oracle::reply::Row;
use common::oracle::script::{scn, Script};
use common::oracle::sqlplus::Sqlplus;
use common::record::ThreadWindow;
use common::signals;

/// An archived log as V$ARCHIVED_LOG knows it, local destinations only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    pub thread: u64,
    pub sequence: u64,
    pub first_change: u64,
    pub next_change: u64,
    /// Names of the local copies that are there by the control file: available and not deleted.
    pub copies: Vec<String>,
}

/// The sequences from `begin` to beyond `end`, per thread, and what is missing among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    pub threads: Vec<ThreadWindow>,
    /// Sentences for people: logs that the database no longer knows.
    pub missing: Vec<String>,
    /// Sentences for people: logs of which no copy is left where it has to be.
    pub deleted: Vec<String>,
}

/// Switches and archives the current log of every enabled thread, and waits until the redo up to `end` is archived.
///
/// # Errors
/// The limit (status 124), or ORA-00257 and the like when no destination takes the log.
pub fn archive(
    sqlplus: &Sqlplus,
    resetlogs_change: u64,
    end: u64,
    limit: Duration,
) -> anyhow::Result<Vec<Archived>> {
    let started = Instant::now();
    let mut script = Script::new();
    script.exec("ALTER SYSTEM ARCHIVE LOG CURRENT");
    sqlplus.clone().limit(limit).run(&script).context("archive the current logs")?;
    loop {
        let (threads, logs) = look(sqlplus, resetlogs_change)?;
        let behind: Vec<u64> = threads.iter().copied().filter(|t| archived_to(&logs, *t) <= end).collect();
        if behind.is_empty() {
            return Ok(logs);
        }
        let waited = started.elapsed();
        if waited >= limit {
            let text = format!(
                "wait for the redo of thread {behind:?} up to SCN {end} to be archived: not within {}",
                humantime::format_duration(limit)
            );
            return Err(Failure::new(Exit::TimedOut, text)
                .hint("look at V$ARCHIVE_DEST and the alert log: is the destination full? Then run it again")
                .into());
        }
        let pause = if waited < Duration::from_secs(5) { 200 } else { 2000 };
        if !signals::sleep(Duration::from_millis(pause)) && signals::pending().is_some() {
            anyhow::bail!("asked to stop while waiting for the last log to be archived");
        }
    }
}

fn archived_to(logs: &[Archived], thread: u64) -> u64 {
    logs.iter().filter(|l| l.thread == thread).map(|l| l.next_change).max().unwrap_or(0)
}

/// Enabled threads, and all archived logs of the current incarnation.
fn look(sqlplus: &Sqlplus, resetlogs_change: u64) -> anyhow::Result<(Vec<u64>, Vec<Archived>)> {
    let mut script = Script::new();
    let threads = script.query(&[scn("THREAD#")], "FROM V$THREAD WHERE ENABLED <> 'DISABLED'");
    let columns = [
        scn("THREAD#"),
        scn("SEQUENCE#"),
        scn("FIRST_CHANGE#"),
        scn("NEXT_CHANGE#"),
        "DELETED".to_owned(),
        "NAME".to_owned(),
        "STATUS".to_owned(),
    ];
    // One row per copy; rows of remote destinations have a service for a name.
    let logs = script.query(
        &columns,
        format!(
            "FROM V$ARCHIVED_LOG WHERE RESETLOGS_CHANGE# = {resetlogs_change} AND STANDBY_DEST = 'NO' \
             AND ARCHIVED = 'YES'"
        ),
    );
    let reply = sqlplus.run(&script).context("read V$ARCHIVED_LOG")?;
    let threads = reply.rows(threads).iter().map(|r| r.get(0)).collect::<anyhow::Result<_>>()?;
    let mut found: BTreeMap<(u64, u64), Archived> = BTreeMap::new();
    for row in reply.rows(logs) {
        let log = archived(row).context("read V$ARCHIVED_LOG")?;
        match found.entry((log.thread, log.sequence)) {
            Entry::Vacant(free) => {
                free.insert(log);
            }
            Entry::Occupied(mut known) => known.get_mut().copies.extend(log.copies),
        }
    }
    Ok((threads, found.into_values().collect()))
}

fn archived(row: &Row) -> anyhow::Result<Archived> {
    let deleted = row.get::<Option<String>>(4)?.as_deref() == Some("YES");
    let available = row.get::<Option<String>>(6)?.as_deref() == Some("A");
    let name = row.get::<Option<String>>(5)?.filter(|_| available && !deleted);
    Ok(Archived {
        thread: row.get(0)?,
        sequence: row.get(1)?,
        first_change: row.get(2)?,
        next_change: row.get(3)?,
        copies: name.into_iter().collect(),
    })
}

/// Whether this copy is on disk and not empty: the control file does not notice when somebody removes it. A disk group,
/// and a directory that this host does not have, cannot be looked at; there the control file is believed.
pub fn is_on_disk(copy: &str) -> bool {
    let path = Path::new(copy);
    match std::fs::metadata(path) {
        Ok(about) => about.is_file() && about.len() > 0,
        Err(_) => !can_be_looked_at(copy),
    }
}

/// Whether this host has the directory of this copy.
pub fn can_be_looked_at(copy: &str) -> bool {
    !copy.starts_with('+') && Path::new(copy).parent().is_some_and(Path::is_dir)
}

/// Which sequences recovery needs: also the log that *contains* `begin`, whose FIRST_CHANGE# is below it. `is_there`
/// judges a copy; one good copy of each log is enough.
pub fn window(logs: &[Archived], begin: u64, end: u64, is_there: impl Fn(&str) -> bool) -> Window {
    let mut threads: BTreeMap<u64, Vec<&Archived>> = BTreeMap::new();
    for log in logs.iter().filter(|l| l.next_change > begin && l.first_change <= end) {
        threads.entry(log.thread).or_default().push(log);
    }
    let mut window = Window::default();
    for (thread, mut logs) in threads {
        logs.sort_by_key(|l| l.sequence);
        let (Some(first), Some(last)) = (logs.first(), logs.last()) else { continue };
        if first.first_change > begin && first.sequence > 1 {
            window.missing.push(format!(
                "thread {thread}: the log that contains SCN {begin} (sequence {} or before) is unknown to the database",
                first.sequence - 1
            ));
        }
        for pair in logs.windows(2).filter(|p| p[1].sequence > p[0].sequence + 1) {
            let (from, to) = (pair[0].sequence + 1, pair[1].sequence - 1);
            window
                .missing
                .push(format!("thread {thread}: sequence {from} to {to} are unknown to the database"));
        }
        let gone = logs.iter().filter(|l| !l.copies.iter().any(|copy| is_there(copy)));
        let gone: Vec<String> = gone.map(|l| l.sequence.to_string()).collect();
        if !gone.is_empty() {
            window.deleted.push(format!("thread {thread} sequence {}", gone.join(", ")));
        }
        window.threads.push(ThreadWindow {
            thread,
            first_sequence: first.sequence,
            last_sequence: last.sequence,
        });
    }
    window
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(thread: u64, sequence: u64, first_change: u64, next_change: u64) -> Archived {
        Archived {
            thread,
            sequence,
            first_change,
            next_change,
            copies: vec![format!("+ARCH/{thread}_{sequence}")],
        }
    }

    fn spans(window: &Window) -> Vec<(u64, u64, u64)> {
        window.threads.iter().map(|t| (t.thread, t.first_sequence, t.last_sequence)).collect()
    }

    #[test]
    fn the_log_that_contains_the_begin_is_needed() {
        let logs = [log(1, 10, 50, 90), log(1, 11, 90, 120), log(1, 12, 120, 210), log(1, 13, 210, 300)];
        let found = window(&logs, 100, 200, is_on_disk);
        assert_eq!(spans(&found), [(1, 11, 12)]);
        assert_eq!(window(&logs, 90, 210, is_on_disk).threads[0].first_sequence, 11);
        assert!(found.missing.is_empty() && found.deleted.is_empty());
    }

    #[test]
    fn every_thread_has_its_own() {
        let logs = [log(1, 10, 50, 300), log(2, 3, 20, 60), log(2, 4, 60, 220)];
        assert_eq!(spans(&window(&logs, 100, 200, is_on_disk)), [(1, 10, 10), (2, 4, 4)]);
    }

    #[test]
    fn holes_are_told() {
        let found = window(&[log(1, 12, 120, 150), log(1, 14, 170, 230)], 100, 200, is_on_disk);
        assert_eq!(found.missing.len(), 2);
        assert!(
            found.missing[0].contains("contains SCN 100") && found.missing[1].contains("sequence 13 to 13")
        );
        let gone = Archived { copies: Vec::new(), ..log(1, 10, 50, 300) };
        assert_eq!(window(&[gone], 100, 200, is_on_disk).deleted, ["thread 1 sequence 10"]);
    }

    #[test]
    fn a_log_is_there_when_one_copy_is_on_disk_or_nobody_can_look() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("good"), b"redo").unwrap();
        std::fs::write(at("empty"), b"").unwrap();
        let gone = |copies: &[String]| {
            let log = Archived { copies: copies.to_vec(), ..log(1, 10, 50, 300) };
            !window(&[log], 100, 200, is_on_disk).deleted.is_empty()
        };
        assert!(!gone(&[at("good")]) && !gone(&[at("lost"), at("good")]));
        assert!(gone(&[at("lost")]) && gone(&[at("empty")]) && gone(&[at("lost"), at("empty")]));
        assert!(gone(&[dir.path().to_str().unwrap().to_owned()]));
        assert!(!gone(&["+ARCH/prod/1_10.arc".to_owned()]) && !gone(&[at("nodir/1_10.arc")]));
    }
}
