//! A bad network in user space: a TCP proxy on loopback with delay, rate, stalls, silence and cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

const CHUNK: usize = 16 * 1024;
const TICK: Duration = Duration::from_millis(5);

/// What the line is like. Zero means "no such limit".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// Each way.
    pub delay: Duration,
    /// Bytes per second of each connection, each way.
    pub rate: u64,
    /// Bytes under way per connection and direction (at least 16 KiB): with a delay it limits the rate as a TCP
    /// window does.
    pub window: usize,
    /// After so many bytes of a connection and direction the line stalls for `stall`, as after a lost packet.
    pub stall_every: u64,
    pub stall: Duration,
}

impl Line {
    /// 40 ms each way, 2 MiB under way, a stall of 200 ms every 4 MiB.
    pub fn wan() -> Self {
        Self {
            delay: Duration::from_millis(40),
            rate: 0,
            window: 2 << 20,
            stall_every: 4 << 20,
            stall: Duration::from_millis(200),
        }
    }
}

#[derive(Debug)]
struct Shared {
    line: Line,
    connections: AtomicUsize,
    up: AtomicU64,
    down: AtomicU64,
    stop: AtomicBool,
    silent: AtomicBool,
    refuse: AtomicBool,
    /// A connection is cut when it has carried so many bytes upwards; 0: not.
    cut_at: AtomicU64,
    /// As `cut_at`, but goes silent for good.
    silent_at: AtomicU64,
    open: Mutex<Vec<Arc<Pair>>>,
}

/// One connection through the proxy.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    up: AtomicU64,
    silent: AtomicBool,
    closed: AtomicBool,
}

impl Pair {
    fn cut(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _gone = self.client.shutdown(Shutdown::Both);
        let _gone = self.server.shutdown(Shutdown::Both);
    }
}

/// A running proxy. Dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on loopback in front of `upstream`.
    pub fn start(upstream: SocketAddr, line: Line) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("bind a proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            line,
            connections: AtomicUsize::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            refuse: AtomicBool::new(false),
            cut_at: AtomicU64::new(0),
            silent_at: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, upstream, &accepting));
        Ok(Self { address, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes delivered so far: to the server, to the client.
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.up.load(Ordering::SeqCst), self.shared.down.load(Ordering::SeqCst))
    }

    /// Cuts all open connections; new ones are served.
    pub fn cut_now(&self) {
        self.each(Pair::cut);
    }

    /// Cuts the first connection that has carried `bytes` to the server, counted from its beginning; once.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.cut_at.store(bytes, Ordering::SeqCst);
    }

    /// As [`Proxy::cut_after`], but the connection goes silent for ever and stays open on both sides.
    pub fn silence_after(&self, bytes: u64) {
        self.shared.silent_at.store(bytes, Ordering::SeqCst);
    }

    /// The open connections go silent for ever and stay open on both sides; new ones are served.
    pub fn silence_open_ones(&self) {
        self.each(|p| p.silent.store(true, Ordering::SeqCst));
    }

    /// Everything is accepted and nothing is passed on, until it is switched off.
    pub fn black_hole(&self, on: bool) {
        self.shared.silent.store(on, Ordering::SeqCst);
    }

    /// New connections are closed at once.
    pub fn refuse(&self, on: bool) {
        self.shared.refuse.store(on, Ordering::SeqCst);
    }

    fn each(&self, what: impl Fn(&Pair)) {
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().for_each(|p| what(p));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.cut_now();
        // Wakes the accept.
        let _gone = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
    }
}

fn accept(listener: &TcpListener, upstream: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if shared.refuse.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(server) = TcpStream::connect(upstream) else { continue };
        let _small_packets = (client.set_nodelay(true), server.set_nodelay(true));
        let pair = Arc::new(Pair {
            client,
            server,
            up: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        {
            let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|p| !p.closed.load(Ordering::SeqCst));
            open.push(Arc::clone(&pair));
        }
        for upwards in [true, false] {
            let slots = match shared.line.window {
                0 => 256,
                window => (window / CHUNK).max(1),
            };
            let (tx, rx) = sync_channel(slots);
            let (a, b) = (Arc::clone(&pair), Arc::clone(shared));
            std::thread::spawn(move || take_in(&a, &b, upwards, &tx));
            let (a, b) = (Arc::clone(&pair), Arc::clone(shared));
            std::thread::spawn(move || give_out(&a, &b, upwards, &rx));
        }
    }
}

