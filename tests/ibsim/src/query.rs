//! Filters, sorting, pages and the choice of fields.

use std::cmp::Ordering;

use serde_json::{json, Map, Value};

use crate::error::{Answer, ApiError};
use crate::guesses::{Guesses, Like, OverMax};

/// The value of a field of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    /// Sorted by its place in the enumeration, compared without regard to case.
    Literal(&'static str, u8),
    List(Vec<i64>),
    /// Structured values, which neither sort nor filter.
    Other(Value),
}

impl Field {
    pub fn id(id: Option<u64>) -> Self {
        id.map_or(Self::Null, |id| Self::Int(int(id)))
    }

    pub fn time(ms: Option<i64>) -> Self {
        ms.map_or(Self::Null, Self::Int)
    }

    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => b.into(),
            Self::Int(n) => n.into(),
            Self::Text(t) => t.into(),
            Self::Literal(l, _) => l.into(),
            Self::List(l) => l.into(),
            Self::Other(v) => v,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Literal(_, a), Self::Literal(_, b)) => a.cmp(b),
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Self::Null) => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }
}

pub fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// An object of a collection.
pub trait Item {
    /// What its fields depend on besides itself.
    type Around;
    /// The fields of this array's version, in the order of the answer.
    fn names(around: &Self::Around) -> Vec<&'static str>;
    /// `None`: there is no such field.
    fn field(&self, name: &str, around: &Self::Around) -> Option<Field>;
}

/// The query of a request, decoded.
#[derive(Debug, Clone, Default)]
pub struct Query(pub Vec<(String, String)>);

/// Parameters that are no filters.
const RESERVED: [&str; 14] = [
    "page",
    "page_size",
    "sort",
    "fields",
    "approved",
    "include",
    "force_if_snapshot_locked",
    "delete_members",
    "replicate_to_async_target",
    "keep_staging_area",
    "retain_staging_area",
    "force",
    "force_if_remote_error",
    "_",
];

const OPERATORS: [&str; 15] = [
    "eq", "ne", "gt", "ge", "lt", "le", "like", "in", "notin", "between", "is", "isnot", "allof", "anyof",
    "noneof",
];

impl Query {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| matches!(v.to_lowercase().as_str(), "true" | "yes" | "1"))
    }

    pub fn approved(&self) -> bool {
        self.flag("approved")
    }

    fn filters(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().filter(|(n, _)| !RESERVED.contains(&n.as_str())).map(|(name, value)| {
            match value.split_once(':').filter(|(op, _)| OPERATORS.contains(op)) {
                Some((operator, value)) => (name.as_str(), operator, value),
                None => (name.as_str(), "eq", value.as_str()),
            }
        })
    }
}

fn list(text: &str) -> Vec<&str> {
    let inner = text.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text);
    inner.split(',').map(str::trim).filter(|t| !t.is_empty()).collect()
}

/// A value of the query as a value of the field beside it.
fn coerce(name: &str, text: &str, like_this: &Field, guesses: &Guesses) -> Answer<Option<Field>> {
    let bad = |what: &str| ApiError::bad("INVALID_FILTER_VALUE", format!("{name}: {text:?} is no {what}"));
    if text == "null" {
        return Ok(Some(Field::Null));
    }
    Ok(Some(match like_this {
        Field::Int(_) | Field::List(_) => Field::Int(text.parse().map_err(|_| bad("number"))?),
        Field::Bool(_) => match text.to_lowercase().as_str() {
            "true" | "yes" => Field::Bool(true),
            "false" | "no" => Field::Bool(false),
            _ => return Err(bad("truth value")),
        },
        Field::Literal(..) => {
            let plain = |t: &str| t.replace('_', "").to_uppercase();
            match LITERALS.iter().position(|l| plain(l) == plain(text)) {
                Some(at) => Field::Text(LITERALS[at].to_owned()),
                None if guesses.unknown_literal_refused => return Err(bad("literal of it")),
                None => return Ok(None),
            }
        }
        Field::Text(_) | Field::Null => Field::text(text),
        Field::Other(_) => return Err(bad("value of a field that filters")),
    }))
}

