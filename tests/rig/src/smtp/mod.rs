//! A mail server that does as it is told: every way in which a real one refuses, hangs, dies or lies.

mod certificates;
mod dialogue;
mod postfix;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};

pub use certificates::Authority;
pub use postfix::Postfix;

/// When the connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encryption {
    #[default]
    None,
    Starttls,
    Implicit,
}

/// A moment of the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Banner,
    Ehlo,
    Mail,
    Rcpt,
    /// DATA was asked for and not answered.
    Data,
    /// Half of the mail is here.
    Body,
    /// The last dot is here, the mail is not stored.
    Dot,
    /// The mail is stored, the answer is not sent.
    Stored,
    /// The answer is sent.
    Answered,
}

/// What the server does when the whole mail is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    Take,
    /// Stores it and closes without an answer.
    TakeAndClose,
    /// Closes without storing it.
    Close,
    /// Says nothing.
    Hang,
    /// Answers this and does not store it.
    Answer(String),
}

/// How the server greets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Banner {
    #[default]
    Plain,
    /// One line of so many bytes.
    Long(usize),
    /// Many lines.
    Lines(usize),
    /// A line that never ends.
    Endless,
    /// This instead of 220.
    Answer(String),
}

/// What the server shall do.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    pub encryption: Encryption,
    /// The log-on that it offers and wants.
    pub login: Option<(String, String)>,
    /// The first so many recipients are answered with 450.
    pub greylist: usize,
    /// Answers to RCPT by address.
    pub recipients: Vec<(String, String)>,
    /// Says nothing after DATA.
    pub hang_after_data: bool,
    pub end: End,
    pub banner: Banner,
    /// Every byte alone, with a pause.
    pub drip: Option<Duration>,
    /// Stops there until [`Server::release`], once.
    pub hold: Option<Step>,
}

/// A mail that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    /// Dots undone, lines end in CR LF.
    pub bytes: Vec<u8>,
    pub encrypted: bool,
    pub user: Option<String>,
}

impl Received {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The value of a header that is on one line.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let line = text.lines().take_while(|l| !l.is_empty()).find(|l| {
            l.len() > name.len()
                && l[..name.len()].eq_ignore_ascii_case(name)
                && l[name.len()..].starts_with(':')
        })?;
        Some(line[name.len() + 1..].trim().to_owned())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub manners: Mutex<Manners>,
    pub received: Mutex<Vec<Received>>,
    /// Every line that a client sent, passwords included.
    pub said: Mutex<Vec<String>>,
    pub connections: AtomicUsize,
    pub greylisted: AtomicUsize,
    reached: Mutex<Option<Step>>,
    released: Mutex<bool>,
    moved: Condvar,
    stop: AtomicBool,
}

impl Shared {
    pub fn manners(&self) -> Manners {
        self.manners.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Waits where it was asked to.
    pub fn at(&self, step: Step) {
        if self.manners().hold != Some(step) {
            return;
        }
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + Duration::from_secs(30);
        while !*released && !self.stopped() && Instant::now() < end {
            let (guard, _) = self
                .moved
                .wait_timeout(released, Duration::from_millis(20))
                .unwrap_or_else(PoisonError::into_inner);
            released = guard;
        }
    }
}

/// A running server on 127.0.0.1.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it with a certificate of `authority`.
    pub fn start(authority: &Authority, manners: Manners) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("bind a mail server")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared { manners: Mutex::new(manners), ..Shared::default() });
        let config = authority.server_config()?;
        let inner = Arc::clone(&shared);
        let handle = std::thread::spawn(move || {
            while !inner.stopped() {
                match listener.accept() {
                    Ok((stream, _)) => {
                        inner.connections.fetch_add(1, Ordering::SeqCst);
                        let (shared, config) = (Arc::clone(&inner), Arc::clone(&config));
                        // A client that goes away in the middle is what these tests are about.
                        std::thread::spawn(move || dialogue::serve(stream, &shared, &config).is_ok());
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Ok(Self { address, shared, listener: Some(handle) })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From the next connection on it does this.
    pub fn change(&self, manners: Manners) {
        *self.shared.manners.lock().unwrap_or_else(PoisonError::into_inner) = manners;
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Every line that clients have sent outside of mails.
    pub fn said(&self) -> Vec<String> {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a client has come to the step where the server holds.
    pub fn holds(&self) -> bool {
        self.shared.reached.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Lets the held connection go on.
    pub fn release(&self) {
        *self.shared.released.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.moved.notify_all();
    }

    /// # Errors
    /// There are not so many mails.
    pub fn expect(&self, n: usize) -> Result<Vec<Received>> {
        let received = self.received();
        let said = self.said().join("\n");
        ensure!(received.len() == n, "{} mails instead of {n}; the clients said:\n{said}", received.len());
        Ok(received)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.release();
        if let Some(listener) = self.listener.take() {
            let _ended = listener.join();
        }
    }
}
