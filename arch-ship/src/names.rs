//! Thread and sequence from a file name: a fall-back where the header cannot or must not be read.

use regex::Regex;

use common::exit::{Exit, Failure};

/// What a name says of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    pub thread: u64,
    pub sequence: u64,
    /// OMF names do not carry it.
    pub resetlogs_id: Option<u64>,
}

/// The forms of name that are understood.
#[derive(Debug, Clone)]
pub struct Names(Vec<Regex>);

/// OMF, ASM aliases, and LOG_ARCHIVE_FORMAT `%t_%s_%r` with anything before it (ORACLE_FACTS 2.5).
const BUILT_IN: [&str; 3] = [
    r"(?i)^o1_mf_(?P<t>\d+)_(?P<s>\d+)_[^_.]+_\.arc$",
    r"(?i)^thread_(?P<t>\d+)_seq_(?P<s>\d+)\.",
    r"(?i)^(?:.*[^0-9])?(?P<t>\d{1,4})_(?P<s>\d+)_(?P<r>\d{6,10})\.[a-z]+$",
];

impl Names {
    /// The built-in forms, or the one form of LOG_ARCHIVE_FORMAT.
    pub fn new(format: Option<&str>) -> anyhow::Result<Self> {
        let sources = match format {
            Some(format) => vec![expression(format)?],
            None => BUILT_IN.map(str::to_owned).to_vec(),
        };
        sources.iter().map(|s| Ok(Regex::new(s)?)).collect::<anyhow::Result<_>>().map(Self)
    }

    pub fn read(&self, name: &str) -> Option<Named> {
        self.0.iter().find_map(|form| {
            let found = form.captures(name)?;
            let number = |group| found.name(group)?.as_str().parse().ok();
            // A larger number is no sequence: it has four bytes in the log's header.
            let sequence = number("s").filter(|s| *s <= u64::from(u32::MAX))?;
            Some(Named { thread: number("t")?, sequence, resetlogs_id: number("r") })
        })
    }
}

fn expression(format: &str) -> Result<String, Failure> {
    let bad = |what: &str| {
        Failure::new(Exit::Usage, format!("--name-pattern {format:?}: {what}"))
            .hint("write it as LOG_ARCHIVE_FORMAT, for example %t_%s_%r.arc")
    };
    let mut text = String::from("^");
    let mut seen = [false; 3];
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push_str(&regex::escape(&c.to_string()));
            continue;
        }
        let Some(letter) = chars.next() else { return Err(bad("% at the end")) };
        let group = match letter.to_ascii_lowercase() {
            't' => Some((0, 't')),
            's' => Some((1, 's')),
            'r' => Some((2, 'r')),
            'd' | 'a' => None,
            'u' => {
                text.push_str("[0-9a-zA-Z]+");
                continue;
            }
            _ => return Err(bad(&format!("%{letter} is none of %t %s %r %d %a %u"))),
        };
        match group {
            Some((i, name)) if !seen[i] => {
                seen[i] = true;
                text.push_str(&format!("(?P<{name}>[0-9]+)"));
            }
            Some(_) => return Err(bad(&format!("%{letter} twice"))),
            None => text.push_str("[0-9a-fA-F]+"),
        }
    }
    if !seen[0] || !seen[1] {
        return Err(bad("it needs %t and %s"));
    }
    text.push('$');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(thread: u64, sequence: u64, resetlogs_id: Option<u64>) -> Option<Named> {
        Some(Named { thread, sequence, resetlogs_id })
    }

    #[test]
    fn names_of_real_systems() {
        let names = Names::new(None).unwrap();
        assert_eq!(names.read("1_648_928161908.dbf"), named(1, 648, Some(928_161_908)));
        assert_eq!(names.read("ERP_1_13_1054646243.dbf"), named(1, 13, Some(1_054_646_243)));
        assert_eq!(names.read("o1_mf_2_38_k3x9fw2p_.arc"), named(2, 38, None));
        assert_eq!(names.read("o1_mf_1_11_%u_.arc"), named(1, 11, None));
        assert_eq!(names.read("thread_1_seq_155.306.1031272329"), named(1, 155, None));
        assert_eq!(names.read("notes.txt"), None);
    }

    #[test]
    fn a_form_of_the_user() {
        let names = Names::new(Some("arch %d(%s)%t.%r.log")).unwrap();
        assert_eq!(names.read("arch 0a9F(17)2.99.log"), named(2, 17, Some(99)));
        assert_eq!(names.read("arch 0a9F(17)2.99.log.gz"), None);
        for bad in ["%s.arc", "%t_%t_%s", "%t_%s_%x", "%t_%s%"] {
            assert!(Names::new(Some(bad)).is_err(), "{bad}");
        }
    }
}
