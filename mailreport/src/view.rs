//! From facts to what is read: every text made, every number written, nothing left to decide for the templates.

use askama::Template;
use chrono::{DateTime, NaiveDateTime, Utc};
use common::exit::Exit;
use common::record::{Drill, QueryVerdict};

use crate::cli::Language;
use crate::facts::{Facts, Kind, ToolRun};
use crate::format;
use crate::history::Entry;
use crate::places::Place;
use crate::protection::Protection;
use crate::verdict::Verdict;
use crate::words::{self, Words};

/// How much is shown. The mail is made again with less until it is small enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub problems: usize,
    pub runs: usize,
    pub assets: usize,
    /// Databases, where the report is of many.
    pub places: usize,
    pub chart: usize,
    pub log: usize,
    /// Longest text, in characters.
    pub width: usize,
}

impl Limits {
    /// From all to so little that it is small enough in any script.
    pub const STEPS: [Self; 4] = [
        Self { problems: 50, runs: 40, assets: 40, places: 120, chart: 14, log: 100, width: 300 },
        Self { problems: 40, runs: 30, assets: 40, places: 80, chart: 14, log: 100, width: 110 },
        Self { problems: 25, runs: 15, assets: 20, places: 60, chart: 10, log: 50, width: 90 },
        Self { problems: 10, runs: 8, assets: 10, places: 40, chart: 7, log: 10, width: 60 },
    ];
}

/// What there is besides the facts of this run.
pub struct Context<'a> {
    pub language: Language,
    pub prefix: Option<&'a str>,
    /// Earlier runs of this database, oldest first.
    pub history: &'a [&'a Entry],
    pub log: &'a [String],
    pub now: DateTime<Utc>,
    pub run: &'a str,
}

struct Note {
    text: String,
    class: &'static str,
}

struct ProblemView {
    kind: &'static str,
    name: String,
    code: Option<String>,
    reason: String,
    hint: Option<String>,
}

struct FactView {
    label: &'static str,
    value: String,
    note: String,
}

struct PlaceView {
    name: String,
    result: String,
    class: &'static str,
    when: String,
    note: String,
}

struct AssetView {
    name: String,
    when: String,
    age: String,
    class: &'static str,
}

struct Part {
    width: u64,
    class: &'static str,
    color: &'static str,
}

struct Rate {
    percent: String,
    parts: Vec<Part>,
    drawn: String,
    text: String,
}

struct RunView {
    tool: String,
    result: String,
    class: &'static str,
    duration: String,
    message: String,
    counts: String,
}

struct StatView {
    what: &'static str,
    note: String,
    done: String,
    failed: String,
    bad: bool,
    size: String,
}

struct ChartRow {
    date: String,
    class: &'static str,
    color: &'static str,
    mark: &'static str,
    duration: String,
    duration_width: u64,
    duration_drawn: String,
    size: String,
    size_width: u64,
    size_drawn: String,
    current: bool,
}

/// The HTML part.
#[derive(Template)]
#[template(path = "mail.html")]
pub struct View {
    w: &'static Words,
    pub subject: String,
    verdict: String,
    class: &'static str,
    subtitle: String,
    notes: Vec<Note>,
    places: Vec<PlaceView>,
    more_places: Option<String>,
    problems: Vec<ProblemView>,
    more_problems: Option<String>,
    protected: Vec<FactView>,
    assets: Vec<AssetView>,
    more_assets: Option<String>,
    rate: Rate,
    runs: Vec<RunView>,
    more_runs: Option<String>,
    stats: Vec<StatView>,
    totals: String,
    chart: Vec<ChartRow>,
    chart_note: String,
    log: Vec<String>,
    footer: String,
    shortened: bool,
    is_test: bool,
}

/// The text part: the same view.
#[derive(Template)]
#[template(path = "mail.txt", escape = "none")]
struct Text<'a> {
    v: &'a View,
}

mod filters {
    //! What the text template needs beyond askama's own.

    use std::fmt::Display;

