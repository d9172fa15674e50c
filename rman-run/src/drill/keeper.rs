//! The keeper of a drill: a process in a session of its own that puts the standby back when the drill is killed.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use anyhow::Context;
use common::exit::Exit;
use common::guardian::{stop_programs_of, RUN_MARK};
use common::signals;

/// First argument of the keeper process. Hidden: nobody types it.
const ARGUMENT: &str = "__drill_keeper";
/// What the drill says when it needs the keeper no more.
const FAREWELL: &[u8] = b"done\n";

/// Becomes the keeper when this process was started as one. To be called first thing in `main`.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    if args.next()? != ARGUMENT {
        return None;
    }
    let ended = serve(&PathBuf::from(program), args.collect());
    Some(ended.map_or(ExitCode::from(Exit::Failed.code()), |()| ExitCode::SUCCESS))
}

/// `rest`: the run, the log file, and the arguments of the drill.
fn serve(program: &Path, rest: Vec<OsString>) -> anyhow::Result<()> {
    // Out of the drill's session and process group: what kills those does not reach us.
    let _already_leader = rustix::process::setsid();
    signals::install()?;
    let mut rest = rest.into_iter();
    let run = rest.next().context("no run")?;
    let log = PathBuf::from(rest.next().context("no log")?);
    let mut said = Vec::new();
    // The end of the pipe is the end of the drill, however it ended.
    let _broken = std::io::stdin().read_to_end(&mut said);
    if said.ends_with(FAREWELL) {
        return Ok(());
    }
    // A session that it has left might still open the database after we have put it back.
    stop_programs_of(&run.to_string_lossy());
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let (out, err) = match (open(), open()) {
        (Ok(out), Ok(err)) => (Stdio::from(out), Stdio::from(err)),
        // A log disk that is full or gone must not keep the standby from its recovery.
        _ => (Stdio::null(), Stdio::null()),
    };
    let failed = Command::new(program)
        .args(rest)
        .args(["--recover", "--as-keeper"])
        .env_remove(RUN_MARK)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .exec();
    Err(failed).context("start the recovery")
}

/// The keeper as the drill has it. When the value goes without [`Keeper::farewell`], the keeper puts the standby back.
pub struct Keeper {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Keeper {
    /// Starts it. Marks all programs that this process starts from now on as those of `run`, so it is to be called before
    /// there are threads.
    ///
    /// # Errors
    /// It cannot be started; then nothing may be done to the standby.
    pub fn start(run: &str, log: &Path) -> anyhow::Result<Self> {
        std::env::set_var(RUN_MARK, run);
        let program = std::env::current_exe().context("find this program")?;
        let mut child = Command::new(program)
            .arg(ARGUMENT)
            .arg(run)
            .arg(log)
            .args(std::env::args_os().skip(1))
            .env_remove(RUN_MARK)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the keeper of the drill")?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// The standby is where it was: the keeper goes.
    pub fn farewell(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // A keeper that somebody has killed is gone already.
            let _gone = pipe.write_all(FAREWELL);
        }
        let _ended = self.child.wait();
    }
}
