//! The paths of the API.

mod groups;
mod metadata;
mod system;
mod users;
mod volumes;

use serde_json::{json, Value};

use crate::config::Role;
use crate::error::{Answer, ApiError};
use crate::log::Credential;
use crate::query::{Page, Query};
use crate::state::State;

/// A request as the handlers see it.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// Of the path after `/api/rest`, decoded.
    pub segments: Vec<String>,
    pub query: Query,
    pub body: String,
    /// `Authorization: Basic`, decoded.
    pub basic: Option<(String, String)>,
    /// The cookies by name.
    pub cookies: Vec<(String, String)>,
}

/// A request that was understood and allowed.
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: Vec<&'a str>,
    pub query: &'a Query,
    body: &'a str,
    pub cookies: &'a [(String, String)],
    pub user: u64,
    pub role: Role,
}

/// What goes into the envelope.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub result: Value,
    pub page: Option<Value>,
    pub cookie: Option<String>,
}

impl Reply {
    pub fn ok(result: Value) -> Self {
        Self { status: 200, result, page: None, cookie: None }
    }

    pub fn created(result: Value) -> Self {
        Self { status: 201, ..Self::ok(result) }
    }
}

impl From<Page> for Reply {
    fn from(page: Page) -> Self {
        let metadata = page.metadata();
        Self { page: Some(metadata), ..Self::ok(page.items.into()) }
    }
}

impl Ask<'_> {
    /// The body as an object.
    pub fn object(&self, state: &State) -> Answer<serde_json::Map<String, Value>> {
        if self.body.is_empty() {
            return Ok(serde_json::Map::new());
        }
        match serde_json::from_str(self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(ApiError::guess(&state.config.guesses.bad_body, "the body is no JSON object")),
        }
    }

    /// The body, whatever JSON it is.
    pub fn json(&self, state: &State) -> Answer<Value> {
        serde_json::from_str(self.body)
            .map_err(|_| ApiError::guess(&state.config.guesses.bad_body, "the body is no JSON"))
    }

    /// Whether the user may write in this pool.
    pub fn may_write(&self, state: &State, pool: u64) -> Answer<()> {
        let owner = || state.pools.get(&pool).is_some_and(|p| p.owners.contains(&self.user));
        if self.role != Role::PoolAdmin || owner() {
            return Ok(());
        }
        let message = format!("the user does not administer pool {}", state.pool_name(pool));
        Err(ApiError::guess(&state.config.guesses.read_only, message))
    }

    pub fn sees(&self, state: &State, pool: u64) -> bool {
        state.config.guesses.pool_admin_sees_all || self.may_write(state, pool).is_ok()
    }

    pub fn approved(&self, what: impl FnOnce() -> (&'static str, String)) -> Answer<()> {
        if self.query.approved() {
            return Ok(());
        }
        let (code, message) = what();
        Err(ApiError::new(403, code, message).because("add approved=true to go on"))
    }
}

pub fn number(text: &str) -> Answer<u64> {
    text.parse().map_err(|_| ApiError::new(404, "NOT_FOUND", format!("{text} is no id")))
}

pub fn no_path(ask: &Ask<'_>) -> ApiError {
    ApiError::new(404, "NOT_FOUND", format!("there is nothing at {} /{}", ask.method, ask.path.join("/")))
}

/// Who asks, and whether that is proved.
pub fn credential(state: &State, call: &Call) -> (Credential, Option<u64>) {
    let by_name = |name: &str| state.users.values().find(|u| u.name == name);
    if let Some((name, password)) = &call.basic {
        return match by_name(name).filter(|u| &u.password == password) {
            Some(user) => (Credential::BasicRight, Some(user.id)),
            None => (Credential::BasicWrong, None),
        };
    }
    let cookie = call.cookies.iter().find(|(name, _)| *name == state.config.guesses.cookie_name);
    match cookie {
        None => (Credential::None, None),
        Some((_, value)) => match state.sessions.get(value) {
            Some(session) if session.last.elapsed() < state.config.session_lifetime => {
                (Credential::SessionRight, Some(session.user))
            }
            _ => (Credential::SessionWrong, None),
        },
    }
}

/// Does what is asked.
///
/// # Errors
/// Every refusal of the API.
pub fn execute(state: &mut State, call: &Call) -> Answer<Reply> {
    state.expire();
    let path: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let method = call.method.as_str();
    match (method, path.as_slice()) {
        ("GET", ["_features"]) => return Ok(system::features(state)),
        ("POST", ["users", "login"]) if state.config.version.has_sessions() => {
            return users::login(state, call)
        }
        _ => {}
    }
    let (credential, user) = credential(state, call);
    let Some(user) = user.and_then(|u| state.users.get(&u)).cloned() else {
        return Err(match credential {
            Credential::BasicWrong => {
                let status = state.config.guesses.wrong_password;
                ApiError::new(status, "UNAUTHORIZED", "wrong user name or password")
            }
            Credential::SessionWrong => ApiError::unauthorized("the session has expired"),
            _ => ApiError::unauthorized("log in first"),
        });
    };
    if credential == Credential::SessionRight {
        for (_, value) in &call.cookies {
            if let Some(session) = state.sessions.get_mut(value) {
                session.last = std::time::Instant::now();
            }
        }
    }
    let ask = Ask {
        method,
        path,
        query: &call.query,
        body: &call.body,
        cookies: &call.cookies,
        user: user.id,
        role: user.role,
    };
    if ask.role == Role::ReadOnly && method != "GET" && ask.path != ["users", "logout"] {
        let message = format!("user {} may only read", user.name);
        return Err(ApiError::guess(&state.config.guesses.read_only, message));
    }
    match ask.path.first().copied() {
        Some("volumes" | "datasets") => volumes::handle(state, &ask),
        Some("cgs") => groups::handle(state, &ask),
        Some("metadata") => metadata::handle(state, &ask),
        Some("users") => users::handle(state, &ask),
        _ => system::handle(state, &ask),
    }
}

/// The whole body of an answer.
pub fn envelope(answer: &Answer<Reply>) -> Value {
    match answer {
        Ok(reply) => {
            let metadata = reply.page.clone().unwrap_or_else(|| json!({"ready": true}));
            json!({"metadata": metadata, "result": reply.result, "error": null})
        }
        Err(error) => json!({"metadata": {"ready": true}, "result": null, "error": error.body()}),
    }
}