    /// The text with a line of dashes under it.
    pub fn heading(text: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
        let text = text.to_string();
        Ok(format!("{text}\n{}", "-".repeat(text.chars().count())))
    }

    /// The text filled up with blanks.
    pub fn column(text: impl Display, _: &dyn askama::Values, width: usize) -> askama::Result<String> {
        Ok(format!("{:width$}", text.to_string()))
    }
}

impl View {
    /// Everything that is to be read about a pipeline.
    pub fn new(facts: &Facts, about: &Context<'_>, limits: Limits) -> Self {
        let language = about.language;
        let w = words::words(language);
        let exit = facts.exit.unwrap_or(Exit::Failed);
        let verdict = Verdict::of(exit);
        let n = |n: u64| format::number(language, n);
        let (done, partial, failed) = facts.items();
        let problems = problems(facts, language, limits);
        let all_problems = facts.problem_count + run_problems(facts, language).len() as u64;
        let hidden = all_problems.saturating_sub(problems.len() as u64);
        let mut all_runs: Vec<_> = facts.runs.iter().collect();
        if facts.places.many() {
            // Nobody reads hundreds: what went wrong comes first.
            all_runs.sort_by_key(|run| {
                std::cmp::Reverse(severity(run.end.as_ref().map(|e| Exit::from_code(e.exit))))
            });
        }
        let runs: Vec<_> =
            all_runs.iter().take(limits.runs).map(|r| run(facts, r, language, limits)).collect();
        let hidden_runs = (facts.runs.len() - runs.len()) as u64 + facts.more_runs;
        let mut assets = assets(facts, about);
        let hidden_assets = assets.len().saturating_sub(limits.assets);
        assets.truncate(limits.assets);
        let (places, hidden_places) = places(facts, language, limits);
        let chart = chart(facts, about, limits);
        let good =
            about.history.iter().rev().take(limits.chart - 1).filter(|e| e.verdict == Verdict::Success);
        let good = good.count() + usize::from(verdict == Verdict::Success);
        let more = |count: u64, text: &str| (count > 0).then(|| text.replace("{}", &n(count)));
        let parts = [(n(facts.records), w.records)];
        let counted = [
            (facts.bad_lines, w.bad_lines),
            (facts.unknown, w.unknown),
            (facts.planned, w.planned),
            (facts.gaps, w.gaps),
            (facts.warnings, w.warnings),
            (facts.errors, w.errors),
        ];
        let counted =
            counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| (n(count), word));
        let totals: Vec<_> =
            parts.into_iter().chain(counted).map(|(n, word)| format!("{word}: {n}")).collect();
        Self {
            w,
            subject: subject(facts, about),
            verdict: words::verdict(language, verdict).to_owned(),
            class: class(verdict),
            subtitle: subtitle(facts, about),
            notes: notes(facts, language, limits),
            more_places: more(hidden_places, w.more),
            places,
            more_problems: more(hidden, w.more),
            problems,
            protected: protected(facts, language),
            more_assets: more(hidden_assets as u64, w.more),
            assets,
            rate: rate(language, done, partial, failed),
            runs,
            more_runs: more(hidden_runs, w.more_runs),
            stats: stats(facts, language),
            totals: totals.join(", "),
            chart_note: format!("{} {} {} {}", n(good as u64), w.of, n(chart.len() as u64), w.successful),
            chart,
            log: last(about.log, limits.log).iter().map(|l| format::cut(l, limits.width)).collect(),
            footer: footer(about),
            shortened: limits != Limits::STEPS[0],
            is_test: false,
        }
    }

    /// A mail that only says that mails arrive.
    pub fn test(about: &Context<'_>, host: &str) -> Self {
        let w = words::words(about.language);
        let facts = Facts { exit: Some(Exit::Success), ..Facts::default() };
        let mut view = Self::new(&facts, about, Limits::STEPS[0]);
        view.subject = prefixed(about, &format!("{} ({host})", w.test));
        w.test.clone_into(&mut view.verdict);
        view.subtitle = format!("{host} · {}", format::time(about.language, about.now));
        view.notes = vec![Note { text: w.test_text.to_owned(), class: "ok" }];
        view.is_test = true;
        view
    }

    pub fn html(&self) -> anyhow::Result<String> {
        Ok(self.render()?)
    }

    pub fn text(&self) -> anyhow::Result<String> {
        Ok(Text { v: self }.render()?)
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Success => "ok",
        Verdict::Partial => "warn",
        Verdict::Critical => "bad",
    }
}

