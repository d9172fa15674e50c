//! The work of one SQL*Plus session as typed steps.

/// Lines are kept well below SQL*Plus's input limit (2499 bytes before 12.2, 4999 after).
const LINE_MAX: usize = 1800;

/// Names a step of a [`Script`] in its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step(pub(crate) usize);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Exec,
    Tolerating(Vec<String>),
    Query(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepText {
    pub kind: Kind,
    /// For exec the statement; for a query what follows the select list.
    pub sql: String,
}

impl StepText {
    /// The statement in one line for a message, cut at 120 characters.
    pub fn label(&self) -> String {
        let text = match &self.kind {
            Kind::Query(_) => format!("SELECT {}", self.sql),
            Kind::Exec | Kind::Tolerating(_) => self.sql.clone(),
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(120) {
            Some((cut, _)) => format!("{}...", &text[..cut]),
            None => text,
        }
    }
}

/// Statements and queries that run in one session, in order, up to the first that fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    pub(crate) steps: Vec<StepText>,
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// A statement that must succeed: SQL without its semicolon, or a PL/SQL block.
    ///
    /// After an error in it nothing else runs. It must not follow [`Script::exec_tolerating`], whose errors do not
    /// stop the session; such a script is refused before it is sent.
    pub fn exec(&mut self, sql: impl Into<String>) -> Step {
        self.push(Kind::Exec, sql.into())
    }

    /// A statement that may fail with one of `codes` (`ORA-01142`); any other code is an error of the script.
    ///
    /// The session goes on after *every* error in it, so that END BACKUP is sent for each tablespace whatever the
    /// others say; the verdict is given when the session has ended.
    pub fn exec_tolerating(&mut self, sql: impl Into<String>, codes: &[&str]) -> Step {
        let codes = codes.iter().map(|c| (*c).to_owned()).collect();
        self.push(Kind::Tolerating(codes), sql.into())
    }

    /// `SELECT columns rest`. The columns are SQL expressions; a number is made text by Oracle, an SCN by [`scn`] and
    /// a date by [`date`]. `rest` begins with FROM and ends without a semicolon.
    pub fn query<C: AsRef<str>>(&mut self, columns: &[C], rest: impl Into<String>) -> Step {
        let columns = columns.iter().map(|c| c.as_ref().to_owned()).collect();
        self.push(Kind::Query(columns), rest.into())
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn push(&mut self, kind: Kind, sql: String) -> Step {
        self.steps.push(StepText { kind, sql: sql.trim().trim_end_matches('/').trim_end().to_owned() });
        Step(self.steps.len() - 1)
    }

    /// Whether anything in it can change the database.
    pub(crate) fn changes(&self) -> bool {
        self.steps.iter().any(|s| !matches!(s.kind, Kind::Query(_)))
    }

    /// Why the script cannot be sent, if so.
    pub(crate) fn flaw(&self) -> Option<String> {
        let mut tolerated = false;
        for step in &self.steps {
            match step.kind {
                Kind::Tolerating(_) => tolerated = true,
                Kind::Exec if tolerated => {
                    return Some(format!(
                        "{} would run after a statement whose errors do not stop the session",
                        step.label()
                    ))
                }
                Kind::Exec | Kind::Query(_) => {}
            }
            if step.sql.contains('\0') {
                return Some(format!("{} holds a NUL", step.label()));
            }
            if wrap(&step.sql).iter().any(|line| line.len() > LINE_MAX + 600) {
                return Some(format!("{} has a word too long for SQL*Plus", step.label()));
            }
        }
        None
    }

    /// The lines for SQL*Plus, from after the logon to the end.
    pub(crate) fn text(&self, marks: &Marks) -> String {
        let mut text = String::new();
        for (i, step) in self.steps.iter().enumerate() {
            text.push_str(&format!("PROMPT {}\n", marks.begin(i)));
            let sql = match &step.kind {
                Kind::Query(columns) => select(columns, &step.sql, marks),
                Kind::Exec => step.sql.clone(),
                Kind::Tolerating(_) => {
                    text.push_str("WHENEVER SQLERROR CONTINUE NONE\n");
                    step.sql.clone()
                }
            };
            text.push_str(&wrap(&sql).join("\n"));
            let first = sql.split_whitespace().next().unwrap_or_default();
            let block = ["BEGIN", "DECLARE", "<<"].iter().any(|w| first.to_ascii_uppercase().starts_with(w));
            text.push_str(match (block, sql.ends_with(';')) {
                (true, _) => "\n/\n",
                (false, true) => "\n",
                (false, false) => ";\n",
            });
            if matches!(step.kind, Kind::Tolerating(_)) {
                text.push_str("WHENEVER SQLERROR EXIT FAILURE ROLLBACK\n");
            }
            text.push_str(&format!("PROMPT {}\n", marks.end(i)));
        }
        text.push_str(&format!("PROMPT {}\nEXIT SUCCESS COMMIT\n", marks.done()));
        text
    }
}

/// An SCN or another integer of up to 20 digits as text without an exponent.
pub fn scn(expression: &str) -> String {
    format!("TO_CHAR({expression},'FM99999999999999999999')")
}

/// A DATE as `YYYY-MM-DDTHH24:MI:SS`, in the database's own time zone.
pub fn date(expression: &str) -> String {
    format!("TO_CHAR({expression},'YYYY-MM-DD\"T\"HH24:MI:SS')")
}

/// The words that only this session prints.
///
/// In the script's text they are always cut in two (or follow PROMPT), so that an echo of the script, as SQL*Plus gives
/// with an error, is never taken for them.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    nonce: String,
}

impl Marks {
    pub fn new() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        Self { nonce: format!("{:016x}", hasher.finish()) }
    }

    fn word(&self, name: &str) -> String {
        format!("orapipe.{}.{name}", self.nonce)
    }

    /// Printed by the first query after CONNECT: the session is alive.
    pub fn alive(&self) -> String {
        self.word("alive")
    }

    pub fn begin(&self, step: usize) -> String {
        self.word(&format!("begin.{step}"))
    }

    pub fn end(&self, step: usize) -> String {
        self.word(&format!("end.{step}"))
    }

    pub fn done(&self) -> String {
        self.word("done")
    }

    /// Said by the shell on another host, before SQL*Plus, when there is nothing to start.
    pub fn shell(&self) -> String {
        self.word("shell")
    }

    pub fn row_begin(&self) -> String {
        self.word("row<")
    }

    pub fn row_end(&self) -> String {
        format!(">{}", self.nonce)
    }

    /// A word as an SQL expression that does not contain the word.
    pub fn expression(word: &str) -> String {
        let (left, right) = word.split_at(word.len() / 2);
        format!("'{left}'||'{right}'")
    }
}

