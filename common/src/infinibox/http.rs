//! One request: which address, which connection, how long, and what the answer means.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::prelude::{Engine, BASE64_STANDARD};
use serde::de::DeserializeOwned;
use serde::Deserialize;
use ureq::http::{HeaderMap, Response};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Body, Timeout};

use super::args::Address;
use super::error::{ApiError, Kind};
use super::tls::TlsConnector;
use crate::secret::{redact, Secret};
use crate::signals;

/// The array closes an idle connection after 15 s; a younger one is still good.
const IDLE: Duration = Duration::from_secs(8);
/// A page of 1000 volumes is about 3 MB.
const BODY_MAX: u64 = 256 << 20;
/// How often a 429 is obeyed in one call, and the longest of these waits.
const PATIENCE: u32 = 5;
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Before a read is tried once more at the only address there is.
const PAUSE: Duration = Duration::from_millis(300);

/// Everything that [`Http`] is made of.
pub(super) struct Connection {
    pub addresses: Vec<Address>,
    pub user: String,
    pub password: Secret,
    pub tool: String,
    pub ca_file: Option<PathBuf>,
    pub plain: bool,
    pub connect: Duration,
    pub request: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// What to send.
pub(super) struct Request<'a> {
    pub method: Method,
    /// Below `/api/rest/`.
    pub path: String,
    pub query: Vec<(&'a str, String)>,
    pub body: Option<String>,
    /// What we are doing, for errors.
    pub what: String,
}

impl Request<'_> {
    fn is_read(&self) -> bool {
        self.method == Method::Get
    }

    /// Whether doing it twice is as good as once.
    fn is_repeatable(&self) -> bool {
        self.method != Method::Post
    }
}

/// What came back with a status below 300.
pub(super) struct Answer<T> {
    pub result: Option<T>,
    pub meta: Meta,
    /// Host time, epoch milliseconds, right before the request and right after its answer.
    pub sent: i64,
    pub answered: i64,
    /// The Date header, epoch milliseconds.
    pub date: Option<i64>,
    pub address: String,
}

/// What a collection says about itself.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub number_of_objects: Option<u64>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
struct Envelope<T> {
    #[serde(default)]
    result: Option<T>,
    #[serde(default)]
    error: Option<ErrorBody>,
    #[serde(default)]
    metadata: Option<Meta>,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    reasons: Option<Vec<Reason>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reason {
    Object {
        #[serde(default)]
        message: Option<String>,
    },
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl ErrorBody {
    fn text(&self) -> String {
        let mut text = self.message.clone().unwrap_or_default();
        for reason in self.reasons.iter().flatten() {
            let more = match reason {
                Reason::Object { message: Some(message) } | Reason::Text(message) => message,
                Reason::Object { message: None } | Reason::Other(_) => continue,
            };
            if !text.contains(more.as_str()) {
                text = format!("{text}; {more}");
            }
        }
        text
    }
}

/// What to do after a failure.
enum Next {
    Give,
    SameHost(Duration),
    OtherHost,
}

/// A client of one array.
pub(super) struct Http {
    connection: Connection,
    /// None: plain HTTP.
    tls: Option<TlsConnector>,
    pooled: Agent,
    /// Never takes an old connection: a request that creates something must not be sent into a dead one.
    fresh: Agent,
    authorization: Secret,
    preferred: AtomicUsize,
    /// The logon was accepted once.
    proven: AtomicBool,
}

impl Http {
    pub fn new(connection: Connection) -> anyhow::Result<Self> {
        let plain = format!("{}:{}", connection.user, connection.password.expose());
        let authorization = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(plain)));
        let tls =
            (!connection.plain).then(|| TlsConnector::new(connection.ca_file.as_deref())).transpose()?;
        let agent = |idle: usize| {
            let name = format!("orapipe/{} ({})", env!("CARGO_PKG_VERSION"), connection.tool);
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .max_idle_connections(idle)
                .max_idle_connections_per_host(idle)
                .max_idle_age(IDLE)
                .timeout_connect(Some(connection.connect))
                .user_agent(name)
                .accept("application/json")
                .accept_encoding("identity")
                // The credentials are for the array alone.
                .proxy(None)
                .build();
            match &tls {
                Some(tls) => {
                    let chain = ().chain(TcpConnector::default()).chain(tls.clone());
                    Agent::with_parts(config, chain, DefaultResolver::default())
                }
                None => Agent::new_with_config(config),
            }
        };
        let (pooled, fresh) = (agent(8), agent(0));
        Ok(Self {
            connection,
            tls,
            pooled,
            fresh,
            authorization,
            preferred: AtomicUsize::new(0),
            proven: AtomicBool::new(false),
        })
    }

