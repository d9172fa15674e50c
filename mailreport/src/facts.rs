//! What the records told, in bounded memory: counts, the first failed items, the runs, what is protected.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Local, Utc};
use common::exit::Exit;
use common::record::{
    ArchivedLog, CopyStatus, Datafile, Drill, DrillStatus, Export, ExportStatus, File, Gap, Kept, Level,
    Line, Log, LogStatus, Object, ObjectStatus, Payload, RecoveryWindow, Removed, Role, RunBegin, RunEnd,
    Snapshot, Standby, Tablespace, VERSION,
};
use serde::de::DeserializeOwned;
use serde::de::IgnoredAny;
use serde::Deserialize;

use crate::codes;
use crate::format;
use crate::logs::Logs;
use crate::places::Places;
use crate::protection::{Asset, Protection};

/// Failed items that are kept with their text; more are only counted.
pub const PROBLEMS: usize = 60;
/// Runs that are kept with their counts; more are only counted. Enough for every job of some hundred databases.
pub const RUNS: usize = 1000;
/// Names of tools that are remembered, however many runs each had; a pipeline has nine.
const TOOLS: usize = 1000;
/// Longest text of a record that is kept.
const TEXT: usize = 300;

/// What was worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Export,
    Dump,
    BackupPiece,
    Archive,
    Object,
    Tablespace,
    Datafile,
    ArchivedLog,
    Snapshot,
    Drill,
    File,
    Gap,
    Line,
    Run,
    Removed,
    Kept,
}

/// What became of the items of one kind. Bytes are of those that are done or done in part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    pub done: u64,
    pub partial: u64,
    pub failed: u64,
    pub skipped: u64,
    pub bytes: u64,
}

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Partial,
    Failed,
    Skipped,
}

/// A failed item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub name: String,
    pub code: Option<String>,
    pub reason: String,
    pub hint: Option<String>,
    /// Index in [`Places::all`].
    pub place: Option<usize>,
}

/// A run of a tool.
#[derive(Debug, Clone, Default)]
pub struct ToolRun {
    pub tool: String,
    pub run: String,
    pub begun: Option<DateTime<Utc>>,
    /// `None`: it never ended, its tool has died.
    pub end: Option<RunEnd>,
    /// What becomes a good backup if the run ends with status 0.
    pub pending: Vec<Asset>,
    /// Index in [`Places::all`].
    pub place: Option<usize>,
}

/// Everything that a report is made of.
#[derive(Debug, Default)]
pub struct Facts {
    pub records: u64,
    pub bad_lines: u64,
    pub unknown: u64,
    pub planned: u64,
    pub warnings: u64,
    pub errors: u64,
    pub gaps: u64,
    pub work: BTreeMap<Kind, Tally>,
    pub problems: Vec<Problem>,
    /// All of them, also those that are not in `problems`.
    pub problem_count: u64,
    pub runs: Vec<ToolRun>,
    pub more_runs: u64,
    /// Tools that began or ended a run, also those of which the run is not in `runs`.
    pub tools: BTreeSet<String>,
    /// Tools that began and never ended; the first few.
    pub died: Vec<String>,
    /// Tools that were expected and never reported.
    pub missing: Vec<String>,
    pub db: Option<String>,
    pub host: Option<String>,
    /// Every database and host that told something; [`Facts::db`] and [`Facts::host`] are known where there is one.
    pub places: Places,
    /// The place of the record that is taken in now.
    pub at: Option<usize>,
    pub first: Option<DateTime<Utc>>,
    pub last: Option<DateTime<Utc>>,
    pub protection: Protection,
    pub logs: Logs,
    /// The pipeline's status: set by [`Facts::conclude`].
    pub exit: Option<Exit>,
}

#[derive(Deserialize)]
struct Head<'a> {
    v: Option<u64>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool: Option<Cow<'a, str>>,
    #[serde(borrow)]
    run: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ts: Option<Cow<'a, str>>,
}