fn color(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Success => "#2da44e",
        Verdict::Partial => "#d4a72c",
        Verdict::Critical => "#cf222e",
    }
}

fn last(lines: &[String], n: usize) -> &[String] {
    &lines[lines.len().saturating_sub(n)..]
}

/// `PROD em db1`, as far as it is known.
fn place(facts: &Facts, w: &Words) -> String {
    if facts.places.many() {
        let (databases, hosts) = (facts.places.databases(), facts.places.hosts());
        let host = if hosts == 1 { w.host } else { w.hosts };
        return format!("{databases} {} {} {hosts} {host}", w.databases, w.on);
    }
    match (&facts.db, &facts.host) {
        (Some(db), Some(host)) => format!("{db} {} {host}", w.on),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => common::app::host(),
    }
}

fn prefixed(about: &Context<'_>, text: &str) -> String {
    match about.prefix.map(str::trim) {
        Some(prefix) if !prefix.is_empty() => format::clean(&format!("{prefix} {text}"), 180),
        _ => format::clean(text, 180),
    }
}

/// Verdict, place, and the first thing to know.
pub fn subject(facts: &Facts, about: &Context<'_>) -> String {
    let language = about.language;
    let w = words::words(language);
    let verdict = Verdict::of(facts.exit.unwrap_or(Exit::Failed));
    let (done, partial, failed) = facts.items();
    let first = if facts.records == 0 {
        w.nothing_reported.split(':').next().unwrap_or_default().to_owned()
    } else if let Some(tool) = facts.missing.first() {
        format!("{tool} {}", w.missing)
    } else if let Some(tool) = facts.died.first() {
        format!("{} {}", tool.split(' ').next().unwrap_or(tool), w.died)
    } else if let Some(problem) = run_problems(facts, language).first() {
        format!("{} {}", problem.name, problem.code.as_deref().unwrap_or(&problem.reason))
    } else if let Some(problem) = facts.problems.first() {
        let what = words::item(language, problem.kind);
        let why = problem.code.as_deref().unwrap_or(&problem.reason);
        let what =
            facts.places.told(problem.place).map_or_else(|| what.to_owned(), |at| format!("{at}: {what}"));
        let more = facts.problem_count - 1;
        let more = if more > 0 { format!(" (+{})", format::number(language, more)) } else { String::new() };
        format!("{what} {} {}{more}", format::cut(&problem.name, 60), format::cut(why, 60))
    } else if facts.is_rehearsal() {
        w.rehearsal.to_owned()
    } else if done + partial + failed > 0 {
        let items = format::number(language, done);
        format!(
            "{items} {}, {}, {}",
            w.done,
            format::size(language, facts.bytes()),
            format::duration(language, facts.seconds())
        )
    } else {
        format::duration(language, facts.seconds())
    };
    let text = format!("{}: {}: {}", words::verdict(language, verdict), place(facts, w), first.trim());
    prefixed(about, &text)
}

fn subtitle(facts: &Facts, about: &Context<'_>) -> String {
    let language = about.language;
    let mut parts = vec![place(facts, words::words(language)), format::time(language, about.now)];
    if !facts.runs.is_empty() {
        parts.push(format::duration(language, facts.seconds()));
    }
    if facts.bytes() > 0 {
        parts.push(format::size(language, facts.bytes()));
    }
    parts.join(" · ")
}