/// Every literal that an enumeration here has.
const LITERALS: [&str; 22] = [
    "MASTER",
    "SNAPSHOT",
    "SNAP",
    "CLONE",
    "THICK",
    "THIN",
    "LOCKED",
    "UNLOCKED",
    "VOLUME",
    "FILESYSTEM",
    "NORMAL",
    "LIMITED",
    "ADMIN",
    "POOL_ADMIN",
    "READ_ONLY",
    "INFINIDAT",
    "TECHNICIAN",
    "REGULAR",
    "STANDARD",
    "VVOL",
    "Local",
    "S3",
];

fn equal(have: &Field, want: &Field) -> bool {
    match (have, want) {
        (Field::Literal(l, _), Field::Text(t)) => l == t,
        // A number that is null now was compared with text above.
        (Field::Null, Field::Text(_)) => false,
        _ => have == want,
    }
}

fn matches(name: &str, have: &Field, operator: &str, text: &str, guesses: &Guesses) -> Answer<bool> {
    let one = |text: &str| coerce(name, text, have, guesses);
    let any = |texts: Vec<&str>| -> Answer<bool> {
        for text in texts {
            if one(text)?.is_some_and(|want| equal(have, &want)) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let ordered = |test: fn(Ordering) -> bool| -> Answer<bool> {
        let want = one(text)?;
        Ok(want.is_some_and(|want| {
            have != &Field::Null
                && want != Field::Null
                && !matches!(have, Field::Literal(..))
                && test(have.order(&want))
        }))
    };
    Ok(match operator {
        "eq" | "is" => any(vec![text])?,
        "ne" | "isnot" => !any(vec![text])?,
        "in" => any(list(text))?,
        "notin" => !any(list(text))?,
        "gt" => ordered(Ordering::is_gt)?,
        "ge" => ordered(Ordering::is_ge)?,
        "lt" => ordered(Ordering::is_lt)?,
        "le" => ordered(Ordering::is_le)?,
        "between" => {
            let ends = list(text);
            let [low, high] = ends[..] else {
                return Err(ApiError::bad(
                    "INVALID_FILTER_VALUE",
                    format!("{name}: between needs (low,high)"),
                ));
            };
            matches(name, have, "ge", low, guesses)? && matches(name, have, "le", high, guesses)?
        }
        "like" => {
            let Field::Text(have) = have else {
                return if have == &Field::Null {
                    Ok(false)
                } else {
                    Err(ApiError::bad(
                        "UNSUPPORTED_OPERATOR",
                        format!("{name} is no text: like does not apply"),
                    ))
                };
            };
            let (have, want) = if guesses.like_case_sensitive {
                (have.clone(), text.to_owned())
            } else {
                (have.to_lowercase(), text.to_lowercase())
            };
            match guesses.like {
                Like::Substring => have.contains(&want),
                Like::Prefix => have.starts_with(&want),
            }
        }
        _ => {
            let Field::List(have) = have else {
                return Err(ApiError::bad(
                    "UNSUPPORTED_OPERATOR",
                    format!("{name} is no list: {operator} does not apply"),
                ));
            };
            let mut wanted = Vec::new();
            for text in list(text) {
                wanted.push(text.parse::<i64>().map_err(|_| ApiError::bad("INVALID_FILTER_VALUE", name))?);
            }
            match operator {
                "allof" => wanted.iter().all(|w| have.contains(w)),
                "anyof" => wanted.iter().any(|w| have.contains(w)),
                _ => !wanted.iter().any(|w| have.contains(w)),
            }
        }
    })
}

/// A page of a collection with what the envelope's metadata says of it.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub items: Vec<Value>,
    pub number_of_objects: usize,
    pub page: u64,
    pub page_size: u64,
    pub pages_total: u64,
}

impl Page {
    pub fn metadata(&self) -> Value {
        json!({
            "ready": true, "number_of_objects": self.number_of_objects, "page_size": self.page_size,
            "pages_total": self.pages_total, "page": self.page,
        })
    }
}

const DEFAULT_PAGE: u64 = 50;
const MAX_PAGE: u64 = 1000;

fn number(query: &Query, name: &str, default: u64) -> Answer<u64> {
    let Some(text) = query.get(name) else { return Ok(default) };
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(ApiError::bad("INVALID_PAGING", format!("{name}={text}: a number from 1"))),
    }
}

