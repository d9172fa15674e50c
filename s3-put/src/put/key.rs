//! Keys: a template, filled from what is known of a file. Deterministic, so that a later run finds its objects again.

use anyhow::{bail, ensure};
use chrono::{DateTime, Local};
use common::exit::{Exit, Failure};

/// The longest key of S3, in bytes of UTF-8.
const MAX: usize = 1024;

const FIELDS: [&str; 10] = ["prefix", "yyyy", "mm", "dd", "name", "role", "tag", "db", "run", "host"];

/// A template that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

/// What a key is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub prefix: &'a str,
    /// Last change of the file: a re-run after midnight must find the same key.
    pub modified: DateTime<Local>,
    pub name: &'a str,
    pub role: Option<&'a str>,
    pub tag: Option<&'a str>,
    pub db: Option<&'a str>,
    pub run: &'a str,
    pub host: &'a str,
}

impl Template {
    /// # Errors
    /// [`Exit::Usage`]: a field that there is none of, an open brace, or a template that gives all files one key.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let wrong = |what: String| {
            Failure::new(Exit::Usage, format!("--key {text}: {what}"))
                .hint(format!("fields are {}", FIELDS.map(|f| format!("{{{f}}}")).join(", ")))
        };
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (field, behind) =
                after.split_once('}').ok_or_else(|| wrong("a brace is not closed".to_owned()))?;
            let field = FIELDS.iter().find(|f| **f == field);
            let field = field.ok_or_else(|| wrong("a field that there is none of".to_owned()))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Field(field));
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        if !parts.contains(&Part::Field("name")) {
            return Err(wrong("without {name} all files would have one key".to_owned()).into());
        }
        Ok(Self { parts })
    }

    /// The key of a file.
    ///
    /// # Errors
    /// A field is not known of this file, or the key is longer than S3 allows: one failed item.
    pub fn fill(&self, facts: &Facts<'_>) -> anyhow::Result<String> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Field(field) => key.push_str(&value(field, facts)?),
            }
        }
        ensure!(key.len() <= MAX, "the key would have {} bytes; S3 allows {MAX}", key.len());
        ensure!(!key.is_empty(), "the key would be empty");
        Ok(key)
    }
}

fn value(field: &str, facts: &Facts<'_>) -> anyhow::Result<String> {
    let date = |format: &str| Ok(facts.modified.format(format).to_string());
    let known = |value: Option<&str>| match value {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => bail!("the key needs {{{field}}}, and the record of this file has none"),
    };
    match field {
        "prefix" => Ok(facts.prefix.to_owned()),
        "yyyy" => date("%Y"),
        "mm" => date("%m"),
        "dd" => date("%d"),
        "name" => known(Some(facts.name)),
        "role" => known(facts.role),
        "tag" => known(facts.tag),
        "db" => known(facts.db),
        "run" => known(Some(facts.run)),
        _ => known(Some(facts.host)),
    }
}

/// The directory of a key, slash included: what one listing shows.
pub fn directory(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn facts(name: &str) -> Facts<'_> {
        Facts {
            prefix: "backups/",
            modified: Local.with_ymd_and_hms(2026, 3, 7, 23, 59, 59).unwrap(),
            name,
            role: Some("backup_piece"),
            tag: None,
            db: Some("PROD"),
            run: "r1",
            host: "db1",
        }
    }

    fn key(template: &str, name: &str) -> anyhow::Result<String> {
        Template::parse(template)?.fill(&facts(name))
    }

    #[test]
    fn the_default_is_the_day_of_the_files_last_change() {
        let default = "{prefix}{yyyy}/{mm}/{dd}/{name}";
        assert_eq!(key(default, "a b+ç%.bkp").unwrap(), "backups/2026/03/07/a b+ç%.bkp");
        assert_eq!(key("/{db}/{role}/{name}", "x").unwrap(), "/PROD/backup_piece/x");
    }

    #[test]
    fn what_is_not_known_is_an_error_and_not_a_hole() {
        let error = key("{tag}/{name}", "x").unwrap_err().to_string();
        assert_eq!(error, "the key needs {tag}, and the record of this file has none");
        assert!(key("{prefix}{name}", &"n".repeat(1100)).unwrap_err().to_string().contains("1108 bytes"));
    }

    #[test]
    fn bad_templates() {
        for bad in ["{prefix}", "{name", "{Name}", "{name}{hour}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn directories_of_keys() {
        assert_eq!(directory("a/b/c"), "a/b/");
        assert_eq!(directory("c"), "");
        assert_eq!(directory("/c"), "/");
    }
}
