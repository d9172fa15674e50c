//! The calls, one method each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::Serialize;

use super::clock::{ClockProbe, Sample};
use super::error::{ApiError, Kind};
use super::http::{Answer, Connection, Http, Method, Request};
use super::objects::{Cg, Feature, Lun, MetadataEntry, MetadataItem, NtpNode, Pool, System, User, Volume};

/// An array. Cheap to clone, and several threads may use it at once.
#[derive(Clone)]
pub struct Array {
    http: Arc<Http>,
    deadline: Option<Instant>,
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({})", self.address())
    }
}

/// A snapshot of one volume.
#[derive(Debug, Clone, Serialize)]
pub struct NewSnapshot {
    pub parent_id: u64,
    pub name: String,
    /// The API's own default is not known; say it.
    pub write_protected: bool,
    /// Epoch milliseconds by the array's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_expires_at: Option<i64>,
}

/// Snapshots of several volumes at one instant; their names are prefix, volume's name, suffix.
#[derive(Debug, Clone)]
pub struct NewGroupSnapshot {
    pub prefix: String,
    pub suffix: String,
    /// Ids of the volumes.
    pub volumes: Vec<u64>,
}

/// A snapshot group of a consistency group; the members' names are prefix and volume's name.
#[derive(Debug, Clone, Serialize)]
pub struct NewCgSnapshot {
    /// The consistency group.
    pub parent_id: u64,
    /// Of the snapshot group.
    pub name: String,
    pub snap_prefix: String,
    pub snap_suffix: String,
    /// Epoch milliseconds by the array's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_expires_at: Option<i64>,
}

/// What to change of a volume or snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_protected: Option<bool>,
    /// Epoch milliseconds by the array's clock; a lock can be extended, not shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_expires_at: Option<i64>,
}

#[derive(Serialize)]
struct Entity {
    id: u64,
}

#[derive(Serialize)]
struct GroupBody<'a> {
    snap_prefix: &'a str,
    snap_suffix: &'a str,
    entities: Vec<Entity>,
}

/// Metadata of one object; before 3.0 it is a plain object.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Keys {
    List(Vec<MetadataItem>),
    Plain(BTreeMap<String, String>),
}

const APPROVED: (&str, &str) = ("approved", "true");

impl Array {
    pub(super) fn new(connection: Connection) -> anyhow::Result<Self> {
        Ok(Self { http: Arc::new(Http::new(connection)?), deadline: None })
    }

