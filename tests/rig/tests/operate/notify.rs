//! Type=notify: what arch-ship --follow tells systemd, over a real datagram socket.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Result};
use orasim::instance::Spec;
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind, When};
use rig::tool::Tool;
use rig::world::{Setup, World};
use rustix::process::{kill_process, Pid, Signal};

/// systemd's end.
struct Systemd {
    socket: UnixDatagram,
}

impl Systemd {
    fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// The lines that have come.
    fn heard(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(n) = self.socket.recv(&mut bytes) {
            lines.extend(String::from_utf8_lossy(&bytes[..n]).lines().map(str::to_owned));
        }
        lines
    }

    /// Everything up to the first line that begins with `what`.
    fn until(&self, what: &str, limit: Duration) -> Result<Vec<String>> {
        let begin = Instant::now();
        let mut all = Vec::new();
        while begin.elapsed() < limit {
            all.extend(self.heard());
            if all.iter().any(|l| l.starts_with(what)) {
                return Ok(all);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{what} was not said in {limit:?}, but {all:?}")
    }
}

fn fault(world: &World, kind: Kind, times: Option<u32>) -> Result<()> {
    let pattern = "archived_log".to_owned();
    world.primary.admin(Admin::AddFault(Fault { pattern, kind, times, skip: 0 }))?;
    Ok(())
}

fn follow(world: &World, socket: &Path) -> Result<Tool> {
    let args = ["--follow", "--interval", "1s", "--discover", "database", "--applied", "none"];
    Ok(world.tool("arch-ship")?.args(args).env("NOTIFY_SOCKET", socket).limit(Duration::from_secs(60)))
}

#[test]
fn systemd_hears_ready_after_the_first_look_and_nothing_while_a_session_hangs() -> Result<()> {
    let spec = Spec { log_bytes: 256 << 10, changes_per_second: 20, ..Spec::default() };
    let world = World::shaped(&Setup { spec, over_ssh: false, ..Setup::default() }, |layout| {
        layout.tablespaces(13, 128 << 10)
    })?;
    world.primary.sql("ALTER SYSTEM ARCHIVE LOG CURRENT")?;
    let path = world.path().join("notify");
    let systemd = Systemd::listen(&path)?;

    // A first look that fails is not READY.
    let error = Kind::Error { code: 942, text: "table or view does not exist".to_owned() };
    fault(&world, error, None)?;
    let outcome = follow(&world, &path)?.run()?;
    ensure!(outcome.status != Some(0), "{outcome:?}");
    ensure!(!systemd.heard().iter().any(|l| l == "READY=1"), "READY=1 without a look");
    world.primary.admin(Admin::ClearFaults)?;

    // While the first look takes its time, nothing is said.
    fault(&world, Kind::Hang { seconds: Some(1.5), when: When::Before }, Some(1))?;
    let begin = Instant::now();
    let mut run = follow(&world, &path)?.start()?;
    let all = systemd.until("READY=1", Duration::from_secs(20))?;
    ensure!(begin.elapsed() > Duration::from_millis(1500), "READY=1 after {:?}", begin.elapsed());
    ensure!(all[0] == "READY=1", "{all:?}");
    let all = systemd.until("STATUS=following: ", Duration::from_secs(20))?;
    ensure!(all.iter().filter(|l| l.as_str() == "READY=1").count() == 0, "twice: {all:?}");
    for _ in 0..2 {
        systemd.until("WATCHDOG=1", Duration::from_secs(5))?;
    }

    // A session that stands still: SIGSTOP, as a hung NFS or a hung server would look.
    fault(&world, Kind::Hang { seconds: Some(1.0), when: When::Before }, Some(1))?;
    world.primary.sql("ALTER SYSTEM ARCHIVE LOG CURRENT")?;
    let mut stopped = None;
    run.until(Duration::from_secs(20), "a session", |run| {
        let found = rig::host::descendants(run.pid()).into_iter().find(|p| p.name == "sqlplus");
        stopped = found.and_then(|p| Pid::from_raw(i32::try_from(p.pid).ok()?));
        Ok(stopped.is_some_and(|pid| kill_process(pid, Signal::STOP).is_ok()))
    })?;
    let Some(pid) = stopped else { bail!("no session") };
    // What was under way when it stopped.
    std::thread::sleep(Duration::from_millis(300));
    systemd.heard();
    std::thread::sleep(Duration::from_secs(4));
    let heard = systemd.heard();
    kill_process(pid, Signal::CONT)?;
    ensure!(heard.is_empty(), "it hangs and says {heard:?}");
    systemd.until("WATCHDOG=1", Duration::from_secs(10))?;

    // A cycle that fails says so, and is alive: it tries again.
    let error = Kind::Error { code: 942, text: "table or view does not exist".to_owned() };
    fault(&world, error, None)?;
    systemd.until("STATUS=trying again: ", Duration::from_secs(20))?;
    systemd.until("WATCHDOG=1", Duration::from_secs(20))?;
    world.primary.admin(Admin::ClearFaults)?;

    run.signal(Signal::TERM)?;
    systemd.until("STOPPING=1", Duration::from_secs(10))?;
    run.wait()?.expect(143)?;
    Ok(())
}

#[test]
fn without_the_socket_and_in_a_single_run_nothing_is_said() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("notify");
    let systemd = Systemd::listen(&path)?;
    std::fs::create_dir(dir.path().join("src"))?;
    std::fs::create_dir(dir.path().join("dst"))?;
    let once = Tool::new("arch-ship", dir.path())?
        .env("NOTIFY_SOCKET", &path)
        .env("STATE_DIR", dir.path().join("state"))
        .args(["--source-dir", "src", "--applied", "none", "--dest-dir"])
        .arg(dir.path().join("dst"));
    once.run()?.expect(0)?;
    ensure!(systemd.heard().is_empty());
    // A socket that nobody listens on harms nobody.
    drop(systemd);
    once.run()?.expect(0)?;
    Ok(())
}