impl Facts {
    /// Takes one line in. A line that is no record of ours, or one with a field that is not what it should be, is one
    /// failed item.
    pub fn take(&mut self, line: &Line) {
        self.records += 1;
        self.at = None;
        let head: Head<'_> = match serde_json::from_slice(line.raw()) {
            Ok(head) => head,
            Err(_) => {
                let error = line.kind().err().map_or_else(|| "not a record".to_owned(), |e| format!("{e:#}"));
                return self.bad(line, &error);
            }
        };
        if let Err(error) = self.understand(line, &head) {
            self.bad(line, &format!("{error:#}"));
        }
    }

    fn bad(&mut self, line: &Line, error: &str) {
        self.bad_lines += 1;
        let error = error.strip_prefix(&format!("line {} of the input: ", line.number())).unwrap_or(error);
        self.problem(Kind::Line, line.number().to_string(), None, error);
    }

    fn understand(&mut self, line: &Line, head: &Head<'_>) -> anyhow::Result<()> {
        if head.kind.is_none() && is_schema(line) {
            return Ok(());
        }
        // Any other hand-made line names a file and nothing else.
        let kind = head.kind.as_deref().unwrap_or(File::TYPE);
        let known = KNOWN.contains(&kind);
        if !known {
            self.unknown += u64::from(kind != "mail" && kind != "planned");
            self.planned += u64::from(kind == "planned");
            return Ok(());
        }
        anyhow::ensure!(
            head.v.is_none_or(|v| v <= VERSION),
            "record version {}, this program knows {VERSION}",
            head.v.unwrap_or_default()
        );
        self.at = self.run_of(head).and_then(|index| self.runs[index].place);
        match kind {
            RunBegin::TYPE => self.begin(head, &decode(line)?),
            RunEnd::TYPE => self.end(head, decode(line)?),
            File::TYPE => self.file(head, &decode(line)?),
            ArchivedLog::TYPE => self.archived_log(head, &decode(line)?),
            Gap::TYPE => self.gap(decode(line)?),
            Standby::TYPE => {
                let standby: Standby = decode(line)?;
                if let Some(place) = self.places.get(self.at) {
                    place.protection.standby(standby.clone());
                }
                self.protection.standby(standby);
            }
            Tablespace::TYPE => self.tablespace(&decode(line)?),
            Datafile::TYPE => self.datafile(&decode(line)?),
            RecoveryWindow::TYPE => {
                let window: RecoveryWindow = decode(line)?;
                if let Some(place) = self.places.get(self.at) {
                    place.protection.window(window.clone());
                }
                self.protection.window(window);
                self.asset(head, Asset::HotCopy);
            }
            Object::TYPE => self.object(head, &decode(line)?),
            Export::TYPE => self.export(head, &decode(line)?),
            Snapshot::TYPE => self.snapshot(head, &decode(line)?),
            Drill::TYPE => self.drill(head, decode(line)?),
            Kept::TYPE => self.count(Kind::Kept, Fate::Done, decode::<Kept>(line)?.bytes),
            Removed::TYPE => self.count(Kind::Removed, Fate::Done, decode::<Removed>(line)?.bytes),
            _ => self.log(head, &decode(line)?),
        }
        Ok(())
    }

    fn reported(&mut self, head: &Head<'_>) {
        let Some(tool) = head.tool.as_deref() else { return };
        if tool.len() <= TEXT && self.tools.len() < TOOLS && !self.tools.contains(tool) {
            self.tools.insert(tool.to_owned());
        }
    }

    fn begin(&mut self, head: &Head<'_>, begin: &RunBegin) {
        let at = stamp(head);
        self.reported(head);
        self.first = self.first.into_iter().chain(at).min();
        let place = self.places.enter(&begin.host, begin.db.as_deref());
        self.places.heard(place, head.tool.as_deref().unwrap_or("?"));
        if self.runs.len() == RUNS {
            self.more_runs += 1;
            return;
        }
        self.runs.push(ToolRun {
            tool: head.tool.as_deref().unwrap_or("?").to_owned(),
            run: head.run.as_deref().unwrap_or_default().to_owned(),
            begun: at,
            place,
            ..ToolRun::default()
        });
    }

    fn end(&mut self, head: &Head<'_>, mut end: RunEnd) {
        let at = stamp(head);
        self.reported(head);
        self.last = self.last.into_iter().chain(at).max();
        while end.counts.len() > 12 {
            end.counts.pop_last();
        }
        end.message = end.message.map(|m| format::clean(&m, TEXT));
        let good = end.exit == 0;
        self.places.ended(self.at, Exit::from_code(end.exit), at);
        let index = match self.run_of(head) {
            Some(index) => index,
            // An end without a beginning: cut by head or grep.
            None if self.runs.len() < RUNS => {
                self.runs.push(ToolRun {
                    tool: head.tool.as_deref().unwrap_or("?").to_owned(),
                    run: head.run.as_deref().unwrap_or_default().to_owned(),
                    ..ToolRun::default()
                });
                self.runs.len() - 1
            }
            None => return,
        };
        let run = &mut self.runs[index];
        run.end = Some(end);
        let pending = std::mem::take(&mut run.pending);
        if good {
            let at = at.unwrap_or_else(Utc::now);
            for asset in pending {
                if let Some(place) = self.places.get(self.at) {
                    place.protection.good(asset.clone(), at);
                }
                self.protection.good(asset, at);
            }
        }
    }

    /// The open run that a record belongs to; mostly the last ones.
    fn run_of(&self, head: &Head<'_>) -> Option<usize> {
        let (tool, run) = (head.tool.as_deref()?, head.run.as_deref()?);
        self.runs.iter().rposition(|r| r.end.is_none() && r.run == run && r.tool == tool)
    }

    /// Notes what is a good backup once its run has ended well. Lines without a run prove nothing.
    fn asset(&mut self, head: &Head<'_>, asset: Asset) {
        if let Some(index) = self.run_of(head) {
            let pending = &mut self.runs[index].pending;
            if pending.len() < 100 && !pending.contains(&asset) {
                pending.push(asset);
            }
        }
    }

    fn file(&mut self, head: &Head<'_>, file: &File) {
        let kind = match file.role {
            Some(Role::BackupPiece) => Kind::BackupPiece,
            Some(Role::ArchivedLog) => Kind::ArchivedLog,
            Some(Role::Datafile) => Kind::Datafile,
            Some(Role::Dump) => Kind::Dump,
            Some(Role::Archive) => Kind::Archive,
            _ => Kind::File,
        };
        if matches!(file.role, Some(Role::Log | Role::ExportLog)) && file.host.is_none() {
            self.logs.file(&file.path);
        }
        if self.is_new(head, file) {
            for asset in Asset::of_file(file) {
                self.asset(head, asset);
            }
        }
        self.count(kind, Fate::Done, file.bytes);
    }

    /// Whether a file was made by the run that tells of it: one that was downloaded or only verified is no new backup,
    /// and its age must not be forgotten.
    fn is_new(&self, head: &Head<'_>, file: &File) -> bool {
        let begun = self.run_of(head).and_then(|index| self.runs[index].begun);
        let made = file.backup_time.as_deref().and_then(format::parse);
        // Times of backups have whole seconds.
        let older = made.zip(begun).is_some_and(|(made, begun)| made + Duration::seconds(2) < begun);
        head.tool.as_deref() != Some("s3-get") && !older
    }

    fn archived_log(&mut self, head: &Head<'_>, log: &ArchivedLog) {
        let fate = match log.status {
            Some(LogStatus::Failed) => Fate::Failed,
            Some(LogStatus::Skipped) => Fate::Skipped,
            Some(LogStatus::Shipped | LogStatus::Resumed | LogStatus::Present) | None => Fate::Done,
        };
        if fate == Fate::Failed {
            let name = match (log.thread, log.sequence) {
                (Some(thread), Some(sequence)) => {
                    format!("{} (thread {thread} sequence {sequence})", log.path)
                }
                _ => log.path.clone(),
            };
            self.problem(Kind::ArchivedLog, name, None, log.reason.as_deref().unwrap_or_default());
        }
        if fate == Fate::Done && log.status.is_some() {
            self.asset(head, Asset::Redo);
        }
        self.count(Kind::ArchivedLog, fate, log.bytes);
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps += 1;
        let name = format!("thread {} sequence {} to {}", gap.thread, gap.from, gap.to);
        self.problem(Kind::Gap, name, None, &gap.reason);
        if let Some(problem) = self.problems.last_mut().filter(|p| p.kind == Kind::Gap) {
            problem.hint = Some(format::clean(&gap.hint, TEXT)).filter(|h| !h.is_empty());
        }
    }

    fn tablespace(&mut self, tablespace: &Tablespace) {
        let fate = copied(tablespace.status);
        if fate == Fate::Failed {
            let reason = tablespace.reason.as_deref().unwrap_or_default();
            self.problem(Kind::Tablespace, tablespace.name.clone(), None, reason);
        }
        self.count(Kind::Tablespace, fate, tablespace.bytes);
    }

    fn datafile(&mut self, datafile: &Datafile) {
        let fate = copied(datafile.status);
        if fate == Fate::Failed {
            let name = format!("{} ({})", datafile.path, datafile.tablespace);
            self.problem(Kind::Datafile, name, None, datafile.reason.as_deref().unwrap_or_default());
        }
        self.count(Kind::Datafile, fate, datafile.bytes);
    }

    fn object(&mut self, head: &Head<'_>, object: &Object) {
        let failed = object.status == Some(ObjectStatus::Failed);
        if failed {
            let name = format!("s3://{}/{}", object.bucket, object.key);
            self.problem(Kind::Object, name, None, object.reason.as_deref().unwrap_or_default());
        } else {
            self.asset(head, Asset::Object);
        }
        self.count(Kind::Object, if failed { Fate::Failed } else { Fate::Done }, object.bytes);
    }

    fn export(&mut self, head: &Head<'_>, export: &Export) {
        let fate = match export.status {
            ExportStatus::Success => Fate::Done,
            ExportStatus::Partial => Fate::Partial,
            ExportStatus::Failed => Fate::Failed,
        };
        if let (Some(log), true) = (&export.log, fate != Fate::Done) {
            self.logs.file(log);
        }
        if fate == Fate::Done {
            // The record itself is the proof, however the other schemas ended.
            let at = stamp(head).unwrap_or_else(Utc::now);
            let asset = Asset::Export(format::clean(&export.schema, 60));
            if let Some(place) = self.places.get(self.at) {
                place.protection.good(asset.clone(), at);
            }
            self.protection.good(asset, at);
        } else {
            let skipped = export.skipped.as_deref().unwrap_or_default();
            let mut reason = export.reason.clone().unwrap_or_default();
            if !skipped.is_empty() {
                let names: Vec<_> =
                    skipped.iter().take(3).map(|s| format!("{} ({})", s.object, s.code)).collect();
                let more =
                    if skipped.len() > 3 { format!(" + {}", skipped.len() - 3) } else { String::new() };
                let between = if reason.is_empty() { "" } else { ": " };
                reason.push_str(&format!("{between}{}{more}", names.join(", ")));
            }
            let code = export.code.clone().or_else(|| skipped.first().map(|s| s.code.clone()));
            self.problem(Kind::Export, export.schema.clone(), code, &reason);
        }
        self.count(Kind::Export, fate, export.bytes);
    }

    fn snapshot(&mut self, head: &Head<'_>, snapshot: &Snapshot) {
        self.asset(head, Asset::of_snapshot(snapshot));
        self.count(Kind::Snapshot, Fate::Done, None);
    }

    fn drill(&mut self, head: &Head<'_>, drill: Drill) {
        let fate = match drill.status {
            DrillStatus::Success => Fate::Done,
            DrillStatus::Partial => Fate::Partial,
            DrillStatus::Failed => Fate::Failed,
        };
        if fate == Fate::Done {
            // The record itself is the proof, as with an export.
            let at = stamp(head).unwrap_or_else(Utc::now);
            if let Some(place) = self.places.get(self.at) {
                place.protection.good(Asset::Drill, at);
            }
            self.protection.good(Asset::Drill, at);
        } else {
            let name = drill.sid.clone().or_else(|| drill.db.clone()).unwrap_or_else(|| drill.host.clone());
            self.problem(Kind::Drill, name, None, drill.reason.as_deref().unwrap_or_default());
        }
        self.count(Kind::Drill, fate, None);
        if let Some(place) = self.places.get(self.at) {
            place.protection.drill(drill.clone());
        }
        self.protection.drill(drill);
    }

    fn log(&mut self, head: &Head<'_>, log: &Log) {
        let level = match log.level {
            Level::Info => "info",
            Level::Warning => {
                self.warnings += 1;
                "warning"
            }
            Level::Error => {
                self.errors += 1;
                "error"
            }
        };
        let time = stamp(head)
            .map(|t| format!("{} ", t.with_timezone(&Local).format("%H:%M:%S")))
            .unwrap_or_default();
        let tool = head.tool.as_deref().unwrap_or("-");
        let code = match &log.code {
            Some(code) if !log.message.contains(code.as_str()) => format!("{code}: "),
            _ => String::new(),
        };
        self.logs.line(&format!("{time}{tool} {level}: {code}{}", log.message));
    }

    fn count(&mut self, kind: Kind, fate: Fate, bytes: Option<u64>) {
        let tally = self.work.entry(kind).or_default();
        match fate {
            Fate::Done => tally.done += 1,
            Fate::Partial => tally.partial += 1,
            Fate::Failed => tally.failed += 1,
            Fate::Skipped => tally.skipped += 1,
        }
        if matches!(fate, Fate::Done | Fate::Partial) {
            tally.bytes = tally.bytes.saturating_add(bytes.unwrap_or(0));
        }
    }

    fn problem(&mut self, kind: Kind, name: String, code: Option<String>, reason: &str) {
        self.problem_count += 1;
        if let Some(place) = self.places.get(self.at) {
            place.items_failed += 1;
        }
        if self.problems.len() >= PROBLEMS {
            return;
        }
        let code = code.or_else(|| codes::find(reason)).map(|c| format::clean(&c, 40));
        self.problems.push(Problem {
            kind,
            name: format::clean(&name, TEXT),
            hint: code.as_deref().and_then(codes::hint),
            code,
            reason: format::clean(reason, TEXT),
            place: self.at,
        });
    }

    /// The input could not be read to its end: whatever else failed, that is the first thing to know. For
    /// [`Facts::conclude`] the status is at least [`Exit::Failed`] then.
    pub fn broken(&mut self, error: &str) {
        self.problem_count += 1;
        self.problems.truncate(PROBLEMS - 1);
        let problem = Problem {
            kind: Kind::Line,
            name: "standard input".to_owned(),
            code: None,
            reason: format::clean(error, TEXT),
            hint: Some("what was not read is in the logs of the tools before".to_owned()),
            place: None,
        };
        self.problems.insert(0, problem);
    }

    /// Items that count for the success rate: done, partial, failed.
    pub fn items(&self) -> (u64, u64, u64) {
        let rated = self.work.iter().filter(|(kind, _)| !matches!(kind, Kind::Removed | Kind::Kept));
        let (mut done, mut partial, mut failed) = (0, 0, self.gaps + self.bad_lines);
        for (_, tally) in rated {
            done += tally.done;
            partial += tally.partial;
            failed += tally.failed;
        }
        (done, partial, failed)
    }

    /// The size of the backup: that of the largest kind, for the same bytes are a dump, an archive and an object.
    pub fn bytes(&self) -> u64 {
        let made = self.work.iter().filter(|(kind, _)| !matches!(kind, Kind::Removed | Kind::Kept));
        made.map(|(_, tally)| tally.bytes).max().unwrap_or(0)
    }

    /// From the first beginning to the last end, in seconds; where the clock was set, the longest run.
    pub fn seconds(&self) -> f64 {
        let longest = self.runs.iter().filter_map(|r| Some(r.end.as_ref()?.seconds)).fold(0.0, f64::max);
        let wall = self.first.zip(self.last).map(|(a, b)| b.signed_duration_since(a).num_milliseconds());
        match wall {
            Some(ms) if ms as f64 / 1000.0 >= longest => ms as f64 / 1000.0,
            _ => longest,
        }
    }

    /// Whether the tools only said what they would do.
    pub fn is_rehearsal(&self) -> bool {
        self.planned > 0 && self.items() == (0, 0, 0)
    }

    /// The end of the input: `worst` of the `run_end`s, and the tools that were expected (`TOOL`, `TOOL:DB`,
    /// `TOOL:DB@HOST`).
    pub fn conclude(&mut self, worst: Exit, died: Vec<String>, expect: &[String]) {
        for run in self.runs.iter().filter(|run| run.end.is_none()) {
            self.places.ended(run.place, Exit::Failed, None);
        }
        self.missing = self.places.missing(expect, &self.tools);
        self.died = died.into_iter().map(|d| format::clean(&d, 120)).collect();
        let (_, partial, failed) = self.items();
        let mut exit = worst;
        if partial + failed > 0 {
            exit = exit.worse(Exit::Partial);
        }
        if !self.died.is_empty() || !self.missing.is_empty() || self.records == 0 {
            exit = exit.worse(Exit::Failed);
        }
        self.exit = Some(exit);
        if self.places.many() {
            // One name would be wrong for the others, and so would one date of the last good backup.
            self.protection = Protection::default();
        } else if let Some(place) = self.places.all.first() {
            self.host = Some(place.host.clone());
            self.db.clone_from(&place.db);
        }
    }
}

