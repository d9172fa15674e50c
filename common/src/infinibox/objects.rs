//! The objects of the API. Fields that we do not know are ignored, and all but the essential ones may be missing: which
//! exist depends on the array's version.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// A volume or a snapshot; both live in `/volumes`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Volume {
    pub id: u64,
    pub name: String,
    /// MASTER, SNAPSHOT; before 3.0 MASTER, SNAP, CLONE. Compare with [`Volume::is_snapshot`].
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// 0 for a master; see [`Volume::parent`].
    #[serde(default)]
    pub parent_id: Option<u64>,
    /// 0 master, 1 snapshot of a master, more for snapshots of snapshots.
    #[serde(default)]
    pub depth: Option<u64>,
    /// The id of the master.
    #[serde(default)]
    pub family_id: Option<u64>,
    /// Epoch milliseconds by the array's clock.
    #[serde(default)]
    pub created_at: Option<i64>,
    /// Epoch milliseconds by the array's clock.
    #[serde(default)]
    pub updated_at: Option<i64>,
    /// Bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Bytes.
    #[serde(default)]
    pub used: Option<u64>,
    /// Bytes.
    #[serde(default)]
    pub allocated: Option<u64>,
    /// 31 hex digits; with a leading 6 the NAA identifier that Linux shows as WWID (`36742b0f…`).
    #[serde(default)]
    pub serial: Option<String>,
    #[serde(default)]
    pub pool_id: Option<u64>,
    #[serde(default)]
    pub pool_name: Option<String>,
    #[serde(default)]
    pub mapped: Option<bool>,
    #[serde(default)]
    pub has_children: Option<bool>,
    /// LOCKED, or something else.
    #[serde(default)]
    pub lock_state: Option<String>,
    /// Epoch milliseconds by the array's clock.
    #[serde(default)]
    pub lock_expires_at: Option<i64>,
    #[serde(default)]
    pub write_protected: Option<bool>,
    /// `None` when it is in no group.
    #[serde(default)]
    pub cg_id: Option<u64>,
    #[serde(default)]
    pub cg_name: Option<String>,
    #[serde(default)]
    pub rmr_source: Option<bool>,
    #[serde(default)]
    pub rmr_target: Option<bool>,
    #[serde(default)]
    pub rmr_active_active_peer: Option<bool>,
    /// Only its length is of interest: [`Volume::is_replicated`].
    #[serde(default)]
    pub replica_ids: Option<Vec<IgnoredAny>>,
    /// Epoch milliseconds; since 7.3.10 the array deletes a snapshot by itself then.
    #[serde(default)]
    pub snapshot_expires_at: Option<i64>,
    /// In the members of a consistency group: VOLUME.
    #[serde(default)]
    pub dataset_type: Option<String>,
}

impl Volume {
    /// The parent, where the object says that it has one.
    pub fn parent(&self) -> Option<u64> {
        self.parent_id.filter(|id| *id != 0)
    }

    /// A snapshot by its type, whatever the version calls it, and it has a parent.
    pub fn is_snapshot(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        ["SNAPSHOT", "SNAP", "CLONE"].iter().any(|k| k.eq_ignore_ascii_case(kind)) && self.parent().is_some()
    }

    /// A volume that is nobody's snapshot.
    pub fn is_master(&self) -> bool {
        self.parent().is_none() && self.kind.as_deref().is_none_or(|k| k.eq_ignore_ascii_case("MASTER"))
    }

    /// LOCKED, or a lock that has not expired at `now` (epoch milliseconds by the array's clock).
    pub fn is_locked(&self, now: i64) -> bool {
        self.lock_state.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("LOCKED"))
            || self.lock_expires_at.is_some_and(|until| until > now)
    }

    /// Source or target of a replication, by any of the fields that say so.
    pub fn is_replicated(&self) -> bool {
        [self.rmr_source, self.rmr_target, self.rmr_active_active_peer].contains(&Some(true))
            || self.replica_ids.as_ref().is_some_and(|ids| !ids.is_empty())
    }

    /// `lock_expires_at` as RFC 3339 with milliseconds.
    pub fn locked_until(&self) -> Option<String> {
        self.lock_expires_at.and_then(rfc3339)
    }

    /// `created_at` as RFC 3339 with milliseconds.
    pub fn created(&self) -> Option<String> {
        self.created_at.and_then(rfc3339)
    }
}

