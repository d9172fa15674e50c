//! Processes by id, from /proc: never by name alone, other tests run the same programs.

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// The kernel's short name, at most 15 bytes.
    pub name: String,
    pub args: Vec<String>,
}

/// All processes below `pid`.
pub fn descendants(pid: u32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|p| p.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

pub fn children(pid: u32) -> Vec<Process> {
    all().into_iter().filter(|p| p.parent == pid).collect()
}

/// Whether there is such a process, not counting one that only waits to be reaped.
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| s.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

/// Processes that were started with `part` somewhere in their environment, this one not counted.
pub fn with_environment(part: &str) -> Vec<Process> {
    let own = std::process::id();
    let has = |pid: u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.windows(part.len().max(1)).any(|w| w == part.as_bytes())
    };
    all().into_iter().filter(|p| p.pid != own && alive(p.pid) && has(p.pid)).collect()
}

/// SIGKILL. One that is gone is fine.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| read(e.file_name().to_str()?.parse().ok()?)).collect()
}

fn read(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(") ")?;
    let name = head.split_once('(')?.1.to_owned();
    let parent = rest.split(' ').nth(1)?.parse().ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let args = line.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
    Some(Process { pid, parent, name, args })
}
