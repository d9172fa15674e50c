//! The state that a log leaves behind line by line.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::explain;

use super::codes::{Code, Severity};
use super::sentences::{foreign, in_oracle_home, is_failure};
use super::{patterns, Beside, Finding, Outcome, Verdict};

/// Findings and piece names kept of a log; more of the same are only counted.
pub const KEPT: usize = 10_000;
/// Pieces begun at the same time; there are never so many channels.
const OPEN: usize = 4_096;

/// What has been seen of the session that is being read.
#[derive(Default)]
pub(super) struct Session {
    /// Name of the program as its banner has it, and the line.
    banner: Option<(String, u64)>,
    complete: bool,
    /// The prompt of a shell stood above the banner: somebody has copied this from a terminal.
    terminal: bool,
    /// Lines that are neither banner nor prompt nor echo: something ran.
    worked: u64,
    /// A line of output shows that something was finished.
    pub(super) finished: bool,
    /// Error stacks.
    stacks: u64,
    /// A stack that says the input could not be parsed.
    parse_errors: u64,
    /// Some lines of `...`: the person who copied it has left something out.
    elided: bool,
    open_pieces: BTreeMap<(String, String), u64>,
    open_jobs: Vec<(String, u64)>,
    /// Findings that are errors unless the job goes on and ends well.
    provisional: Vec<usize>,
    /// Datafiles without a level 0, and those that went into a level 1.
    pub(super) no_parent: BTreeSet<u64>,
    level_1: BTreeSet<u64>,
    in_level_1: bool,
}

pub struct Judge {
    beside: Beside,
    line: u64,
    findings: Vec<Finding>,
    index: HashMap<(Option<String>, &'static str), usize>,
    handles: Vec<String>,
    pub(super) session: Session,
    /// In an error stack, which ends with a blank line.
    in_stack: bool,
    /// The lines of an ORA-01547 block.
    in_01547: bool,
    /// Whether anything looks like RMAN at all.
    pub(super) is_rman: bool,
    /// RMAN prints a number before every message.
    msgno: bool,
    anything: bool,
    foreign: Option<&'static str>,
    /// Where somebody called RMAN at a shell's prompt.
    shell_line: Option<u64>,
    /// Lines below a warning that belong to it.
    in_warning: bool,
    /// The last line that is not blank is a prompt and nothing else.
    at_prompt: bool,
}

impl Judge {
    pub fn new(beside: Beside) -> Self {
        Self {
            beside,
            line: 0,
            findings: Vec::new(),
            index: HashMap::new(),
            handles: Vec::new(),
            session: Session::default(),
            in_stack: false,
            in_01547: false,
            is_rman: false,
            msgno: false,
            anything: false,
            foreign: None,
            shell_line: None,
            in_warning: false,
            at_prompt: false,
        }
    }

    pub fn line(&mut self, line: &str) {
        self.line += 1;
        let mut text = line.trim_start();
        if text.is_empty() {
            self.in_stack = false;
            self.in_01547 = false;
            self.in_warning = false;
            return;
        }
        self.anything = true;
        self.at_prompt = false;
        if text.as_bytes()[0].is_ascii_digit() || text.as_bytes()[0] == b'[' {
            text = patterns::without_stamp(text).unwrap_or(text);
        }
        if patterns::is_echo(text) {
            // With standard input a prompt and the first line of output share a line only for prompts.
            self.is_rman |= text.starts_with("RMAN>");
            self.at_prompt = patterns::waits(text);
            self.in_stack = false;
            return;
        }
        if let Some(code) = Code::at_start(text) {
            self.coded(code, text);
            return;
        }
        if text.contains("elease") || text.contains("ersi") || text.contains("ersão") || text.contains(": ")
        {
            if let Some(name) = patterns::banner(text) {
                self.begin(name.to_owned());
                return;
            }
        }
        if self.closes(text) {
            self.session.complete = true;
            self.in_stack = false;
            self.is_rman = true;
            return;
        }
        self.plain(text);
    }

    fn begin(&mut self, name: String) {
        self.end_session(false);
        self.is_rman = true;
        let terminal = self.shell_line.take().is_some_and(|line| self.line - line <= 6);
        self.session = Session { banner: Some((name, self.line)), terminal, ..Session::default() };
        self.in_stack = false;
    }

    /// `Recovery Manager complete.` in any language: the name of the banner, some words, a full stop.
    fn closes(&self, text: &str) -> bool {
        if text.starts_with("Recovery Manager complete") {
            return true;
        }
        let Some((name, _)) = &self.session.banner else { return false };
        text.strip_prefix(name.as_str()).is_some_and(|rest| {
            rest.ends_with('.')
                && rest.chars().count() <= 40
                && !rest.contains([':', '='])
                && !rest.contains(|c: char| c.is_ascii_digit())
        })
    }