fn select(columns: &[String], rest: &str, marks: &Marks) -> String {
    let columns: Vec<String> = columns.iter().map(|c| format!("({c})")).collect();
    format!(
        "SELECT {}||{}||{} {rest}",
        Marks::expression(&marks.row_begin()),
        columns.join("||CHR(31)||"),
        Marks::expression(&marks.row_end()),
    )
}

/// Breaks a statement at blanks outside of quotes and comments.
///
/// A line never begins with `#` (SQL*Plus runs it as a command) and never ends with `-` (continuation).
fn wrap(sql: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in sql.lines() {
        let mut start = 0;
        let mut candidate = None;
        let mut quote = None;
        let bytes = line.as_bytes();
        for (i, b) in line.bytes().enumerate() {
            match (quote, b) {
                (None, b'\'' | b'"') => quote = Some(b),
                (Some(q), b) if q == b => quote = None,
                (None, b' ') => {
                    let before = i > 0 && bytes[i - 1] == b'-';
                    let after =
                        bytes.get(i + 1).is_none_or(|n| matches!(n, b'#' | b' ' | b'/' | b'.' | b'@'));
                    if i > start && !before && !after {
                        candidate = Some(i);
                    }
                }
                (None, b'|') => {
                    // "a||b" has no blanks; a break after the operator is as good as one at a blank.
                    let operator = i > 0 && bytes[i - 1] == b'|';
                    let after =
                        bytes.get(i + 1).is_none_or(|n| matches!(n, b'#' | b' ' | b'/' | b'.' | b'@' | b'|'));
                    if operator && !after {
                        candidate = Some(i + 1);
                    }
                }
                _ => {}
            }
            if i - start >= LINE_MAX {
                if let Some(cut) = candidate.take() {
                    lines.push(line[start..cut].trim_end().to_owned());
                    start = if bytes[cut] == b' ' { cut + 1 } else { cut };
                }
            }
        }
        lines.push(line[start..].to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_select_is_wrapped_outside_quotes_and_means_the_same() {
        let list: Vec<String> = (0..500).map(|i| format!("'/u0{i}/o''ra data/x # - {i}.dbf'")).collect();
        let sql = format!("SELECT x FROM t WHERE name IN ({}) AND a - #b = 1", list.join(", "));
        let lines = wrap(&sql);
        assert!(lines.len() > 5);
        assert!(lines.iter().all(|l| l.len() < LINE_MAX + 60 && !l.starts_with('#') && !l.ends_with('-')));
        assert!(lines.iter().all(|l| l.matches('\'').count() % 2 == 0), "a break inside a text");
        assert_eq!(lines.join(" "), sql);
    }

    #[test]
    fn a_long_chain_of_concatenation_is_wrapped() {
        let sql = vec!["(SOME_COLUMN_NAME)"; 300].join("||");
        let lines = wrap(&sql);
        assert!(lines.len() > 2 && lines.iter().all(|l| l.len() <= LINE_MAX + 1));
        assert_eq!(lines.concat(), sql);
    }

    #[test]
    fn the_text_of_a_script() {
        let mut script = Script::new();
        script.exec("ALTER DATABASE BEGIN BACKUP");
        script.query(&["NAME".to_owned(), scn("CHECKPOINT_CHANGE#")], "FROM v$datafile");
        script.exec_tolerating("ALTER DATABASE END BACKUP", &["ORA-01142"]);
        let marks = Marks { nonce: "0123456789abcdef".into() };
        assert_eq!(
            script.text(&marks),
            "PROMPT orapipe.0123456789abcdef.begin.0\n\
             ALTER DATABASE BEGIN BACKUP;\n\
             PROMPT orapipe.0123456789abcdef.end.0\n\
             PROMPT orapipe.0123456789abcdef.begin.1\n\
             SELECT 'orapipe.012345'||'6789abcdef.row<'||(NAME)||CHR(31)||\
             (TO_CHAR(CHECKPOINT_CHANGE#,'FM99999999999999999999'))||'>0123456'||'789abcdef' FROM v$datafile;\n\
             PROMPT orapipe.0123456789abcdef.end.1\n\
             PROMPT orapipe.0123456789abcdef.begin.2\n\
             WHENEVER SQLERROR CONTINUE NONE\n\
             ALTER DATABASE END BACKUP;\n\
             WHENEVER SQLERROR EXIT FAILURE ROLLBACK\n\
             PROMPT orapipe.0123456789abcdef.end.2\n\
             PROMPT orapipe.0123456789abcdef.done\n\
             EXIT SUCCESS COMMIT\n"
        );
    }

    #[test]
    fn a_block_ends_with_a_slash() {
        let mut script = Script::new();
        script.exec("BEGIN NULL; END;");
        assert!(script.text(&Marks::new()).contains("BEGIN NULL; END;\n/\nPROMPT"));
    }

    #[test]
    fn an_exec_after_a_tolerating_one_is_refused() {
        let mut script = Script::new();
        script.exec_tolerating("ALTER DATABASE END BACKUP", &["ORA-01142"]);
        script.query(&["1"], "FROM dual");
        assert_eq!(script.flaw(), None);
        script.exec("ALTER SYSTEM ARCHIVE LOG CURRENT");
        assert!(script.flaw().unwrap().starts_with("ALTER SYSTEM ARCHIVE LOG CURRENT would run after"));
    }

    #[test]
    fn every_session_has_its_own_marks() {
        assert_ne!(Marks::new().done(), Marks::new().done());
    }
}
