//! The frame around every tool: settings, signals, `run_begin` and `run_end`, the error report, the exit status.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::error::ErrorKind;
use clap::Parser;

use crate::exit::{failure, status_of, Exit, Failure};
use crate::logfile::LogFile;
use crate::record::{Mode, Out, RunBegin, RunEnd};
use crate::{settings, signals};

/// The flags that every tool has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file
    #[arg(long, value_name = "FILE", env = "ORAPIPE_ENV_FILE")]
    pub env_file: Option<PathBuf>,

    /// Keep state and locks in DIR [default: ~/.local/state/orapipe]
    #[arg(long, value_name = "DIR", env = "STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Write log files to DIR [default: the state directory]
    #[arg(long, value_name = "DIR", env = "LOG_DIR")]
    pub log_dir: Option<PathBuf>,

    /// End a run of our own that holds the lock and has made no progress for so long
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = humantime::parse_duration)]
    pub lock_timeout: Duration,

    /// Print the plan as `planned` records and change nothing anywhere
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Write JSON Lines to standard output even when it is a terminal
    #[arg(long)]
    pub json: bool,

    /// Show the steps on standard error
    #[arg(short, long)]
    pub verbose: bool,

    /// Print every effective setting and where it came from, then stop
    #[arg(long)]
    pub show_config: bool,

    /// Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop
    #[arg(long, value_name = "CODE")]
    pub explain: Option<String>,

    /// Run although this is root
    #[arg(long, env = "ORAPIPE_ALLOW_ROOT", value_parser = clap::builder::FalseyValueParser::new())]
    pub allow_root: bool,
}

impl Common {
    /// The state directory, made if need be.
    pub fn state_dir(&self) -> anyhow::Result<PathBuf> {
        make_dir(&self.state_dir_path()?, "--state-dir")
    }

    /// The name of the state directory, which need not exist: for runs that change nothing.
    pub fn state_dir_path(&self) -> anyhow::Result<PathBuf> {
        match &self.state_dir {
            Some(dir) => Ok(dir.clone()),
            None => default_state_dir(),
        }
    }

    /// The log directory, made if need be.
    pub fn log_dir(&self) -> anyhow::Result<PathBuf> {
        match &self.log_dir {
            Some(dir) => make_dir(dir, "--log-dir"),
            None => self.state_dir(),
        }
    }
}

/// The directories that are in effect where no setting names them, for `--show-config`.
fn directories(common: &Common) -> Vec<(&'static str, PathBuf)> {
    let state = common.state_dir_path().ok();
    ["state_dir", "log_dir"].into_iter().filter_map(|id| Some((id, state.clone()?))).collect()
}

fn default_state_dir() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|dir| dir.join("orapipe"))
        .ok_or_else(|| {
            Failure::new(Exit::Usage, "no state directory: neither STATE_DIR nor HOME is set")
                .hint("name one with --state-dir")
                .into()
        })
}

fn make_dir(dir: &Path, flag: &str) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir).map_err(|e| {
        Failure::new(Exit::Usage, format!("make directory {}: {e}", dir.display()))
            .hint(format!("name a directory that this user may write with {flag}"))
    })?;
    dir.canonicalize().with_context(|| format!("look at directory {}", dir.display()))
}

/// A tool's arguments: a clap parser that contains [`Common`].
pub trait Args: Parser {
    const TOOL: &'static str;
    /// Second names of settings: (the original's, ours).
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    fn common(&self) -> &Common;

    /// A program that reads something else than records, when these arguments are for one: Nagios.
    fn monitor(_args: &[OsString]) -> Option<Monitor> {
        None
    }
}

/// What is told to a monitoring program instead of records: from the exit status and the message of `run_end`, the
/// text for standard output and the exit status that the program understands.
pub type Monitor = fn(Exit, Option<&str>) -> (String, u8);

/// What a tool has while it runs.
pub struct Frame {
    pub tool: &'static str,
    pub run: String,
    pub out: Out,
    pub verbose: bool,
}

impl Frame {
    /// Opens the tool's log file `<log-dir>/<name>`.
    pub fn log(&self, common: &Common, name: &str) -> anyhow::Result<LogFile> {
        LogFile::open(Some(&common.log_dir()?.join(name)), self.tool, self.verbose)
    }
}

/// How a run ended and what it counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub exit: Option<Exit>,
    pub counts: BTreeMap<String, u64>,
    pub message: Option<String>,
}

impl Report {
    pub fn new(exit: Exit) -> Self {
        Self { exit: Some(exit), ..Self::default() }
    }

