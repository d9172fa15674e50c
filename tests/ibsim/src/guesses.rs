//! What nobody outside Infinidat confirms (grade D), each as a switch with a default and another possibility.

use serde::{Deserialize, Serialize};

/// How `like` matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Like {
    /// Anywhere in the text: the readme of orasync.
    Substring,
    /// At its beginning: the documentation of infinisdk.
    Prefix,
}

/// What becomes of `page_size` above 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverMax {
    /// 1000 is taken.
    Clamp,
    /// 400.
    Refuse,
}

/// A refusal whose status and code are inventions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
}

impl Refusal {
    pub fn new(status: u16, code: &str) -> Self {
        Self { status, code: code.to_owned() }
    }
}

/// Every behaviour of grade D. [`Guesses::default`] is what the simulator took first, [`Guesses::other`] the opposite in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guesses {
    /// Name of the session's cookie: `JSESSIONID`, or any other.
    pub cookie_name: String,
    /// `like` anywhere in the text, or at its beginning.
    pub like: Like,
    /// `like` tells upper from lower case.
    pub like_case_sensitive: bool,
    /// `page_size` above 1000 is clamped, or an error.
    pub page_size_over_max: OverMax,
    /// `pages_total` of an empty listing: 0 or 1.
    pub pages_total_of_zero: u64,
    /// A filter by a literal that the enumeration lacks: matches nothing (false), or 400 (true).
    pub unknown_literal_refused: bool,
    /// Longest name of a volume, snapshot or group.
    pub name_length: usize,
    /// Names of letters, digits and `-_.:@ ` only, or of anything.
    pub name_alphabet_strict: bool,
    /// Name too long or with a character that is not allowed.
    pub bad_name: Refusal,
    /// Wrong password or unknown user: 401 or 403.
    pub wrong_password: u16,
    /// Snapshots are write protected when the request does not say.
    pub write_protected_default: bool,
    /// Name taken.
    pub name_conflict: Refusal,
    /// Deletion or change of a locked snapshot.
    pub locked: Refusal,
    /// `force_if_snapshot_locked=true` deletes a locked snapshot.
    pub force_overrides_lock: bool,
    /// `lock_state` of what is not locked: `UNLOCKED`, or null.
    pub unlocked_literal: Option<String>,
    /// A lock that is moved to an earlier time is refused; false: ignored without a word.
    pub lock_shortening_refused: bool,
    /// Lock moved to an earlier time.
    pub lock_shortened: Refusal,
    /// A mapped volume cannot be deleted; false: it can.
    pub mapped_delete_refused: bool,
    /// Deletion of a mapped volume.
    pub mapped: Refusal,
    /// Deletion of a member of a consistency group.
    pub cg_member: Refusal,
    /// A single snapshot of a snapshot group can be deleted; false: refused as a member.
    pub snapshot_group_member_deletable: bool,
    /// Deletion of a replicated volume or snapshot.
    pub replica: Refusal,
    /// More snapshots than the volume may have.
    pub snapshot_limit: Refusal,
    /// The limit counts all descendants of the master; false: its direct children.
    pub snapshot_limit_of_family: bool,
    /// The pool is locked.
    pub pool_locked: Refusal,
    /// The pool is full.
    pub pool_full: Refusal,
    /// Write by a user who may only read.
    pub read_only: Refusal,
    /// A pool administrator sees objects of other pools.
    pub pool_admin_sees_all: bool,
    /// A mapping exists already.
    pub mapping_exists: Refusal,
    /// A filter by a field that does not exist (its status 400 is known).
    pub unknown_filter_code: String,
    /// A body that is no JSON object.
    pub bad_body: Refusal,
    /// Listings of metadata come in pages; false: whole, without page numbers.
    pub metadata_paged: bool,
    /// A snapshot begins with a copy of its parent's metadata.
    pub metadata_inherited: bool,
    /// Longest value of a metadata key, in characters.
    pub metadata_value_length: usize,
    /// Metadata with a value that is too long.
    pub metadata_too_long: Refusal,
    /// `last_probe_timestamp` of `system/ntp_status` is so many milliseconds older than the array's clock.
    pub ntp_probe_age_ms: i64,
    /// The `Date` header follows the array's clock; false: the real time.
    pub date_header_is_array_clock: bool,
    /// An idle connection ends with a FIN; false: with a RST.
    pub idle_close_is_fin: bool,
    /// An unapproved deletion of a snapshot without children asks as well.
    pub approval_for_snapshots: bool,
    /// An unapproved write to metadata is refused.
    pub approval_for_metadata: bool,
    /// Approved deletion of a volume takes its snapshots along (A-: not seen on an array); false: refused.
    pub cascade: bool,
    /// A volume with children that does not cascade.
    pub has_children: Refusal,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            cookie_name: "JSESSIONID".into(),
            like: Like::Substring,
            like_case_sensitive: false,
            page_size_over_max: OverMax::Clamp,
            pages_total_of_zero: 1,
            unknown_literal_refused: false,
            name_length: 65,
            name_alphabet_strict: true,
            bad_name: Refusal::new(400, "INVALID_NAME"),
            wrong_password: 401,
            write_protected_default: false,
            name_conflict: Refusal::new(409, "VOLUME_NAME_CONFLICT"),
            locked: Refusal::new(403, "SNAPSHOT_LOCKED"),
            force_overrides_lock: false,
            unlocked_literal: Some("UNLOCKED".into()),
            lock_shortening_refused: true,
            lock_shortened: Refusal::new(400, "LOCK_EXPIRATION_CANNOT_BE_SHORTENED"),
            mapped_delete_refused: true,
            mapped: Refusal::new(409, "VOLUME_IS_MAPPED"),
            cg_member: Refusal::new(409, "VOLUME_IS_CG_MEMBER"),
            snapshot_group_member_deletable: true,
            replica: Refusal::new(409, "VOLUME_IS_REPLICATED"),
            snapshot_limit: Refusal::new(409, "MAX_SNAPSHOTS_PER_VOLUME_REACHED"),
            snapshot_limit_of_family: true,
            pool_locked: Refusal::new(403, "POOL_LOCKED"),
            pool_full: Refusal::new(409, "POOL_CAPACITY_EXCEEDED"),
            read_only: Refusal::new(403, "USER_NOT_AUTHORIZED"),
            pool_admin_sees_all: true,
            mapping_exists: Refusal::new(409, "MAPPING_ALREADY_EXISTS"),
            unknown_filter_code: "UNSUPPORTED_FIELD".into(),
            bad_body: Refusal::new(400, "MALFORMED_BODY"),
            metadata_paged: true,
            metadata_inherited: false,
            metadata_value_length: 32_000,
            metadata_too_long: Refusal::new(400, "METADATA_VALUE_TOO_LONG"),
            ntp_probe_age_ms: 0,
            date_header_is_array_clock: true,
            idle_close_is_fin: true,
            approval_for_snapshots: true,
            approval_for_metadata: false,
            cascade: true,
            has_children: Refusal::new(409, "VOLUME_HAS_CHILDREN"),
        }
    }
}

