//! Names of dumps and logs.

use chrono::{Datelike, NaiveDateTime};
use common::exit::{Exit, Failure};
use common::weekday::{self, Language};

/// What a name is made from.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    pub schema: &'a str,
    pub db: &'a str,
    pub run: &'a str,
    /// Local time at which the run began: an export that ends after midnight belongs to the evening before.
    pub now: NaiveDateTime,
    pub language: Language,
}

/// Fills a template.
///
/// # Errors
/// Status 64: an unknown word in braces, or a name that would lead out of its directory.
pub fn fill(template: &str, words: &Words<'_>) -> Result<String, Failure> {
    let mut name = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        name.push_str(before);
        let (word, after) = after
            .split_once('}')
            .ok_or_else(|| Failure::new(Exit::Usage, format!("--name {template:?}: a {{ without }}")))?;
        let text = match word {
            "schema" => words.schema.to_owned(),
            "db" => words.db.to_owned(),
            "run" => words.run.to_owned(),
            "weekday" => weekday::name(words.now.weekday(), words.language).to_owned(),
            "date" => words.now.format("%Y-%m-%d").to_string(),
            "time" => words.now.format("%H%M%S").to_string(),
            _ => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("--name {template:?}: unknown word {{{word}}}"),
                )
                .hint("known are {schema}, {weekday}, {date}, {time}, {db}, {run}"));
            }
        };
        name.push_str(&plain(&text));
        rest = after;
    }
    name.push_str(rest);
    if name.is_empty() || name.starts_with('.') || name.contains('/') || name.chars().any(char::is_control) {
        return Err(Failure::new(
            Exit::Usage,
            format!("--name {template:?} gives {name:?}, which is no file name"),
        ));
    }
    Ok(name)
}

/// A schema's name may have characters that no file name should have.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c == '/' || c.is_control() || c.is_whitespace() { '_' } else { c }).collect()
}

/// `GOLD_domingo.DMP` → `GOLD_domingo.LOG`, `GOLD_domingo_02.DMP`, …
pub fn with(name: &str, suffix: &str, extension: Option<&str>) -> String {
    let (stem, own) = match name.rsplit_once('.') {
        Some((stem, own)) if !stem.is_empty() => (stem, Some(own)),
        _ => (name, None),
    };
    let extension = extension.or(own).map(|e| format!(".{e}")).unwrap_or_default();
    format!("{stem}{suffix}{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(schema: &str) -> Words<'_> {
        let now = chrono::NaiveDate::from_ymd_opt(2026, 11, 17).unwrap().and_hms_opt(21, 5, 9).unwrap();
        Words { schema, db: "PROD", run: "r1", now, language: Language::Pt }
    }

    #[test]
    fn the_default_is_the_originals() {
        assert_eq!(fill("{schema}_{weekday}.DMP", &words("GOLD")).unwrap(), "GOLD_terça-feira.DMP");
        assert_eq!(fill("{db}-{date}-{time}.dmp", &words("X")).unwrap(), "PROD-2026-11-17-210509.dmp");
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        assert_eq!(fill("{schema}.DMP", &words("A/../B C")).unwrap(), "A_.._B_C.DMP");
        for bad in ["../{schema}", "{schema", "{nobody}", ".{schema}", "a/{schema}"] {
            assert!(fill(bad, &words("GOLD")).is_err(), "{bad}");
        }
    }

    #[test]
    fn companions_share_the_stem() {
        assert_eq!(with("GOLD_domingo.DMP", "", Some("LOG")), "GOLD_domingo.LOG");
        assert_eq!(with("GOLD_domingo.DMP", "_02", None), "GOLD_domingo_02.DMP");
        assert_eq!(with("GOLD", ".partial", None), "GOLD.partial");
    }
}
