//! The lines of a Data Pump log, read without relying on its language.

use std::io::BufRead;
use std::sync::OnceLock;

use regex::Regex;

use super::Ending;

/// Messages beyond this many are counted, not kept.
const MESSAGES_MAX: usize = 100_000;
/// Longer lines are cut: no message that decides anything is longer.
const LINE_MAX: usize = 4096;

/// A message with the lines that explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub code: String,
    /// The text behind the code, continuation lines joined.
    pub text: String,
    pub line: usize,
    /// `"HR"."EMPLOYEES"` or `"HR"."SALES":"P2025"`, when it names one.
    pub object: Option<String>,
    /// The code below it that says why.
    pub cause: Option<String>,
}

/// One run of expdp, impdp or exp in a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Session {
    /// The banner or the line that starts the job was seen.
    pub began: bool,
    pub import: bool,
    /// The old exp or imp.
    pub legacy: bool,
    /// `Connected to: … Standard Edition 2 Release …`
    pub connected_to: Option<String>,
    /// Owner and name of the job.
    pub job: Option<(String, String)>,
    pub ending: Option<(Ending, usize)>,
    /// Words of the last line of exp, with its line.
    pub legacy_end: Option<(String, usize)>,
    /// What was saved or loaded: object and rows.
    pub objects: Vec<(String, u64)>,
    /// Bytes that the lines of the objects add up to, each rounded to four digits by Oracle.
    pub bytes: u64,
    /// Dump files as the server names them.
    pub dumps: Vec<String>,
    pub messages: Vec<Message>,
    /// It asked for a user name or a password.
    pub prompted: bool,
}

impl Session {
    /// Rows that were saved or loaded.
    pub fn rows(&self) -> u64 {
        self.objects.iter().map(|(_, rows)| rows).sum()
    }

