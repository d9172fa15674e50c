//! The client's end: over the socket, or straight into a [`Core`] for tests.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, Context, Result};

use super::wire::{Request, Response};
use super::{Core, Link};

/// A connection to an instance.
pub enum Connection {
    Socket { reader: Box<BufReader<UnixStream>>, writer: UnixStream },
    Local(Box<Link>),
}

impl Connection {
    /// # Errors
    /// When nobody listens there: the instance is idle for a local client.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("orasim.sock");
        let writer = connect(&path).with_context(|| format!("no daemon at {}", path.display()))?;
        let reader = Box::new(BufReader::new(writer.try_clone()?));
        Ok(Self::Socket { reader, writer })
    }

    pub fn local(core: &Arc<Core>) -> Self {
        Self::Local(Box::new(core.connect()))
    }

    /// # Errors
    /// When the daemon is gone in the middle of it.
    pub fn ask(&mut self, request: Request) -> Result<Response> {
        match self {
            Self::Local(link) => Ok(link.answer(request)),
            Self::Socket { reader, writer } => {
                let mut line = serde_json::to_vec(&request)?;
                line.push(b'\n');
                writer.write_all(&line)?;
                let mut answer = Vec::new();
                reader.read_until(b'\n', &mut answer)?;
                if answer.is_empty() {
                    bail!("the daemon has gone");
                }
                Ok(serde_json::from_slice(&answer)?)
            }
        }
    }
}

/// Connects to a socket whose path may be longer than the 107 bytes that the kernel takes.
fn connect(path: &Path) -> std::io::Result<UnixStream> {
    match UnixStream::connect(path) {
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
            let dir = std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&dir);
            UnixStream::connect(format!("/proc/self/fd/{fd}/orasim.sock"))
        }
        other => other,
    }
}
