//! A program that must go on saying something: stopped when it is silent for too long.

use std::io::{Read, Write};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::process::{Cmd, Ended};
use crate::signals;

/// How long we read on after the program's own end; a grandchild may hold the pipe.
const LEAK: Duration = Duration::from_millis(500);
/// Standard error kept, from its end.
const KEEP: usize = 64 * 1024;

pub(super) struct Watched {
    pub ended: Ended,
    pub stderr: String,
}

/// Runs `cmd`; hands standard output over as it arrives; stops the group after `quiet` without any output.
///
/// The command's own `limit` holds as well.
pub(super) fn watch(cmd: &Cmd, quiet: Duration, on_stdout: &mut dyn FnMut(&[u8])) -> anyhow::Result<Watched> {
    let started = Instant::now();
    let mut running = cmd.start()?;
    if let Some(mut stdin) = running.child.stdin.take() {
        let bytes = cmd.stdin.clone();
        std::thread::spawn(move || stdin.write_all(&bytes).is_ok());
    }
    let (tx, rx) = channel();
    read_into(running.child.stdout.take(), true, &tx);
    read_into(running.child.stderr.take(), false, &tx);
    drop(tx);

    let mut stderr = Vec::new();
    let mut heard = started;
    let mut gone: Option<Instant> = None;
    let mut open = true;
    let stopped = loop {
        if open {
            match rx.recv_timeout(Duration::from_millis(20)) {
                Ok((true, bytes)) => {
                    heard = Instant::now();
                    on_stdout(&bytes);
                }
                Ok((false, bytes)) => {
                    heard = Instant::now();
                    stderr.extend_from_slice(&bytes);
                    if stderr.len() > 2 * KEEP {
                        stderr.drain(..stderr.len() - KEEP);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        } else {
            std::thread::sleep(Duration::from_millis(2));
        }
        let now = Instant::now();
        if gone.is_none() && !running.is_running() {
            gone = Some(now);
        }
        if let Some(at) = gone {
            if !open || now - at > LEAK {
                break None;
            }
            continue;
        }
        if now - heard >= quiet {
            break Some(Ended::TimedOut(quiet));
        }
        if now - started >= cmd.limit {
            break Some(Ended::TimedOut(cmd.limit));
        }
        if cmd.interruptible && signals::pending().is_some() {
            break Some(Ended::Interrupted);
        }
    };
    running.stop(Duration::ZERO);
    let status = running.child.wait().context("wait for a child")?;
    while let Ok((from_stdout, bytes)) = rx.try_recv() {
        if from_stdout {
            on_stdout(&bytes);
        } else {
            stderr.extend_from_slice(&bytes);
        }
    }
    let ended = stopped.unwrap_or_else(|| Ended::from(status));
    Ok(Watched { ended, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

fn read_into<R: Read + Send + 'static>(pipe: Option<R>, stdout: bool, tx: &Sender<(bool, Vec<u8>)>) {
    let Some(mut pipe) = pipe else { return };
    let tx = tx.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) if tx.send((stdout, buffer[..n].to_vec())).is_err() => break,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh", Duration::from_secs(20)).arg("-c").arg(script)
    }

    #[test]
    fn silence_ends_it_and_talking_does_not() {
        let quiet = Duration::from_millis(400);
        let started = Instant::now();
        let done = watch(&sh("echo a; sleep 30 & wait"), quiet, &mut |_| {}).unwrap();
        assert_eq!(done.ended, Ended::TimedOut(quiet));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let done =
            watch(&sh("for i in 1 2 3 4 5 6; do echo $i; sleep 0.15; done"), quiet, &mut |_| {}).unwrap();
        assert_eq!(done.ended, Ended::Exited(0));
    }

    #[test]
    fn both_outputs_are_kept_apart_and_whole() {
        let mut out = Vec::new();
        let done =
            watch(&sh("echo o; echo e >&2; exit 3"), Duration::from_secs(9), &mut |b| out.extend(b)).unwrap();
        assert_eq!(
            (done.ended, done.stderr.as_str(), out.as_slice()),
            (Ended::Exited(3), "e\n", &b"o\n"[..])
        );
    }
}
