//! A proxy in front of an S3 server that breaks what passes through it, by rules, and tells what it did.
//!
//! It works on requests and on bytes: answers are made up or changed, bodies are cut, flipped, slowed or stalled, and
//! connections are reset (a real RST) before or after the server has done what was asked. The `Host` header is passed on, so
//! that signatures stay valid.

mod answer;
mod body;
mod rule;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

pub use rule::{Fault, Novelty, Rule, Which};

use crate::call::{Call, Operation};
use answer::{error_document, strip_checksums, wrong_checksums};
use body::{pass, Bend, Body};
use rule::Rules;

/// One request that came to the proxy.
#[derive(Debug, Clone)]
pub struct Passed {
    pub call: Call,
    pub fault: Option<Fault>,
    /// What the server answered; `None` when it was not asked or did not answer.
    pub server: Option<u16>,
    /// What the client was told; `None` when it got no answer.
    pub client: Option<u16>,
    /// The region that the request was signed for.
    pub region: String,
}

#[derive(Debug)]
struct Shared {
    upstream: Mutex<SocketAddr>,
    rules: Mutex<Rules>,
    passed: Mutex<Vec<Passed>>,
    held: AtomicUsize,
}

/// A running proxy. Dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Listens on loopback in front of `upstream`; it breaks nothing before it has rules.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3-proxy")
            .enable_all()
            .build()
            .context("start a runtime")?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).context("listen on loopback")?;
        let address = listener.local_addr().context("ask for the port")?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            rules: Mutex::default(),
            passed: Mutex::default(),
            held: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&serving)))),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on these rules hold, and their counting begins.
    pub fn rules(&self, rules: Vec<Rule>) {
        self.rules_with_seed(rules, 1);
    }

    pub fn rules_with_seed(&self, rules: Vec<Rule>, seed: u64) {
        *lock(&self.shared.rules) = Rules::new(rules, seed);
        self.shared.held.store(0, Ordering::SeqCst);
    }

    /// Sends what comes from now on to another server.
    pub fn upstream(&self, address: SocketAddr) {
        *lock(&self.shared.upstream) = address;
    }

    /// All requests since the last [`Proxy::clear`], in the order of their arrival.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.shared.passed).clone()
    }

    pub fn clear(&self) {
        lock(&self.shared.passed).clear();
    }

    /// How many requests have met a fault.
    pub fn struck(&self) -> usize {
        lock(&self.shared.passed).iter().filter(|p| p.fault.is_some()).count()
    }

    pub fn count(&self, operation: Operation) -> usize {
        lock(&self.shared.passed).iter().filter(|p| p.call.operation == operation).count()
    }

    /// Requests that [`Fault::Hold`] has stopped.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Waits until a request is held.
    pub fn wait_held(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while self.held() == 0 {
            ensure!(Instant::now() < end, "no request was held in {limit:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _slower = stream.set_nodelay(true);
    let Ok(stream) = stream.into_std() else { return };
    let Ok(handle) = stream.try_clone() else { return };
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let reset = Arc::new(Notify::new());
    let service = hyper::service::service_fn(|request| one(request, Arc::clone(&shared), Arc::clone(&reset)));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A client that goes away is what these tests are about.
        _broken = connection => {}
        () = reset.notified() => {
            // Without lingering the close is a reset; the connection went with the other branch.
            let _gone = rustix::net::sockopt::set_socket_linger(&handle, Some(Duration::ZERO));
        }
    }
}

/// The entry of a request in the record, filled in as it goes on.
struct Entry<'a> {
    shared: &'a Shared,
    at: usize,
}

impl Entry<'_> {
    fn set(&self, change: impl FnOnce(&mut Passed)) {
        if let Some(passed) = lock(&self.shared.passed).get_mut(self.at) {
            change(passed);
        }
    }
}

async fn never() -> Result<Response<Body>, hyper::Error> {
    std::future::pending().await
}