/// Waits while the line is silent; false when the connection has ended meanwhile.
fn passable(pair: &Pair, shared: &Shared) -> bool {
    loop {
        if pair.closed.load(Ordering::SeqCst) || shared.stop.load(Ordering::SeqCst) {
            return false;
        }
        if !pair.silent.load(Ordering::SeqCst) && !shared.silent.load(Ordering::SeqCst) {
            return true;
        }
        std::thread::sleep(TICK);
    }
}

fn take_in(pair: &Pair, shared: &Shared, upwards: bool, tx: &SyncSender<(Instant, Vec<u8>)>) {
    let mut from = if upwards { &pair.client } else { &pair.server };
    let mut buffer = vec![0; CHUNK];
    while passable(pair, shared) {
        match from.read(&mut buffer) {
            Ok(n) if n > 0 => {
                if tx.send((Instant::now() + shared.line.delay, buffer[..n].to_vec())).is_err() {
                    return;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // The end travels behind the data: the channel closes when this returns.
            _ => return,
        }
    }
}

fn give_out(pair: &Pair, shared: &Shared, upwards: bool, rx: &Receiver<(Instant, Vec<u8>)>) {
    let mut to = if upwards { &pair.server } else { &pair.client };
    let line = &shared.line;
    let mut free_at = Instant::now();
    let mut carried = 0_u64;
    while let Ok((due, bytes)) = rx.recv() {
        let now = Instant::now();
        std::thread::sleep(due.max(free_at).saturating_duration_since(now));
        let n = bytes.len() as u64;
        let before = carried;
        carried += n;
        if line.stall_every > 0 && before / line.stall_every != carried / line.stall_every {
            std::thread::sleep(line.stall);
        }
        if !passable(pair, shared) || to.write_all(&bytes).is_err() {
            pair.cut();
            return;
        }
        if line.rate > 0 {
            free_at = free_at.max(now) + Duration::from_secs_f64(n as f64 / line.rate as f64);
        }
        if upwards {
            shared.up.fetch_add(n, Ordering::SeqCst);
            let sum = pair.up.fetch_add(n, Ordering::SeqCst) + n;
            let over = |limit: &AtomicU64| {
                let at = limit.load(Ordering::SeqCst);
                // Once: whoever changes it to 0 does it.
                at > 0
                    && sum >= at
                    && limit.compare_exchange(at, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            };
            if over(&shared.silent_at) {
                pair.silent.store(true, Ordering::SeqCst);
            }
            if over(&shared.cut_at) {
                pair.cut();
                return;
            }
        } else {
            shared.down.fetch_add(n, Ordering::SeqCst);
        }
    }
    if passable(pair, shared) {
        let _gone = to.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `bytes` through a proxy to something that sends them back, and returns how long that took.
    fn through(line: Line, bytes: usize) -> (Duration, Proxy) {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(echo.local_addr().unwrap(), line).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = echo.accept().unwrap();
            std::io::copy(&mut &stream, &mut &stream).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let started = Instant::now();
        let stream = TcpStream::connect(proxy.address()).unwrap();
        let mut sending = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            sending.write_all(&vec![7; bytes]).unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        assert_eq!(back, vec![7; bytes]);
        (started.elapsed(), proxy)
    }

    #[test]
    fn a_perfect_line_costs_nothing_and_is_counted() {
        let (time, proxy) = through(Line::default(), 1 << 20);
        assert!(time < Duration::from_millis(500), "{time:?}");
        assert_eq!((proxy.connections(), proxy.bytes()), (1, (1 << 20, 1 << 20)));
    }

    #[test]
    fn delay_rate_and_stalls_take_their_time() {
        let ms = Duration::from_millis;
        let (time, _) = through(Line { delay: ms(50), ..Line::default() }, 1000);
        assert!(time >= ms(100) && time < ms(300), "{time:?}");
        let (time, _) = through(Line { rate: 1_000_000, ..Line::default() }, 500_000);
        assert!(time >= ms(450) && time < ms(1200), "{time:?}");
        let line = Line { stall_every: 100_000, stall: ms(100), ..Line::default() };
        let (time, _) = through(line, 450_000);
        assert!(time >= ms(400) && time < ms(1500), "{time:?}");
    }
}