/// The types that are decoded. Others are counted; `mail` and `planned` need no more than that.
const KNOWN: [&str; 16] = [
    RunBegin::TYPE,
    RunEnd::TYPE,
    File::TYPE,
    ArchivedLog::TYPE,
    Gap::TYPE,
    Standby::TYPE,
    Tablespace::TYPE,
    Datafile::TYPE,
    RecoveryWindow::TYPE,
    Object::TYPE,
    Export::TYPE,
    Snapshot::TYPE,
    Drill::TYPE,
    Kept::TYPE,
    Removed::TYPE,
    Log::TYPE,
];

fn decode<P: DeserializeOwned>(line: &Line) -> anyhow::Result<P> {
    line.as_payload()
}

fn stamp(head: &Head<'_>) -> Option<DateTime<Utc>> {
    head.ts.as_deref().and_then(format::parse)
}

fn copied(status: CopyStatus) -> Fate {
    match status {
        CopyStatus::Copied => Fate::Done,
        CopyStatus::Skipped => Fate::Skipped,
        CopyStatus::Failed => Fate::Failed,
    }
}

/// A line without a type that `dp-export` has read, and passed on as every tool does: a schema to export.
fn is_schema(line: &Line) -> bool {
    #[derive(Deserialize)]
    struct Keys {
        path: Option<IgnoredAny>,
        schema: Option<IgnoredAny>,
        user: Option<IgnoredAny>,
    }
    line.as_payload::<Keys>().is_ok_and(|k| k.path.is_none() && (k.schema.is_some() || k.user.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str, expect: &[&str]) -> Facts {
        let mut facts = Facts::default();
        let mut input = common::record::Input::new(text.as_bytes(), None);
        while let Some(line) = input.next_line().unwrap() {
            facts.take(&line);
        }
        let expect: Vec<String> = expect.iter().map(|e| (*e).to_owned()).collect();
        facts.conclude(input.worst(), input.died(), &expect);
        facts
    }

    fn bracket(tool: &str, exit: i64, inside: &str) -> String {
        let head = format!("\"v\":1,\"tool\":\"{tool}\",\"run\":\"r\",\"ts\":\"2026-11-20T03:00:00.000Z\"");
        format!(
            "{{\"type\":\"run_begin\",{head},\"version\":\"1\",\"host\":\"h\",\"db\":\"PROD\"}}\n{inside}\n\
             {{\"type\":\"run_end\",{head},\"status\":\"success\",\"exit\":{exit},\"seconds\":2,\"counts\":{{}}}}\n"
        )
    }

    const PIECE: &str =
        "{\"type\":\"file\",\"tool\":\"rman-run\",\"run\":\"r\",\"path\":\"/b/1\",\"bytes\":10,\
                         \"role\":\"backup_piece\",\"level\":0}";

    #[test]
    fn a_backup_is_good_only_when_its_run_ended_with_zero() {
        let good = |exit| !facts(&bracket("rman-run", exit, PIECE), &[]).protection.good.is_empty();
        assert!(good(0));
        assert!(!good(1));
        assert!(!good(2));
        // Without its run_end, and without a run at all.
        let text = bracket("rman-run", 0, PIECE);
        let (cut, _) = text.rsplit_once("{\"type\":\"run_end\"").unwrap();
        let facts_of_cut = facts(cut, &[]);
        assert!(facts_of_cut.protection.good.is_empty());
        assert_eq!(facts_of_cut.exit, Some(Exit::Failed));
        assert_eq!(facts_of_cut.died, ["rman-run (run r)"]);
        assert!(facts(PIECE, &[]).protection.good.is_empty());
    }

    #[test]
    fn an_old_backup_that_is_verified_or_downloaded_is_no_new_one() {
        let archive = |tool: &str, at: &str| {
            let file = format!(
                "{{\"type\":\"file\",\"tool\":\"{tool}\",\"run\":\"r\",\"path\":\"/b/x.zip\",\"bytes\":10,\
                 \"role\":\"archive\",\"backup_time\":\"{at}\"}}"
            );
            !facts(&bracket(tool, 0, &file), &[]).protection.good.is_empty()
        };
        assert!(archive("zip-rotate", "2026-11-20T00:00:00-03:00"));
        assert!(!archive("zip-rotate", "2026-11-12T00:00:00-03:00"));
        assert!(!archive("s3-get", "2026-11-20T00:00:00-03:00"));
    }

    #[test]
    fn silence_is_no_success() {
        assert_eq!(facts("", &[]).exit, Some(Exit::Failed));
        assert_eq!(facts("{\"path\":\"/x\"}", &[]).exit, Some(Exit::Success));
        let text = bracket("dp-export", 0, "");
        assert_eq!(facts(&text, &["dp-export"]).exit, Some(Exit::Success));
        let two = facts(&text, &["dp-export", "zip-rotate"]);
        assert_eq!((two.exit, two.missing.as_slice()), (Some(Exit::Failed), &["zip-rotate".to_owned()][..]));
    }

    #[test]
    fn an_expected_tool_after_a_hundred_runs_is_not_missing() {
        let mut text: String = (0..RUNS + 5).map(|_| bracket("arch-ship", 0, "")).collect();
        text.push_str(&bracket("zip-rotate", 0, ""));
        let facts = facts(&text, &["zip-rotate", "s3-put"]);
        assert_eq!((facts.missing.as_slice(), facts.more_runs), (&["s3-put".to_owned()][..], 6));
    }

    #[test]
    fn a_failed_item_makes_a_success_partial() {
        let failed = "{\"type\":\"export\",\"schema\":\"HR\",\"status\":\"partial\",\"skipped\":[{\"object\":\"HR.T\",\"code\":\"ORA-01555\"}]}";
        let facts = facts(&bracket("dp-export", 0, failed), &[]);
        assert_eq!(facts.exit, Some(Exit::Partial));
        assert_eq!(facts.items(), (0, 1, 0));
        assert_eq!(facts.problems[0].code.as_deref(), Some("ORA-01555"));
        assert!(facts.problems[0].hint.is_some());
    }

    #[test]
    fn bad_lines_are_failed_items_and_unknown_types_are_not() {
        let text = "not json\n{\"type\":\"file\"}\n{\"v\":2,\"type\":\"file\",\"path\":\"/x\"}\n\
                    {\"v\":7,\"type\":\"hologram\"}\n[]\n";
        let facts = facts(text, &[]);
        assert_eq!((facts.bad_lines, facts.unknown, facts.records), (4, 1, 5));
        assert_eq!(facts.exit, Some(Exit::Partial));
        assert_eq!(facts.problems[2].reason, "record version 2, this program knows 1");
        assert_eq!(facts.problems[1].name, "2");
    }

    #[test]
    fn the_schemas_that_dp_export_passes_on_are_no_bad_lines() {
        let inside =
            "{\"schema\":\"HR\"}\n{\"user\":\"GOLD\",\"password_env\":\"GOLD_PW\",\"timeout\":\"3h\"}";
        let facts = facts(&bracket("dp-export", 0, inside), &[]);
        assert_eq!((facts.bad_lines, facts.exit), (0, Some(Exit::Success)));
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut facts = Facts::default();
        for i in 0..5000 {
            let line = format!("{{\"type\":\"archived_log\",\"path\":\"/a/{i}\",\"status\":\"failed\"}}\n");
            facts.take(&Line::new(line, i));
            let begin = format!(
                "{{\"type\":\"run_begin\",\"tool\":\"t\",\"run\":\"{i}\",\"version\":\"1\",\"host\":\"h\"}}"
            );
            facts.take(&Line::new(begin, i));
            let log = format!("{{\"type\":\"log\",\"level\":\"info\",\"message\":\"{i}\"}}");
            facts.take(&Line::new(log, i));
        }
        assert_eq!((facts.problems.len(), facts.problem_count), (PROBLEMS, 5000));
        assert_eq!((facts.runs.len(), facts.more_runs), (RUNS, 5000 - RUNS as u64));
        assert_eq!(facts.logs.finish(&[]).len(), crate::logs::LINES);
    }
}
