//! Which keys are taken: one listing per directory instead of one question per file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell};

use super::key::directory;
use crate::store::{Kind, Store, Trouble};

/// A directory with more objects is asked key by key.
const LISTED: usize = 5_000;

type Directory = Arc<OnceCell<Option<HashSet<String>>>>;

/// What the bucket had when it was looked at.
#[derive(Debug, Default)]
pub struct Known {
    directories: Mutex<HashMap<String, Directory>>,
}

impl Known {
    /// Whether an object may have this key. `false` is sure as of the first look; two writers at the same time are
    /// told apart by If-None-Match.
    ///
    /// # Errors
    /// The bucket cannot be looked at. A user who may not list is no error: then every key may be taken.
    pub async fn may_exist(&self, store: &Store, key: &str) -> Result<bool, Trouble> {
        let directory = directory(key);
        let cell = Arc::clone(self.directories.lock().await.entry(directory.to_owned()).or_default());
        let keys = cell
            .get_or_try_init(|| async {
                match store.list(directory, LISTED).await {
                    Ok((found, true)) => Ok(Some(found.into_iter().map(|l| l.key).collect())),
                    Ok((_, false)) => Ok(None),
                    Err(trouble) if matches!(trouble.kind, Kind::Denied | Kind::Unsupported) => Ok(None),
                    Err(trouble) => Err(trouble),
                }
            })
            .await?;
        Ok(keys.as_ref().is_none_or(|keys| keys.contains(key)))
    }
}
