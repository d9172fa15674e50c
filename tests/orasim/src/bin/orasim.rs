//! `orasim`: makes, runs, breaks and checks simulated instances.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use orasim::instance::{FileSpec, Instance, Spec, TablespaceKind, TablespaceSpec};
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind, When};
use orasim::server::front::Front;
use orasim::server::{daemon, home, physics, Core};

#[derive(Parser)]
#[command(about = "Makes, runs, breaks and checks simulated Oracle instances")]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// Makes an instance from a JSON spec (fields of `orasim::instance::Spec`).
    Create {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        spec: Option<PathBuf>,
        /// `front.json` to take: accounts, language, release.
        #[arg(long)]
        front: Option<PathBuf>,
    },
    /// Runs the daemon in the foreground; prints READY when it serves.
    Start {
        #[arg(long)]
        dir: PathBuf,
        /// nomount, mount, open, none; default: open, or none for a standby.
        #[arg(long)]
        state: Option<String>,
    },
    /// Ends the daemon.
    Stop {
        #[arg(long)]
        dir: PathBuf,
    },
    /// The instance dies now; the daemon stays and answers as an idle instance.
    Kill {
        #[arg(long)]
        dir: PathBuf,
    },
    /// Prints Down, Nomount, Mounted, OpenReadOnly or Open.
    State {
        #[arg(long)]
        dir: PathBuf,
    },
    /// Compares a standby's datafiles with what its primary had at an SCN; exit 1 when they differ.
    TruthCompare {
        #[arg(long)]
        primary: PathBuf,
        #[arg(long)]
        standby: PathBuf,
        #[arg(long)]
        scn: Option<u64>,
        /// Takes the SCN from the standby's file headers.
        #[arg(long)]
        at_standby: bool,
    },
    /// Sets, lists or clears faults.
    Fault {
        #[arg(long)]
        dir: PathBuf,
        #[command(subcommand)]
        what: FaultSub,
    },
    /// Speed of the background writer, or changes at once.
    Writer {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        rate: Option<u32>,
        #[arg(long)]
        pause: bool,
        /// Back to full speed.
        #[arg(long)]
        resume: bool,
        #[arg(long)]
        batch: Option<usize>,
    },
    LogSwitch {
        #[arg(long)]
        dir: PathBuf,
    },
    /// A RESETLOGS in between.
    Resetlogs {
        #[arg(long)]
        dir: PathBuf,
    },
    AddFile {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        tablespace: String,
        #[arg(long)]
        file: PathBuf,
        #[arg(long, default_value_t = 1 << 20)]
        bytes: u64,
    },
    /// One SQL statement as SYSDBA, outside of journal and faults.
    Sql {
        #[arg(long)]
        dir: PathBuf,
        text: String,
    },
    /// Makes an ORACLE_HOME, or adds SIDs (SID=DIR) and aliases (ALIAS=SID) to one.
    Home {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        sid: Vec<String>,
        #[arg(long)]
        alias: Vec<String>,
        /// Text of glogin.sql.
        #[arg(long)]
        glogin: Option<String>,
    },
}

#[derive(Subcommand)]
enum FaultSub {
    /// A matching statement waits, for ever without --seconds.
    Hang {
        pattern: String,
        #[arg(long)]
        seconds: Option<f64>,
        #[arg(long)]
        after: bool,
        #[arg(long)]
        times: Option<u32>,
        #[arg(long, default_value_t = 0)]
        skip: u32,
    },
    /// A matching statement answers this error and is not executed.
    Error {
        pattern: String,
        code: u32,
        text: String,
        #[arg(long)]
        times: Option<u32>,
        #[arg(long, default_value_t = 0)]
        skip: u32,
    },
    /// A matching statement answers as if it had been done, and is not executed.
    Pretend {
        pattern: String,
        #[arg(long)]
        times: Option<u32>,
        #[arg(long, default_value_t = 0)]
        skip: u32,
    },
    /// The session dies in a matching statement.
    KillSession {
        pattern: String,
        #[arg(long)]
        after: bool,
        #[arg(long)]
        times: Option<u32>,
        #[arg(long, default_value_t = 0)]
        skip: u32,
    },
    /// The instance dies in a matching statement.
    Crash {
        pattern: String,
        #[arg(long)]
        after: bool,
        #[arg(long, default_value_t = 1)]
        times: u32,
        #[arg(long, default_value_t = 0)]
        skip: u32,
    },
    ExpireWarning {
        days: u32,
    },
    Expired {
        #[arg(long)]
        times: Option<u32>,
    },
    LogonDenied {
        #[arg(long)]
        times: Option<u32>,
    },
    LogonHang {
        seconds: f64,
    },
    /// Faults of the physics, JSON of `orasim::faults::Faults`.
    Physics {
        json: String,
    },
    List,
    Clear,
}

