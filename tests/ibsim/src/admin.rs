//! The tests' own door, for programs that are not written in Rust: `/_sim/…` on every port, without credentials and without
//! a line in the log. Bodies and answers are JSON; an error is `{"error": "…"}` with status 400.
//!
//! | request | body | what it does |
//! |---|---|---|
//! | `GET log`, `DELETE log` | | the requests so far ([`crate::Request`]); forgets them |
//! | `GET objects`, `GET groups`, `GET now` | | volumes and snapshots ([`crate::Object`]); groups; the array's clock in ms |
//! | `POST faults`, `DELETE faults` | `[{"method":"POST","path":"^/volumes","which":{"nth":1},"fault":{"delay":200}}]` | [`crate::Rule`]s |
//! | `POST change` | `[{"remove":"snap1"},{"clock":60000}]` | [`crate::Change`]s |
//! | `POST volumes` | `{"name":"DATA1","dir":"/mnt/data"}` | a volume of 1 TiB, with bytes if `dir` is given |
//! | `POST groups` | `{"name":"DB","volumes":["DATA1"]}` | a consistency group |
//! | `POST snapshots` | `{"parent":"DATA1","prefix":"s","count":9,"first_ms":0,"step_ms":3600000}` | many, in the past |
//! | `POST restore` | `{"from":"snap1","to":"/mnt/r"}` | copies its bytes |
//! | `GET guesses`, `POST guesses` | `{"like":"prefix"}`, or `"other"`, or `"default"` | [`crate::Guesses`], those that are named |
//! | `POST settings` | `{"clock_offset_ms":0,"latency_ms":0,"keep_alive_ms":15000,"session_ms":3600000}` | those that are named |
//! | `GET addresses`, `POST addresses` | `["up","unavailable"]` | where they are; [`crate::Address`] of each |
//! | `POST settle` | | answers when nothing is under way |

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail, Context, Result};
use hyper::Response;
use serde::de::DeserializeOwned;
use serde::Deserialize;
use serde_json::{json, Value};

