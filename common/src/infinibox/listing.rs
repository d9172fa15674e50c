//! Collections that are complete, or an error: a lazy listing is no snapshot, and what slips from page 2 to page 1 while
//! page 1 was read is seen by nobody.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::client::Array;
use super::error::{ApiError, Kind};
use super::http::{Answer, Method, Request};
use super::objects::{Cg, MetadataEntry, MetadataItem, Pool, User, Volume};

/// The most that the API gives at once.
const PAGE: usize = 1000;
/// How often a listing is read that cannot be read by its order and changes all the time.
const READS: usize = 8;

/// Something that a collection lists.
pub(super) trait Listed: DeserializeOwned {
    /// The field that a collection of these is ordered by.
    const ORDER: &'static str = "id";

    /// Its value of that field.
    fn order(&self) -> u64;
}

macro_rules! listed_by_id {
    ($($type:ty),*) => {
        $(impl Listed for $type {
            fn order(&self) -> u64 {
                self.id
            }
        })*
    };
}
listed_by_id!(Volume, Cg, Pool, User, MetadataEntry);

impl Listed for MetadataItem {
    const ORDER: &'static str = "object_id";

    fn order(&self) -> u64 {
        self.object_id
    }
}

/// How far a listing got.
enum Progress {
    /// The array does not do what this way of listing needs.
    Unfit,
    /// It changed meanwhile.
    Moved,
}

impl Array {
    /// All objects of a collection. `filters` are ANDed: field and `op:value`.
    pub(super) fn list<T: Listed>(
        &self,
        path: &str,
        filters: &[(&str, &str)],
        what: &str,
    ) -> Result<Vec<T>, ApiError> {
        let walk = Walk { array: self, path, filters, what };
        match walk.by_order()? {
            Ok(found) => return Ok(found),
            Err(Progress::Unfit | Progress::Moved) => {}
        }
        // Twice the same: what slips through must do so twice at the same place.
        let mut before: Option<Vec<u64>> = None;
        for _ in 0..READS {
            let Ok(found) = walk.by_pages::<T>()? else {
                before = None;
                continue;
            };
            let keys: Vec<u64> = found.0.iter().map(T::order).collect();
            if found.1 || before.as_ref() == Some(&keys) {
                return Ok(found.0);
            }
            before = Some(keys);
        }
        Err(ApiError {
            kind: Kind::Moving,
            what: what.to_owned(),
            address: self.address(),
            status: None,
            code: None,
            message: format!("the listing changed whenever it was read ({READS} times)"),
            doubtful: false,
        })
    }
}

struct Walk<'a> {
    array: &'a Array,
    path: &'a str,
    filters: &'a [(&'a str, &'a str)],
    what: &'a str,
}

impl Walk<'_> {
    fn get<T: Listed>(&self, more: &[(&'static str, String)]) -> Result<Answer<Vec<T>>, ApiError> {
        let mut query: Vec<(&str, String)> =
            self.filters.iter().map(|(field, test)| (*field, (*test).to_owned())).collect();
        query.push(("page_size", PAGE.to_string()));
        query.extend(more.iter().cloned());
        self.array.call(Request {
            method: Method::Get,
            path: self.path.to_owned(),
            query,
            body: None,
            what: self.what.to_owned(),
        })
    }

    /// By the order of ids, each time those above the last one: nothing that is there all the time can be missed,
    /// whatever comes and goes.
    fn by_order<T: Listed>(&self) -> Result<Result<Vec<T>, Progress>, ApiError> {
        let mut found: Vec<T> = Vec::new();
        loop {
            let last = found.last().map(T::order);
            let mut query = vec![("sort", T::ORDER.to_owned()), ("page", "1".to_owned())];
            if let Some(last) = last {
                query.push((T::ORDER, format!("gt:{last}")));
            }
            let answer = match self.get::<T>(&query) {
                Ok(answer) => answer,
                // This field cannot be sorted or compared here.
                Err(e) if e.kind == Kind::Refused => return Ok(Err(Progress::Unfit)),
                Err(e) => return Err(e),
            };
            let items = answer.result.unwrap_or_default();
            let mut keys = last.into_iter().chain(items.iter().map(T::order));
            let mut before = keys.next();
            for key in keys {
                if before.is_some_and(|b| b >= key) {
                    return Ok(Err(Progress::Unfit));
                }
                before = Some(key);
            }
            let done = match answer.meta.number_of_objects {
                Some(total) => items.len() as u64 >= total,
                None => items.is_empty(),
            };
            let empty = items.is_empty();
            found.extend(items);
            if done {
                return Ok(Ok(found));
            }
            if empty {
                // It says that there are more and gives none.
                return Ok(Err(Progress::Moved));
            }
        }
    }

    /// Page by page. The second value says that one page held everything, so that nothing could slip.
    fn by_pages<T: Listed>(&self) -> Result<Result<(Vec<T>, bool), Progress>, ApiError> {
        let mut found: Vec<T> = Vec::new();
        let mut total = None;
        let mut page = 1_u64;
        let mut sorted = true;
        loop {
            let mut query = vec![("page", page.to_string())];
            if sorted {
                query.push(("sort", T::ORDER.to_owned()));
            }
            let answer = match self.get::<T>(&query) {
                Ok(answer) => answer,
                Err(e) if e.kind == Kind::Refused && sorted && page == 1 => {
                    sorted = false;
                    continue;
                }
                // Past the end, in the words of an array that does not answer an empty page.
                Err(e) if page > 1 && matches!(e.kind, Kind::Refused | Kind::NotFound) => break,
                Err(e) => return Err(e),
            };
            let now = answer.meta.number_of_objects;
            if total.is_some() && now.is_some() && total != now {
                return Ok(Err(Progress::Moved));
            }
            total = total.or(now);
            let items = answer.result.unwrap_or_default();
            let empty = items.is_empty();
            found.extend(items);
            if empty || total.is_some_and(|t| found.len() as u64 >= t) {
                break;
            }
            page += 1;
        }
        let distinct: BTreeSet<u64> = found.iter().map(T::order).collect();
        if distinct.len() != found.len() || total.is_some_and(|t| t != found.len() as u64) {
            return Ok(Err(Progress::Moved));
        }
        found.sort_by_key(T::order);
        Ok(Ok((found, page == 1)))
    }
}
