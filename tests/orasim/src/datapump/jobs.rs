//! The jobs of the server. A job outlives its client.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{Local, NaiveDateTime};

use super::dump::Writer;
use super::wire::{Answer, Request, Start};
use super::{text, Config, Kind};

type Stack = Vec<(u32, String)>;

/// How long a poll waits for a new line.
const POLL: Duration = Duration::from_millis(500);

/// All jobs of an instance.
pub struct Pump {
    dir: PathBuf,
    jobs: Arc<(Mutex<Vec<Job>>, Condvar)>,
}

struct Job {
    owner: String,
    name: String,
    /// EXECUTING, STOPPING, NOT RUNNING; a job that is gone has no row.
    state: &'static str,
    gone: bool,
    lines: Vec<String>,
    ended: Option<i32>,
    client_dies: Option<i32>,
    stop: Option<Stop>,
    kinds: Vec<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// KILL_JOB: dumps and master table go.
    Kill,
    /// STOP_JOB, or the end of the instance: the master table stays.
    Keep,
}

/// What a session may do, and the SCN as of now.
pub struct Caller<'a> {
    pub user: &'a str,
    pub dba: bool,
    /// Edition and release, for what is licensed.
    pub standard_edition: bool,
    pub scn: Arc<dyn Fn() -> u64 + Send + Sync>,
}

fn fail(stack: &[(u32, &str)]) -> Answer {
    Answer::Failed(stack.iter().map(|(code, text)| (*code, (*text).to_owned())).collect())
}