fn notes(facts: &Facts, language: Language, limits: Limits) -> Vec<Note> {
    let w = words::words(language);
    let mut notes = Vec::new();
    let mut bad = |text: String| notes.push(Note { text, class: "bad" });
    if facts.records == 0 {
        bad(w.nothing_reported.to_owned());
    }
    let most = limits.runs.min(10);
    facts.died.iter().take(most).for_each(|tool| bad(format!("{tool} {}", w.died)));
    facts
        .missing
        .iter()
        .take(most)
        .for_each(|tool| bad(format!("{} {}", format::clean(tool, 60), w.missing)));
    if facts.is_rehearsal() {
        notes.push(Note {
            text: format!("{}: {} {}", w.rehearsal, format::number(language, facts.planned), w.planned),
            class: "warn",
        });
    }
    notes
}

/// What whole runs died of: items that failed speak for themselves, a run that failed without one does not.
fn run_problems(facts: &Facts, language: Language) -> Vec<ProblemView> {
    let failed = |r: &&ToolRun| {
        r.end.as_ref().is_some_and(|end| match Exit::from_code(end.exit) {
            Exit::Success => false,
            Exit::Partial | Exit::Finding => facts.problem_count == 0,
            _ => true,
        })
    };
    let view = |r: &ToolRun| {
        let end = r.end.as_ref()?;
        let message = end.message.clone().unwrap_or_default();
        let exit = Exit::from_code(end.exit);
        let code = crate::codes::find(&message);
        let hint = code.as_deref().and_then(crate::codes::hint);
        Some(ProblemView {
            kind: words::item(language, Kind::Run),
            name: tool_at(facts, r),
            hint: hint.or_else(|| crate::codes::hint(&format!("exit {}", exit.code()))),
            code,
            reason: if message.is_empty() { words::exit(language, exit).to_owned() } else { message },
        })
    };
    facts.runs.iter().filter(failed).filter_map(view).collect()
}

fn problems(facts: &Facts, language: Language, limits: Limits) -> Vec<ProblemView> {
    let cut = |text: &str| format::cut(text, limits.width);
    let items = facts.problems.iter().map(|p| ProblemView {
        kind: words::item(language, p.kind),
        name: facts.places.told(p.place).map_or_else(|| p.name.clone(), |at| format!("{at}: {}", p.name)),
        code: p.code.clone(),
        reason: p.reason.clone(),
        hint: p.hint.clone(),
    });
    let mut all: Vec<_> =
        run_problems(facts, language).into_iter().chain(items).take(limits.problems).collect();
    for problem in &mut all {
        problem.name = cut(&problem.name);
        problem.reason = cut(&problem.reason);
        problem.hint = problem.hint.as_deref().map(cut);
    }
    all
}

/// The tool, with its place where there are many.
fn tool_at(facts: &Facts, run: &ToolRun) -> String {
    let tool = format::clean(&run.tool, 40);
    facts.places.told(run.place).map_or_else(|| tool.clone(), |at| format!("{tool} {at}"))
}

/// How bad a status is, for sorting; none at all is a death.
fn severity(exit: Option<Exit>) -> Verdict {
    exit.map_or(Verdict::Critical, Verdict::of)
}

/// One line per database where there are many, the worst first, and how many are not shown.
fn places(facts: &Facts, language: Language, limits: Limits) -> (Vec<PlaceView>, u64) {
    if !facts.places.many() {
        return (Vec::new(), 0);
    }
    let w = words::words(language);
    let mut all: Vec<_> = facts.places.all.iter().collect();
    all.sort_by_key(|p| (std::cmp::Reverse(severity(Some(p.worst))), p.db.clone(), p.host.clone()));
    let view = |p: &&Place| {
        let tools: Vec<_> = p.tools.iter().map(String::as_str).collect();
        let mut note = vec![tools.join(", ")];
        if p.items_failed > 0 {
            note.push(format!("{}: {}", w.failed, format::number(language, p.items_failed)));
        }
        if !p.missing.is_empty() {
            note.push(format!("{} {}", p.missing.join(", "), w.missing));
        }
        note.retain(|part| !part.is_empty());
        PlaceView {
            name: format::cut(&p.name(), 80),
            result: words::mark(language, Verdict::of(p.worst)).to_owned(),
            class: class(Verdict::of(p.worst)),
            when: p.last.map_or_else(|| "–".to_owned(), |at| format::time(language, at)),
            note: format::cut(&note.join("; "), limits.width),
        }
    };
    let shown: Vec<_> = all.iter().take(limits.places).map(view).collect();
    let hidden = all.len().saturating_sub(shown.len()) as u64;
    (shown, hidden)
}