async fn one(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    reset: Arc<Notify>,
) -> Result<Response<Body>, hyper::Error> {
    let call = Call::of(request.method(), request.uri(), request.headers());
    let region = region(&request);
    let fault = lock(&shared.rules).strike(&call, |fault| applies(fault, &request, &call, &region));
    let entry = {
        let mut all = lock(&shared.passed);
        all.push(Passed { call: call.clone(), fault: fault.clone(), server: None, client: None, region });
        Entry { shared: &shared, at: all.len() - 1 }
    };
    let upstream = *lock(&shared.upstream);
    let half = call.length / 2;
    let is_head = request.method() == hyper::Method::HEAD;
    let Some(fault) = fault else {
        let response = forward(request, upstream, Bend::Straight, &entry).await;
        return Ok(answer_or_502(response, &entry, |r| r.map(|b| pass(b, Bend::Straight))));
    };
    let resets = || {
        reset.notify_one();
        never()
    };
    match fault {
        Fault::Error { status, code, retry_after, executed } => {
            take(request, executed, upstream, &entry).await;
            entry.set(|p| p.client = Some(status));
            Ok(error_document(status, code, retry_after, is_head))
        }
        Fault::ErrorInside { executed } => {
            take(request, executed, upstream, &entry).await;
            entry.set(|p| p.client = Some(200));
            Ok(error_document(200, "InternalError", None, is_head))
        }
        Fault::Redirect(wanted) => {
            take(request, false, upstream, &entry).await;
            entry.set(|p| p.client = Some(301));
            let mut response = error_document(301, "PermanentRedirect", None, is_head);
            response
                .headers_mut()
                .insert("x-amz-bucket-region", hyper::header::HeaderValue::from_static(wanted));
            Ok(response)
        }
        Fault::Skewed(minutes) => {
            take(request, false, upstream, &entry).await;
            entry.set(|p| p.client = Some(403));
            Ok(answer::skewed(minutes, is_head))
        }
        Fault::Refuse(novelty) => {
            let (status, code) = match novelty {
                Novelty::UnsignedTrailer | Novelty::UnsignedPayload => (400, "XAmzContentSHA256Mismatch"),
                Novelty::Checksum => (400, "InvalidArgument"),
                Novelty::Condition => (501, "NotImplemented"),
            };
            take(request, false, upstream, &entry).await;
            entry.set(|p| p.client = Some(status));
            Ok(error_document(status, code, None, is_head))
        }
        Fault::NoChecksum => {
            let response = forward(request, upstream, Bend::Straight, &entry).await;
            changed(response, &entry, strip_checksums).await
        }
        Fault::WrongChecksum => {
            let response = forward(request, upstream, Bend::Straight, &entry).await;
            changed(response, &entry, wrong_checksums).await
        }
        Fault::ResetBefore => resets().await,
        Fault::ResetAfter => {
            take(request, true, upstream, &entry).await;
            resets().await
        }
        Fault::CutRequest => {
            let _refused = forward(request, upstream, Bend::Cut(half), &entry).await;
            resets().await
        }
        Fault::Silence => {
            take(request, false, upstream, &entry).await;
            never().await
        }
        Fault::Hold { executed } => {
            if executed {
                take(request, true, upstream, &entry).await;
            }
            shared.held.fetch_add(1, Ordering::SeqCst);
            never().await
        }
        Fault::FlipRequest => {
            let response = forward(request, upstream, Bend::Flip(half), &entry).await;
            Ok(answer_or_502(response, &entry, |r| r.map(|b| pass(b, Bend::Straight))))
        }
        Fault::Slow(rate) => {
            let response = forward(request, upstream, Bend::Slow(rate), &entry).await;
            Ok(answer_or_502(response, &entry, |r| r.map(|b| pass(b, Bend::Slow(rate)))))
        }
        Fault::FlipAnswer | Fault::CutAnswer | Fault::Stall => {
            let response = forward(request, upstream, Bend::Straight, &entry).await;
            let length = response.as_ref().ok().and_then(length).filter(|_| !is_head).unwrap_or(0);
            match fault {
                Fault::Stall if length == 0 => never().await,
                Fault::CutAnswer if length == 0 => resets().await,
                _ => {
                    let bend = match fault {
                        Fault::FlipAnswer => Bend::Flip(length / 2),
                        Fault::CutAnswer => Bend::Cut(length / 2),
                        _ => Bend::Stall(length / 2),
                    };
                    Ok(answer_or_502(response, &entry, |r| r.map(|b| pass(b, bend))))
                }
            }
        }
    }
}

