//! The real [`Instance`](crate::instance::Instance) as a [`Database`], and the comparison with the truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{bail, Context, Result};

use super::admin::Admin;
use super::client::Connection;
use super::wire::{Request, Response};
use super::{Core, Database};
use crate::engine::{Command, Engine, OraError, StartupMode};
use crate::instance::Instance;
use crate::truth::{self, Comparison};

impl Database for Arc<Instance> {
    fn crash(&self) {
        Instance::crash(self);
    }

    fn set_rate(&self, changes_per_second: u32) {
        Instance::set_rate(self, changes_per_second);
    }

    fn write_batch(&self, n: usize) -> Result<()> {
        Instance::write_batch(self, n)
    }

    fn resetlogs(&self) -> Result<(), OraError> {
        self.resetlogs_now()
    }

    fn set_faults(&self, json: &str) -> Result<()> {
        Instance::set_faults(self, serde_json::from_str(json).context("no fault setting")?)
    }

    fn faults(&self) -> String {
        serde_json::to_string(&Instance::faults(self)).unwrap_or_default()
    }

    fn rman(
        &self,
        session: &mut crate::pieces::Session,
        request: &crate::pieces::api::Request,
    ) -> Result<crate::pieces::api::Answer, OraError> {
        Instance::rman(self, session, request)
    }
}

impl Core {
    /// The instance of a directory, down, with its front end.
    ///
    /// # Errors
    /// When there is no instance in the directory.
    pub fn over(dir: &Path) -> Result<Arc<Self>> {
        Self::new(dir, Box::new(Instance::open(dir)?))
    }

    /// A front end over an instance that the caller keeps as well.
    ///
    /// # Errors
    /// When `front.json` cannot be read.
    pub fn with(instance: &Arc<Instance>) -> Result<Arc<Self>> {
        Self::new(&instance.dir(), Box::new(Arc::clone(instance)))
    }
}

/// Runs one statement as SYSDBA on the daemon of a directory; rows as `a|b` lines.
///
/// # Errors
/// When there is no daemon or the statement fails.
pub fn ask_sql(dir: &Path, text: &str) -> Result<String> {
    ask(dir, Admin::Sql { text: text.into() })
}

/// # Errors
/// When there is no daemon or it refuses.
pub fn ask(dir: &Path, admin: Admin) -> Result<String> {
    match Connection::open(dir)?.ask(Request::Admin(admin))? {
        Response::Text(text) => Ok(text),
        Response::Error { stack, .. } => {
            bail!("{}", stack.iter().map(|(c, t)| format!("ORA-{c:05}: {t}")).collect::<Vec<_>>().join("\n"))
        }
        other => bail!("unexpected answer {other:?}"),
    }
}

/// Compares the datafiles of a mounted standby, by its own control file, with the truth of its primary.
///
/// Without `scn` the greatest CHECKPOINT_CHANGE# of the standby's file headers is taken.
///
/// # Errors
/// When the standby cannot be asked or mounted, or the primary has left no truth.
pub fn compare(primary: &Path, standby: &Path, scn: Option<u64>) -> Result<Comparison> {
    const FILES: &str = "SELECT file#, name FROM v$datafile ORDER BY file#";
    const REACHED: &str = "SELECT TO_CHAR(MAX(checkpoint_change#)) FROM v$datafile_header";
    let (files, reached) = if Connection::open(standby).is_ok() {
        (ask_sql(standby, FILES)?, ask_sql(standby, REACHED)?)
    } else {
        let instance = Instance::open(standby)?;
        instance
            .execute(&Command::Startup(StartupMode::Mount), &mut None)
            .map_err(|e| anyhow::anyhow!("mount {}: {:?}", standby.display(), e.stack))?;
        let core = Core::with(&instance)?;
        let one = |text: &str| core.admin(&Admin::Sql { text: text.into() });
        let out = (one(FILES)?, one(REACHED)?);
        instance.crash();
        out
    };
    let files: BTreeMap<u32, PathBuf> = files
        .lines()
        .map(|l| {
            let (number, path) = l.split_once('|').context("a row of V$DATAFILE")?;
            Ok((number.parse()?, PathBuf::from(path)))
        })
        .collect::<Result<_>>()?;
    let scn = match scn {
        Some(scn) => scn,
        None => reached
            .trim()
            .parse()
            .with_context(|| format!("CHECKPOINT_CHANGE# of the standby is {reached:?}"))?,
    };
    truth::compare(primary, &files, scn)
}