fn run(facts: &Facts, run: &ToolRun, language: Language, limits: Limits) -> RunView {
    let w = words::words(language);
    let tool = tool_at(facts, run);
    let Some(end) = &run.end else {
        return RunView {
            tool,
            result: w.died.to_owned(),
            class: "bad",
            duration: "–".to_owned(),
            message: String::new(),
            counts: String::new(),
        };
    };
    let exit = Exit::from_code(end.exit);
    let counts: Vec<_> = end
        .counts
        .iter()
        .map(|(name, n)| format!("{} {}", format::clean(name, 30), format::number(language, *n)))
        .collect();
    RunView {
        tool,
        result: match exit {
            Exit::Success => words::exit(language, exit).to_owned(),
            _ => format!("{} ({})", words::exit(language, exit), end.exit),
        },
        class: class(Verdict::of(exit)),
        duration: format::duration(language, end.seconds),
        message: format::cut(end.message.as_deref().unwrap_or_default(), limits.width),
        counts: counts.join(", "),
    }
}

fn protected(facts: &Facts, language: Language) -> Vec<FactView> {
    if !facts.places.many() {
        return protected_by(&facts.protection, language);
    }
    let of = |place: &Place| {
        let name = place.name();
        let mut found = protected_by(&place.protection, language);
        found.iter_mut().for_each(|fact| fact.value = format!("{name}: {}", fact.value));
        found
    };
    facts.places.all.iter().flat_map(of).take(MANY_PROTECTED).collect()
}

/// Standbys and copies that are shown where there are many databases; of the others only what went wrong is.
const MANY_PROTECTED: usize = 60;

fn protected_by(protection: &Protection, language: Language) -> Vec<FactView> {
    let w = words::words(language);
    let mut found = Vec::new();
    let known = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    if let Some(standby) = &protection.standby {
        let time = standby.recoverable_to_time.as_deref().map(|t| local_form(language, t));
        let scn = standby.recoverable_to_scn.map(|scn| format!("SCN {scn}"));
        let value: Vec<_> = time.into_iter().chain(scn).collect();
        let mut note = Vec::new();
        if let Some(lag) = standby.lag_seconds {
            note.push(format!("{} {}", format::duration(language, lag), w.lag));
        }
        if let Some(bytes) = standby.lag_bytes.filter(|b| *b > 0) {
            note.push(format!("{} {}", format::size(language, bytes), w.behind));
        }
        for t in &standby.threads {
            let (applied, received, current) = (known(t.applied), known(t.received), known(t.current));
            note.push(format!(
                "{} {}: {} {applied}, {} {received}, {} {current}",
                w.thread, t.thread, w.applied, w.received, w.archived
            ));
        }
        let value = if value.is_empty() { "?".to_owned() } else { value.join(", ") };
        found.push(FactView { label: w.standby, value, note: note.join("; ") });
    }
    if let Some(window) = &protection.window {
        let threads: Vec<_> = window
            .threads
            .iter()
            .map(|t| format!("{} {}: {}–{}", w.thread, t.thread, t.first_sequence, t.last_sequence))
            .collect();
        found.push(FactView {
            label: w.copy,
            value: format!("{} {}–{}", w.redo_needed, window.begin_scn, window.end_scn),
            note: threads.join("; "),
        });
    }
    found.extend(protection.drill.iter().map(|drill| drilled(drill, language)));
    found
}

