//! A small engine with fixed views, for the tests of the front end alone.

use std::sync::Mutex;

use chrono::NaiveDate;

use crate::engine::{
    BackupScope, Column, Command, Container, Engine, OraError, Recover, Reply, ShutdownMode, StartupMode,
    State, Type, Until, Value, View,
};

/// Answers from fixed rows; remembers the commands that it got.
pub struct Fixed {
    pub state: Mutex<State>,
    pub commands: Mutex<Vec<Command>>,
    pub active: Mutex<Vec<String>>,
}

impl Default for Fixed {
    fn default() -> Self {
        Self { state: Mutex::new(State::Open), commands: Mutex::default(), active: Mutex::default() }
    }
}

const LONG: &str =
    "/u01/app/oracle/oradata/ORCL/a_rather_long_directory_name/another_one_that_never_ends/users01.dbf";

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn view(columns: &[(&'static str, Type)], rows: Vec<Vec<Value>>) -> View {
    View { columns: columns.iter().map(|(name, ty)| Column { name, ty: *ty }).collect(), rows }
}

impl Engine for Fixed {
    fn state(&self) -> State {
        *lock(&self.state)
    }

    fn view(&self, name: &str, _container: &Container) -> Option<Result<View, OraError>> {
        use Type::{Date, Number, Varchar};
        let text = |s: &str| Value::Text(s.into());
        let at =
            NaiveDate::from_ymd_opt(2026, 10, 4).and_then(|d| d.and_hms_opt(10, 9, 1)).unwrap_or_default();
        Some(Ok(match name {
            "V$DATABASE" => {
                if self.state() < State::Mounted {
                    return Some(Err(OraError::new(1507, "database not mounted")));
                }
                view(
                    &[
                        ("DBID", Number),
                        ("NAME", Varchar(9)),
                        ("OPEN_MODE", Varchar(20)),
                        ("LOG_MODE", Varchar(12)),
                        ("CURRENT_SCN", Number),
                        ("CREATED", Date),
                        ("FORCE_LOGGING", Varchar(39)),
                        ("CDB", Varchar(3)),
                    ],
                    vec![vec![
                        Value::Int(1_245_751_741),
                        text("ORCL"),
                        text("READ WRITE"),
                        text("ARCHIVELOG"),
                        Value::Int(959_994_799_549),
                        Value::Date(at),
                        text("YES"),
                        text("NO"),
                    ]],
                )
            }
            "V$INSTANCE" => view(
                &[("INSTANCE_NAME", Varchar(16)), ("HOST_NAME", Varchar(64)), ("STATUS", Varchar(12))],
                vec![vec![text("orcl"), text("prod"), text("OPEN")]],
            ),
            "V$DATAFILE" => view(
                &[
                    ("FILE#", Number),
                    ("TS#", Number),
                    ("NAME", Varchar(513)),
                    ("BYTES", Number),
                    ("CREATION_TIME", Date),
                ],
                (1..=20)
                    .map(|n| {
                        vec![
                            Value::Int(n),
                            Value::Int(n % 3),
                            text(&if n == 4 { LONG.to_string() } else { format!("/u01/f{n}.dbf") }),
                            Value::Int(8192 * n),
                            Value::Date(at),
                        ]
                    })
                    .collect(),
            ),
            "V$TABLESPACE" => view(
                &[("TS#", Number), ("NAME", Varchar(30))],
                vec![
                    vec![Value::Int(0), text("SYSTEM")],
                    vec![Value::Int(1), text("Vendas 2026")],
                    vec![Value::Int(2), text("USERS")],
                ],
            ),
            "V$BACKUP" => view(
                &[("FILE#", Number), ("STATUS", Varchar(18)), ("CHANGE#", Number)],
                lock(&self.active)
                    .iter()
                    .map(|_| vec![Value::Int(2), text("ACTIVE"), Value::Int(1)])
                    .collect(),
            ),
            "V$ARCHIVED_LOG" => view(
                &[
                    ("THREAD#", Number),
                    ("SEQUENCE#", Number),
                    ("NAME", Varchar(513)),
                    ("FIRST_CHANGE#", Number),
                    ("NEXT_CHANGE#", Number),
                    ("DEST_ID", Number),
                    ("DELETED", Varchar(3)),
                ],
                (1..=10)
                    .map(|n| {
                        let name = if n == 3 { Value::Null } else { text(&format!("/arch/1_{n}_9.arc")) };
                        vec![
                            Value::Int(1),
                            Value::Int(n),
                            name,
                            Value::Int(n * 100),
                            Value::Int(n * 100 + 100),
                            Value::Int(1),
                            text("NO"),
                        ]
                    })
                    .collect(),
            ),
            "DBA_TABLESPACES" => view(&[("TABLESPACE_NAME", Varchar(30))], vec![vec![text("SYSTEM")]]),
            _ => return None,
        }))
    }

    fn execute(&self, command: &Command, container: &mut Container) -> Result<Reply, OraError> {
        lock(&self.commands).push(command.clone());
        let mut active = lock(&self.active);
        let mut state = lock(&self.state);
        match command {
            Command::BeginBackup(BackupScope::Tablespace(name)) => {
                if active.contains(name) {
                    return Err(OraError::new(1146, "cannot start online backup - file 2 is already in backup")
                        .then(1110, format!("data file 2: '{LONG}'")));
                }
                active.push(name.clone());
            }
            Command::EndBackup(BackupScope::Tablespace(name)) => {
                if !active.contains(name) {
                    return Err(OraError::new(1142, "cannot end online backup - none of the files are in backup"));
                }
                active.retain(|n| n != name);
            }
            Command::EndBackup(_) => active.clear(),
            Command::SetContainer(name) => *container = Some(name.clone()),
            Command::Startup(mode) => {
                *state = match mode {
                    StartupMode::Nomount => State::Nomount,
                    StartupMode::Mount => State::Mounted,
                    StartupMode::Open => State::Open,
                    StartupMode::OpenReadOnly => State::OpenReadOnly,
                }
            }
            Command::Shutdown(ShutdownMode::Normal | ShutdownMode::Immediate | ShutdownMode::Abort) => *state = State::Down,
            Command::Recover(Recover { until: Until::Change(_), .. }) => {}
            Command::Recover(_) | Command::RecoverContinue => {
                return Err(OraError::new(279, "change 3290730 generated at 01/03/2017 09:38:38 needed for thread 1")
                    .then(289, "suggestion : /arch/1_648_928161908.dbf")
                    .then(280, "change 3290730 for thread 1 is in sequence #648"))
            }
            Command::RecoverLogfile(_) => {
                return Err(OraError::new(308, "cannot open archived log '/x'")
                    .then(27037, "unable to obtain file status\nLinux-x86_64 Error: 2: No such file or directory\nAdditional information: 7"))
            }
            _ => {}
        }
        Ok(Reply::default())
    }
}
