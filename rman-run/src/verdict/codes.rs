//! What a message code in an RMAN log says outside and inside an error stack.

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the verdict stays.
    Notice,
    Warning,
    Error,
}

/// A code at the beginning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code<'a> {
    /// `RMAN-06060`.
    pub name: &'a str,
    /// Text behind the colon.
    pub text: &'a str,
}

const FAMILIES: [&str; 6] = ["RMAN-", "ORA-", "TNS-", "PLS-", "OSD-", "KUP-"];

impl<'a> Code<'a> {
    /// The code with which the line begins, after blanks and what `tee`, `ts` or syslog may have put before it.
    pub fn at_start(line: &'a str) -> Option<Self> {
        let text = line.trim_start();
        if let Some(code) = Self::exactly(text) {
            return Some(code);
        }
        if !text.contains("RMAN-") && !text.contains("ORA-") {
            return None;
        }
        Self::exactly(super::patterns::without_stamp(text)?)
    }

    fn exactly(text: &'a str) -> Option<Self> {
        let family = FAMILIES.iter().find(|f| text.starts_with(**f))?;
        let digits = text.as_bytes().get(family.len()..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        let end = family.len() + digits;
        if !(4..=6).contains(&digits) {
            return None;
        }
        let rest = text.get(end..)?;
        // A code alone on its line is one too; `RMAN-03002_x.log` is a name.
        if !(rest.is_empty() || rest.starts_with(':') || rest.starts_with(' ')) {
            return None;
        }
        Some(Self { name: &text[..end], text: rest.trim_start_matches(':').trim() })
    }

    /// The lines that frame an error stack.
    pub fn is_frame(self) -> bool {
        matches!(self.name, "RMAN-00569" | "RMAN-00571")
    }

    /// Lines that only continue RMAN-06207: the table of objects that were not deleted.
    pub fn continues_06207(self) -> bool {
        matches!(
            self.name,
            "RMAN-06208"
                | "RMAN-06209"
                | "RMAN-06210"
                | "RMAN-06211"
                | "RMAN-06212"
                | "RMAN-06213"
                | "RMAN-06214"
        )
    }

    /// The word that Oracle puts into English warnings; its case differs by release.
    pub fn says_warning(self) -> bool {
        self.text.get(..8).is_some_and(|t| t.eq_ignore_ascii_case("warning:"))
    }

    /// Severity outside an error stack, by the code alone; `None` for codes that are not in the table.
    pub fn known(self) -> Option<Severity> {
        let number: u32 = self.name.strip_prefix("RMAN-")?.parse().ok()?;
        let found = match number {
            // Names that DUPLICATE changes by itself; nothing is left out.
            5529 | 5535 | 5537 | 5538 => Severity::Notice,
            // Datafiles left out, files in backup mode, one channel instead of many, control file not backed up.
            6060 | 6061 | 6207..=6214 | 6497 | 6554 | 6820 | 6900 | 6901 | 6908 | 6909 => Severity::Warning,
            // Not catalogued.
            7517..=7521 => Severity::Warning,
            // Archived logs that were not deleted, recovery that stopped at an SCN, a deletion policy that cannot work.
            8118..=8120 | 8131 | 8137..=8139 | 8187 | 8515 | 8591 => Severity::Warning,
            _ => return None,
        };
        Some(found)
    }

    /// Messages that are printed with their number only when RMAN was called with MSGNO (or was a release 8).
    pub fn is_msgno(self) -> bool {
        matches!(
            self.name,
            "RMAN-06005" | "RMAN-08030" | "RMAN-03090" | "RMAN-03022" | "RMAN-06009" | "RMAN-06006"
        )
    }
}