    /// The address that answered last, or the first one.
    pub fn address(&self) -> String {
        self.connection.addresses[self.preferred.load(Ordering::SeqCst)].to_string()
    }

    /// What a person should know of the connections that were made so far.
    pub fn warnings(&self) -> Vec<String> {
        self.tls.as_ref().map(TlsConnector::remarks).unwrap_or_default()
    }

    /// Sends a request, where that is safe to other addresses too, and reads its answer.
    pub fn call<T: DeserializeOwned>(
        &self,
        request: &Request<'_>,
        deadline: Option<Instant>,
    ) -> Result<Answer<T>, ApiError> {
        let hosts = self.connection.addresses.len();
        let first = self.preferred.load(Ordering::SeqCst);
        let (mut at, mut failures, mut waits, mut logons) = (first, 0, 0, 0);
        // A doubt does not go away because a later attempt was refused.
        let mut doubtful = false;
        loop {
            match self.once(request, at, deadline) {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::SeqCst);
                    self.proven.store(true, Ordering::SeqCst);
                    return Ok(answer);
                }
                Err(mut error) => {
                    doubtful |= error.doubtful;
                    error.doubtful = doubtful;
                    let next = match &error.kind {
                        Kind::TooManyRequests(after) if waits < PATIENCE => {
                            waits += 1;
                            Next::SameHost(after.unwrap_or(Duration::from_secs(1)).min(WAIT_MAX))
                        }
                        // The logon was good a moment ago.
                        Kind::Unauthorized if logons == 0 && self.proven.load(Ordering::SeqCst) => {
                            logons += 1;
                            Next::SameHost(Duration::ZERO)
                        }
                        kind => self.next(request, kind, failures, hosts),
                    };
                    match next {
                        Next::Give => return Err(error),
                        Next::SameHost(pause) => {
                            if kind_counts(&error.kind) {
                                failures += 1;
                            }
                            let late = deadline.is_some_and(|d| Instant::now() + pause >= d);
                            if late || (!pause.is_zero() && !signals::sleep(pause)) {
                                if signals::pending().is_some() {
                                    error.kind = Kind::Interrupted;
                                }
                                return Err(error);
                            }
                        }
                        Next::OtherHost => {
                            failures += 1;
                            at = (at + 1) % hosts;
                        }
                    }
                }
            }
        }
    }

    fn next(&self, request: &Request<'_>, kind: &Kind, failures: usize, hosts: usize) -> Next {
        let others = failures + 1 < hosts;
        let once_more = failures == 0 && hosts == 1;
        match kind {
            // Surely not executed there.
            Kind::Unreachable | Kind::Tls | Kind::Unavailable if others => Next::OtherHost,
            Kind::Unreachable | Kind::Unavailable if request.is_read() && once_more => Next::SameHost(PAUSE),
            Kind::Broken if request.is_repeatable() && failures == 0 => Next::SameHost(Duration::ZERO),
            Kind::Broken | Kind::TimedOut | Kind::Server | Kind::NotApi if request.is_read() => {
                match (others, once_more) {
                    (true, _) => Next::OtherHost,
                    (false, true) => Next::SameHost(PAUSE),
                    (false, false) => Next::Give,
                }
            }
            _ => Next::Give,
        }
    }

    fn once<T: DeserializeOwned>(
        &self,
        request: &Request<'_>,
        at: usize,
        deadline: Option<Instant>,
    ) -> Result<Answer<T>, ApiError> {
        let address = self.connection.addresses[at].to_string();
        let error = |kind: Kind, message: String, doubtful: bool| ApiError {
            kind,
            what: request.what.clone(),
            address: address.clone(),
            status: None,
            code: None,
            message: self.clean(&message),
            doubtful: doubtful && !request.is_read(),
        };
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|l| l.is_zero()) {
            return Err(error(Kind::TimedOut, "no time is left for it".to_owned(), false));
        }
        let limit = left.map_or(self.connection.request, |l| l.min(self.connection.request));
        let sent = now();
        let response = self.send(request, at, limit).map_err(|e| {
            let (kind, message, doubtful) = classify(&e, limit);
            error(kind, message, doubtful)
        })?;
        let (parts, body) = response.into_parts();
        let answered = now();
        let status = parts.status.as_u16();
        let mut body: Body = body;
        let bytes = body.with_config().limit(BODY_MAX).read_to_vec().map_err(|e| {
            let (kind, message, _) = classify(&e, limit);
            let mut error = error(kind, message, !(300..500).contains(&status));
            error.status = Some(status);
            error
        })?;
        let html = |bytes: &[u8]| {
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).to_lowercase();
            if bytes.is_empty() {
                "an empty answer"
            } else if head.contains("<html") || head.contains("<!doctype") {
                "an HTML page instead of JSON"
            } else {
                "an answer that is not the API's JSON"
            }
        };
        let parsed = serde_json::from_slice::<Envelope<T>>(&bytes);
        let envelope = match (status, parsed) {
            (200..=299, Ok(envelope)) if envelope.error.is_none() => {
                return Ok(Answer {
                    result: envelope.result,
                    meta: envelope.metadata.unwrap_or_default(),
                    sent,
                    answered,
                    date: date(&parts.headers),
                    address,
                });
            }
            (200..=299, Err(e)) => {
                let why = match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(&bytes) {
                    Ok(_) => format!("an object of the answer cannot be understood: {e}"),
                    Err(_) => html(&bytes).to_owned(),
                };
                let mut error = error(Kind::NotApi, why, true);
                error.status = Some(status);
                return Err(error);
            }
            (_, Ok(envelope)) => Some(envelope.error),
            // The result of a refusal need not have the type that we asked for.
            (_, Err(_)) => {
                serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(&bytes).ok().map(|e| e.error)
            }
        };
        let kind = match status {
            300..=399 => Kind::NotApi,
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            // A proxy's 404 says nothing about the object.
            404 | 409 if envelope.is_none() => Kind::NotApi,
            404 => Kind::NotFound,
            409 => Kind::Conflict,
            429 => Kind::TooManyRequests(retry_after(&parts.headers)),
            503 => Kind::Unavailable,
            500..=599 => Kind::Server,
            200..=299 => Kind::Refused,
            _ => Kind::Refused,
        };
        let body = envelope.flatten();
        let message = match &body {
            Some(body) if !body.text().is_empty() => body.text(),
            Some(_) => "no message".to_owned(),
            None if (300..400).contains(&status) => {
                let to = parts.headers.get("location").and_then(|l| l.to_str().ok()).unwrap_or("elsewhere");
                format!("redirected to {to}")
            }
            None => html(&bytes).to_owned(),
        };
        let mut error = error(kind, message, status >= 500);
        error.status = Some(status);
        error.code = body.and_then(|b| b.code).map(|c| self.clean(&c));
        Err(error)
    }

    fn send(&self, request: &Request<'_>, at: usize, limit: Duration) -> Result<Response<Body>, ureq::Error> {
        let address = &self.connection.addresses[at];
        let scheme = if self.connection.plain { "http" } else { "https" };
        let url = format!("{scheme}://{}:{}/api/rest/{}", address.host, address.port, request.path);
        let agent = if request.is_repeatable() { &self.pooled } else { &self.fresh };
        let query = request.query.iter().map(|(k, v)| (*k, v.as_str()));
        let authorization = self.authorization.expose();
        let connect = self.connection.connect.min(limit);
        macro_rules! prepared {
            ($method:ident) => {
                agent
                    .$method(&url)
                    .query_pairs(query)
                    .header("Authorization", authorization)
                    .config()
                    .timeout_global(Some(limit))
                    .timeout_connect(Some(connect))
                    .build()
            };
        }
        let body = request.body.as_deref().unwrap_or("{}");
        match request.method {
            Method::Get => prepared!(get).call(),
            Method::Delete => prepared!(delete).call(),
            Method::Post => prepared!(post).content_type("application/json").send(body),
            Method::Put => prepared!(put).content_type("application/json").send(body),
        }
    }

    /// What the array says may hold what we said to it.
    fn clean(&self, text: &str) -> String {
        let encoded = Secret::new(self.authorization.expose().trim_start_matches("Basic "));
        let clean = redact(text.as_bytes(), &[encoded, self.connection.password.clone()]);
        let text: String =
            String::from_utf8_lossy(&clean).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match text.char_indices().nth(1000) {
            Some((cut, _)) => format!("{}...", &text[..cut]),
            None => text,
        }
    }
}