    fn coded(&mut self, code: Code<'_>, line: &str) {
        if code.name.starts_with("RMAN-") {
            self.is_rman = true;
        }
        if code.is_msgno() && !self.in_stack {
            self.msgno = true;
        }
        if code.is_frame() {
            if !self.in_stack {
                self.session.stacks += 1;
            }
            self.in_stack = true;
            return;
        }
        if self.in_stack {
            if matches!(code.name, "RMAN-00558" | "RMAN-00552") {
                self.session.parse_errors += 1;
            }
            self.report(Severity::Error, Some(code.name), "", line);
            return;
        }
        if code.name == "ORA-01547" {
            self.in_01547 = true;
            self.report(
                Severity::Error,
                Some(code.name),
                "the database cannot be opened although RECOVER ends without an error",
                line,
            );
            return;
        }
        if self.in_01547 {
            self.report(Severity::Error, Some(code.name), "", line);
            return;
        }
        if code.continues_06207() {
            self.session.worked += 1;
            if !self.index.contains_key(&(Some("RMAN-06207".to_owned()), "")) {
                self.report(Severity::Warning, Some("RMAN-06207"), "", line);
            }
            return;
        }
        if let Some(severity) = code.known() {
            self.session.worked += 1;
            self.in_warning = true;
            self.report(severity, Some(code.name), "", line);
            return;
        }
        if self.msgno && code.name.starts_with("RMAN-") && !code.says_warning() && !is_failure(code.name) {
            self.plain(code.text);
            return;
        }
        if code.says_warning() {
            self.session.worked += 1;
            self.in_warning = true;
            self.report(Severity::Warning, Some(code.name), "", line);
            return;
        }
        if self.in_warning && !code.name.starts_with("RMAN-") {
            self.report(Severity::Warning, Some(code.name), "", line);
            return;
        }
        let at = self.report(Severity::Error, Some(code.name), "", line);
        // What follows decides: RMAN goes on to an older backup, or it does not.
        if code.name.starts_with("ORA-") {
            if let Some(at) = at {
                self.session.provisional.push(at);
            }
        }
    }

    fn plain(&mut self, text: &str) {
        if self.in_stack {
            // The rest of a message that was broken into lines.
            return;
        }
        if patterns::shell_call(text) {
            self.shell_line = Some(self.line);
            return;
        }
        if text.chars().all(|c| c == '.' || c == '…') {
            self.session.elided = true;
            self.session.open_pieces.clear();
            return;
        }
        self.foreign = self.foreign.or_else(|| foreign(text));
        if text.starts_with("Copyright") || text.starts_with("Version ") {
            return;
        }
        self.session.worked += 1;
        if let Some((what, channel, number)) = patterns::piece(text) {
            self.is_rman = true;
            self.piece(what, channel, number);
            return;
        }
        if text.contains('=') {
            if let Some(path) = patterns::handle(text) {
                self.handle(path.to_owned());
                return;
            }
            if text.starts_with("input datafile") {
                if let (true, Some(file)) = (self.session.in_level_1, patterns::input_file(text)) {
                    self.session.level_1.insert(file);
                }
                return;
            }
            if text.starts_with("output file name=") || text.starts_with("output filename=") {
                self.is_rman = true;
                self.session.finished = true;
                return;
            }
        }
        if let Some((begins, name)) = patterns::job(text) {
            self.job(begins, name);
            return;
        }
        if text.starts_with("channel ")
            || text.starts_with("canal ")
            || text.contains("ORA_DISK_")
            || text.contains("ORA_SBT_")
        {
            self.is_rman = true;
            if let Some(level_1) = patterns::begins_level_1(text) {
                self.session.in_level_1 = level_1;
            }
        }
        self.sentence(text);
    }

    fn piece(&mut self, what: patterns::Piece, channel: &str, number: &str) {
        let key = (channel.to_owned(), number.to_owned());
        let open = &mut self.session.open_pieces;
        let begins = match what {
            patterns::Piece::Starting => true,
            patterns::Piece::Finished => false,
            patterns::Piece::Either => !open.contains_key(&key),
        };
        if begins {
            if open.len() < OPEN {
                open.insert(key, self.line);
            }
        } else {
            open.remove(&key);
            self.session.finished = true;
        }
    }

    fn handle(&mut self, path: String) {
        self.is_rman = true;
        self.session.finished = true;
        if in_oracle_home(&path) {
            self.report(
                Severity::Notice,
                None,
                "a piece is in ORACLE_HOME: no FORMAT and no recovery area are set",
                &path,
            );
        }
        if self.handles.len() < KEPT {
            self.handles.push(path);
        }
    }

    fn job(&mut self, begins: bool, name: &str) {
        self.is_rman = true;
        self.session.in_level_1 = false;
        if begins {
            if self.session.open_jobs.len() < OPEN {
                self.session.open_jobs.push((name.to_owned(), self.line));
            }
            return;
        }
        self.session.finished = true;
        if let Some(at) = self.session.open_jobs.iter().rposition(|(n, _)| n == name) {
            self.session.open_jobs.remove(at);
        }
        self.went_on();
    }

    /// The job went on after an ORA- error, so something was left behind but nothing failed.
    pub(super) fn went_on(&mut self) {
        for at in self.session.provisional.drain(..) {
            if let Some(finding) = self.findings.get_mut(at) {
                finding.severity = Severity::Warning;
            }
        }
    }