/// One object with all its fields, or those asked for.
pub fn show<T: Item>(item: &T, query: &Query, around: &T::Around) -> Value {
    let wanted: Option<Vec<&str>> = query.get("fields").map(list);
    let mut out = Map::new();
    for name in T::names(around) {
        if wanted.as_ref().is_none_or(|w| w.contains(&name)) {
            if let Some(field) = item.field(name, around) {
                out.insert(name.to_owned(), field.json());
            }
        }
    }
    Value::Object(out)
}

/// All objects that the filters want, in order, without pages.
///
/// # Errors
/// 400 for a filter or order by a field that does not exist, and values of the wrong kind.
pub fn whole<'a, T: Item + 'a>(
    items: impl Iterator<Item = &'a T>,
    query: &Query,
    around: &T::Around,
    guesses: &Guesses,
) -> Answer<Vec<Value>> {
    Ok(choose(items, query, around, guesses)?.into_iter().map(|i| show(i, query, around)).collect())
}

/// Filters, sorts and cuts a collection that comes in the order of its ids.
///
/// # Errors
/// 400 for a filter or order by a field that does not exist, values of the wrong kind, and pages that are none.
pub fn page<'a, T: Item + 'a>(
    items: impl Iterator<Item = &'a T>,
    query: &Query,
    around: &T::Around,
    guesses: &Guesses,
) -> Answer<Page> {
    let chosen = choose(items, query, around, guesses)?;
    let number_of_page = number(query, "page", 1)?;
    let mut size = number(query, "page_size", DEFAULT_PAGE)?;
    if size > MAX_PAGE {
        match guesses.page_size_over_max {
            OverMax::Clamp => size = MAX_PAGE,
            OverMax::Refuse => {
                let message = format!("page_size={size}: {MAX_PAGE} is the largest");
                return Err(ApiError::bad("PAGE_SIZE_TOO_LARGE", message));
            }
        }
    }
    let total = chosen.len();
    let pages = (total as u64).div_ceil(size);
    let skip = usize::try_from((number_of_page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
    let take = usize::try_from(size).unwrap_or(usize::MAX);
    Ok(Page {
        items: chosen.into_iter().skip(skip).take(take).map(|i| show(i, query, around)).collect(),
        number_of_objects: total,
        page: number_of_page,
        page_size: size,
        pages_total: if total == 0 { guesses.pages_total_of_zero } else { pages },
    })
}

fn choose<'a, T: Item + 'a>(
    items: impl Iterator<Item = &'a T>,
    query: &Query,
    around: &T::Around,
    guesses: &Guesses,
) -> Answer<Vec<&'a T>> {
    let names = T::names(around);
    let filters: Vec<_> = query.filters().collect();
    let unknown = |name: &str| {
        let message = format!("there is no field {name} to filter or sort by");
        ApiError::bad(&guesses.unknown_filter_code, message)
    };
    if let Some((name, ..)) = filters.iter().find(|(name, ..)| !names.contains(name)) {
        return Err(unknown(name));
    }
    let mut chosen: Vec<&T> = Vec::new();
    'items: for item in items {
        for (name, operator, text) in &filters {
            let have = item.field(name, around).unwrap_or(Field::Null);
            if !matches(name, &have, operator, text, guesses)? {
                continue 'items;
            }
        }
        chosen.push(item);
    }
    if let Some(sort) = query.get("sort") {
        let mut keys = Vec::new();
        for key in sort.split(',').map(str::trim).filter(|k| !k.is_empty()) {
            let (name, down) = match key.strip_prefix('-') {
                Some(name) => (name, true),
                None => (key.strip_prefix('+').unwrap_or(key), false),
            };
            if !names.contains(&name) {
                return Err(unknown(name));
            }
            keys.push((name, down));
        }
        let mut keyed: Vec<(Vec<Field>, &T)> = chosen
            .into_iter()
            .map(|i| (keys.iter().map(|(n, _)| i.field(n, around).unwrap_or(Field::Null)).collect(), i))
            .collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let each = a.iter().zip(b).zip(&keys);
            each.map(|((a, b), (_, down))| if *down { b.order(a) } else { a.order(b) })
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        chosen = keyed.into_iter().map(|(_, i)| i).collect();
    }
    Ok(chosen)
}