/// The evidence of a drill: to which SCN, how long, what was answered, and its place in the chain.
fn drilled(drill: &Drill, language: Language) -> FactView {
    let w = words::words(language);
    let mut value = Vec::new();
    match drill.scn {
        Some(scn) => value.push(format!("{} SCN {scn}", w.opened_at)),
        None => value.push(w.never_opened.to_owned()),
    }
    value.extend(drill.time.as_deref().map(|t| local_form(language, t)));
    value.push(if drill.resumed { w.goes_on } else { w.goes_not_on }.to_owned());
    let passed = drill.queries.iter().filter(|q| q.verdict == QueryVerdict::Passed).count();
    let n = |n: usize| format::number(language, n as u64);
    let mut note = vec![format!("{} {} {} {}", n(passed), w.of, n(drill.queries.len()), w.queries)];
    for query in drill.queries.iter().take(20) {
        let answer = query.result.as_deref().or(query.reason.as_deref()).unwrap_or("–");
        let mut text = format!("{}: {}", format::clean(&query.name, 40), format::clean(answer, 80));
        if let (QueryVerdict::Differs, Some(expected)) = (query.verdict, &query.expected) {
            text.push_str(&format!(" {} {}", w.instead_of, format::clean(expected, 60)));
        }
        note.push(text);
    }
    note.extend(drill.open_seconds.map(|s| format!("{} {}", w.open_for, format::duration(language, s))));
    let (user, host) = (format::clean(&drill.user, 40), format::clean(&drill.host, 60));
    note.push(format!("{} {user} {} {host}", w.by, w.on));
    let prev: String = drill.prev.chars().take(12).collect();
    note.push(format!("{} {} ({}…)", w.evidence, drill.number, format::clean(&prev, 12)));
    FactView { label: w.drill, value: value.join(", "), note: note.join("; ") }
}

/// A time without zone, as the database's clock had it.
fn local_form(language: Language, text: &str) -> String {
    let form = match language {
        Language::En => "%Y-%m-%d %H:%M:%S",
        Language::Pt => "%d/%m/%Y %H:%M:%S",
    };
    match NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y-%m-%dT%H:%M:%S%.f") {
        Ok(time) => time.format(form).to_string(),
        Err(_) => format::clean(text, 40),
    }
}

fn assets(facts: &Facts, about: &Context<'_>) -> Vec<AssetView> {
    let language = about.language;
    let w = words::words(language);
    let begun = facts.first.unwrap_or(about.now);
    let view = |place: Option<&Place>, asset: &crate::protection::Asset, at: &DateTime<Utc>| {
        let age = about.now.signed_duration_since(*at);
        let (age, class) = if *at >= begun && age.num_seconds() >= -5 {
            (w.this_run.to_owned(), "ok")
        } else if age.num_seconds() < -300 {
            (w.ahead.to_owned(), "bad")
        } else {
            // A nightly backup is at most a day old; a weekly one is only marked.
            let class = if age.num_hours() >= 26 { "warn" } else { "muted" };
            let age = format::duration(language, age.num_seconds().max(0) as f64);
            (format!("{age} {}", w.ago), class)
        };
        AssetView {
            name: match place {
                Some(place) => {
                    format::cut(&format!("{}: {}", place.name(), words::asset(language, asset)), 80)
                }
                None => format::cut(&words::asset(language, asset), 80),
            },
            when: format::time(language, *at),
            age,
            class,
        }
    };
    if !facts.places.many() {
        return facts.protection.good.iter().map(|(asset, at)| view(None, asset, at)).collect();
    }
    let mut all: Vec<_> = facts
        .places
        .all
        .iter()
        .flat_map(|place| place.protection.good.iter().map(move |(asset, at)| (place, asset, at)))
        .collect();
    // The oldest are the ones to look at.
    all.sort_by_key(|(_, _, at)| **at);
    all.into_iter().map(|(place, asset, at)| view(Some(place), asset, at)).collect()
}