impl Pump {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), jobs: Arc::default() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Owner, name and state of each job that the dictionary still has.
    pub fn jobs(&self) -> Vec<(String, String, String)> {
        let jobs = self.lock();
        jobs.iter()
            .filter(|j| !j.gone)
            .map(|j| (j.owner.clone(), j.name.clone(), j.state.to_owned()))
            .collect()
    }

    /// The instance has died: jobs stop where they are, their master tables stay.
    pub fn crash(&self) {
        for job in self.lock().iter_mut().filter(|j| j.ended.is_none()) {
            job.stop = Some(Stop::Keep);
            job.state = "NOT RUNNING";
            job.ended = Some(1);
        }
        self.jobs.1.notify_all();
    }

    /// DROP TABLE of a master table. `None`: no such job, the statement is somebody else's.
    pub fn drop_table(&self, owner: &str, name: &str) -> Option<Result<(), (u32, &'static str)>> {
        let mut jobs = self.lock();
        let job = jobs.iter_mut().find(|j| !j.gone && j.owner == owner && j.name == name)?;
        if job.state == "NOT RUNNING" {
            job.gone = true;
            Some(Ok(()))
        } else {
            Some(Err((54, "resource busy and acquire with NOWAIT specified or timeout expired")))
        }
    }

    pub fn answer(&self, caller: &Caller<'_>, request: Request) -> Answer {
        match request {
            Request::Start(start) => self.start(caller, start),
            Request::Poll { owner, job, from } => self.poll(&owner, &job, from),
            Request::Attach { owner, job } => {
                self.with(caller, &owner, &job, |job| Answer::Attached { state: job.state.to_owned() })
            }
            Request::Kill { owner, job } => self.stop(caller, &owner, &job, Stop::Kill),
            Request::Stop { owner, job } => self.stop(caller, &owner, &job, Stop::Keep),
        }
    }

    fn with(
        &self,
        caller: &Caller<'_>,
        owner: &str,
        name: &str,
        act: impl FnOnce(&mut Job) -> Answer,
    ) -> Answer {
        if owner != caller.user && !caller.dba {
            return fail(&[(31626, "job does not exist"), (31631, "privileges are required")]);
        }
        match self.lock().iter_mut().find(|j| !j.gone && j.owner == owner && j.name == name) {
            Some(job) => act(job),
            None => Answer::Failed(vec![
                (31626, "job does not exist".into()),
                (31640 - 1, format!("unable to find job {name} for user {owner}")),
            ]),
        }
    }

    fn stop(&self, caller: &Caller<'_>, owner: &str, name: &str, how: Stop) -> Answer {
        let mut wait = Duration::ZERO;
        let answer = self.with(caller, owner, name, |job| {
            for kind in &job.kinds {
                if let Kind::KillTakes { seconds } = kind {
                    wait = Duration::from_secs_f64(*seconds);
                }
            }
            let leaves = how == Stop::Kill && job.kinds.contains(&Kind::KillLeavesMaster);
            if job.ended.is_some() {
                // Only its master table is left.
                job.gone = how == Stop::Kill && !leaves;
                return Answer::Done;
            }
            job.state = "STOPPING";
            job.stop = Some(if leaves { Stop::Keep } else { how });
            Answer::Done
        });
        std::thread::sleep(wait);
        self.jobs.1.notify_all();
        answer
    }

    fn poll(&self, owner: &str, name: &str, from: usize) -> Answer {
        let end = Instant::now() + POLL;
        let mut jobs = self.lock();
        loop {
            // The newest: a name may be used again.
            let Some(job) = jobs.iter().rev().find(|j| j.owner == owner && j.name == name) else {
                return fail(&[(31626, "job does not exist")]);
            };
            let news = job.lines.len() > from || job.ended.is_some() || job.client_dies.is_some();
            if news || Instant::now() >= end {
                let lines = job.lines.get(from..).unwrap_or_default().to_vec();
                return Answer::Lines { lines, ended: job.ended, client_dies: job.client_dies };
            }
            jobs = self.jobs.1.wait_timeout(jobs, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn start(&self, caller: &Caller<'_>, start: Start) -> Answer {
        let config = match Config::load(&self.dir) {
            Ok(config) => config,
            Err(e) => {
                return Answer::Failed(vec![(
                    600,
                    format!("internal error code, arguments: [orasim], [{e:#}]"),
                )])
            }
        };
        if start.parallel > 1 && caller.standard_edition {
            return fail(&[
                (39002, "invalid operation"),
                (39094, "Parallel execution not supported in this database edition."),
            ]);
        }
        if !caller.dba && start.schemas.iter().any(|s| s != caller.user) {
            return fail(&[
                (31631, "privileges are required"),
                (39109, "Unprivileged users may not operate upon other users' schemas"),
            ]);
        }
        let directory = config
            .directories
            .get(&start.directory)
            .filter(|d| caller.dba || d.grantees.iter().any(|g| g == caller.user));
        let Some(directory) = directory else {
            return Answer::Failed(vec![
                (39002, "invalid operation".into()),
                (39070, "Unable to open the log file.".into()),
                (39087, format!("directory name {} is invalid", start.directory)),
            ]);
        };
        let log = directory.path.join(&start.logfile);
        let Ok(log) = std::fs::File::create(&log) else {
            return fail(&[
                (39002, "invalid operation"),
                (39070, "Unable to open the log file."),
                (29283, "invalid file operation: cannot open file [29435]"),
                (6512, "at \"SYS.UTL_FILE\", line 536"),
            ]);
        };
        let first = file_name(&start.dumpfile, 1);
        if directory.path.join(&first).exists() && !start.reuse {
            return Answer::Failed(vec![
                (39001, "invalid argument value".into()),
                (39000, "bad dump file specification".into()),
                (31641, format!("unable to create dump file \"{}\"", directory.path.join(&first).display())),
                (27038, "created file already exists\nAdditional information: 1".into()),
            ]);
        }
        let mut jobs = self.lock();
        let name = if start.job.is_empty() { free_name(&jobs, caller.user) } else { start.job.clone() };
        if jobs.iter().any(|j| !j.gone && j.owner == caller.user && j.name == name) {
            return fail(&[
                (31634, "job already exists"),
                (955, "name is already used by an existing object"),
            ]);
        }
        let kinds = start.schemas.iter().flat_map(|s| config.faults_of(s)).collect::<Vec<_>>();
        jobs.push(Job {
            owner: caller.user.to_owned(),
            name: name.clone(),
            state: "EXECUTING",
            gone: false,
            lines: Vec::new(),
            ended: None,
            client_dies: None,
            stop: None,
            kinds: kinds.clone(),
        });
        let index = jobs.len() - 1;
        drop(jobs);
        let work = Work {
            jobs: Arc::clone(&self.jobs),
            index,
            owner: caller.user.to_owned(),
            name: name.clone(),
            dir: directory.path.clone(),
            log,
            started: Local::now().naive_local(),
            config: config.clone(),
            kinds,
            scn: Arc::clone(&caller.scn),
            start,
        };
        std::thread::spawn(move || work.run());
        Answer::Started { owner: caller.user.to_owned(), job: name }
    }
}

fn free_name(jobs: &[Job], owner: &str) -> String {
    let taken = |n: &String| jobs.iter().any(|j| !j.gone && j.owner == owner && j.name == *n);
    (1..100).map(|n| format!("SYS_EXPORT_SCHEMA_{n:02}")).find(|n| !taken(n)).unwrap_or_default()
}

/// `%U` is 01, 02, …
fn file_name(template: &str, n: usize) -> String {
    template.replace("%U", &format!("{n:02}")).replace("%u", &format!("{n:02}"))
}

struct Work {
    jobs: Arc<(Mutex<Vec<Job>>, Condvar)>,
    index: usize,
    owner: String,
    name: String,
    dir: PathBuf,
    log: std::fs::File,
    started: NaiveDateTime,
    config: Config,
    kinds: Vec<Kind>,
    scn: Arc<dyn Fn() -> u64 + Send + Sync>,
    start: Start,
}

/// Why a job does not go on.
enum Halt {
    Stopped(Stop),
    Fatal(Stack),
}

impl Work {
    fn say(&self, line: impl Into<String>) {
        use std::io::Write;
        let line = line.into();
        let mut log = &self.log;
        // A log that cannot be written does not stop a job.
        let _ = writeln!(log, "{line}");
        let mut jobs = self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = jobs.get_mut(self.index) {
            job.lines.push(line);
        }
        self.jobs.1.notify_all();
    }

    fn pause(&self, seconds: f64) -> Result<(), Halt> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut jobs = self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(stop) = jobs.get(self.index).and_then(|j| j.stop) {
                return Err(Halt::Stopped(stop));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            jobs = self.jobs.1.wait_timeout(jobs, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn run(self) {
        for line in &self.start.banner {
            self.say(line.clone());
        }
        self.say(format!("Starting \"{}\".\"{}\":  {} ", self.owner, self.name, self.start.shown));
        let mut dumps = Vec::new();
        let outcome = self.unload(&mut dumps);
        let elapsed = text::elapsed((Local::now().naive_local() - self.started).num_seconds());
        let at = format!("at {} elapsed {elapsed}", text::stamp(Local::now().naive_local()));
        let job = format!("Job \"{}\".\"{}\"", self.owner, self.name);
        let (status, state) = match outcome {
            Ok(0) => {
                self.say(format!("{job} successfully completed {at}"));
                (0, None)
            }
            Ok(errors) => {
                self.say(format!("{job} completed with {errors} error(s) {at}"));
                (5, None)
            }
            Err(Halt::Fatal(stack)) => {
                for line in text::stack(&stack) {
                    self.say(line);
                }
                self.say(format!("{job} stopped due to fatal error {at}"));
                (1, Some("NOT RUNNING"))
            }
            Err(Halt::Stopped(Stop::Kill)) => {
                for dump in &dumps {
                    let _ = std::fs::remove_file(dump);
                }
                self.say(format!("{job} stopped by user request {at}"));
                (1, None)
            }
            Err(Halt::Stopped(Stop::Keep)) => {
                self.say(format!("{job} stopped by user request {at}"));
                (1, Some("NOT RUNNING"))
            }
        };
        for kind in &self.kinds {
            if let (Kind::CutDump { bytes }, Some(dump)) = (kind, dumps.last()) {
                let _ = std::fs::OpenOptions::new().write(true).open(dump).and_then(|f| f.set_len(*bytes));
            }
        }
        if self.kinds.contains(&Kind::NoDump) {
            for dump in &dumps {
                let _ = std::fs::remove_file(dump);
            }
        }
        let told = self.kinds.iter().find_map(|k| match k {
            Kind::Status { status } => Some(*status),
            _ => None,
        });
        let mut jobs = self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = jobs.get_mut(self.index) {
            job.ended = Some(told.unwrap_or(status));
            match state {
                Some(state) => job.state = state,
                None => job.gone = true,
            }
        }
        self.jobs.1.notify_all();
    }

    /// Unloads all tables; the number of errors.
    fn unload(&self, dumps: &mut Vec<PathBuf>) -> Result<u64, Halt> {
        let mut errors = 0;
        let missing: Vec<_> =
            self.start.schemas.iter().filter(|s| !self.config.schemas.contains_key(*s)).collect();
        for schema in &missing {
            self.say(format!("ORA-39165: Schema {schema} was not found."));
        }
        if !missing.is_empty() {
            self.say("ORA-31655: no data or metadata objects selected for job");
            return Ok(missing.len() as u64 + 1);
        }
        for part in ["USER", "SYSTEM_GRANT", "ROLE_GRANT", "DEFAULT_ROLE", "TABLE/TABLE_DATA", "TABLE/TABLE"]
        {
            self.say(format!("Processing object type SCHEMA_EXPORT/{part}"));
        }
        let fixed = (self.start.flashback_scn.is_some() || self.start.flashback_time)
            .then(|| self.start.flashback_scn.unwrap_or_else(|| (self.scn)()));
        let io = |e: std::io::Error| {
            Halt::Fatal(vec![
                (31693, "Table data object failed to load/unload".into()),
                (19502, format!("write error on file: {e}")),
            ])
        };
        let path = |n: usize| self.dir.join(file_name(&self.start.dumpfile, n));
        dumps.push(path(1));
        let mut writer = Some(Writer::create(&path(1), &self.name).map_err(io)?);
        let mut written = 0;
        let segments: Vec<_> = self
            .start
            .schemas
            .iter()
            .filter_map(|s| Some((s, self.config.schemas.get(s)?)))
            .flat_map(|(name, schema)| schema.tables.iter().flat_map(move |t| t.segments(name)))
            .collect();
        let last = segments.len().saturating_sub(1);
        for (n, (object, rows)) in segments.into_iter().enumerate() {
            self.pause(self.config.table_seconds)?;
            if self.start.metadata_only || self.kinds.contains(&Kind::NoRows) {
                continue;
            }
            if n == last {
                self.before_the_last(&mut writer).map_err(|halt| match halt {
                    Ok(halt) => halt,
                    Err(e) => io(e),
                })?;
            }
            if let Some(code) = self.skipped(&object) {
                self.say(format!("ORA-31693: Table data object {object} failed to load/unload and is being skipped due to error:"));
                if code == 1555 {
                    self.say("ORA-02354: error in exporting/importing data");
                    self.say("ORA-01555: snapshot too old: rollback segment number 9 with name \"_SYSSMU9_1424341975$\" too small");
                } else {
                    self.say(format!("ORA-{code:05}: the cause of it"));
                }
                errors += 1;
                continue;
            }
            if self.kinds.iter().any(|k| matches!(k, Kind::Omit { object: o } if *o == object)) {
                continue;
            }
            let scn = fixed.unwrap_or_else(|| (self.scn)());
            let full =
                self.start.filesize.is_some_and(|max| written >= max) && self.start.dumpfile.contains("%U");
            if full {
                if let Some(done) = writer.take() {
                    done.finish().map_err(io)?;
                }
                dumps.push(path(dumps.len() + 1));
                writer = Some(Writer::create(&path(dumps.len()), &self.name).map_err(io)?);
                written = 0;
            }
            if let Some(writer) = &mut writer {
                let bytes = writer.table(&object, rows, scn).map_err(io)?;
                written += bytes;
                self.say(text::row(&object, bytes, rows));
            }
            if n == 0 {
                errors += self.after_the_first()?;
            }
        }
        if let Some(writer) = writer {
            writer.finish().map_err(io)?;
        }
        self.say(format!("Master table \"{}\".\"{}\" successfully loaded/unloaded", self.owner, self.name));
        self.say("*".repeat(78));
        self.say(format!("Dump file set for {}.{} is:", self.owner, self.name));
        for dump in dumps {
            self.say(format!("  {}", dump.display()));
        }
        Ok(errors)
    }

    fn skipped(&self, object: &str) -> Option<u32> {
        self.kinds.iter().find_map(|k| match k {
            Kind::Skip { object: o, code } if o == object => Some(*code),
            _ => None,
        })
    }

    fn after_the_first(&self) -> Result<u64, Halt> {
        let mut errors = 0;
        for kind in &self.kinds {
            match kind {
                Kind::Hang => self.pause(1e6)?,
                Kind::Wait { seconds } => {
                    self.say("ORA-39171: Job is experiencing a resumable wait.");
                    self.say("ORA-01653: unable to extend table ORAPIPE by 128 in tablespace USERS");
                    self.pause(*seconds)?;
                    errors += 1;
                }
                Kind::ClientDies { signal } => {
                    let mut jobs = self.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(job) = jobs.get_mut(self.index) {
                        job.client_dies = Some(*signal);
                    }
                    self.jobs.1.notify_all();
                }
                _ => {}
            }
        }
        Ok(errors)
    }

    fn before_the_last(&self, writer: &mut Option<Writer>) -> Result<(), Result<Halt, std::io::Error>> {
        for kind in &self.kinds {
            match kind {
                Kind::Fatal { code, text } => {
                    return Err(Ok(Halt::Fatal(vec![
                        (
                            39126,
                            "Worker unexpected fatal error in KUPW$WORKER.UNLOAD_DATA [TABLE_DATA]".into(),
                        ),
                        (*code, text.clone()),
                    ])));
                }
                Kind::DiskFull => {
                    if let Some(writer) = writer.take() {
                        writer.abandon().map_err(Err)?;
                    }
                    return Err(Ok(Halt::Fatal(vec![
                        (
                            31693,
                            "Table data object failed to load/unload and is being skipped due to error:"
                                .into(),
                        ),
                        (31617, "unable to open dump file for write".into()),
                        (19502, "write error on file, block number 65 (block size=4096)".into()),
                        (27072, "File I/O error\nLinux-x86_64 Error: 28: No space left on device".into()),
                    ])));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
