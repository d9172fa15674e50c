//! The programs of a process that is gone, found by a mark in their environment.

use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

const GRACE: Duration = Duration::from_secs(2);

/// Stops every process of this user that was started with `name=value` in its environment, except ourselves: TERM, two
/// seconds, KILL. Returns how many there were.
///
/// The mark is the run's own id, so that nobody else's process can carry it.
pub(super) fn stop(name: &str, value: &str) -> usize {
    let found = marked(name, value);
    for pid in &found {
        let _gone = kill_process(*pid, Signal::TERM);
        let _gone = kill_process(*pid, Signal::CONT);
    }
    let end = Instant::now() + GRACE;
    while !found.is_empty() && Instant::now() < end && !marked(name, value).is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    for pid in marked(name, value) {
        let _gone = kill_process(pid, Signal::KILL);
    }
    found.len()
}

fn marked(name: &str, value: &str) -> Vec<Pid> {
    let mark = format!("{name}={value}");
    let own = rustix::process::getpid();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
        .filter(|pid| *pid != own && carries(*pid, mark.as_bytes()))
        .collect()
}

/// Unreadable for processes of others, empty for zombies.
fn carries(pid: Pid, mark: &[u8]) -> bool {
    std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
        .is_ok_and(|environ| environ.split(|b| *b == 0).any(|entry| entry == mark))
}