    pub fn count(&mut self, name: &str, n: u64) {
        *self.counts.entry(name.to_owned()).or_default() += n;
    }
}

/// Runs a tool from its arguments to its exit status.
pub fn main<A: Args>(body: impl FnOnce(&A, &Frame) -> anyhow::Result<Report>) -> ExitCode {
    let started = Instant::now();
    let args: Vec<OsString> = std::env::args_os().collect();
    match prepare::<A>(&args) {
        Prepared::Stop(code) => code,
        Prepared::Usage(error, json) => {
            // In a pipeline the next tool must see that this one did not do its work.
            let frame = frame::<A>(&args, Mode::choose(json), false);
            begin_and(&frame, A::monitor(&args), started, |_| Err(error))
        }
        Prepared::Run(parsed) => {
            let common = parsed.common();
            let frame = frame::<A>(&args, Mode::choose(common.json), common.verbose);
            begin_and(&frame, A::monitor(&args), started, |frame| {
                refuse_root(common.allow_root)?;
                signals::install()?;
                body(&parsed, frame)
            })
        }
    }
}

enum Prepared<A> {
    Stop(ExitCode),
    Usage(anyhow::Error, bool),
    Run(A),
}

fn prepare<A: Args>(args: &[OsString]) -> Prepared<A> {
    let json = args.iter().any(|a| a == "--json");
    if let Some(code) = explain_argument(args) {
        return Prepared::Stop(print(&crate::explain::explain(&code)));
    }
    let mut file = match settings::load_env_file(args) {
        Ok(file) => file,
        Err(error) => return Prepared::Usage(error, json),
    };
    for (from, to) in A::ALIASES {
        settings::alias(from, to, &mut file);
    }
    let command = A::command();
    settings::unset_empty(&command);
    let matches = match command.clone().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Prepared::Stop(print(&e.render().to_string()));
        }
        Err(e) => return Prepared::Usage(usage::<A>(&e), json),
    };
    for warning in &file.warnings {
        complain(A::TOOL, "warning", warning);
    }
    match A::from_arg_matches(&matches) {
        Ok(parsed) if parsed.common().show_config => {
            let lines = settings::show(&command, &matches, &file, &directories(parsed.common()));
            Prepared::Stop(print(&(lines.join("\n") + "\n")))
        }
        Ok(parsed) => Prepared::Run(parsed),
        Err(e) => Prepared::Usage(usage::<A>(&e), json),
    }
}

fn usage<A: Args>(error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (tips, what): (Vec<_>, Vec<_>) = text
        .lines()
        .map(str::trim)
        .take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information"))
        .filter(|l| !l.is_empty())
        .partition(|l| l.starts_with("tip: "));
    // How to pass a misspelt flag as a file name helps nobody.
    let tip = tips.iter().map(|t| &t[5..]).find(|t| !t.starts_with("to pass "));
    let hint =
        tip.map_or_else(|| format!("see {} --help", A::TOOL), |t| format!("{t}; see {} --help", A::TOOL));
    Failure::new(Exit::Usage, what.join(" ")).hint(hint).into()
}

/// `--explain CODE` works without the arguments that a run needs.
fn explain_argument(args: &[OsString]) -> Option<String> {
    let mut args = args.iter().skip(1).map(|a| a.to_string_lossy());
    while let Some(arg) = args.next() {
        match arg.as_ref() {
            "--" => return None,
            "--explain" => {
                let code = args.next()?;
                // `--explain rsync 23` without the quotes.
                let number = args.next().filter(|n| n.chars().all(|c| c.is_ascii_digit()));
                return Some(match number {
                    Some(number) if code.chars().all(char::is_alphabetic) => format!("{code} {number}"),
                    _ => code.into(),
                });
            }
            text => {
                if let Some(code) = text.strip_prefix("--explain=") {
                    return Some(code.to_owned());
                }
            }
        }
    }
    None
}

fn print(text: &str) -> ExitCode {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write!(std::io::stdout(), "{text}{newline}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(Exit::Failed.code()),
    }
}

fn frame<A: Args>(args: &[OsString], mode: Mode, verbose: bool) -> Frame {
    let stamp = chrono::Utc::now().format("%Y%m%dT%H%M%S%3fZ");
    let db = std::env::var("ORACLE_SID").unwrap_or_default();
    let db = if db.is_empty() { db } else { format!("{db}-") };
    let run = format!("{db}{stamp}-{}", std::process::id());
    let out = match A::monitor(args) {
        Some(_) => Out::to(Box::new(std::io::sink()), A::TOOL, &run, mode),
        None => Out::stdout(A::TOOL, &run, mode),
    };
    Frame { tool: A::TOOL, out, run, verbose }
}