use crate::bytes;
use crate::error::ApiError;
use crate::fault::{Rule, Rules};
use crate::guesses::Guesses;
use crate::server::answer::{answer as write, Body, Head};
use crate::server::{lock, Address, Shared};
use crate::state::{Change, Object};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewVolume {
    name: String,
    dir: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
    volumes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSnapshots {
    parent: String,
    prefix: String,
    count: usize,
    first_ms: i64,
    step_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    from: String,
    to: PathBuf,
}

fn told(error: ApiError) -> anyhow::Error {
    anyhow!("{}: {}", error.code, error.message)
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T> {
    serde_json::from_str(body).with_context(|| format!("read {body}"))
}

/// Answers one request to `/_sim/`.
pub(crate) async fn answer(shared: &Arc<Shared>, method: &str, path: &str, body: &str) -> Response<Body> {
    if (method, path) == ("POST", "settle") {
        // The request that asks is under way itself.
        while shared.under_way.load(Ordering::SeqCst) > 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let (status, out) = match tokio::task::block_in_place(|| work(shared, method, path, body)) {
        Ok(out) => (200, out),
        Err(error) => (400, json!({"error": format!("{error:#}")})),
    };
    let head = Head { status, content_type: "application/json", ..Head::default() };
    write(&head, out.to_string().into_bytes(), None)
}

fn work(shared: &Shared, method: &str, path: &str, body: &str) -> Result<Value> {
    Ok(match (method, path) {
        ("GET", "log") => json!(*lock(&shared.log)),
        ("DELETE", "log") => {
            lock(&shared.log).clear();
            Value::Null
        }
        ("GET", "now") => json!(lock(&shared.state).now()),
        ("GET", "objects") => json!(lock(&shared.state).objects()),
        ("GET", "groups") => json!(lock(&shared.state).groups.values().collect::<Vec<_>>()),
        ("GET", "addresses") => {
            let (http, https): (Vec<_>, Vec<_>) = lock(&shared.ports).iter().cloned().unzip();
            json!({"http": http, "https": https, "state": *lock(&shared.addresses)})
        }
        ("GET", "guesses") => json!(lock(&shared.state).config.guesses),
        ("POST", "faults") => {
            *lock(&shared.rules) = Rules::new(read::<Vec<Rule>>(body)?, 1)?;
            Value::Null
        }
        ("DELETE", "faults") => {
            *lock(&shared.rules) = Rules::default();
            Value::Null
        }
        ("POST", "change") => {
            let mut state = lock(&shared.state);
            for change in read::<Vec<Change>>(body)? {
                state.change(&change, None)?;
            }
            Value::Null
        }
        ("POST", "volumes") => {
            let new: NewVolume = read(body)?;
            let mut state = lock(&shared.state);
            let pool = *state.pools.keys().next().context("there is no pool")?;
            let id = state.add_volume(&new.name, pool, crate::array::SIZE).map_err(told)?;
            if let Some(dir) = new.dir {
                anyhow::ensure!(dir.is_dir(), "{} is no directory", dir.display());
                state.volume_mut(id).map_err(told)?.bytes = Some(dir);
            }
            json!(Object::of(state.volume(id).map_err(told)?, &state))
        }
        ("POST", "groups") => {
            let new: NewGroup = read(body)?;
            let mut state = lock(&shared.state);
            let members: Vec<u64> = new.volumes.iter().map(|v| state.find(v)).collect::<Result<_>>()?;
            let pool = state.volume(*members.first().context("a group of nothing")?).map_err(told)?.pool_id;
            let id = state.add_group(&new.name, pool, None).map_err(told)?;
            for member in members {
                state.join(id, member).map_err(told)?;
            }
            json!(id)
        }
        ("POST", "snapshots") => {
            let new: NewSnapshots = read(body)?;
            let mut state = lock(&shared.state);
            let parent = state.find(&new.parent)?;
            let steps = (0..new.count).zip(0_i64..);
            let named =
                steps.map(|(n, step)| (format!("{}{n}", new.prefix), new.first_ms + step * new.step_ms));
            json!(state.add_snapshots(parent, named).map_err(told)?)
        }
        ("POST", "restore") => {
            let Restore { from, to } = read(body)?;
            let state = lock(&shared.state);
            let id = state.find(&from)?;
            let source = state.volume(id).map_err(told)?.bytes.clone();
            let source = source.with_context(|| format!("{from} has no bytes: its volume is not bound"))?;
            std::fs::create_dir_all(&to).with_context(|| format!("make {}", to.display()))?;
            bytes::restore(&source, &to)?;
            Value::Null
        }
        ("POST", "guesses") => guesses(shared, &read(body)?)?,
        ("POST", "settings") => {
            for (name, ms) in read::<HashMap<String, i64>>(body)? {
                let time =
                    || u64::try_from(ms).map(Duration::from_millis).with_context(|| format!("{name}: {ms}"));
                match name.as_str() {
                    "clock_offset_ms" => lock(&shared.state).offset_ms = ms,
                    "latency_ms" => *lock(&shared.latency) = time()?,
                    "keep_alive_ms" => *lock(&shared.keep_alive) = time()?,
                    "session_ms" => lock(&shared.state).config.session_lifetime = time()?,
                    _ => bail!("there is no setting {name}"),
                }
            }
            Value::Null
        }
        ("POST", "addresses") => {
            let wanted: Vec<Address> = read(body)?;
            let mut have = lock(&shared.addresses);
            anyhow::ensure!(wanted.len() == have.len(), "there are {} addresses", have.len());
            *have = wanted;
            Value::Null
        }
        ("POST", "settle") => Value::Null,
        _ => bail!("there is nothing at {method} {path}"),
    })
}

fn guesses(shared: &Shared, wanted: &Value) -> Result<Value> {
    let mut state = lock(&shared.state);
    let new = match wanted {
        Value::String(word) if word == "other" => Guesses::other(),
        Value::String(word) if word == "default" => Guesses::default(),
        Value::Object(some) => {
            let mut all = serde_json::to_value(&state.config.guesses).context("write the guesses")?;
            if let Value::Object(all) = &mut all {
                all.extend(some.clone());
            }
            serde_json::from_value(all).context("read the guesses")?
        }
        _ => bail!("an object, \"other\" or \"default\""),
    };
    state.config.guesses = new;
    Ok(json!(state.config.guesses))
}
