//! `--explain CODE`: what an exit status or a message code means, where it comes from and what to do.

mod messages;
mod rman;
mod statuses;

/// What a code says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// The other side is away or busy: the same call may succeed later.
    Temporary,
    /// Something has to be mended first.
    Permanent,
    /// The account or password was not accepted. Trying again may lock the account.
    Logon,
    /// No error: the work went on.
    Warning,
}

/// One explained code.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// `ORA-01123`, `rsync 23`, `exit 5`.
    pub code: &'static str,
    pub nature: Nature,
    pub meaning: &'static str,
    pub cause: &'static str,
    /// What a tired person can do now.
    pub cure: &'static str,
}

const fn entry(
    code: &'static str,
    nature: Nature,
    meaning: &'static str,
    cause: &'static str,
    cure: &'static str,
) -> Entry {
    Entry { code, nature, meaning, cause, cure }
}

/// Every code that is explained: our statuses, those of rsync, ssh and expdp, messages of Oracle and of RMAN.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    statuses::STATUSES.iter().chain(messages::MESSAGES).chain(rman::MESSAGES)
}

/// Meaning, cause and cure of `code`, as lines of text.
pub fn explain(code: &str) -> String {
    let Some(wanted) = Code::parse(code) else {
        return format!("{code}: not a code that can be looked up\n{FORMS}");
    };
    let name = wanted.to_string();
    if let Some(entry) = exact(&name) {
        return page(entry);
    }
    // A bare 23 or 255 in a log is mostly one of these.
    let others =
        ["ssh", "rsync"].map(|family| Code { family: family.to_owned(), number: wanted.number }.to_string());
    if wanted.family == "exit" {
        if let Some(entry) = others.iter().find_map(|other| exact(other)) {
            return format!("{name}: {}\nIt may be {}", wanted.advice(), page(entry));
        }
    }
    match wanted.nearest() {
        Some(entry) => {
            format!("{name}: not in the table; {}\nThe nearest is {}", wanted.advice(), page(entry))
        }
        None => format!("{name}: not in the table; {}\n{FORMS}", wanted.advice()),
    }
}

const FORMS: &str =
    "give an exit status (5), an Oracle code (ORA-01123), an rsync status (rsync 23) or ssh 255";

/// The entry of a code in any of its spellings; `None` when the table has none.
pub fn exact(code: &str) -> Option<&'static Entry> {
    let name = Code::parse(code)?.to_string();
    entries().find(|e| e.code == name)
}

/// What a code says about trying again; one that is not in the table counts as permanent.
pub fn nature(code: &str) -> Nature {
    exact(code).map_or(Nature::Permanent, |e| e.nature)
}

/// Whether the code says that the session is gone, so that nobody knows whether its last statement was done.
pub fn is_lost_connection(code: &str) -> bool {
    const LOST: [&str; 10] = [
        "ORA-00028",
        "ORA-01012",
        "ORA-01034",
        "ORA-01089",
        "ORA-01092",
        "ORA-02396",
        "ORA-03113",
        "ORA-03114",
        "ORA-03135",
        "ORA-12547",
    ];
    LOST.contains(&code)
}

fn page(entry: &Entry) -> String {
    let Entry { code, meaning, cause, cure, .. } = entry;
    format!("{code}: {meaning}\n  cause: {cause}\n  cure:  {cure}")
}

/// A code in its normal spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Code {
    family: String,
    number: u32,
}