/// Whole per cents of three parts, none of them invisible.
fn rate(language: Language, done: u64, partial: u64, failed: u64) -> Rate {
    let w = words::words(language);
    let all = done.saturating_add(partial).saturating_add(failed);
    let n = |n| format::number(language, n);
    let share = |part: u64| if part == 0 { 0 } else { format::percent(part, all).max(1) };
    let (some, bad) = (share(partial), share(failed));
    let parts = match all {
        0 => vec![Part { width: 100, class: "none", color: "#e4e8ec" }],
        _ => [
            (100u64.saturating_sub(some + bad), "ok", "#2da44e"),
            (some, "warn", "#d4a72c"),
            (bad, "bad", "#cf222e"),
        ]
        .into_iter()
        .filter(|(width, _, _)| *width > 0)
        .map(|(width, class, color)| Part { width, class, color })
        .collect(),
    };
    let percent = if all == 0 { "–".to_owned() } else { format::percent(done, all).to_string() };
    let mut text = vec![format!("{} {} {} {}", n(done), w.of, n(all), w.done)];
    if partial > 0 {
        text.push(format!("{}: {}", w.partial, n(partial)));
    }
    if failed > 0 {
        text.push(format!("{}: {}", w.failed, n(failed)));
    }
    let filled = if all == 0 { 0 } else { format::percent(done, all) * 40 / 100 };
    Rate { percent, parts, drawn: drawn(filled, 40), text: text.join(", ") }
}

fn drawn(filled: u64, width: u64) -> String {
    let filled = filled.min(width) as usize;
    format!("{}{}", "#".repeat(filled), ".".repeat(width as usize - filled))
}

fn stats(facts: &Facts, language: Language) -> Vec<StatView> {
    let w = words::words(language);
    let n = |n| format::number(language, n);
    let view = |(kind, tally): (&Kind, &crate::facts::Tally)| {
        let mut note = Vec::new();
        if tally.partial > 0 {
            note.push(format!("{}: {}", w.partial, n(tally.partial)));
        }
        if tally.skipped > 0 {
            note.push(format!("{}: {}", w.skipped, n(tally.skipped)));
        }
        StatView {
            what: words::kind(language, *kind),
            note: note.join(", "),
            done: n(tally.done),
            failed: n(tally.failed),
            bad: tally.failed > 0,
            size: if tally.bytes > 0 { format::size(language, tally.bytes) } else { String::new() },
        }
    };
    facts.work.iter().map(view).collect()
}

fn chart(facts: &Facts, about: &Context<'_>, limits: Limits) -> Vec<ChartRow> {
    let now = (about.now, Verdict::of(facts.exit.unwrap_or(Exit::Failed)), facts.seconds(), facts.bytes());
    let skip = about.history.len().saturating_sub(limits.chart - 1);
    let before = about.history.iter().skip(skip).map(|e| (e.ts, e.verdict, e.seconds, e.bytes));
    let rows: Vec<_> = before.chain([now]).collect();
    let longest = rows.iter().map(|r| r.2).filter(|s| s.is_finite()).fold(0.0, f64::max);
    let largest = rows.iter().map(|r| r.3).max().unwrap_or(0);
    let width = |part: f64, all: f64| {
        if all > 0.0 && part.is_finite() {
            ((part / all * 100.0).round() as u64).clamp(1, 100)
        } else {
            1
        }
    };
    let count = rows.len();
    let view = |(index, (at, verdict, seconds, bytes)): (usize, (DateTime<Utc>, Verdict, f64, u64))| {
        let (long, large) = (width(seconds, longest), width(bytes as f64, largest as f64));
        ChartRow {
            date: format::day(about.language, at),
            class: class(verdict),
            color: color(verdict),
            mark: words::mark(about.language, verdict),
            duration: format::duration(about.language, seconds),
            duration_width: long,
            duration_drawn: drawn(long / 10, 10),
            size: format::size(about.language, bytes),
            size_width: large,
            size_drawn: drawn(large / 10, 10),
            current: index + 1 == count,
        }
    };
    rows.into_iter().enumerate().map(view).rev().collect()
}

