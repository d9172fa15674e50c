//! The metadata on our snapshots.

use std::collections::BTreeMap;

use common::infinibox::{RedoMark, SetKind, SetMark, SetState, CREATED_BY, OWNER, REDO_KEY, SET_KEY};

use crate::plan::Half;

/// What all marks of a run have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    pub run: String,
    pub db: String,
    pub dbid: u64,
    pub stamp: String,
    /// The set wants archive snapshots.
    pub archive: bool,
}

impl Marks {
    fn keys(&self, kind: SetKind, n: usize, state: SetState) -> BTreeMap<String, String> {
        let mark = SetMark {
            run: self.run.clone(),
            db: self.db.clone(),
            dbid: self.dbid,
            kind,
            stamp: self.stamp.clone(),
            n: n as u64,
            state,
            archive: self.archive,
        };
        BTreeMap::from([(CREATED_BY.to_owned(), OWNER.to_owned()), (SET_KEY.to_owned(), mark.text())])
    }

    /// What each member of this half carries until the whole set is proven.
    pub fn incomplete(&self, half: &Half) -> BTreeMap<String, String> {
        self.keys(half.kind, half.members.len(), SetState::Incomplete)
    }

    /// As [`Marks::incomplete`], from what a journal has kept.
    pub fn incomplete_of(&self, kind: SetKind, n: usize) -> BTreeMap<String, String> {
        self.keys(kind, n, SetState::Incomplete)
    }

    pub fn complete(&self, half: &Half, redo: &RedoMark) -> BTreeMap<String, String> {
        let mut keys = self.keys(half.kind, half.members.len(), SetState::Complete);
        keys.insert(REDO_KEY.to_owned(), redo.text());
        keys
    }
}