impl Guesses {
    /// Every guess the other way round.
    pub fn other() -> Self {
        Self {
            cookie_name: "INFINIBOX_SESSION".into(),
            like: Like::Prefix,
            like_case_sensitive: true,
            page_size_over_max: OverMax::Refuse,
            pages_total_of_zero: 0,
            unknown_literal_refused: true,
            name_length: 255,
            name_alphabet_strict: false,
            bad_name: Refusal::new(422, "NAME_NOT_VALID"),
            wrong_password: 403,
            write_protected_default: true,
            name_conflict: Refusal::new(400, "NAME_ALREADY_EXISTS"),
            locked: Refusal::new(409, "ENTITY_LOCKED"),
            force_overrides_lock: true,
            unlocked_literal: None,
            lock_shortening_refused: false,
            lock_shortened: Refusal::new(409, "INVALID_LOCK"),
            mapped_delete_refused: false,
            mapped: Refusal::new(403, "VOLUME_MAPPED"),
            cg_member: Refusal::new(403, "DATASET_IN_CG"),
            snapshot_group_member_deletable: false,
            replica: Refusal::new(403, "DATASET_HAS_REPLICA"),
            snapshot_limit: Refusal::new(400, "SYSTEM_LIMIT_EXCEEDED"),
            snapshot_limit_of_family: false,
            pool_locked: Refusal::new(409, "POOL_IS_LOCKED"),
            pool_full: Refusal::new(507, "NO_SPACE"),
            read_only: Refusal::new(401, "UNAUTHORIZED"),
            pool_admin_sees_all: false,
            mapping_exists: Refusal::new(400, "MAPPING_EXISTS"),
            unknown_filter_code: "BAD_FILTER".into(),
            bad_body: Refusal::new(415, "BAD_JSON"),
            metadata_paged: false,
            metadata_inherited: true,
            metadata_value_length: 256,
            metadata_too_long: Refusal::new(409, "METADATA_LIMIT"),
            ntp_probe_age_ms: 64_000,
            date_header_is_array_clock: false,
            idle_close_is_fin: false,
            approval_for_snapshots: false,
            approval_for_metadata: true,
            cascade: false,
            has_children: Refusal::new(403, "DATASET_HAS_SNAPSHOTS"),
        }
    }
}