fn footer(about: &Context<'_>) -> String {
    let w = words::words(about.language);
    format!(
        "orapipe mailreport {}, {} {}. {} {}.",
        env!("CARGO_PKG_VERSION"),
        w.run,
        about.run,
        w.times,
        format::zone(about.now)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;
    use common::record::Line;

    const NIGHT: [&str; 9] = [
        r#"{"v":1,"type":"run_begin","tool":"dp-export","run":"r1","ts":"2026-11-20T03:00:00.000Z","version":"0.1.0","host":"db1","db":"PROD"}"#,
        r#"{"v":1,"type":"export","tool":"dp-export","run":"r1","ts":"2026-11-20T03:10:00.000Z","schema":"RH","status":"success","bytes":51539607552}"#,
        r#"{"v":1,"type":"export","tool":"dp-export","run":"r1","ts":"2026-11-20T03:11:00.000Z","schema":"CONTABIL","status":"failed","reason":"expdp exited 1: ORA-01555: snapshot too old"}"#,
        r#"{"v":1,"type":"standby","tool":"arch-ship","run":"r2","ts":"2026-11-20T03:11:00.000Z","threads":[{"thread":1,"applied":7,"received":9,"current":9}],"recoverable_to_scn":959994830198,"recoverable_to_time":"2026-11-20T00:10:13","lag_seconds":47,"lag_bytes":2097152}"#,
        r#"{"v":1,"type":"gap","tool":"arch-ship","run":"r2","ts":"2026-11-20T03:11:00.000Z","thread":1,"resetlogs_id":99,"from":10,"to":12,"where":"source","reason":"deleted","hint":"restore them with RMAN"}"#,
        r#"{"v":1,"type":"hologram"}"#,
        r#"nonsense"#,
        r#"{"v":1,"type":"log","tool":"dp-export","run":"r1","ts":"2026-11-20T03:11:30.000Z","level":"warning","message":"a <b> & \u001b[31mc"}"#,
        r#"{"v":1,"type":"run_end","tool":"dp-export","run":"r1","ts":"2026-11-20T03:12:00.000Z","status":"partial","exit":1,"seconds":720.4,"counts":{"exported":1,"failed":1}}"#,
    ];

    /// The whole text as it is read; a change of it is a change for every reader.
    #[test]
    fn the_text_of_a_bad_night() {
        std::env::set_var("TZ", "UTC");
        let mut facts = Facts::default();
        for (i, line) in NIGHT.iter().enumerate() {
            facts.take(&Line::new(*line, i + 1));
        }
        facts.conclude(Exit::Partial, Vec::new(), &["zip-rotate".to_owned()]);
        let at = |text| format::parse(text).unwrap();
        facts.protection.remember(&[("full".to_owned(), at("2026-11-15T03:00:00Z"))].into());
        let before = Entry {
            v: 1,
            ts: at("2026-11-19T03:12:00Z"),
            run: "r0".to_owned(),
            db: Some("PROD".to_owned()),
            host: None,
            verdict: Verdict::Success,
            exit: 0,
            seconds: 1440.0,
            bytes: 48 << 30,
            done: 2,
            partial: 0,
            failed: 0,
            good: std::collections::BTreeMap::new(),
        };
        let log = std::mem::take(&mut facts.logs).finish(&[]);
        for (language, expected) in
            [(Language::Pt, include_str!("golden_pt.txt")), (Language::En, include_str!("golden_en.txt"))]
        {
            let context = Context {
                language,
                prefix: None,
                history: &[&before],
                log: &log,
                now: at("2026-11-20T03:12:05Z"),
                run: "PROD-1",
            };
            let view = View::new(&facts, &context, Limits::STEPS[0]);
            let found = format!("{}\n\n{}", view.subject, view.text().unwrap());
            assert_eq!(found, expected, "\n{found}");
        }
    }
}