/// A fault that would change nothing is not counted as one.
fn applies(fault: &Fault, request: &Request<Incoming>, call: &Call, region: &str) -> bool {
    match fault {
        Fault::Redirect(wanted) => region != *wanted,
        Fault::FlipRequest | Fault::CutRequest => call.length > 1,
        Fault::FlipAnswer => request.method() == hyper::Method::GET,
        Fault::Refuse(novelty) => uses(request, *novelty),
        _ => true,
    }
}

fn uses(request: &Request<Incoming>, novelty: Novelty) -> bool {
    let headers = request.headers();
    let payload = headers.get("x-amz-content-sha256").map_or(&b""[..], |v| v.as_bytes());
    match novelty {
        Novelty::UnsignedTrailer => payload.starts_with(b"STREAMING-UNSIGNED"),
        Novelty::UnsignedPayload => payload == b"UNSIGNED-PAYLOAD",
        Novelty::Checksum => {
            let name = |n: &str| n.starts_with("x-amz-checksum-") && n != "x-amz-checksum-mode";
            headers.keys().any(|n| name(n.as_str())) || headers.contains_key("x-amz-trailer")
        }
        Novelty::Condition => headers.contains_key("if-none-match") && request.method() != hyper::Method::GET,
    }
}

fn region(request: &Request<Incoming>) -> String {
    let header = request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    header.split('/').nth(2).unwrap_or_default().to_owned()
}

fn length(response: &Response<Incoming>) -> Option<u64> {
    response.headers().get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok())
}

/// Reads the request to its end, with or without passing it on, and forgets the answer.
async fn take(request: Request<Incoming>, executed: bool, upstream: SocketAddr, entry: &Entry<'_>) {
    if executed {
        if let Ok(response) = forward(request, upstream, Bend::Straight, entry).await {
            let _read = response.into_body().collect().await;
        }
    } else {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {}
    }
}

async fn forward(
    request: Request<Incoming>,
    upstream: SocketAddr,
    bend: Bend,
    entry: &Entry<'_>,
) -> Result<Response<Incoming>> {
    let stream = TcpStream::connect(upstream).await.context("connect to the server")?;
    stream.set_nodelay(true).context("set the socket")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    // An empty body must be seen to be empty, or the server is told of chunks.
    let mut request =
        request.map(|body| if body.is_end_stream() { body::full("") } else { pass(body, bend) });
    // Our answer to the client's wish has gone out already.
    request.headers_mut().remove("expect");
    let response = sender.send_request(request).await?;
    entry.set(|p| p.server = Some(response.status().as_u16()));
    Ok(response)
}

fn answer_or_502(
    response: Result<Response<Incoming>>,
    entry: &Entry<'_>,
    change: impl FnOnce(Response<Incoming>) -> Response<Body>,
) -> Response<Body> {
    let response = match response {
        Ok(response) => change(response),
        Err(error) => answer::bad_gateway(&error),
    };
    entry.set(|p| p.client = Some(response.status().as_u16()));
    response
}

async fn changed(
    response: Result<Response<Incoming>>,
    entry: &Entry<'_>,
    change: fn(&mut hyper::HeaderMap, Option<String>) -> Option<String>,
) -> Result<Response<Body>, hyper::Error> {
    let response = match response {
        Ok(response) => answer::rewrite(response, change).await?,
        Err(error) => answer::bad_gateway(&error),
    };
    entry.set(|p| p.client = Some(response.status().as_u16()));
    Ok(response)
}
