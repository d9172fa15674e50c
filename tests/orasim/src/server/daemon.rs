//! The socket loop of `orasim start`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, Context, Result};

use super::admin::Admin;
use super::wire::{Request, Response};
use super::Core;

/// Binds `orasim.sock` in the instance directory; a socket that nobody listens on is removed.
///
/// # Errors
/// When another daemon listens there already, or the socket cannot be made.
pub fn bind(dir: &Path) -> Result<UnixListener> {
    let path = dir.join("orasim.sock");
    if super::client::Connection::open(dir).is_ok() {
        bail!("a daemon is running in {}", dir.display());
    }
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => {}
    }
    let listener = match UnixListener::bind(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
            let dir = std::fs::File::open(dir)?;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&dir);
            UnixListener::bind(format!("/proc/self/fd/{fd}/orasim.sock"))
        }
        other => other,
    };
    listener.with_context(|| format!("cannot listen on {}", path.display()))
}

/// Serves until a `Stop` request; then the socket is removed.
///
/// # Errors
/// When the socket fails.
pub fn serve(core: &Arc<Core>, listener: &UnixListener) -> Result<()> {
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for stream in listener.incoming() {
        if stop.load(std::sync::atomic::Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else { continue };
        let core = Arc::clone(core);
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            // A client that has gone away is its own affair.
            if let Ok(true) = session(&core, stream) {
                stop.store(true, std::sync::atomic::Ordering::SeqCst);
                // The accept call has to wake up to see it.
                drop(super::client::Connection::open(&core.dir));
            }
        });
    }
    let path = core.dir.join("orasim.sock");
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

/// True when the client has asked the daemon to stop.
fn session(core: &Arc<Core>, stream: UnixStream) -> Result<bool> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut link = core.connect();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let (response, stop) = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                let stop = matches!(request, Request::Admin(Admin::Stop));
                (link.answer(request), stop)
            }
            Err(error) => (Response::error(crate::engine::OraError::new(3106, error.to_string())), false),
        };
        let mut answer = serde_json::to_vec(&response)?;
        answer.push(b'\n');
        writer.write_all(&answer)?;
        if stop {
            return Ok(true);
        }
    }
}