fn kind_counts(kind: &Kind) -> bool {
    !matches!(kind, Kind::TooManyRequests(_) | Kind::Unauthorized)
}

/// Host time, epoch milliseconds.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The kind, the words, and whether the request may have reached the array.
fn classify(error: &ureq::Error, limit: Duration) -> (Kind, String, bool) {
    use ureq::Error as E;
    let said = error.to_string();
    match error {
        E::Timeout(Timeout::Resolve | Timeout::Connect) => {
            (Kind::Unreachable, "no connection within the time limit".to_owned(), false)
        }
        E::Timeout(_) => {
            (Kind::TimedOut, format!("no answer within {}", humantime::format_duration(whole(limit))), true)
        }
        E::HostNotFound => (Kind::Unreachable, "the name of this host is not known".to_owned(), false),
        E::ConnectionFailed | E::BadUri(_) | E::Http(_) => (Kind::Unreachable, said, false),
        E::Tls(_) | E::Rustls(_) | E::Pem(_) | E::TlsRequired => (Kind::Tls, said, false),
        E::Io(io) => match io.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable => (Kind::Unreachable, io.to_string(), false),
            ErrorKind::TimedOut => (Kind::TimedOut, io.to_string(), true),
            // Only a handshake says these, and the request comes after it.
            ErrorKind::InvalidData if is_handshake(&io.to_string()) => (Kind::Tls, io.to_string(), false),
            _ => (Kind::Broken, io.to_string(), true),
        },
        E::Protocol(_) | E::LargeResponseHeader(..) | E::BodyExceedsLimit(_) => (Kind::NotApi, said, true),
        _ => (Kind::Broken, said, true),
    }
}

fn is_handshake(said: &str) -> bool {
    ["certificate", "InvalidContentType", "ProtocolVersion", "HandshakeFailure"]
        .iter()
        .any(|w| said.contains(w))
}

/// Limits are told in whole milliseconds.
fn whole(limit: Duration) -> Duration {
    Duration::from_millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

fn date(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get("date")?.to_str().ok()?;
    Some(chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis())
}

/// Seconds, or a date by the array's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    let from = date(headers).unwrap_or_else(now);
    Some(Duration::from_millis(u64::try_from(until - from).unwrap_or(0)))
}
