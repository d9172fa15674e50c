//! Asks the child, and gives it up when it answers nothing.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::exit::{Exit, Failure};

use crate::helper::{Word, ARGUMENT};
use crate::job::{stopped, Answer, Job};
use crate::mounts;

/// How long a child that was killed has to be gone; one that hangs in the kernel does not go.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does a job in a directory for copies. `tick` is called when the child tells of progress, `gone` with the name of each
/// file that it has removed, also when it dies of the next.
///
/// # Errors
/// What the child says is wrong; [`Exit::TimedOut`] when it has said nothing for `limit`. It is killed then, and left
/// behind when it hangs in the kernel, as on a hard mount whose server is gone.
pub fn ask(
    job: &Job,
    limit: Duration,
    tick: &mut dyn FnMut(u64),
    gone: &mut dyn FnMut(String),
) -> anyhow::Result<Answer> {
    let dir = match job {
        Job::Identify { dir } => dir,
        Job::Survey { place, .. } | Job::Remove { place, .. } => &place.dir,
        Job::Copy(copy) => &copy.place.dir,
    };
    if let Some(point) = mounts::missing(dir) {
        let message = format!("{} is in /etc/fstab and not mounted", point.display());
        return Err(Failure::new(Exit::Partial, message).hint(format!("mount {}", point.display())).into());
    }
    let mut child = start()?;
    let answered = hand_over(&mut child, job).and_then(|()| listen(&mut child)).map(|words| {
        let answered = converse(&words, dir, limit, tick, gone);
        (answered, words)
    });
    end(child);
    let (answered, words) = answered?;
    if answered.is_err() {
        // What it has said before it was given up is a fact.
        while let Ok(word) = words.recv_timeout(Duration::from_millis(100)) {
            if let Ok(Word::Gone(name)) = word {
                gone(name);
            }
        }
    }
    answered
}

fn start() -> anyhow::Result<Child> {
    // Its standard error is nobody's: a child that cannot be ended must not keep a pipe of the next tool open.
    Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the child that copies")
}

fn hand_over(child: &mut Child, job: &Job) -> anyhow::Result<()> {
    let text = serde_json::to_vec(job).context("encode a job")?;
    let mut stdin = child.stdin.take().context("the child has no standard input")?;
    stdin.write_all(&text).context("hand a job to the child")
}

type Words = Receiver<anyhow::Result<Word>>;

fn converse(
    words: &Words,
    dir: &Path,
    limit: Duration,
    tick: &mut dyn FnMut(u64),
    gone: &mut dyn FnMut(String),
) -> anyhow::Result<Answer> {
    let mut heard = Instant::now();
    loop {
        stopped()?;
        match words.recv_timeout(Duration::from_millis(50)) {
            Ok(Ok(Word::Bytes(bytes))) => {
                heard = Instant::now();
                tick(bytes);
            }
            Ok(Ok(Word::Gone(name))) => {
                heard = Instant::now();
                gone(name);
            }
            Ok(Ok(Word::Answer(answer))) => return Ok(answer),
            Ok(Ok(Word::Error(error))) => anyhow::bail!(error),
            Ok(Err(error)) => return Err(error),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the child ended without an answer"),
            Err(RecvTimeoutError::Timeout) if heard.elapsed() < limit => {}
            Err(RecvTimeoutError::Timeout) => {
                let limit = humantime::format_duration(limit);
                let message = format!("{} has not answered for {limit}: it hangs", dir.display());
                return Err(Failure::new(Exit::TimedOut, message)
                    .hint(
                        "look at the network directory (df hangs as well); --copy-timeout changes the limit",
                    )
                    .into());
            }
        }
    }
}

fn listen(child: &mut Child) -> anyhow::Result<Words> {
    let stdout = child.stdout.take().context("the child has no standard output")?;
    let (words, heard) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let word = line
                .context("listen to the child")
                .and_then(|l| serde_json::from_str(&l).context("understand the child"));
            if words.send(word).is_err() {
                break;
            }
        }
    });
    Ok(heard)
}

/// Ends the child, and waits no longer than [`PATIENCE`]: what hangs in the kernel has the signal waiting for it.
fn end(mut child: Child) {
    let _gone = child.kill();
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_has_removed_is_known_when_it_dies() {
        let (say, words) = channel();
        for name in ["a.zip", "b.zip"] {
            say.send(Ok(Word::Gone(name.to_owned()))).unwrap();
        }
        drop(say);
        let mut gone = Vec::new();
        let limit = Duration::from_secs(5);
        let ended = converse(&words, Path::new("/mnt"), limit, &mut |_| {}, &mut |name| gone.push(name));
        assert!(format!("{:#}", ended.unwrap_err()).contains("ended without an answer"));
        assert_eq!(gone, ["a.zip", "b.zip"]);
    }
}