fn when(after: bool) -> When {
    if after {
        When::After
    } else {
        When::Before
    }
}

fn fault(sub: FaultSub) -> Admin {
    let add = |pattern: String, kind: Kind, times: Option<u32>, skip: u32| {
        Admin::AddFault(Fault { pattern, kind, times, skip })
    };
    match sub {
        FaultSub::Hang { pattern, seconds, after, times, skip } => {
            add(pattern, Kind::Hang { seconds, when: when(after) }, times, skip)
        }
        FaultSub::Error { pattern, code, text, times, skip } => {
            add(pattern, Kind::Error { code, text }, times, skip)
        }
        FaultSub::Pretend { pattern, times, skip } => add(pattern, Kind::Pretend, times, skip),
        FaultSub::KillSession { pattern, after, times, skip } => {
            add(pattern, Kind::KillSession { when: when(after) }, times, skip)
        }
        FaultSub::Crash { pattern, after, times, skip } => {
            add(pattern, Kind::Crash { when: when(after) }, Some(times), skip)
        }
        FaultSub::ExpireWarning { days } => add(String::new(), Kind::ExpireWarning { days }, None, 0),
        FaultSub::Expired { times } => add(String::new(), Kind::Expired, times, 0),
        FaultSub::LogonDenied { times } => add(String::new(), Kind::LogonDenied, times, 0),
        FaultSub::LogonHang { seconds } => add(String::new(), Kind::LogonHang { seconds }, None, 0),
        FaultSub::Physics { json } => Admin::Physics(json),
        FaultSub::List => Admin::ListFaults,
        FaultSub::Clear => Admin::ClearFaults,
    }
}