    /// Adds a finding, or counts it when it is there. Returns its place.
    pub(super) fn report(
        &mut self,
        severity: Severity,
        code: Option<&str>,
        meaning: &'static str,
        line: &str,
    ) -> Option<usize> {
        let key = (code.map(str::to_owned), meaning);
        if let Some(at) = self.index.get(&key).copied() {
            let finding = self.findings.get_mut(at)?;
            finding.count += 1;
            finding.severity = finding.severity.max(severity);
            return None;
        }
        if self.findings.len() >= KEPT {
            return None;
        }
        let explained = code.and_then(explain::exact).map(|e| e.meaning).unwrap_or_default();
        let meaning = if meaning.is_empty() { explained } else { meaning };
        let line: String = line.chars().take(400).collect();
        let message = if meaning.is_empty() { line } else { format!("{meaning}: {line}") };
        let code = code.map(str::to_owned);
        self.findings.push(Finding { line: self.line, count: 1, severity, code, message });
        let at = self.findings.len() - 1;
        self.index.insert(key, at);
        Some(at)
    }

    fn add(&mut self, line: u64, severity: Severity, message: String) {
        if self.findings.len() < KEPT {
            self.findings.push(Finding { line, count: 1, severity, code: None, message });
        }
    }

    /// What the end of a session says: at the next banner, or at the end of the log.
    fn end_session(&mut self, last: bool) {
        let session = std::mem::take(&mut self.session);
        if session.parse_errors > 0 && session.stacks > 1 {
            self.add(
                0,
                Severity::Error,
                "RMAN did not understand its input and ran the rest of it line by line".to_owned(),
            );
        }
        let whole = session.banner.is_some() && session.complete;
        let cut = match &session.banner {
            Some(_) => {
                // A person who copied a terminal stopped where he liked; so did one whose last line is a prompt.
                let copied = session.terminal || (self.at_prompt && session.open_jobs.is_empty());
                !session.complete && (!copied || self.beside.whole)
            }
            // What stands above the first banner is no session of its own.
            None => last && self.beside.whole && !session.complete,
        };
        if cut {
            let from = session.banner.as_ref().map_or(1, |(_, line)| *line);
            self.add(
                from,
                Severity::Error,
                "the log ends without RMAN's closing line: RMAN was killed, or the log is not whole"
                    .to_owned(),
            );
        }
        if !session.elided || cut {
            for ((channel, number), line) in &session.open_pieces {
                self.add(
                    *line,
                    Severity::Error,
                    format!("piece {number} on channel {channel} was started and never finished"),
                );
            }
        }
        if whole && session.stacks == 0 {
            for (name, line) in &session.open_jobs {
                self.add(*line, Severity::Error, format!("{name} was started and never finished"));
            }
        }
        if whole && session.worked == 0 && session.stacks == 0 {
            self.add(0, Severity::Warning, "RMAN was started and did nothing".to_owned());
        }
        self.parents(&session);
    }

    /// A level 1 of a new datafile is a copy of that file; when hardly any file has a level 0, the level 1 is no level 1.
    fn parents(&mut self, session: &Session) {
        let missing = session.no_parent.len();
        if missing == 0 {
            return;
        }
        let with = session.level_1.difference(&session.no_parent).count();
        let files: Vec<_> = session.no_parent.iter().take(20).map(u64::to_string).collect();
        let files = files.join(", ");
        if missing > with {
            self.add(
                0,
                Severity::Warning,
                format!("no level 0 was found for datafiles {files}: this level 1 is a level 0"),
            );
        } else {
            self.add(
                0,
                Severity::Notice,
                format!("datafiles {files} are new: they were backed up whole, the others as level 1"),
            );
        }
    }

    pub fn finish(mut self) -> Verdict {
        let proof = self.session.finished || self.session.complete || !self.findings.is_empty();
        let excerpt = self.session.banner.is_none();
        self.end_session(true);
        let mut hint = None;
        if !self.anything {
            self.add(
                0,
                Severity::Error,
                "the log is empty: nothing proves that anything was done".to_owned(),
            );
            hint = Some("look whether RMAN was started at all, and where its log went");
        } else if !self.is_rman {
            let what = self.foreign.unwrap_or("no log of RMAN");
            self.findings.clear();
            self.add(0, Severity::Error, format!("this is {what}: nothing in it comes from RMAN"));
            hint = Some("give the file that RMAN's log= names, or what RMAN printed");
        } else if excerpt && !proof {
            self.add(0, Severity::Error, "nothing in the log proves that anything was finished".to_owned());
        }
        let outcome = self.findings.iter().map(|f| f.severity).max().map_or(Outcome::Success, |s| match s {
            Severity::Notice => Outcome::Success,
            Severity::Warning => Outcome::Warning,
            Severity::Error => Outcome::Failure,
        });
        Verdict { outcome, findings: self.findings, handles: self.handles, lines: self.line, hint }
    }
}
