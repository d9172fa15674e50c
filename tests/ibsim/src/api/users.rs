//! `/users`: login, logout, who am I.

use serde_json::{json, Value};

use super::{no_path, number, Ask, Call, Reply};
use crate::error::{Answer, ApiError};
use crate::query::{page, show};
use crate::state::{Session, State};

pub fn login(state: &mut State, call: &Call) -> Answer<Reply> {
    let body: Value = serde_json::from_str(&call.body)
        .map_err(|_| ApiError::guess(&state.config.guesses.bad_body, "the body is no JSON"))?;
    let word = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let known = state.users.values().find(|u| u.name == word("username") && u.password == word("password"));
    let Some(user) = known.cloned() else {
        let status = state.config.guesses.wrong_password;
        return Err(ApiError::new(status, "UNAUTHORIZED", "wrong user name or password"));
    };
    let n = state.id();
    let value = format!("{:016x}{:08x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15), std::process::id());
    state.sessions.insert(value.clone(), Session { user: user.id, last: std::time::Instant::now() });
    let cookie = format!("{}={value}; Path=/api/rest; HttpOnly", state.config.guesses.cookie_name);
    let result = json!({
        "id": user.id, "name": user.name, "username": user.name, "role": user.role.literal(),
        "roles": [user.role.literal()], "is_ldap": false,
    });
    Ok(Reply { cookie: Some(cookie), ..Reply::ok(result) })
}

pub fn handle(state: &mut State, ask: &Ask<'_>) -> Answer<Reply> {
    match (ask.method, &ask.path[1..]) {
        ("POST", ["logout"]) => {
            for (_, value) in ask.cookies {
                state.sessions.remove(value);
            }
            let mut reply = Reply::ok(json!({}));
            reply.cookie = Some(format!("{}=; Path=/api/rest; Max-Age=0", state.config.guesses.cookie_name));
            Ok(reply)
        }
        ("GET", []) => Ok(page(state.users.values(), ask.query, state, &state.config.guesses)?.into()),
        ("GET", [id]) => {
            let id = if *id == "current" { ask.user } else { number(id)? };
            let user = state.users.get(&id).ok_or_else(|| ApiError::not_found("USER", id))?;
            Ok(Reply::ok(show(user, ask.query, state)))
        }
        _ => Err(no_path(ask)),
    }
}
