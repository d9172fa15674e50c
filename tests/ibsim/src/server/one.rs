//! One request: understood, struck by faults, executed, answered.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Response};
use serde_json::Value;

use super::answer::{answer as write, date, Body, Head};
use super::{lock, Address, Line, Shared};
use crate::admin;
use crate::api::{self, Call};
use crate::error::ApiError;
use crate::fault::{Fault, Lost};
use crate::log::Request;
use crate::query::Query;

/// Counts down also when the client goes away and the future is dropped.
pub struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.under_way.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

type Out = Result<Response<Body>, hyper::Error>;

/// What is known of a request while it is worked on.
struct Work {
    shared: Arc<Shared>,
    line: Arc<Line>,
    call: Call,
    entry: usize,
    accepts_gzip: bool,
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// In a query a plus is a space.
fn decode_query(text: &str) -> String {
    decode(&text.replace('+', " "))
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let (scheme, code) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64_simd::STANDARD.decode_to_vec(code.trim()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (name, password) = text.split_once(':').unwrap_or((&text, ""));
    Some((name.to_owned(), password.to_owned()))
}

fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let all = headers.get_all("cookie").iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(';'))
        .filter_map(|c| c.trim().split_once('='))
        .map(|(n, v)| (n.to_owned(), v.trim_matches('"').to_owned()))
        .collect()
}

/// The body without what nobody may read in a log.
fn redacted(path: &str, body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(mut object)) if path.starts_with("/users") && object.contains_key("password") => {
            object.insert("password".into(), "***".into());
            Value::Object(object).to_string()
        }
        _ => body.to_owned(),
    }
}

fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = headers.iter().map(|(name, value)| {
        let value = match name.as_str() {
            "authorization" | "cookie" | "x-remote-authorization" => "***".to_owned(),
            _ => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        (name.as_str().to_owned(), value)
    });
    shown.collect()
}

pub async fn answer(request: hyper::Request<Incoming>, shared: Arc<Shared>, line: Arc<Line>) -> Out {
    let under_way = UnderWay::begin(&shared);
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    if let Some(rest) = path.strip_prefix("/_sim/").filter(|_| shared.admin.load(Ordering::SeqCst)) {
        return Ok(admin::answer(&shared, head.method.as_str(), rest, &body).await);
    }
    let inside = path.strip_prefix("/api/rest").map_or_else(|| path.clone(), decode);
    let pairs = query.split('&').filter(|p| !p.is_empty());
    let pairs =
        pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(n, v)| (decode_query(n), decode_query(v)));
    let call = Call {
        method: head.method.as_str().to_owned(),
        segments: match path.strip_prefix("/api/rest/") {
            Some(inside) => inside.split('/').filter(|s| !s.is_empty()).map(decode).collect(),
            None => vec!["outside".into()],
        },
        query: Query(pairs.collect()),
        body,
        basic: basic(&head.headers),
        cookies: cookies(&head.headers),
    };
    let question = if query.is_empty() { "" } else { "?" };
    let target = format!("{inside}{question}{query}");
    let faults = lock(&shared.rules).strike(&call.method, &target, &call.body, line.address);
    let (credential, user, array_ms) = {
        let state = lock(&shared.state);
        let (credential, user) = api::credential(&state, &call);
        (credential, user.and_then(|u| state.users.get(&u)).map(|u| u.name.clone()), state.now())
    };
    let entry = {
        let mut log = lock(&shared.log);
        log.push(Request {
            at: shared.start.elapsed(),
            array_ms,
            address: line.address,
            tls: line.tls,
            connection: line.number,
            method: call.method.clone(),
            body: redacted(&inside, &call.body),
            path: inside,
            query,
            headers: shown_headers(&head.headers),
            credential,
            user,
            faults: faults.clone(),
            status: None,
            executed: None,
            executed_at: None,
        });
        log.len() - 1
    };
    let encodings = head.headers.get("accept-encoding").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let accepts_gzip = encodings.contains("gzip");
    let work = Work { shared, line, call, entry, accepts_gzip };
    // A client that gives up must not undo what a real array would go on doing.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let _under_way = under_way;
        let response = work.run().await;
        // The client has gone.
        let _unheard = sender.send(response);
    });
    match receiver.await {
        Ok(Some(response)) => Ok(response),
        // The connection is being reset, or nobody will ever answer.
        _ => std::future::pending().await,
    }
}

