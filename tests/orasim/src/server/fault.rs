//! Faults between a client and the instance: hangs, errors, lost sessions, crashes, and everything about passwords.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// The statement is not executed.
    Before,
    /// The statement has been executed; its answer is lost.
    After,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// Waits before (or after) the statement; `None` is for ever.
    Hang { seconds: Option<f64>, when: When },
    /// Answers this error instead of executing.
    Error { code: u32, text: String },
    /// Answers as if it had been done, and does nothing: what only reading back can find out. Commands only.
    Pretend,
    /// The server process dies: ORA-03113 here, the instance lives on.
    KillSession { when: When },
    /// The instance dies: ORA-03113 for everybody.
    Crash { when: When },
    /// Logon: ORA-01017.
    LogonDenied,
    /// Logon: ORA-28002 within n days, the session works.
    ExpireWarning { days: u32 },
    /// Logon: ORA-28001, a new password is asked for.
    Expired,
    /// Logon takes so long.
    LogonHang { seconds: f64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Case-blind regular expression that the statement must contain; unused for logon faults.
    pub pattern: String,
    pub kind: Kind,
    /// How many times it strikes; `None` is always.
    pub times: Option<u32>,
    /// How many matching statements pass before it strikes first.
    #[serde(default)]
    pub skip: u32,
}

impl Fault {
    fn logon(&self) -> bool {
        matches!(
            self.kind,
            Kind::LogonDenied | Kind::ExpireWarning { .. } | Kind::Expired | Kind::LogonHang { .. }
        )
    }
}

#[derive(Debug, Default)]
pub struct Faults {
    list: Vec<(Fault, Option<Regex>)>,
}

impl Faults {
    /// # Errors
    /// When the pattern is no regular expression.
    pub fn add(&mut self, fault: Fault) -> Result<(), regex::Error> {
        let regex = if fault.logon() {
            None
        } else {
            Some(
                RegexBuilder::new(&fault.pattern)
                    .case_insensitive(true)
                    .dot_matches_new_line(true)
                    .build()?,
            )
        };
        self.list.push((fault, regex));
        Ok(())
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }

    pub fn list(&self) -> Vec<Fault> {
        self.list.iter().map(|(f, _)| f.clone()).collect()
    }

    fn strike(&mut self, hits: impl Fn(&Fault, Option<&Regex>) -> bool) -> Vec<Kind> {
        let mut out = Vec::new();
        for (fault, regex) in &mut self.list {
            if !hits(fault, regex.as_ref()) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match &mut fault.times {
                Some(0) => continue,
                Some(n) => *n -= 1,
                None => {}
            }
            out.push(fault.kind.clone());
        }
        out
    }

    /// The faults that strike this statement; each counts as used.
    pub fn statement(&mut self, text: &str) -> Vec<Kind> {
        self.strike(|_, regex| regex.is_some_and(|r| r.is_match(text)))
    }

    pub fn logons(&mut self) -> Vec<Kind> {
        self.strike(|fault, _| fault.logon())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let mut faults = Faults::default();
        let kind = Kind::Error { code: 257, text: String::new() };
        faults
            .add(Fault { pattern: "archive log".into(), kind: kind.clone(), times: Some(2), skip: 1 })
            .unwrap();
        let got: Vec<usize> =
            (0..5).map(|_| faults.statement("ALTER SYSTEM ARCHIVE LOG CURRENT").len()).collect();
        assert_eq!(got, [0, 1, 1, 0, 0]);
        assert!(faults.statement("select 1 from dual").is_empty());
        assert!(faults.add(Fault { pattern: "(".into(), kind, times: None, skip: 0 }).is_err());
    }
}