/// Epoch milliseconds as RFC 3339, UTC.
pub(super) fn rfc3339(millis: i64) -> Option<String> {
    DateTime::<Utc>::from_timestamp_millis(millis).map(|t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// A consistency group, or a snapshot group (`type` SNAPSHOT).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Cg {
    pub id: u64,
    pub name: String,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub parent_id: Option<u64>,
    #[serde(default)]
    pub created_at: Option<i64>,
    #[serde(default)]
    pub members_count: Option<u64>,
    #[serde(default)]
    pub pool_id: Option<u64>,
    #[serde(default)]
    pub pool_name: Option<String>,
    #[serde(default)]
    pub lock_state: Option<String>,
    #[serde(default)]
    pub lock_expires_at: Option<i64>,
    #[serde(default)]
    pub rmr_source: Option<bool>,
    #[serde(default)]
    pub rmr_target: Option<bool>,
}

impl Cg {
    pub fn parent(&self) -> Option<u64> {
        self.parent_id.filter(|id| *id != 0)
    }

    /// A group of snapshots, not of volumes.
    pub fn is_snapshot(&self) -> bool {
        self.kind.as_deref().is_some_and(|k| k.to_ascii_uppercase().starts_with("SNAP"))
            || self.parent().is_some()
    }
}

/// One key of an object's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MetadataItem {
    #[serde(default)]
    pub object_id: u64,
    pub key: String,
    /// Always text as far as anybody has seen; a number or a truth value is taken as its text, anything else as none.
    #[serde(default, deserialize_with = "text")]
    pub value: Option<String>,
    /// volume, snapshot, cg, …
    #[serde(default)]
    pub object_type: Option<String>,
}

/// One strange value must not make a listing of thousands unreadable.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Truth(bool),
        Whole(i64),
        Number(f64),
        Other(IgnoredAny),
    }
    Ok(match Value::deserialize(from)? {
        Value::Text(text) => Some(text),
        Value::Truth(truth) => Some(truth.to_string()),
        Value::Whole(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Other(_) => None,
    })
}

/// The same with an id of its own, by which a listing of all metadata is ordered: an object has several keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct MetadataEntry {
    pub id: u64,
    #[serde(flatten)]
    pub item: MetadataItem,
}

/// Where a volume is mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Lun {
    #[serde(default)]
    pub id: Option<u64>,
    #[serde(default)]
    pub lun: Option<u64>,
    #[serde(default)]
    pub host_id: Option<u64>,
    #[serde(default)]
    pub host_cluster_id: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Pool {
    pub id: u64,
    pub name: String,
    /// NORMAL, LIMITED, LOCKED.
    #[serde(default)]
    pub state: Option<String>,
    /// Users whose own the pool is.
    #[serde(default)]
    pub owners: Option<Vec<u64>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: u64,
    #[serde(default)]
    pub name: String,
    /// ADMIN, POOL_ADMIN, READ_ONLY, …
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub roles: Option<Vec<String>>,
}

/// The array itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct System {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub serial_number: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Feature {
    pub name: String,
    #[serde(default)]
    pub version: Option<f64>,
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// One node of `/system/ntp_status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct NtpNode {
    /// Epoch milliseconds by the array's clock.
    #[serde(default)]
    pub last_probe_timestamp: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_value_of_metadata_is_no_obstacle() {
        for (json, wanted) in [
            (r#""x""#, Some("x")),
            ("7", Some("7")),
            ("1.5", Some("1.5")),
            ("true", Some("true")),
            ("null", None),
            (r#"{"a":1}"#, None),
            ("[1]", None),
        ] {
            let text = format!(r#"{{"id":3,"object_id":9,"key":"k","value":{json},"object_type":"host"}}"#);
            let entry: MetadataEntry = serde_json::from_str(&text).unwrap();
            assert_eq!((entry.id, entry.item.object_id), (3, 9));
            assert_eq!(entry.item.value.as_deref(), wanted, "{json}");
            let item: MetadataItem = serde_json::from_str(&text).unwrap();
            assert_eq!(item, entry.item);
        }
        let item: MetadataItem = serde_json::from_str(r#"{"key":"k"}"#).unwrap();
        assert_eq!(item.value, None);
    }
}
