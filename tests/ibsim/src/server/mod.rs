//! The network side: ports, connections, and what goes wrong on them.

pub mod answer;
mod one;
pub mod tls;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::fault::Rules;
use crate::log::Request;
use crate::state::State;

/// What a management address does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    #[default]
    Up,
    /// 503: the management runs on another node.
    Unavailable,
    /// Connections are closed before a byte.
    Closed,
    /// Connections are accepted, and that is all.
    Silent,
}

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    pub state: Mutex<State>,
    pub rules: Mutex<Rules>,
    pub log: Mutex<Vec<Request>>,
    pub addresses: Mutex<Vec<Address>>,
    /// `host:port` of each address: HTTP, HTTPS.
    pub ports: Mutex<Vec<(String, String)>>,
    pub latency: Mutex<Duration>,
    pub keep_alive: Mutex<Duration>,
    /// The tests' own door is open.
    pub admin: AtomicBool,
    pub under_way: AtomicUsize,
    pub connections: AtomicU64,
    pub start: Instant,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ends of a connection that a handler can pull.
#[derive(Debug, Default)]
pub struct Ends {
    /// Ends it with a RST.
    pub reset: Notify,
}

/// A connection as its requests see it.
#[derive(Debug)]
pub struct Line {
    pub address: usize,
    pub tls: bool,
    pub number: u64,
    pub served: AtomicUsize,
    pub ends: Ends,
}

pub async fn accept(listener: TcpListener, shared: Arc<Shared>, address: usize, tls: Option<TlsAcceptor>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                drop(tokio::spawn(connection(stream, Arc::clone(&shared), address, tls.clone())))
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, address: usize, tls: Option<TlsAcceptor>) {
    let state = lock(&shared.addresses).get(address).copied().unwrap_or_default();
    match state {
        Address::Up | Address::Unavailable => {}
        Address::Closed => return,
        Address::Silent => std::future::pending().await,
    }
    let _slower = stream.set_nodelay(true);
    let Ok(stream) = stream.into_std() else { return };
    let Ok(handle) = stream.try_clone() else { return };
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
    let line = Arc::new(Line {
        address,
        tls: tls.is_some(),
        number,
        served: AtomicUsize::new(0),
        ends: Ends::default(),
    });
    let reset = {
        let serving = async {
            match tls {
                None => serve(stream, &shared, &line).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &shared, &line).await,
                    Err(_) => false,
                },
            }
        };
        tokio::select! {
            idle = serving => idle && !lock(&shared.state).config.guesses.idle_close_is_fin,
            () = line.ends.reset.notified() => true,
        }
    };
    if reset {
        // Without lingering the close is a reset; the connection went with the other branch.
        let _gone = rustix::net::sockopt::set_socket_linger(&handle, Some(Duration::ZERO));
    }
}

/// Whether it ended because it was idle.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    shared: &Arc<Shared>,
    line: &Arc<Line>,
) -> bool {
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        one::answer(request, Arc::clone(shared), Arc::clone(line))
    });
    let keep_alive = *lock(&shared.keep_alive);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(keep_alive)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    connection.await.is_err_and(|e| e.is_timeout())
}
