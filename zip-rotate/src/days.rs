//! Names of archives: made from the template, and read back into the day of the backup.

use anyhow::Context;
use chrono::{DateTime, Datelike, Local, NaiveDate};
use regex::Regex;

use common::weekday::{self, Language, EN, PT};

/// The same without accents: archives of systems whose file names cannot have them.
const PT_PLAIN: [&str; 2] = ["terca-feira", "sabado"];

/// A template of names.
#[derive(Debug, Clone)]
pub struct Names {
    template: String,
    language: Language,
    db: String,
    pattern: Regex,
}

impl Names {
    /// `db` replaces `{db}`.
    pub fn new(template: &str, language: Language, db: &str) -> anyhow::Result<Self> {
        let stem = template.get(..template.len().saturating_sub(4)).unwrap_or_default();
        let weekdays = [&PT[..], &PT_PLAIN, &EN].concat().join("|");
        let mut pattern = regex::escape(stem);
        for (name, form) in [
            ("weekday", format!("(?i:{weekdays})")),
            ("date", r"(?P<date>\d{4}-\d\d-\d\d|\d{8}|\d\d-\d\d-\d{4})".to_owned()),
            ("time", r"\d{6}".to_owned()),
            ("db", regex::escape(db)),
        ] {
            pattern = pattern.replacen(&regex::escape(&format!("{{{name}}}")), &form, 1);
        }
        let pattern = Regex::new(&format!(r"^{pattern}(?:-[0-9]+)?\.(?i:zip)$"))
            .with_context(|| format!("use {template} as the name of archives"))?;
        Ok(Self { template: template.to_owned(), language, db: db.to_owned(), pattern })
    }

    /// The name of an archive made at `time`; `number` tells it from others of that name, 1 is the first.
    pub fn name(&self, time: DateTime<Local>, number: u32) -> String {
        let day = time.date_naive();
        let name = self
            .template
            .replace("{weekday}", weekday::name(day.weekday(), self.language))
            .replace("{date}", &day.format("%Y-%m-%d").to_string())
            .replace("{time}", &time.format("%H%M%S").to_string())
            .replace("{db}", &self.db);
        match (number, name.rsplit_once('.')) {
            (2.., Some((stem, end))) => format!("{stem}-{number}.{end}"),
            _ => name,
        }
    }

    /// Whether a file of this name is an archive of ours.
    pub fn is_ours(&self, name: &str) -> bool {
        self.pattern.is_match(name)
    }

    /// The day in a name, if one is in it.
    pub fn day(&self, name: &str) -> Option<NaiveDate> {
        let date = self.pattern.captures(name)?.name("date")?.as_str();
        let form = match date.len() {
            8 => "%Y%m%d",
            _ if date.as_bytes().get(4) == Some(&b'-') => "%Y-%m-%d",
            _ => "%d-%m-%Y",
        };
        NaiveDate::parse_from_str(date, form).ok()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn names(template: &str) -> Names {
        Names::new(template, Language::Pt, "PROD").unwrap()
    }

    #[test]
    fn a_name_tells_its_day() {
        let names = names("backup_{weekday}_{date}.zip");
        let time = Local.with_ymd_and_hms(2026, 11, 23, 3, 0, 0).unwrap();
        assert_eq!(names.name(time, 1), "backup_segunda-feira_2026-11-23.zip");
        assert_eq!(names.name(time, 2), "backup_segunda-feira_2026-11-23-2.zip");
        let day = NaiveDate::from_ymd_opt(2026, 11, 23);
        for name in [
            "backup_segunda-feira_2026-11-23.zip",
            "backup_segunda-feira_2026-11-23-2.zip",
            "backup_monday_20261123.zip",
            "backup_terça-feira_23-11-2026.zip",
        ] {
            assert!(names.is_ours(name), "{name}");
            assert_eq!(names.day(name), day, "{name}");
        }
        for name in [
            "backup_segunda-feira_2026-11-23.zip.part",
            "Xbackup_segunda-feira_2026-11-23.zip",
            "backup_someday_2026-11-23.zip",
            "photos.zip",
        ] {
            assert!(!names.is_ours(name), "{name}");
        }
        assert_eq!(names.day("backup_segunda-feira_2026-13-41.zip"), None);
    }

    #[test]
    fn names_of_another_database_are_not_ours() {
        let names = names("{db}_{date}_{time}.zip");
        let time = Local.with_ymd_and_hms(2026, 11, 23, 3, 4, 5).unwrap();
        assert_eq!(names.name(time, 1), "PROD_2026-11-23_030405.zip");
        assert!(names.is_ours("PROD_2026-11-23_030405.zip"));
        assert!(!names.is_ours("TEST_2026-11-23_030405.zip"));
    }
}
