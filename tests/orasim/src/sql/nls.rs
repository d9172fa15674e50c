//! What a session knows about language, dates and decimals.

use chrono::{Local, NaiveDateTime};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    American,
    Brazilian,
}

/// Session settings that decide how a value looks as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nls {
    pub language: Language,
    pub date_format: String,
    pub decimal: char,
    pub group: char,
}

impl Nls {
    pub fn american() -> Self {
        Self { language: Language::American, date_format: "DD-MON-RR".into(), decimal: '.', group: ',' }
    }

    pub fn brazilian() -> Self {
        Self { language: Language::Brazilian, date_format: "DD/MM/RR".into(), decimal: ',', group: '.' }
    }

    /// The settings that a client's `NLS_LANG` (`LANGUAGE_TERRITORY.CHARSET`) implies.
    pub fn from_nls_lang(nls_lang: &str) -> Self {
        let upper = nls_lang.to_ascii_uppercase();
        let language = upper.split(['_', '.']).next().unwrap_or("");
        let territory = upper.split('.').next().and_then(|s| s.split_once('_')).map(|(_, t)| t.to_string());
        let mut nls = match territory.as_deref() {
            Some("BRAZIL") => Self::brazilian(),
            None if language == "BRAZILIAN PORTUGUESE" => Self::brazilian(),
            _ => Self::american(),
        };
        nls.language =
            if language == "BRAZILIAN PORTUGUESE" { Language::Brazilian } else { Language::American };
        nls
    }
}

/// SYSDATE: the clock of the host, in whole seconds, without a zone as DATE has none.
pub fn sysdate() -> NaiveDateTime {
    let now = Local::now().naive_local();
    now - chrono::Duration::nanoseconds(i64::from(chrono::Timelike::nanosecond(&now)))
}

/// A DATE as the number of days since 1970, so that SQLite's arithmetic is Oracle's.
pub fn to_days(date: NaiveDateTime) -> f64 {
    date.and_utc().timestamp() as f64 / 86_400.0
}

pub fn from_days(days: f64) -> NaiveDateTime {
    let seconds = (days * 86_400.0).round();
    chrono::DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default().naive_utc()
}