fn tell(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// What `create` makes without a spec: a small database with the usual tablespaces.
fn small(dir: &std::path::Path) -> Result<Spec> {
    let file = |name: &str| FileSpec { path: dir.join("data").join(name), bytes: 2 << 20 };
    let of = |name: &str, kind: TablespaceKind, file: FileSpec| TablespaceSpec {
        kind,
        ..TablespaceSpec::new(name, vec![file])
    };
    Ok(Spec {
        tablespaces: vec![
            TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
            TablespaceSpec::new("SYSAUX", vec![file("sysaux01.dbf")]),
            of("UNDOTBS1", TablespaceKind::Undo, file("undotbs01.dbf")),
            of("TEMP", TablespaceKind::Temporary, file("temp01.dbf")),
            TablespaceSpec::new("USERS", vec![file("users01.dbf"), file("users02.dbf")]),
        ],
        ..Spec::default()
    })
}

fn start(dir: &std::path::Path, state: Option<&str>) -> Result<()> {
    let dir = &std::path::absolute(dir)?;
    let listener = daemon::bind(dir)?;
    let instance = Instance::open(dir)?;
    let core = Core::with(&instance)?;
    let statement = match state {
        Some("none") => None,
        Some("nomount") => Some(orasim::engine::StartupMode::Nomount),
        Some("mount") => Some(orasim::engine::StartupMode::Mount),
        Some("open") => Some(orasim::engine::StartupMode::Open),
        None if instance.spec().standby => None,
        None => Some(orasim::engine::StartupMode::Open),
        Some(other) => anyhow::bail!("no such state: {other}"),
    };
    if let Some(mode) = statement {
        use orasim::engine::{Command, Engine};
        // An instance that does not open (ORA-10873 after a crash) stays where it is, as Oracle's does.
        if let Err(error) = instance.execute(&Command::Startup(mode), &mut None) {
            eprintln!("orasim: startup: {:?}", error.stack);
        }
    }
    tell("READY")?;
    daemon::serve(&core, &listener)
}

fn run(command: Sub) -> Result<ExitCode> {
    let show = |dir: &std::path::Path, admin: Admin| -> Result<ExitCode> {
        tell(&physics::ask(dir, admin)?)?;
        Ok(ExitCode::SUCCESS)
    };
    match command {
        Sub::Create { dir, spec, front } => {
            let dir = std::path::absolute(dir)?;
            let spec: Spec = match spec {
                Some(path) => serde_json::from_slice(
                    &std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
                )
                .with_context(|| format!("{} is no spec", path.display()))?,
                None => small(&dir)?,
            };
            let front: Front = match front {
                Some(path) => serde_json::from_slice(&std::fs::read(&path)?)?,
                None => Front::default(),
            };
            let instance = Instance::create(&dir, &spec)?;
            // Created and closed as DBCA would leave it; `start` opens it.
            use orasim::engine::{Command, Engine, ShutdownMode, State};
            if instance.state() != State::Down {
                instance
                    .execute(&Command::Shutdown(ShutdownMode::Immediate), &mut None)
                    .map_err(|e| anyhow::anyhow!("shutdown: {:?}", e.stack))?;
            }
            front.save(&dir)?;
            Ok(ExitCode::SUCCESS)
        }
        Sub::Start { dir, state } => {
            start(&dir, state.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Sub::Stop { dir } => show(&dir, Admin::Stop),
        Sub::Kill { dir } => show(&dir, Admin::Kill),
        Sub::State { dir } => show(&dir, Admin::State),
        Sub::TruthCompare { primary, standby, scn, at_standby } => {
            if scn.is_none() && !at_standby {
                anyhow::bail!("--scn or --at-standby is needed");
            }
            let comparison = physics::compare(&primary, &standby, scn)?;
            for line in comparison.explain() {
                tell(&line)?;
            }
            let equal = comparison.equal();
            tell(&format!("{} at SCN {}", if equal { "equal" } else { "DIFFERENT" }, comparison.scn))?;
            Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Sub::Fault { dir, what } => show(&dir, fault(what)),
        Sub::Writer { dir, rate, pause, resume, batch } => {
            if let Some(n) = batch {
                return show(&dir, Admin::WriteBatch { n });
            }
            let rate = match (rate, pause, resume) {
                (Some(rate), false, false) => rate,
                (None, true, false) => 0,
                (None, false, true) => 1000,
                _ => anyhow::bail!("one of --rate, --pause, --resume, --batch is needed"),
            };
            show(&dir, Admin::Writer { rate })
        }
        Sub::LogSwitch { dir } => show(&dir, Admin::Sql { text: "ALTER SYSTEM SWITCH LOGFILE".into() }),
        Sub::Resetlogs { dir } => show(&dir, Admin::Resetlogs),
        Sub::AddFile { dir, tablespace, file, bytes } => {
            let quote = |s: &str| s.replace('\'', "''");
            let text = format!(
                "ALTER TABLESPACE \"{tablespace}\" ADD DATAFILE '{}' SIZE {bytes}",
                quote(&file.display().to_string())
            );
            show(&dir, Admin::Sql { text })
        }
        Sub::Sql { dir, text } => show(&dir, Admin::Sql { text }),
        Sub::Home { dir, sid, alias, glogin } => {
            let own = std::env::current_exe()?;
            let programs = own.parent().context("the directory of this program")?;
            home::make(&dir, programs)?;
            for pair in sid {
                let (sid, instance) = pair.split_once('=').context("--sid takes SID=DIR")?;
                home::register(&dir, sid, &std::path::absolute(instance)?)?;
            }
            for pair in alias {
                let (alias, sid) = pair.split_once('=').context("--alias takes ALIAS=SID")?;
                home::add_alias(&dir, alias, sid)?;
            }
            if let Some(text) = glogin {
                std::fs::write(dir.join("sqlplus/admin/glogin.sql"), text)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("orasim: {error:#}");
            ExitCode::FAILURE
        }
    }
}