    pub fn is_export(&self) -> bool {
        let job = self.job.as_ref().map(|(_, name)| name.as_str()).unwrap_or_default();
        !self.import && !job.contains("IMPORT")
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

struct Forms {
    banner: Regex,
    prefix: Regex,
    worker: Regex,
    starting: Regex,
    pair: Regex,
    time: Regex,
    errors: Regex,
    fatal: Regex,
    success: Regex,
    row: Regex,
    legacy_row: Regex,
    code: Regex,
    object: Regex,
    dump: Regex,
    prompt: Regex,
    more: Regex,
}

fn forms() -> Option<&'static Forms> {
    static FORMS: OnceLock<Option<Forms>> = OnceLock::new();
    FORMS.get_or_init(|| build().ok()).as_ref()
}

fn build() -> Result<Forms, regex::Error> {
    Ok(Forms {
        banner: Regex::new(r"^(Export|Import): \S+ \d+\.\d+")?,
        // LOGTIME: `29-APR-25 13:01:36.278: `.
        prefix: Regex::new(r"^\d{1,2}-\S{3,9}-\d{2,4} \d{2}:\d{2}:\d{2}(?:\.\d+)?: ")?,
        worker: Regex::new(r"^W-\d+ +")?,
        starting: Regex::new(r#"^[^"]*"([^"]+)"\."([^"]+)"\s*:"#)?,
        pair: Regex::new(r#""([^"]+)"\."([^"]+)""#)?,
        time: Regex::new(r"\d{1,2}:\d{2}:\d{2}")?,
        // error(s), erro(s), error(es), erreur(s), Fehler(n), errore/i
        errors: Regex::new(r"(?i)\b(\d+) +(?:err\S*|fehler\S*)")?,
        fatal: Regex::new(r"(?i)fatal|schwerwiegend")?,
        success: Regex::new(r"(?i)success|sucesso|xito|correct|succ[eè]s|erfolgreich|riuscit")?,
        row: Regex::new(
            r#"^\. \. \S+(?: \S+)? +("[^"]+"(?:\."[^"]+")?(?::"[^"]+"(?:\."[^"]+")?)?) +([\d.,]+) +([KMGT]?)B\S* +(\d+)(?: |$)"#,
        )?,
        legacy_row: Regex::new(r"^\. \. .*?(\S+) +(\d+) +\S+")?,
        code: Regex::new(r"^((?:ORA|UDE|UDI|DUE|DUI|EXP|IMP|LRM|TNS|KUP|PLS)-\d{5}):? ?(.*)$")?,
        object: Regex::new(r#""[^"]+"\."[^"]+"(?::"[^"]+"(?:\."[^"]+")?)?"#)?,
        dump: Regex::new(r"^ {2,}(\S.*)$")?,
        more: Regex::new(r"^(?:[\w-]+(?: [\w-]+){0,2} Error: \d+:|Additional information:)")?,
        prompt: Regex::new(r"^(?:Username|Password|Nome do usu.{0,2}rio|Senha|Usuario|Contrase.{0,2}a): *$")?,
    })
}

/// Splits a log into sessions; text before the first message of Data Pump is noise.
pub fn sessions(mut log: impl BufRead) -> std::io::Result<Vec<Session>> {
    let Some(forms) = forms() else { return Ok(Vec::new()) };
    let mut reader = Reader { forms, done: Vec::new(), now: Session::default(), dumps: false, stack: false };
    let mut raw = Vec::new();
    let mut number = 0;
    loop {
        raw.clear();
        if log.read_until(b'\n', &mut raw)? == 0 {
            break;
        }
        number += 1;
        raw.truncate(LINE_MAX);
        let text = String::from_utf8_lossy(&raw);
        reader.line(text.trim_end(), number);
    }
    Ok(reader.finish())
}

/// `17.08 KB`; with a comma in languages that write one.
fn bytes(number: &str, unit: &str) -> u64 {
    let factor = match unit {
        "K" => 1024.0,
        "M" => 1024.0 * 1024.0,
        "G" => 1024.0 * 1024.0 * 1024.0,
        "T" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    let number: f64 = number.replace(',', ".").parse().unwrap_or(0.0);
    (number * factor) as u64
}

struct Reader {
    forms: &'static Forms,
    done: Vec<Session>,
    now: Session,
    /// Inside the list of dump files.
    dumps: bool,
    /// The line before was part of a message.
    stack: bool,
}

impl Reader {
    fn line(&mut self, line: &str, number: usize) {
        let line = line.strip_prefix(";;; ").unwrap_or(line);
        let cut = self.forms.prefix.find(line).map_or(0, |m| m.end());
        let line = &line[cut..];
        let cut = self.forms.worker.find(line).map_or(0, |m| m.end());
        let line = &line[cut..];
        if line.trim().is_empty() {
            self.stack = false;
            return;
        }
        if let Some(banner) = self.forms.banner.captures(line) {
            // Messages that came before it are the same client's.
            if self.now.began || self.now.ending.is_some() || !self.now.objects.is_empty() {
                self.next_session();
            }
            self.now.began = true;
            self.now.import = &banner[1] == "Import";
            return;
        }
        if self.forms.prompt.is_match(line) {
            self.now.prompted = true;
        } else if let Some(rest) = line.strip_prefix("Connected to: ") {
            self.now.connected_to = Some(rest.trim().to_owned());
            self.now.began = true;
        } else if self.message(line, number)
            || self.row(line)
            || self.job(line, number)
            || self.legacy(line, number)
        {
        } else if self.dumps {
            match self.forms.dump.captures(line) {
                Some(dump) => self.now.dumps.push(dump[1].to_owned()),
                None => self.dumps = false,
            }
        } else if self.is_dump_heading(line) {
            self.dumps = true;
        }
        self.stack = self.stack && (self.forms.code.is_match(line) || self.continues(line));
    }

    /// `Dump file set for HR.SYS_EXPORT_SCHEMA_01 is:` in any language: the job without quotes, a colon at the end.
    fn is_dump_heading(&self, line: &str) -> bool {
        let Some((owner, name)) = &self.now.job else { return false };
        line.ends_with(':') && line.contains(&format!("{owner}.{name}"))
    }

    fn message(&mut self, line: &str, number: usize) -> bool {
        let Some(found) = self.forms.code.captures(line) else {
            if self.stack && self.continues(line) {
                if let Some(last) = self.now.messages.last_mut() {
                    last.text.push(' ');
                    last.text.push_str(line.trim());
                }
                return true;
            }
            return false;
        };
        let code = found[1].to_owned();
        let text = found[2].trim().to_owned();
        if code.starts_with("EXP-") || code.starts_with("IMP-") {
            self.now.legacy = true;
        }
        let detail = self.stack && !super::codes::is_head(&code) && !self.now.legacy;
        if detail {
            if let Some(last) = self.now.messages.last_mut() {
                if last.cause.is_none() && !super::codes::is_place(&code) {
                    last.cause = Some(code.clone());
                }
                last.text.push_str(&format!("; {code}: {text}"));
            }
        } else if self.now.messages.len() < MESSAGES_MAX {
            let object = self.forms.object.find(&text).map(|m| m.as_str().to_owned());
            self.now.messages.push(Message { code, text, line: number, object, cause: None });
        }
        self.dumps = false;
        self.stack = true;
        true
    }

    /// A text that goes on in the next line: indented, or what the operating system said.
    fn continues(&self, line: &str) -> bool {
        line.starts_with(' ') || self.forms.more.is_match(line)
    }

    fn row(&mut self, line: &str) -> bool {
        if let Some(row) = self.forms.row.captures(line) {
            let rows = row[4].parse().unwrap_or(0);
            self.now.bytes += bytes(&row[2], &row[3]);
            self.now.objects.push((row[1].to_owned(), rows));
            return true;
        }
        if self.now.legacy || !line.contains('"') {
            if let Some(row) = self.forms.legacy_row.captures(line) {
                self.now.legacy = true;
                self.now.objects.push((row[1].to_owned(), row[2].parse().unwrap_or(0)));
                return true;
            }
        }
        false
    }

    /// The lines that carry the job's name in quotes: start, master table, end.
    fn job(&mut self, line: &str, number: usize) -> bool {
        if let Some(start) = self.forms.starting.captures(line) {
            if self.now.ending.is_some() {
                self.next_session();
            }
            self.now.began = true;
            self.now.job = Some((start[1].to_owned(), start[2].to_owned()));
            return true;
        }
        let Some(pair) = self.forms.pair.captures(line) else { return false };
        let end = pair.get(0).map_or(0, |m| m.end());
        let rest = &line[end..];
        let job = (pair[1].to_owned(), pair[2].to_owned());
        if self.now.job.as_ref().is_some_and(|known| *known != job) || !self.forms.time.is_match(rest) {
            return self.now.job.as_ref() == Some(&job);
        }
        let errors = self.forms.errors.captures(rest).and_then(|e| e[1].parse().ok());
        let ending = match errors {
            Some(0) => Ending::Complete,
            Some(n) => Ending::Errors(n),
            None if self.forms.fatal.is_match(rest) => Ending::Fatal,
            None if self.forms.success.is_match(rest) => Ending::Complete,
            None => Ending::Unknown,
        };
        self.now.job = Some(job);
        self.now.ending = Some((ending, number));
        self.dumps = false;
        true
    }

    fn legacy(&mut self, line: &str, number: usize) -> bool {
        if super::legacy::is_end(line) {
            self.now.legacy = true;
            self.now.legacy_end = Some((line.trim().to_owned(), number));
            return true;
        }
        false
    }

    fn next_session(&mut self) {
        let session = std::mem::take(&mut self.now);
        if !session.is_empty() {
            self.done.push(session);
        }
        self.dumps = false;
        self.stack = false;
    }

    fn finish(mut self) -> Vec<Session> {
        self.next_session();
        self.done
    }
}
