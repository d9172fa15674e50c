//! The instance as its clients see it: logon, sessions, faults, journal; over a socket or in process.

pub mod admin;
pub mod client;
pub mod daemon;
pub mod fault;
pub mod front;
pub mod home;
pub mod physics;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::datapump::{self, Pump, WithDictionary};
use crate::engine::{Command, Engine, OraError, ShutdownMode, StartupMode, State};
use crate::journal::{self, Event};
use crate::sql::nls::Nls;
use crate::sql::{self, Cell, Outcome, Session, SqlError};
use admin::Admin;
use fault::{Faults, Kind, When};
use front::Front;
use wire::{Logon, Request, Response, ShutdownWord, StartupWord, Step};

/// A database that can be made to suffer from outside.
pub trait Database: Engine {
    /// The instance dies without a word.
    fn crash(&self);
    fn set_rate(&self, changes_per_second: u32);
    /// # Errors
    /// When the database is not open.
    fn write_batch(&self, n: usize) -> Result<()>;
    /// # Errors
    /// As ALTER DATABASE OPEN RESETLOGS.
    fn resetlogs(&self) -> Result<(), OraError>;
    /// # Errors
    /// When the text is no fault setting.
    fn set_faults(&self, json: &str) -> Result<()>;
    fn faults(&self) -> String;
    /// One request of RMAN; `session` is what the engine keeps of it between two.
    ///
    /// # Errors
    /// When the instance is in no state for it; failures of a command itself are in the answer.
    fn rman(
        &self,
        session: &mut crate::pieces::Session,
        request: &crate::pieces::api::Request,
    ) -> Result<crate::pieces::api::Answer, OraError> {
        let _ = (session, request);
        Err(OraError::new(3001, "unimplemented feature"))
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One instance, shared by all its sessions.
pub struct Core {
    pub database: Box<dyn Database>,
    /// Instance directory: `front.json`, `journal.jsonl`, `orasim.sock`.
    pub dir: PathBuf,
    front: Mutex<Front>,
    faults: Mutex<Faults>,
    /// Counts the deaths of the instance; a session of an earlier life is lost.
    life: Mutex<u64>,
    died: Condvar,
    sessions: Mutex<u32>,
    pump: Pump,
}

impl Core {
    /// # Errors
    /// When `front.json` cannot be read.
    pub fn new(dir: &Path, database: Box<dyn Database>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            database,
            dir: dir.to_path_buf(),
            front: Mutex::new(Front::load(dir)?),
            faults: Mutex::default(),
            life: Mutex::new(0),
            died: Condvar::new(),
            sessions: Mutex::new(0),
            pump: Pump::new(dir),
        }))
    }

    fn life(&self) -> u64 {
        *lock(&self.life)
    }

    /// Cuts off every session.
    pub fn end_of_life(&self) {
        *lock(&self.life) += 1;
        self.pump.crash();
        self.died.notify_all();
    }

    pub fn crash(&self) {
        self.database.crash();
        self.end_of_life();
    }

    /// Waits, but not beyond the life of the instance. True when it died meanwhile.
    fn wait(&self, life: u64, seconds: Option<f64>) -> bool {
        let end = seconds.map(|s| Instant::now() + Duration::from_secs_f64(s.clamp(0.0, 1e6)));
        let mut now = lock(&self.life);
        while *now == life {
            let left = end.map_or(Duration::from_secs(3600), |e| e.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            now = self.died.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Opens a connection for a program; `id` is its call in the journal.
    pub fn connect(self: &Arc<Self>) -> Link {
        Link {
            core: Arc::clone(self),
            id: String::new(),
            session: None,
            rman: crate::pieces::Session::default(),
            life: 0,
            n: 0,
        }
    }

    /// # Errors
    /// When the request cannot be done in this state.
    pub fn admin(&self, request: &Admin) -> Result<String> {
        Ok(match request {
            Admin::Stop => {
                self.crash();
                "stopped".into()
            }
            Admin::Kill => {
                self.crash();
                "killed".into()
            }
            Admin::State => format!("{:?}", self.database.state()),
            Admin::AddFault(fault) => {
                lock(&self.faults).add(fault.clone())?;
                "fault set".into()
            }
            Admin::ClearFaults => {
                lock(&self.faults).clear();
                "faults cleared".into()
            }
            Admin::ListFaults => serde_json::to_string_pretty(&lock(&self.faults).list())?,
            Admin::Physics(json) => {
                self.database.set_faults(json)?;
                "physics set".into()
            }
            Admin::ShowPhysics => self.database.faults(),
            Admin::Writer { rate } => {
                self.database.set_rate(*rate);
                format!("writer at {rate} changes per second")
            }
            Admin::WriteBatch { n } => {
                self.database.write_batch(*n)?;
                format!("{n} changes written")
            }
            Admin::Resetlogs => {
                self.database.resetlogs().map_err(|e| anyhow::anyhow!("{e:?}"))?;
                "resetlogs done".into()
            }
            Admin::Sql { text } => {
                let mut session = Session::sysdba(Nls::american());
                match sql::run(&*self.database, &mut session, text) {
                    Err(e) => anyhow::bail!("{:?}", e.error.stack),
                    Ok(Outcome::Rows { rows, .. }) => rows
                        .iter()
                        .map(|r| r.iter().map(cell_text).collect::<Vec<_>>().join("|"))
                        .collect::<Vec<_>>()
                        .join("\n"),
                    Ok(_) => String::new(),
                }
            }
        })
    }

    fn active_files(&self) -> Option<u64> {
        let mut session = Session::sysdba(Nls::american());
        let text = "SELECT COUNT(*) FROM V$BACKUP WHERE STATUS = 'ACTIVE'";
        match sql::run(&*self.database, &mut session, text) {
            Ok(Outcome::Rows { rows, .. }) => rows.first()?.first().and_then(|c| cell_text(c).parse().ok()),
            _ => None,
        }
    }
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Number(t) | Cell::Text(t) => t.clone(),
    }
}

/// One program's connection.
pub struct Link {
    core: Arc<Core>,
    id: String,
    session: Option<Session>,
    rman: crate::pieces::Session,
    life: u64,
    n: u64,
}

impl Link {
    /// Answers one request.
    pub fn answer(&mut self, request: Request) -> Response {
        match request {
            Request::Call { id } => {
                self.id = id;
                Response::Ok
            }
            Request::Admin(admin) => match self.core.admin(&admin) {
                Ok(text) => Response::Text(text),
                Err(error) => Response::error(OraError::new(600, format!("{error:#}"))),
            },
            Request::Logon(logon) => {
                let shown = if logon.user.is_empty() {
                    "CONNECT / AS SYSDBA".to_string()
                } else {
                    format!("CONNECT {}", logon.user)
                };
                self.journaled(&shown, |link| link.logon(&logon))
            }
            Request::Password { user, new } => {
                let mut front = lock(&self.core.front);
                if let Some(account) = front.users.get_mut(&user.to_uppercase()) {
                    account.password = new;
                }
                Response::Ok
            }
            Request::Sql { text } => self.journaled(&text, |link| link.sql(&text)),
            Request::Startup { mode } => {
                self.journaled(&format!("STARTUP {mode:?}"), |link| link.startup(mode))
            }
            Request::Shutdown { mode } => {
                self.journaled(&format!("SHUTDOWN {mode:?}"), |link| link.shutdown(mode))
            }
            Request::Catalog { path } => self.journaled(&format!("CATALOG {path}"), |link| {
                let Some(session) = &mut link.session else { return not_connected() };
                match link
                    .core
                    .database
                    .execute(&Command::CatalogFile { path: path.into() }, &mut session.container)
                {
                    Ok(reply) => Response::Done { what: sql::Done::Database, notes: reply.notes },
                    Err(error) => Response::error(error),
                }
            }),
            Request::RecoverCataloged { text } => self.journaled(&text, |link| {
                let Some(session) = &mut link.session else { return not_connected() };
                let recover = match sql::parse(&text) {
                    Ok(sql::Parsed::Command(Command::Recover(recover), _)) => recover,
                    Ok(_) => return Response::error(OraError::new(905, "missing keyword")),
                    Err(error) => return Response::error(error.error),
                };
                let command = Command::RecoverCataloged(recover);
                match link.core.database.execute(&command, &mut session.container) {
                    Ok(reply) => Response::Done { what: sql::Done::Database, notes: reply.notes },
                    Err(error) => Response::error(error),
                }
            }),
            Request::Rman(request) => match request {
                crate::pieces::api::Request::Output(_) | crate::pieces::api::Request::List => {
                    self.rman(&request)
                }
                request => self.journaled(&request.name(), |link| link.rman(&request)),
            },
            Request::DataPump(request) => match request {
                datapump::wire::Request::Poll { .. } => self.data_pump(request),
                request => self.journaled(&request.name(), |link| link.data_pump(request)),
            },
            Request::Describe { name } => {
                let Some(session) = &self.session else { return not_connected() };
                match sql::describe(&*self.core.database, session, &name) {
                    Ok(columns) => Response::Columns(columns),
                    Err(error) => Response::error(error),
                }
            }
        }
    }

    /// Runs with the statement written down before, and its result after, so that a death in between leaves a trace.
    fn journaled(&mut self, text: &str, run: impl FnOnce(&mut Self) -> Response) -> Response {
        self.n += 1;
        let (id, n) = (self.id.clone(), self.n);
        let lost =
            |e: anyhow::Error| Response::error(OraError::new(600, format!("[orasim] [journal: {e:#}]")));
        let event = Event::Statement { id: id.clone(), n, time: journal::now(), text: text.to_string() };
        if let Err(error) = journal::append(&self.core.dir, &event) {
            return lost(error);
        }
        let container = self.session.as_ref().and_then(|s| s.container.clone());
        let response = run(self);
        let (code, dead) = match &response {
            Response::Error { stack, dead, .. } => (stack.first().map_or(0, |s| s.0), *dead),
            Response::Steps { error: Some(stack), .. } => (stack.first().map_or(0, |s| s.0), false),
            _ => (0, false),
        };
        // A lost session has no result: nobody knows whether the statement was executed.
        if !dead {
            let mut backup = journal::scopes(text);
            if !backup.is_empty() {
                let active = self.core.active_files();
                for mark in &mut backup {
                    mark.active = active;
                    if let (Some(container), true) = (&container, mark.scope.starts_with("TABLESPACE")) {
                        mark.scope = format!("{container}:{}", mark.scope);
                    }
                }
            }
            if let Err(error) = journal::append(&self.core.dir, &Event::Result { id, n, code, backup }) {
                return lost(error);
            }
        }
        response
    }

    fn logon(&mut self, logon: &Logon) -> Response {
        self.session = None;
        let fail = |code, text: &str| Response::error(OraError::new(code, text));
        let mut warning = None;
        let kinds = lock(&self.core.faults).logons();
        let mut expired = false;
        for kind in kinds {
            match kind {
                Kind::LogonHang { seconds } => {
                    self.core.wait(self.core.life(), Some(seconds));
                }
                Kind::LogonDenied => return fail(1017, "invalid username/password; logon denied"),
                Kind::Expired => expired = true,
                Kind::ExpireWarning { days } => {
                    warning = Some((28002, format!("the password will expire within {days} days")));
                }
                _ => {}
            }
        }
        let state = self.core.database.state();
        let front = lock(&self.core.front).clone();
        let nls = logon
            .nls
            .clone()
            .unwrap_or_else(|| front.nls_lang.as_deref().map_or_else(Nls::american, Nls::from_nls_lang));
        let mut session = Session::sysdba(nls);
        if logon.user.is_empty() {
            if !logon.sysdba || logon.remote {
                return fail(1017, "invalid username/password; logon denied");
            }
            // No password is involved in OS authentication.
            warning = None;
        } else {
            if logon.remote && state == State::Down {
                let text = "TNS:listener does not currently know of service requested in connect\ndescriptor";
                return fail(12514, text);
            }
            if logon.remote && state == State::Nomount && !logon.sysdba {
                return fail(12528, "TNS:listener: all appropriate instances are blocking new connections");
            }
            if state == State::Down && !logon.sysdba {
                return Response::error(sql::not_available());
            }
            let account = front.users.get(&logon.user.to_uppercase());
            // Local AS SYSDBA logons are authenticated by the operating system; the user name is not looked at.
            let os = logon.sysdba && !logon.remote;
            match account {
                Some(account) if account.password == logon.password => {
                    session.dba = account.dba || logon.sysdba;
                    if logon.sysdba && !account.sysdba {
                        return fail(1031, "insufficient privileges");
                    }
                }
                _ if os => {}
                _ => return fail(1017, "invalid username/password; logon denied"),
            }
            if expired {
                return fail(28001, "the password has expired");
            }
            if !logon.sysdba {
                if state < State::OpenReadOnly {
                    return fail(1033, "ORACLE initialization or shutdown in progress");
                }
                session.user = logon.user.to_uppercase();
                session.sysdba = false;
            }
        }
        let mut count = lock(&self.core.sessions);
        *count += 1;
        session.sid = 20 + *count % 400;
        session.serial = *count;
        self.life = self.core.life();
        let user = session.user.clone();
        self.session = Some(session);
        Response::Connected { user, idle: state == State::Down, warning }
    }

    /// A request of RMAN suffers the same faults as a statement whose text is [`crate::pieces::api::Request::name`].
    fn rman(&mut self, request: &crate::pieces::api::Request) -> Response {
        let core = Arc::clone(&self.core);
        let life = self.life;
        if self.session.is_none() {
            return not_connected();
        }
        if core.life() != life {
            self.session = None;
            return Response::lost();
        }
        let kinds = lock(&core.faults).statement(&request.name());
        let mut lost = false;
        for kind in &kinds {
            match kind {
                Kind::Hang { seconds, when: When::Before } => lost |= core.wait(life, *seconds),
                Kind::Error { code, text } => return Response::error(OraError::new(*code, text.clone())),
                Kind::KillSession { when: When::Before } => lost = true,
                Kind::Crash { when: When::Before } => {
                    core.crash();
                    lost = true;
                }
                _ => {}
            }
        }
        if lost {
            self.session = None;
            return Response::lost();
        }
        let outcome = core.database.rman(&mut self.rman, request);
        for kind in &kinds {
            match kind {
                Kind::Hang { seconds, when: When::After } => lost |= core.wait(life, *seconds),
                Kind::KillSession { when: When::After } => lost = true,
                Kind::Crash { when: When::After } => {
                    core.crash();
                    lost = true;
                }
                _ => {}
            }
        }
        if lost || core.life() != life {
            self.session = None;
            return Response::lost();
        }
        match outcome {
            Ok(answer) => Response::Rman(answer),
            Err(error) => Response::error(error),
        }
    }

    fn data_pump(&mut self, request: datapump::wire::Request) -> Response {
        let core = Arc::clone(&self.core);
        let Some(session) = &self.session else { return not_connected() };
        if core.life() != self.life {
            self.session = None;
            return Response::lost();
        }
        for kind in lock(&core.faults).statement(&request.name()) {
            match kind {
                Kind::Hang { seconds, when: When::Before } => {
                    core.wait(self.life, seconds);
                }
                Kind::Error { code, text } => return Response::error(OraError::new(code, text)),
                _ => {}
            }
        }
        let standard_edition = lock(&core.front).edition.contains("Standard");
        let database = Arc::clone(&core);
        let scn = move || {
            let mut session = Session::sysdba(Nls::american());
            match sql::run(&*database.database, &mut session, "SELECT CURRENT_SCN FROM V$DATABASE") {
                Ok(Outcome::Rows { rows, .. }) => {
                    rows.first().and_then(|r| cell_text(r.first()?).parse().ok()).unwrap_or(0)
                }
                _ => 0,
            }
        };
        let caller =
            datapump::Caller { user: &session.user, dba: session.dba, standard_edition, scn: Arc::new(scn) };
        Response::DataPump(core.pump.answer(&caller, request))
    }

    fn sql(&mut self, text: &str) -> Response {
        let core = Arc::clone(&self.core);
        let Some(session) = &mut self.session else { return not_connected() };
        let life = self.life;
        if core.life() != life {
            self.session = None;
            return Response::lost();
        }
        let kinds = lock(&core.faults).statement(text);
        let mut lost = false;
        let mut refused = None;
        let mut pretended = None;
        for kind in &kinds {
            match kind {
                Kind::Pretend => {
                    if let Ok(sql::Parsed::Command(_, what)) = sql::parse(text) {
                        pretended = Some(Outcome::Done { what, notes: Vec::new() });
                    }
                }
                Kind::Hang { seconds, when: When::Before } => lost |= core.wait(life, *seconds),
                Kind::Error { code, text } => refused = Some((*code, text.clone())),
                Kind::KillSession { when: When::Before } => lost = true,
                Kind::Crash { when: When::Before } => {
                    core.crash();
                    lost = true;
                }
                _ => {}
            }
        }
        if lost {
            self.session = None;
            return Response::lost();
        }
        let outcome = match (refused, pretended) {
            (Some((code, text)), _) => Err(SqlError::at(OraError::new(code, text), (1, 1))),
            (None, Some(done)) => Ok(done),
            (None, None) => match drop_master(&core.pump, text) {
                Some(dropped) => dropped,
                None => {
                    let user = session.user.clone();
                    let engine = WithDictionary {
                        engine: &*core.database,
                        pump: &core.pump,
                        user: &user,
                        dba: session.dba,
                    };
                    sql::run(&engine, session, text)
                }
            },
        };
        for kind in &kinds {
            match kind {
                Kind::Hang { seconds, when: When::After } => lost |= core.wait(life, *seconds),
                Kind::KillSession { when: When::After } => lost = true,
                Kind::Crash { when: When::After } => {
                    core.crash();
                    lost = true;
                }
                _ => {}
            }
        }
        // A statement that was under way when the instance died has no answer.
        if lost || core.life() != life {
            self.session = None;
            return Response::lost();
        }
        match outcome {
            Ok(Outcome::Rows { heads, rows }) => Response::Rows { heads, rows },
            Ok(Outcome::Done { what, notes }) => Response::Done { what, notes },
            Ok(Outcome::Block { output }) => Response::Block { output },
            Err(SqlError { error, at }) => Response::Error { stack: error.stack, at, dead: false },
        }
    }

    fn startup(&mut self, mode: StartupWord) -> Response {
        let core = Arc::clone(&self.core);
        let Some(session) = &mut self.session else { return not_connected() };
        if !session.sysdba {
            return Response::error(OraError::new(1031, "insufficient privileges"));
        }
        if core.database.state() != State::Down {
            let error = OraError::new(1081, "cannot start already-running ORACLE - shut it down first");
            return Response::error(error);
        }
        let mode = match mode {
            StartupWord::Nomount => StartupMode::Nomount,
            StartupWord::Mount => StartupMode::Mount,
            StartupWord::Open => StartupMode::Open,
            StartupWord::OpenReadOnly => StartupMode::OpenReadOnly,
        };
        let result = core.database.execute(&Command::Startup(mode), &mut session.container);
        let state = core.database.state();
        let mut steps = Vec::new();
        for (least, step) in [
            (State::Nomount, Step::Started),
            (State::Mounted, Step::Mounted),
            (State::OpenReadOnly, Step::Opened),
        ] {
            if state >= least {
                steps.push(step);
            }
        }
        Response::Steps { steps, error: result.err().map(|e| e.stack) }
    }

    fn shutdown(&mut self, mode: ShutdownWord) -> Response {
        let core = Arc::clone(&self.core);
        let Some(session) = &mut self.session else { return not_connected() };
        if !session.sysdba {
            return Response::error(OraError::new(1031, "insufficient privileges"));
        }
        let state = core.database.state();
        if state == State::Down {
            return Response::error(sql::not_available());
        }
        let mode = match mode {
            ShutdownWord::Normal => ShutdownMode::Normal,
            ShutdownWord::Immediate => ShutdownMode::Immediate,
            ShutdownWord::Abort => ShutdownMode::Abort,
        };
        if let Err(error) = core.database.execute(&Command::Shutdown(mode), &mut session.container) {
            return Response::error(error);
        }
        core.end_of_life();
        // Its own session lives on, connected to an idle instance.
        self.life = core.life();
        let mut steps = Vec::new();
        if mode != ShutdownMode::Abort {
            steps.extend(match state {
                State::Nomount => vec![Step::NotMounted],
                State::Mounted => vec![Step::NotOpen, Step::Dismounted],
                _ => vec![Step::Closed, Step::Dismounted],
            });
        }
        steps.push(Step::ShutDown);
        Response::Steps { steps, error: None }
    }
}

/// DROP TABLE "OWNER"."JOB" of a Data Pump job; any other statement is not looked at.
fn drop_master(pump: &Pump, text: &str) -> Option<Result<Outcome, SqlError>> {
    let upper = text.trim_start().get(..11)?.to_ascii_uppercase();
    if upper != "DROP TABLE " {
        return None;
    }
    let name = text.trim_start()[11..].trim().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    let name = name.strip_suffix("PURGE").or(name.strip_suffix("purge")).unwrap_or(name).trim();
    let (owner, table) = name.split_once('.')?;
    let plain = |part: &str| match part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => part.to_uppercase(),
    };
    Some(match pump.drop_table(&plain(owner), &plain(table)) {
        Some(Ok(())) => Ok(Outcome::Done { what: sql::Done::TableDropped, notes: Vec::new() }),
        Some(Err((code, text))) => Err(SqlError::at(OraError::new(code, text), (1, 1))),
        None => Err(SqlError::at(OraError::new(942, "table or view does not exist"), (1, 12))),
    })
}

fn not_connected() -> Response {
    Response::error(OraError::new(1012, "not logged on"))
}
