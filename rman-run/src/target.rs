//! The database that a run is about: how to log on with RMAN and with SQL*Plus, and where logs and state go.

use std::path::PathBuf;
use std::time::Duration;

use common::app::{Args, Frame};
use common::logfile::LogFile;
use common::oracle::connect::{Connect, Role};
use common::oracle::home::{Environment, Home};
use common::oracle::runner::Runner;
use common::oracle::sqlplus::Sqlplus;
use common::record::Log;

use crate::cli::Cli;
use crate::rman::Rman;

/// Limit for one SQL*Plus session over the V$ views.
const SQL_LIMIT: Duration = Duration::from_secs(600);

/// Settings checked, names chosen, nothing touched yet.
pub struct Target<'a> {
    pub cli: &'a Cli,
    pub frame: &'a Frame,
    /// Instance or service, fit for a file name.
    pub sid: String,
    pub sqlplus: Sqlplus,
    pub rman: Rman,
    pub state_dir: PathBuf,
    pub log_dir: PathBuf,
    pub log: LogFile,
}

impl<'a> Target<'a> {
    /// `quiet`: nothing is written anywhere, for a dry run and `status`.
    ///
    /// # Errors
    /// Status 64: a connect string that is none, a password among the arguments, no ORACLE_SID.
    pub fn new(cli: &'a Cli, frame: &'a Frame, quiet: bool) -> anyhow::Result<Self> {
        let connect = Connect::of_setting(&cli.target, "--target", "RMAN_TARGET_CONNECT_STRING")?;
        let catalog = match &cli.catalog {
            Some(text) => Some(Connect::of_setting(text, "--catalog", "RMAN_CATALOG_CONNECT_STRING")?),
            None => None,
        };
        let home = Home::locate(&Environment::of_process(), connect.needs_sid())?;
        let sid = match (&home.sid, &connect) {
            (Some(sid), _) => sid.clone(),
            (None, Connect::Wallet { alias, .. }) => alias.clone(),
            (None, Connect::Password { tns: Some(tns), .. }) => tns.clone(),
            (None, _) => "database".to_owned(),
        };
        let sid = sid.replace(|c: char| !(c.is_ascii_alphanumeric() || "_-$#+".contains(c)), "_");
        let (state_dir, log_dir) = directories(cli, quiet)?;
        let log = log_dir.join(format!("rman-run.{sid}.log"));
        let log = LogFile::open((!quiet).then_some(log.as_path()), Cli::TOOL, frame.verbose)?;
        let transcript = (!quiet).then(|| log_dir.join(format!("rman-run.{sid}.sqlplus.log")));
        let sqlplus = Sqlplus::new(Runner::Local(home.clone()), as_sysdba(connect.clone()))
            .limit(SQL_LIMIT)
            .log(transcript);
        let rman = Rman { home, target: connect, catalog, limit: cli.limit, interruptible: true };
        Ok(Self { cli, frame, sid, sqlplus, rman, state_dir, log_dir, log })
    }

    /// A sentence for people and for mailreport.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn say(&self, record: Log) -> anyhow::Result<()> {
        self.log.say(&record);
        self.frame.out.emit(&record)
    }

    /// Name of the lock that one run at a time holds for this database.
    pub fn lock_name(&self) -> String {
        format!("rman-run.{}", self.sid)
    }
}

/// RMAN logs on AS SYSDBA without being told; SQL*Plus has to be told.
fn as_sysdba(connect: Connect) -> Connect {
    let or = |role: Option<Role>| role.or(Some(Role::Sysdba));
    match connect {
        Connect::OsAuth { role } => Connect::OsAuth { role: or(role) },
        Connect::Wallet { alias, role } => Connect::Wallet { alias, role: or(role) },
        Connect::Password { user, password, tns, role } => {
            Connect::Password { user, password, tns, role: or(role) }
        }
    }
}

/// A run that changes nothing makes no directories either.
fn directories(cli: &Cli, quiet: bool) -> anyhow::Result<(PathBuf, PathBuf)> {
    if quiet {
        let state = cli.common.state_dir_path()?;
        let log = cli.common.log_dir.clone().unwrap_or_else(|| state.clone());
        return Ok((state, log));
    }
    let state = cli.common.state_dir()?;
    let log = if cli.common.log_dir.is_none() { state.clone() } else { cli.common.log_dir()? };
    Ok((state, log))
}