fn begin_and(
    frame: &Frame,
    monitor: Option<Monitor>,
    started: Instant,
    body: impl FnOnce(&Frame) -> anyhow::Result<Report>,
) -> ExitCode {
    let tool = frame.tool;
    std::panic::set_hook(Box::new(move |info| complain(tool, "error", &format!("a bug: {info}"))));
    let begin = RunBegin {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        db: std::env::var("ORACLE_SID").ok().filter(|s| !s.is_empty()),
    };
    let result = frame.out.emit(&begin).and_then(|()| {
        std::panic::catch_unwind(AssertUnwindSafe(|| body(frame)))
            .unwrap_or_else(|_| Err(Failure::new(Exit::Bug, "unexpected error").into()))
    });
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            report_error(tool, &error);
            Report { exit: Some(status_of(&error)), message: Some(format!("{error:#}")), ..Report::default() }
        }
    };
    let mut exit = report.exit.unwrap_or(Exit::Success);
    if let Some(stop) = signals::pending() {
        exit = exit.worse(match stop {
            signals::Stop::Interrupt => Exit::Interrupted,
            signals::Stop::Terminate => Exit::Terminated,
        });
    }
    let end = RunEnd {
        status: exit.word(),
        exit: i64::from(exit.code()),
        seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        counts: report.counts,
        message: report.message,
    };
    if let Err(error) = frame.out.emit(&end) {
        report_error(tool, &error);
        exit = exit.worse(Exit::Failed);
    }
    if let Some(monitor) = monitor {
        let (text, code) = monitor(exit, end.message.as_deref());
        print(&text);
        return ExitCode::from(code);
    }
    ExitCode::from(exit.code())
}

/// `tool: error: …`, then `tool: hint: …` when somebody knew what to do.
pub fn report_error(tool: &str, error: &anyhow::Error) {
    complain(tool, "error", &format!("{error:#}"));
    if let Some(failure) = failure(error) {
        if let Some(hint) = &failure.hint {
            complain(tool, "hint", hint);
        }
    }
}

fn complain(tool: &str, level: &str, message: &str) {
    // A closed standard error is no reason to fail.
    let _closed = writeln!(std::io::stderr(), "{tool}: {level}: {message}");
}

fn refuse_root(allowed: bool) -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() && !allowed {
        return Err(Failure::new(
            Exit::Refused,
            "this is root; files of root would lock out the oracle user",
        )
        .hint("run it as the owner of the database software, or give --allow-root")
        .into());
    }
    Ok(())
}

/// This host's name, without the domain as `uname -n` has it.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Tool {
        #[arg(long)]
        dest_host: Option<String>,
        #[command(flatten)]
        common: Common,
    }

    impl Args for Tool {
        const TOOL: &'static str = "tool";

        fn common(&self) -> &Common {
            &self.common
        }
    }

    #[test]
    fn a_misspelt_flag_is_an_error_and_the_right_one_a_hint() {
        let report = |flag: &str| {
            let error = usage::<Tool>(&Tool::try_parse_from(["tool", flag]).unwrap_err());
            (format!("{error:#}"), failure(&error).and_then(|f| f.hint.clone()).unwrap())
        };
        let (error, hint) = report("--dest-hosst");
        assert_eq!(error, "unexpected argument '--dest-hosst' found");
        assert_eq!(hint, "a similar argument exists: '--dest-host'; see tool --help");
        let (error, hint) = report("--zzz");
        assert_eq!((error.as_str(), hint.as_str()), ("unexpected argument '--zzz' found", "see tool --help"));
    }

    #[test]
    fn the_code_to_explain_may_be_two_words() {
        let code = |list: &[&str]| explain_argument(&list.iter().map(Into::into).collect::<Vec<OsString>>());
        assert_eq!(code(&["tool", "--explain", "rsync", "23"]).as_deref(), Some("rsync 23"));
        assert_eq!(code(&["tool", "--explain", "rsync 23"]).as_deref(), Some("rsync 23"));
        assert_eq!(code(&["tool", "--explain", "5", "6"]).as_deref(), Some("5"));
        assert_eq!(code(&["tool", "--explain", "5", "--json"]).as_deref(), Some("5"));
        assert_eq!(code(&["tool", "--explain"]), None);
    }
}