impl Code {
    /// `ora-1123`, `ORA 01123`, `rsync23`, `5`: letters, an optional separator, digits. Digits alone are a status.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let start = text.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |i| i + 1);
        // SP2 ends in a digit of its own.
        let (family, digits) = match text.get(..3) {
            Some(sp2) if sp2.eq_ignore_ascii_case("SP2") => ("SP2", text[3..].trim_start_matches([' ', '-'])),
            _ if text.is_char_boundary(start) => {
                (text[..start].trim_end_matches([' ', '-', '_', ':']), &text[start..])
            }
            _ => return None,
        };
        if family.chars().any(|c| !c.is_ascii_alphanumeric() && c != '/') {
            return None;
        }
        let number = digits.parse().ok()?;
        let family = match family.to_ascii_lowercase().as_str() {
            "" | "exit" | "status" => "exit".to_owned(),
            tool @ ("rsync" | "ssh" | "expdp") => tool.to_owned(),
            _ => family.to_ascii_uppercase(),
        };
        Some(Self { family, number })
    }

    /// The entry of the same family with the closest number, if it is close enough to be of the same kind.
    fn nearest(&self) -> Option<&'static Entry> {
        let distance = |e: &&Entry| Self::parse(e.code).map_or(u32::MAX, |c| c.number.abs_diff(self.number));
        let family = entries().filter(|e| Self::parse(e.code).is_some_and(|c| c.family == self.family));
        family.min_by_key(distance).filter(|e| distance(e) <= 5)
    }

    /// What can be said of a whole family.
    fn advice(&self) -> &'static str {
        match (self.family.as_str(), self.number) {
            ("ORA", 12150..=12699) | ("TNS", _) => {
                "it is a network error: try tnsping, then the listener (lsnrctl status), then the firewall"
            }
            ("ORA", 27000..=27299) => {
                "it is an operating system error: the lines below it name the call and errno"
            }
            ("ORA", 16000..=16999) => {
                "it belongs to standby databases and redo transport: look at both alert logs"
            }
            ("ORA", 600 | 7445) => {
                "it is an internal error of Oracle: look at the alert log and its trace file"
            }
            ("ORA", 1100..=1299) => {
                "it is about datafiles and recovery: look at V$DATAFILE_HEADER and V$RECOVER_FILE"
            }
            ("ORA", 39000..=39999 | 31600..=31699) | ("UDE" | "UDI", _) => {
                "it belongs to Data Pump: look at its log file"
            }
            ("ORA", 19500..=19999) | ("RMAN", _) => {
                "it belongs to RMAN: read the error stack from its last line upwards"
            }
            ("ORA", _) => "oerr ora, followed by the number, prints Oracle's own text on the database host",
            ("SP2", _) => {
                "it is an error of SQL*Plus itself, not of the database; the exit status may still be 0"
            }
            ("PLS" | "LRM" | "KUP" | "OSD", _) => "oerr prints Oracle's own text on the database host",
            ("rsync", _) => "the section EXIT VALUES of man rsync has it; the log holds rsync's own words",
            ("ssh", _) => "it is the status of the remote command, not of ssh",
            ("exit", 129..=192) => "it is 128 plus the number of the signal that ended a program",
            ("exit", _) => "it is none of our statuses",
            _ => "the family is not known",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { family, number } = self;
        match family.as_str() {
            "exit" | "rsync" | "ssh" | "expdp" => write!(f, "{family} {number}"),
            "SP2" | "EXP" | "IMP" if *number < 10_000 => write!(f, "{family}-{number:04}"),
            _ => write!(f, "{family}-{number:05}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_finds_its_entry() {
        for (text, code) in [
            ("ora-1123", "ORA-01123"),
            ("ORA-01123", "ORA-01123"),
            ("ora 1123", "ORA-01123"),
            ("ORA1123", "ORA-01123"),
            ("rsync23", "rsync 23"),
            ("rsync 23", "rsync 23"),
            ("SSH-255", "ssh 255"),
            ("5", "exit 5"),
            ("exit 5", "exit 5"),
            ("sp2-640", "SP2-0640"),
            ("SP20640", "SP2-0640"),
            ("RMAN-6059", "RMAN-06059"),
        ] {
            assert_eq!(exact(text).map(|e| e.code), Some(code), "{text}");
        }
        for text in ["", "ora", "-", "é5x", "5 apples", "ORA-99999999999"] {
            assert!(exact(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_unknown_code_gets_the_nearest_advice_and_says_so() {
        let text = explain("ORA-1124");
        assert!(text.starts_with("ORA-01124: not in the table; it is about datafiles"), "{text}");
        assert!(text.contains("The nearest is ORA-01123: "), "{text}");
        assert!(explain("ORA-12345").contains("network"), "{}", explain("ORA-12345"));
        assert!(explain("nonsense").contains("give an exit status"));
        assert!(explain("23").starts_with("exit 23: it is none of our statuses\nIt may be rsync 23: "));
        assert!(explain("255").contains("It may be ssh 255: "));
    }

    #[test]
    fn every_entry_is_spelt_normally_once_and_says_something() {
        let mut seen = std::collections::HashSet::new();
        for entry in entries() {
            assert_eq!(Code::parse(entry.code).unwrap().to_string(), entry.code);
            assert!(seen.insert(entry.code), "{} twice", entry.code);
            for text in [entry.meaning, entry.cause, entry.cure] {
                assert!(
                    text.len() > 3 && !text.ends_with('.') && text.trim() == text,
                    "{}: {text}",
                    entry.code
                );
            }
        }
    }

    #[test]
    fn every_exit_status_is_explained() {
        for code in [0, 1, 2, 3, 4, 5, 64, 75, 124, 130, 143] {
            assert!(exact(&code.to_string()).is_some(), "{code}");
        }
    }

    #[test]
    fn natures() {
        assert_eq!(nature("ORA-01034"), Nature::Temporary);
        assert_eq!(nature("ORA-12541"), Nature::Temporary);
        assert_eq!(nature("ORA-01017"), Nature::Logon);
        assert_eq!(nature("ORA-01123"), Nature::Permanent);
        assert_eq!(nature("ORA-28002"), Nature::Warning);
        assert_eq!(nature("ORA-00942"), Nature::Permanent);
    }
}
