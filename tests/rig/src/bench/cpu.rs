//! Processor time from /proc.

use std::time::Duration;

use anyhow::Context;

use crate::host::descendants;

/// Linux counts in hundredths of a second for user space, whatever the kernel's own tick is (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// Of this process's children that have been waited for, with theirs.
pub fn of_ended_children() -> anyhow::Result<Duration> {
    let [_, ended] = read("self").context("read /proc/self/stat")?;
    Ok(ended)
}

/// Of a running process, of its descendants, and of those that they have waited for. What a process has used moves to
/// its parent's account when it ends, so that the difference of two calls misses none.
pub fn of_tree(pid: u32) -> Duration {
    let pids = descendants(pid).into_iter().map(|p| p.pid).chain([pid]);
    pids.filter_map(|p| read(&p.to_string())).flatten().sum()
}

/// Own time and that of children waited for.
fn read(pid: &str) -> Option<[Duration; 2]> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    // utime is field 14 of proc(5), and `rest` begins with field 3.
    let mut fields = rest.split(' ').skip(11).map(|f| f.parse::<u32>().unwrap_or(0));
    let mut pair = || Some(TICK * (fields.next()? + fields.next()?));
    Some([pair()?, pair()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_worked_is_seen_before_and_after_its_end() {
        let before = of_ended_children().unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; read x"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while of_tree(child.id()) < Duration::from_millis(50) && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(of_tree(child.id()) >= Duration::from_millis(50));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(of_ended_children().unwrap() - before >= Duration::from_millis(50));
    }
}
