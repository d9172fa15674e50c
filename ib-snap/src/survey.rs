//! What the array is asked before the database is touched.

use std::collections::{BTreeMap, BTreeSet};

use common::infinibox::{ApiError, Array, Kind};

use crate::plan::{FoundHalf, How, Plan, Survey, WishedHalf};
use crate::setup::Setup;

/// Looks the volumes and the group of one half up.
pub fn find(array: &Array, wished: &WishedHalf) -> Result<FoundHalf, ApiError> {
    let mut volumes = BTreeMap::new();
    for name in &wished.volumes {
        volumes.insert(name.clone(), array.volume_named(name)?);
    }
    let cg = match &wished.cg {
        None => None,
        Some(name) => Some(match array.cg_named(name)? {
            None => (None, Vec::new()),
            Some(cg) => {
                let members = array.cg_members(cg.id)?;
                (Some(cg), members)
            }
        }),
    };
    Ok(FoundHalf { volumes, cg })
}

/// Asks what could be in the way of a plan. `pools` are those of its volumes.
pub fn survey(setup: &Setup, array: &Array, plan: &Plan, pools: &BTreeSet<u64>) -> Result<Survey, ApiError> {
    let mut found = Survey::default();
    for half in plan.halves() {
        if let How::Cg { name, .. } = &half.how {
            found.taken.extend(array.cg_named(name)?.map(|c| format!("group {}", c.name)));
        }
        for member in &half.members {
            found.taken.extend(array.volume_named(&member.name)?.map(|v| v.name));
            if let Some(n) = optional(array.count_snapshots(member.volume_id))?.flatten() {
                found.snapshots.insert(member.volume_id, n);
            }
        }
    }
    for id in pools {
        found.pools.extend(optional(array.pool(*id))?.flatten());
    }
    if let Some(name) = &setup.cli.array.infinibox_user {
        found.user = optional(array.user_named(name))?.flatten();
    }
    Ok(found)
}

/// What this user may not see, or this version does not know, is no obstacle.
fn optional<T>(result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind, Kind::Forbidden | Kind::NotFound | Kind::Refused | Kind::NotApi) => {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}