impl Work {
    fn log(&self, change: impl FnOnce(&mut Request)) {
        if let Some(entry) = lock(&self.shared.log).get_mut(self.entry) {
            change(entry);
        }
    }

    fn reset(&self) -> Option<Response<Body>> {
        self.line.ends.reset.notify_one();
        None
    }

    /// Whether all were made: a scripted change that cannot be must not pass for one that was.
    fn change(&self, changes: &[crate::Change]) -> bool {
        let mut state = lock(&self.shared.state);
        let in_path = self.call.segments.iter().find_map(|s| s.parse().ok());
        for change in changes {
            if let Err(error) = state.change(change, in_path) {
                eprintln!("ibsim: error: {change:?}: {error:#}");
                return false;
            }
        }
        true
    }

    /// `None`: there is never an answer.
    async fn run(self) -> Option<Response<Body>> {
        let faults = lock(&self.shared.log).get(self.entry).map(|r| r.faults.clone()).unwrap_or_default();
        let latency = *lock(&self.shared.latency);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let address = lock(&self.shared.addresses).get(self.line.address).copied().unwrap_or_default();
        if address == Address::Unavailable {
            return Some(self.error(503, "SERVICE_UNAVAILABLE", None));
        }
        for fault in &faults {
            match fault {
                Fault::Delay(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Fault::Before(changes) if !self.change(changes) => {
                    return Some(self.error(500, "SIMULATOR_CHANGE_FAILED", None));
                }
                _ => {}
            }
        }
        let alone = faults.iter().find(|f| !f.goes_together());
        let response = self.strike(alone, &faults).await;
        for fault in &faults {
            if let Fault::SlowAnswer(ms) = fault {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
            }
        }
        response
    }

    async fn strike(&self, fault: Option<&Fault>, all: &[Fault]) -> Option<Response<Body>> {
        let Some(fault) = fault else {
            let (head, body) = self.execute(all);
            return Some(self.send(head, body, None));
        };
        match fault {
            Fault::Hang => None,
            Fault::HangAfter => {
                self.execute(all);
                None
            }
            Fault::Late { ms, answer } => {
                let early = match answer {
                    Lost::Silence => None,
                    Lost::Reset => self.reset(),
                    Lost::Status(status) => Some(self.error(*status, "", None)),
                };
                let late = Self {
                    shared: Arc::clone(&self.shared),
                    line: Arc::clone(&self.line),
                    call: self.call.clone(),
                    entry: self.entry,
                    accepts_gzip: false,
                };
                let (ms, all, under_way) = (*ms, all.to_vec(), UnderWay::begin(&self.shared));
                tokio::spawn(async move {
                    let _under_way = under_way;
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    late.execute(&all);
                });
                early
            }
            Fault::ResetBefore => self.reset(),
            Fault::ResetAfter => {
                self.execute(all);
                self.reset()
            }
            Fault::Status { status, code, retry_after, executed } => {
                if *executed {
                    self.execute(all);
                }
                Some(self.error(*status, code, *retry_after))
            }
            Fault::SessionLost => {
                let mut state = lock(&self.shared.state);
                for (_, value) in &self.call.cookies {
                    state.sessions.remove(value);
                }
                drop(state);
                Some(self.error(401, "UNAUTHORIZED", None))
            }
            Fault::Html { status, executed } => {
                if *executed {
                    self.execute(all);
                }
                let page = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>Proxy Error</title>\n\
                    </head><body>\n<h1>Proxy Error</h1>\n<p>The proxy server received an invalid\r\nresponse from an \
                    upstream server.</p>\n</body></html>\n";
                let head = Head {
                    status: *status,
                    content_type: "text/html; charset=iso-8859-1",
                    ..Head::default()
                };
                Some(self.send(head, page.into(), None))
            }
            Fault::TruncatedJson => {
                let (head, mut body) = self.execute(all);
                body.truncate(body.len() / 2);
                Some(self.send(head, body, None))
            }
            Fault::CutAnswer => {
                let (head, body) = self.execute(all);
                let half = body.len() / 2;
                Some(self.send(head, body, Some(half)))
            }
            Fault::EmptyBody => {
                let (head, _) = self.execute(all);
                Some(self.send(head, Vec::new(), None))
            }
            Fault::Body(text) => {
                let (head, _) = self.execute(all);
                Some(self.send(Head { status: 200, ..head }, text.clone().into_bytes(), None))
            }
            Fault::Delay(_) | Fault::SlowAnswer(_) | Fault::Before(_) | Fault::After(_) => None,
        }
    }

    /// Does what is asked, now.
    fn execute(&self, faults: &[Fault]) -> (Head, Vec<u8>) {
        let (status, body, cookie) = tokio::task::block_in_place(|| {
            let mut state = lock(&self.shared.state);
            let answer = api::execute(&mut state, &self.call);
            let status = answer.as_ref().map_or_else(|e| e.status, |r| r.status);
            let at = self.shared.start.elapsed();
            drop(state);
            self.log(|r| {
                r.executed = Some(status);
                r.executed_at = Some(at);
            });
            let body = api::envelope(&answer).to_string().into_bytes();
            (status, body, answer.ok().and_then(|r| r.cookie))
        });
        for fault in faults {
            match fault {
                Fault::After(changes) if !self.change(changes) => {
                    let head = Head { status: 500, content_type: "text/plain", ..Head::default() };
                    return (head, b"SIMULATOR_CHANGE_FAILED".to_vec());
                }
                _ => {}
            }
        }
        let extra = cookie.into_iter().map(|c| ("set-cookie", c)).collect();
        (Head { status, content_type: "application/json", extra, gzip: false }, body)
    }

    fn error(&self, status: u16, code: &str, retry_after: Option<u32>) -> Response<Body> {
        let code = match (code, status) {
            ("", 401) => "UNAUTHORIZED",
            ("", 403) => "FORBIDDEN",
            ("", 404) => "NOT_FOUND",
            ("", 409) => "CONFLICT",
            ("", 429) => "TOO_MANY_REQUESTS",
            ("", 503) => "SERVICE_UNAVAILABLE",
            ("", _) => "INTERNAL_ERROR",
            (code, _) => code,
        };
        let error = ApiError::new(status, code, "scripted by the test");
        let body = api::envelope(&Err(error)).to_string().into_bytes();
        let extra = retry_after.map(|s| ("retry-after", s.to_string())).into_iter().collect();
        self.send(Head { status, content_type: "application/json", extra, gzip: false }, body, None)
    }

    fn send(&self, mut head: Head, body: Vec<u8>, cut: Option<usize>) -> Response<Body> {
        self.log(|r| r.status = Some(head.status));
        let (gzip, version, now, array_date, max) = {
            let state = lock(&self.shared.state);
            let config = &state.config;
            (
                config.gzip,
                config.version,
                state.now(),
                config.guesses.date_header_is_array_clock,
                config.max_requests,
            )
        };
        head.gzip = gzip && self.accepts_gzip && !body.is_empty();
        head.extra.push(("x-infinidat-version", version.to_string()));
        if array_date {
            head.extra.push(("date", date(now)));
        }
        let served = self.line.served.fetch_add(1, Ordering::SeqCst) + 1;
        if served >= max {
            head.extra.push(("connection", "close".into()));
        } else {
            let seconds = lock(&self.shared.keep_alive).as_secs().max(1);
            head.extra.push(("keep-alive", format!("timeout={seconds}, max={}", max - served)));
        }
        let source = lock(&self.shared.log)
            .get(self.entry)
            .and_then(|r| r.header("x-infinidat-source").map(str::to_owned));
        head.extra.extend(source.map(|s| ("x-infinidat-source", s)));
        write(&head, body, cut)
    }
}
