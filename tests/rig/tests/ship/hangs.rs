//! Nothing that hangs hangs the tool beyond its limits.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rig::host::{alive, write_program, HostOptions, SshHost};
use rig::proxy::Line;
use rustix::process::{kill_process, Pid, Signal};

use crate::pair::{said, Pair};

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
    Ok(kill_process(pid, signal)?)
}

#[test]
fn a_host_that_accepts_and_says_nothing() -> Result<()> {
    let pair = Pair::new()?;
    pair.add(1, 1, 1 << 20)?;
    pair.proxy.black_hole(true);
    let options = format!("{} -o ConnectTimeout=2", pair.host.ssh_options_via(pair.proxy.address()));
    for args in [&["--retries", "1"][..], &["--status"]] {
        let outcome = pair.tool()?.args(args).env("SSH_OPTIONS", &options).run()?.expect(75)?;
        ensure!(outcome.elapsed < Duration::from_secs(40), "{:?}", outcome.elapsed);
        ensure!(said(&outcome).contains("127.0.0.1"), "{}", said(&outcome));
    }
    ensure!(pair.mark(1)?.is_none(), "{:?}", pair.mark(1)?);
    pair.proxy.black_hole(false);
    pair.run(0)?;
    pair.check_equal()
}

#[test]
fn a_line_that_goes_silent_in_the_middle() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=3 {
        pair.add(1, sequence, 4 << 20)?;
    }
    let watch = pair.watch(&[]);
    pair.proxy.silence_after(5 << 20);
    let outcome =
        pair.tool()?.args(["--io-timeout", "3s", "--retries", "3", "--workers", "1"]).run()?.expect(0)?;
    ensure!(outcome.elapsed < Duration::from_secs(60), "{:?}", outcome.elapsed);
    let attempts = outcome.of("archived_log").iter().filter_map(|r| r.number("attempts")).max();
    ensure!(attempts >= Some(2), "it was cut and nobody noticed: {}", said(&outcome));
    ensure!(pair.mark(1)? == Some(3), "{:?}", pair.mark(1)?);
    watch.end()?;
    Ok(())
}

/// The receiver that outlives its connection: it must not touch what the next attempt has published.
#[test]
fn a_stopped_receiver_that_comes_back_later_harms_nothing() -> Result<()> {
    let pair = Pair::with(Line { rate: 6 << 20, ..Line::default() }, None)?;
    for sequence in 1..=3 {
        pair.add(1, sequence, 4 << 20)?;
    }
    let watch = pair.watch(&[]);
    let mut run = pair.tool()?.args(["--io-timeout", "3s", "--retries", "3", "--workers", "1"]).start()?;
    let mut stopped = Vec::new();
    run.until(Duration::from_secs(20), "an rsync runs at the standby", |_| {
        let found: Vec<_> = pair.host.remote_processes().into_iter().filter(|p| p.name == "rsync").collect();
        stopped = found.into_iter().map(|p| p.pid).collect();
        Ok(!stopped.is_empty() && pair.proxy.bytes().0 > 3 << 20)
    })?;
    for pid in &stopped {
        signal(*pid, Signal::STOP)?;
    }
    // sshd forgets them: they are nobody's children now, as after a lost link.
    pair.host.kill_connections();
    let outcome = run.wait()?.expect(0)?;
    ensure!(outcome.elapsed < Duration::from_secs(60), "{:?}", outcome.elapsed);
    pair.tool()?.args(["--verify"]).run()?.expect(0)?;
    for pid in stopped.iter().filter(|p| alive(**p)) {
        signal(*pid, Signal::CONT)?;
    }
    let end = Instant::now() + Duration::from_secs(20);
    while stopped.iter().any(|p| alive(*p)) {
        ensure!(Instant::now() < end, "the receivers {stopped:?} live for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(1100));
    pair.tool()?.args(["--io-timeout", "1s"]).run()?.expect(0)?;
    watch.end()?;
    pair.check_equal()
}

#[test]
fn an_rsync_that_never_says_anything() -> Result<()> {
    let mut pair = Pair::new()?;
    let bin = pair.root.path().join("bin");
    std::fs::create_dir_all(&bin)?;
    let script =
        "#!/bin/sh\ncase \" $* \" in *' --version '*) exec /usr/bin/rsync --version;; esac\nexec sleep 45\n";
    write_program(&bin.join("rsync"), script)?;
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let env = vec![("PATH".to_owned(), path)];
    pair.host = SshHost::start(&HostOptions { env, ..HostOptions::default() })?;
    pair.proxy = rig::proxy::Proxy::start(pair.host.address(), Line::default())?;
    pair.add(1, 1, 1 << 20)?;
    let outcome = pair.tool()?.args(["--io-timeout", "3s", "--retries", "1"]).run()?;
    ensure!(matches!(outcome.status, Some(1 | 2 | 75 | 124)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(outcome.elapsed < Duration::from_secs(40), "{:?}", outcome.elapsed);
    ensure!(said(&outcome).contains("rsync"), "{}", said(&outcome));
    ensure!(pair.mark(1)?.is_none() && !pair.dst.join("1_1_1197657913.dbf").exists(), "nothing arrived");
    Ok(())
}