    /// The same array, whose calls all end by then.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { http: Arc::clone(&self.http), deadline: Some(deadline) }
    }

    /// The address that answered last.
    pub fn address(&self) -> String {
        self.http.address()
    }

    /// What a person should know of the connections that were made so far: a certificate that is trusted as `--ca-file`
    /// has it, but is out of date.
    pub fn warnings(&self) -> Vec<String> {
        self.http.warnings()
    }

    pub(super) fn call<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<Answer<T>, ApiError> {
        self.http.call(&request, self.deadline)
    }

    fn get<T: DeserializeOwned>(&self, path: String, what: &str) -> Result<T, ApiError> {
        let request =
            Request { method: Method::Get, path, query: Vec::new(), body: None, what: what.to_owned() };
        let answer = self.call(request)?;
        present(answer, what, false)
    }

    fn write<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        approved: bool,
        body: Option<&B>,
        what: String,
    ) -> Result<Answer<T>, ApiError> {
        let query = if approved { vec![(APPROVED.0, APPROVED.1.to_owned())] } else { Vec::new() };
        // Structs of strings and numbers always become JSON.
        let body = body.map(|b| serde_json::to_string(b).unwrap_or_default());
        self.call(Request { method, path, query, body, what })
    }

    /// Name and version of the array. Also the cheapest proof that logon and address are right.
    pub fn system(&self) -> Result<System, ApiError> {
        self.get("system".to_owned(), "ask the array who it is")
    }

    /// What the array can do; none on old versions, which do not know the question.
    pub fn features(&self) -> Result<Vec<Feature>, ApiError> {
        match self.get("_features".to_owned(), "ask the array for its features") {
            Err(e) if e.status == Some(404) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Looks at the array's clock; [`ClockProbe::clock`] judges. Two looks with some time between tell more than one.
    pub fn look_at_clock(&self, probe: &mut ClockProbe) -> Result<(), ApiError> {
        let what = "ask the array for its time";
        let request = |path: &str| Request {
            method: Method::Get,
            path: path.to_owned(),
            query: Vec::new(),
            body: None,
            what: what.to_owned(),
        };
        let (sent, answered, date, nodes) = match self.call::<Vec<NtpNode>>(request("system/ntp_status")) {
            Ok(a) => (a.sent, a.answered, a.date, a.result.unwrap_or_default()),
            // Not known to this version, or not for this user: any answer has a Date.
            Err(e) if e.status.is_some_and(|s| s < 500 && s != 401 && s != 429) => {
                let a = self.call::<IgnoredAny>(request("system"))?;
                (a.sent, a.answered, a.date, Vec::new())
            }
            Err(e) => return Err(e),
        };
        probe.add(Sample { sent, answered, probe: Sample::probe_of(&nodes), date });
        Ok(())
    }

    /// All volumes and snapshots that pass the filters, by id; complete, whatever changes meanwhile. A filter is a field
    /// and `op:value` (`("parent_id", "eq:17")`). `like` means "contains" to some arrays and "begins with" to others.
    pub fn volumes(&self, filters: &[(&str, &str)]) -> Result<Vec<Volume>, ApiError> {
        self.list("volumes", filters, "list volumes")
    }

    /// One volume or snapshot; `None` when it does not exist.
    pub fn volume(&self, id: u64) -> Result<Option<Volume>, ApiError> {
        gone_is_none(self.get(format!("volumes/{id}"), &format!("look at volume {id}")))
    }

    /// The volume or snapshot with exactly this name.
    pub fn volume_named(&self, name: &str) -> Result<Option<Volume>, ApiError> {
        let test = format!("eq:{name}");
        let mut found: Vec<Volume> =
            self.list("volumes", &[("name", &test)], &format!("look for volume {name}"))?;
        found.retain(|v| v.name == name);
        self.unique(found, &format!("look for volume {name}"))
    }

    /// How many snapshots a volume has, by the array's count; `None` when the array cannot count them.
    pub fn count_snapshots(&self, volume: u64) -> Result<Option<u64>, ApiError> {
        let query = vec![
            ("parent_id", format!("eq:{volume}")),
            ("page_size", "1".to_owned()),
            ("page", "1".to_owned()),
        ];
        let answer = self.call::<Vec<Volume>>(Request {
            method: Method::Get,
            path: "volumes".to_owned(),
            query,
            body: None,
            what: format!("count the snapshots of volume {volume}"),
        });
        match answer {
            Ok(answer) => {
                let items = answer.result.unwrap_or_default();
                // A filter that was not understood counts everything.
                let understood = items.iter().all(|v| v.parent_id == Some(volume));
                Ok(answer.meta.number_of_objects.filter(|_| understood))
            }
            Err(e) if e.kind == Kind::Refused => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Where a volume is mapped.
    pub fn luns(&self, volume: u64) -> Result<Vec<Lun>, ApiError> {
        self.get(format!("volumes/{volume}/luns"), &format!("look at the mappings of volume {volume}"))
    }

    /// All consistency and snapshot groups that pass the filters.
    pub fn cgs(&self, filters: &[(&str, &str)]) -> Result<Vec<Cg>, ApiError> {
        self.list("cgs", filters, "list consistency groups")
    }

    /// One group; `None` when it does not exist.
    pub fn cg(&self, id: u64) -> Result<Option<Cg>, ApiError> {
        gone_is_none(self.get(format!("cgs/{id}"), &format!("look at consistency group {id}")))
    }

    /// The group with exactly this name.
    pub fn cg_named(&self, name: &str) -> Result<Option<Cg>, ApiError> {
        let test = format!("eq:{name}");
        let what = format!("look for consistency group {name}");
        let mut found: Vec<Cg> = self.list("cgs", &[("name", &test)], &what)?;
        found.retain(|c| c.name == name);
        self.unique(found, &what)
    }

    /// The members of a consistency or snapshot group.
    pub fn cg_members(&self, id: u64) -> Result<Vec<Volume>, ApiError> {
        self.list(&format!("cgs/{id}/members"), &[], &format!("list the members of consistency group {id}"))
    }

    pub fn pool(&self, id: u64) -> Result<Option<Pool>, ApiError> {
        gone_is_none(self.get(format!("pools/{id}"), &format!("look at pool {id}")))
    }

    /// A user of the array. Not every user may look at users (403).
    pub fn user_named(&self, name: &str) -> Result<Option<User>, ApiError> {
        let test = format!("eq:{name}");
        let mut found: Vec<User> =
            self.list("users", &[("name", &test)], &format!("look for user {name}"))?;
        found.retain(|u| u.name == name);
        self.unique(found, &format!("look for user {name}"))
    }

    /// Takes a snapshot. With a lock it is approved, as a lock cannot be taken back.
    pub fn snapshot(&self, new: &NewSnapshot) -> Result<Volume, ApiError> {
        let what = format!("take snapshot {} of volume {}", new.name, new.parent_id);
        let approved = new.lock_expires_at.is_some();
        let answer = self.write(Method::Post, "volumes".to_owned(), approved, Some(new), what.clone())?;
        present(answer, &what, true)
    }

    /// Takes snapshots of several volumes at one instant, without a consistency group.
    pub fn group_snapshot(&self, new: &NewGroupSnapshot) -> Result<Vec<Volume>, ApiError> {
        let what = format!("take snapshots {}* of volumes {:?}", new.prefix, new.volumes);
        let body = GroupBody {
            snap_prefix: &new.prefix,
            snap_suffix: &new.suffix,
            entities: new.volumes.iter().map(|id| Entity { id: *id }).collect(),
        };
        let answer =
            self.write(Method::Post, "volumes/group_snapshot".to_owned(), false, Some(&body), what.clone())?;
        present(answer, &what, true)
    }

    /// Takes a snapshot group of a consistency group. Its members: [`Array::cg_members`].
    pub fn snapshot_cg(&self, new: &NewCgSnapshot) -> Result<Cg, ApiError> {
        let what = format!("take snapshot group {} of consistency group {}", new.name, new.parent_id);
        let approved = new.lock_expires_at.is_some();
        let answer = self.write(Method::Post, "cgs".to_owned(), approved, Some(new), what.clone())?;
        present(answer, &what, true)
    }

    /// Changes a volume or snapshot. A lock is approved.
    pub fn change_volume(&self, id: u64, change: &Change) -> Result<Volume, ApiError> {
        let what = format!("change volume {id}");
        let approved = change.lock_expires_at.is_some();
        let answer =
            self.write(Method::Put, format!("volumes/{id}"), approved, Some(change), what.clone())?;
        present(answer, &what, true)
    }

    /// Deletes a volume or snapshot, approved: the array takes its own snapshots along. To be called only for what was
    /// looked at a moment ago. `None`: it was gone.
    pub fn delete_volume(&self, id: u64) -> Result<Option<Volume>, ApiError> {
        let answer = self.write::<(), Volume>(
            Method::Delete,
            format!("volumes/{id}"),
            true,
            None,
            format!("delete volume {id}"),
        );
        match answer {
            Ok(answer) => Ok(Some(answer.result.unwrap_or(Volume { id, ..Volume::default() }))),
            // An attempt before, whose answer was lost, did it.
            Err(e) if e.kind == Kind::NotFound && e.maybe_executed() => {
                Ok(Some(Volume { id, ..Volume::default() }))
            }
            Err(e) if e.kind == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Deletes a snapshot group with its members, approved. To be called only for a group whose members were looked at a
    /// moment ago. `false`: it was gone.
    pub fn delete_cg_with_members(&self, id: u64) -> Result<bool, ApiError> {
        let request = Request {
            method: Method::Delete,
            path: format!("cgs/{id}"),
            query: vec![(APPROVED.0, APPROVED.1.to_owned()), ("delete_members", "true".to_owned())],
            body: None,
            what: format!("delete group {id} and its members"),
        };
        match self.call::<IgnoredAny>(request) {
            Ok(_) => Ok(true),
            Err(e) if e.kind == Kind::NotFound => Ok(e.maybe_executed()),
            Err(e) => Err(e),
        }
    }

    /// Deletes a group, approved, without its members. `None`: it was gone.
    pub fn delete_cg(&self, id: u64) -> Result<Option<Cg>, ApiError> {
        let what = format!("delete group {id}");
        match self.write::<(), Cg>(Method::Delete, format!("cgs/{id}"), true, None, what) {
            Ok(answer) => Ok(Some(answer.result.unwrap_or(Cg { id, ..Cg::default() }))),
            Err(e) if e.kind == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Sets keys of an object's metadata in one request; other keys stay.
    pub fn put_metadata(&self, id: u64, keys: &BTreeMap<String, String>) -> Result<(), ApiError> {
        let what = format!("write metadata of object {id}");
        self.write::<_, IgnoredAny>(Method::Put, format!("metadata/{id}"), false, Some(keys), what).map(drop)
    }

    /// The metadata of one object; none when it has none.
    pub fn metadata(&self, id: u64) -> Result<BTreeMap<String, String>, ApiError> {
        let what = format!("read metadata of object {id}");
        let request = Request {
            method: Method::Get,
            path: format!("metadata/{id}"),
            query: vec![("page_size", "1000".to_owned())],
            body: None,
            what: what.clone(),
        };
        match self.call::<Keys>(request) {
            Ok(answer) => Ok(match answer.result {
                None => BTreeMap::new(),
                Some(Keys::List(items)) => {
                    items.into_iter().map(|m| (m.key, m.value.unwrap_or_default())).collect()
                }
                Some(Keys::Plain(keys)) => keys,
            }),
            Err(e) if e.kind == Kind::NotFound => Ok(BTreeMap::new()),
            Err(e) => Err(e),
        }
    }

    /// One key of all objects that have it, by object.
    pub fn metadata_with_key(&self, key: &str) -> Result<Vec<MetadataItem>, ApiError> {
        let test = format!("eq:{key}");
        let mut found: Vec<MetadataItem> =
            self.list("metadata", &[("key", &test)], &format!("look for metadata {key}"))?;
        found.retain(|m| m.key == key);
        Ok(found)
    }

    /// The metadata of all objects. Old versions do not list it (404, 4xx, or an answer of another form).
    pub fn metadata_of_all(&self) -> Result<Vec<MetadataItem>, ApiError> {
        let all: Vec<MetadataEntry> = self.list("metadata", &[], "list metadata")?;
        Ok(all.into_iter().map(|entry| entry.item).collect())
    }

    fn unique<T>(&self, mut found: Vec<T>, what: &str) -> Result<Option<T>, ApiError> {
        let last = found.pop();
        if found.is_empty() {
            return Ok(last);
        }
        Err(not_api(what, self.address(), "there are several of this name", false))
    }
}

/// The object of an answer that must have one.
fn present<T>(answer: Answer<T>, what: &str, write: bool) -> Result<T, ApiError> {
    answer.result.ok_or_else(|| not_api(what, answer.address, "the answer has no result", write))
}

fn not_api(what: &str, address: String, message: &str, doubtful: bool) -> ApiError {
    ApiError {
        kind: Kind::NotApi,
        what: what.to_owned(),
        address,
        status: None,
        code: None,
        message: message.to_owned(),
        doubtful,
    }
}

fn gone_is_none<T>(result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
