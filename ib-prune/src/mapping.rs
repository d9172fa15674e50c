//! Whether a snapshot is mapped to a host, where the object itself does not say it.

use common::infinibox::{ApiError, Array, Kind, Volume};

use crate::ours::{candidates, Seen};

/// So many that are not told before any is: the array does not know the question.
const ENOUGH: usize = 3;

/// Asks for the mappings of `volume` unless it says itself whether it has any. One request.
pub fn fill(array: &Array, volume: &mut Volume) -> Result<(), ApiError> {
    if volume.mapped.is_none() {
        volume.mapped = Some(!array.luns(volume.id)?.is_empty());
    }
    Ok(())
}

/// The same for every snapshot that may be ours. Returns of how many it stays unknown.
pub fn fill_all(array: &Array, seen: &mut [Seen], word: &str) -> Result<usize, ApiError> {
    let (mut known, mut unknown) = (0, 0);
    for at in candidates(seen, word) {
        let volume = &mut seen[at].volume;
        if volume.mapped.is_some() {
            continue;
        }
        if known == 0 && unknown >= ENOUGH {
            unknown += 1;
            continue;
        }
        match fill(array, volume) {
            Ok(()) => known += 1,
            Err(error) if is_untold(&error) => unknown += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(unknown)
}

/// Not for this version, or not for this user.
fn is_untold(error: &ApiError) -> bool {
    matches!(error.kind, Kind::Refused | Kind::NotFound | Kind::Conflict | Kind::Forbidden)
        || (error.kind == Kind::NotApi && error.status.is_some_and(|s| s < 300))
}
