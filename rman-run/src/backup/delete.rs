//! Which archived logs may go: only those that this very run has backed up and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use chrono::NaiveDateTime;

use crate::facts::{ArchivedLog, LogKey};

/// What is decided about the logs that are old enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    pub delete: Vec<LogKey>,
    /// Old enough, and why they stay.
    pub keep: Vec<(LogKey, String)>,
}

/// Pure. `verified`: logs in whole pieces of this run. `shipped`: for each thread the last sequence that arch-ship has
/// verified at the standby, when it ships at all.
pub fn decide(
    logs: &[ArchivedLog],
    verified: &BTreeSet<LogKey>,
    shipped: &BTreeMap<u64, u64>,
    current: u64,
    now: NaiveDateTime,
    keep: Duration,
) -> Decision {
    let mut decision = Decision::default();
    let limit = chrono::TimeDelta::from_std(keep).unwrap_or(chrono::TimeDelta::MAX);
    for log in logs.iter().filter(|l| l.on_disk) {
        let old = log.completed.is_some_and(|t| now.signed_duration_since(t) >= limit);
        if !old {
            continue;
        }
        let reason = if !verified.contains(&log.key) {
            "it is not in a verified piece of this run".to_owned()
        } else if log.key.resetlogs_change != current {
            "it belongs to an earlier incarnation".to_owned()
        } else {
            match shipped.get(&log.key.thread) {
                Some(last) if log.key.sequence > *last => {
                    format!(
                        "arch-ship has verified sequence {last} of its thread at the standby, not this one"
                    )
                }
                _ => {
                    decision.delete.push(log.key);
                    continue;
                }
            }
        };
        decision.keep.push((log.key, reason));
    }
    decision
}

/// The marks of arch-ship in this state directory.
pub fn shipped(state_dir: &Path, sid: &str) -> BTreeMap<u64, u64> {
    let Ok(entries) = std::fs::read_dir(state_dir) else { return BTreeMap::new() };
    let suffix = format!(".{sid}");
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let thread = name.strip_prefix("last_arch_seq_thread")?.strip_suffix(&suffix)?.parse().ok()?;
            // A mark that cannot be read vouches for nothing.
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            Some((thread, text.trim().parse().unwrap_or(0)))
        })
        .collect()
}

/// One DELETE for each run of sequences; without FORCE, so that the deletion policy has its say.
pub fn script(keys: &[LogKey]) -> String {
    let mut ranges: Vec<(u64, u64, u64)> = Vec::new();
    let sorted: BTreeSet<(u64, u64)> = keys.iter().map(|k| (k.thread, k.sequence)).collect();
    for (thread, sequence) in sorted {
        match ranges.last_mut() {
            Some((t, _, last)) if *t == thread && *last + 1 == sequence => *last = sequence,
            _ => ranges.push((thread, sequence, sequence)),
        }
    }
    let mut text = String::new();
    for (thread, from, to) in ranges {
        text.push_str(&format!(
            "DELETE NOPROMPT ARCHIVELOG FROM SEQUENCE {from} UNTIL SEQUENCE {to} THREAD {thread} BACKED UP 1 TIMES TO DEVICE TYPE DISK;\n"
        ));
    }
    text.push_str("EXIT;\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(hour: u32) -> NaiveDateTime {
        chrono::NaiveDate::from_ymd_opt(2026, 8, 2).and_then(|d| d.and_hms_opt(hour, 0, 0)).unwrap()
    }

    fn log(thread: u64, sequence: u64, hour: u32) -> ArchivedLog {
        let key = LogKey { resetlogs_change: 1, thread, sequence };
        ArchivedLog { key, on_disk: true, completed: Some(time(hour)), ..ArchivedLog::default() }
    }

    #[test]
    fn only_old_verified_and_shipped_logs_go() {
        let logs = [log(1, 1, 1), log(1, 2, 2), log(1, 3, 3), log(1, 4, 20), log(2, 9, 1), log(2, 10, 1)];
        let all: BTreeSet<_> = logs.iter().map(|l| l.key).collect();
        let hours = |n: u64| Duration::from_secs(n * 3600);
        let found = decide(&logs, &all, &BTreeMap::new(), 1, time(22), hours(12));
        assert_eq!(found.delete.len(), 5);
        assert_eq!(script(&found.delete), "DELETE NOPROMPT ARCHIVELOG FROM SEQUENCE 1 UNTIL SEQUENCE 3 THREAD 1 BACKED UP 1 TIMES TO DEVICE TYPE DISK;\n\
            DELETE NOPROMPT ARCHIVELOG FROM SEQUENCE 9 UNTIL SEQUENCE 10 THREAD 2 BACKED UP 1 TIMES TO DEVICE TYPE DISK;\nEXIT;\n");
        let mut verified = all.clone();
        verified.remove(&logs[1].key);
        let found = decide(&logs, &verified, &BTreeMap::from([(1, 2), (2, 9)]), 1, time(22), hours(12));
        let sequences: Vec<_> = found.delete.iter().map(|k| (k.thread, k.sequence)).collect();
        assert_eq!(sequences, [(1, 1), (2, 9)]);
        assert_eq!(found.keep.len(), 3);
        assert!(decide(&logs, &all, &BTreeMap::new(), 7, time(22), hours(12)).delete.is_empty());
        assert!(decide(&logs, &BTreeSet::new(), &BTreeMap::new(), 1, time(22), hours(0)).delete.is_empty());
    }

    #[test]
    fn a_mark_that_cannot_be_read_holds_everything_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("last_arch_seq_thread1.PROD"), "17\n").unwrap();
        std::fs::write(dir.path().join("last_arch_seq_thread2.PROD"), "rubbish").unwrap();
        std::fs::write(dir.path().join("last_arch_seq_thread3.OTHER"), "5").unwrap();
        assert_eq!(shipped(dir.path(), "PROD"), BTreeMap::from([(1, 17), (2, 0)]));
    }
}
