//! What a run needs before it does anything: settings checked, names chosen, nothing touched yet.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{Local, Utc};
use common::app::{Args, Frame};
use common::exit::{Exit, Failure};
use common::guardian;
use common::infinibox::Array;
use common::logfile::LogFile;
use common::oracle::connect::Connect;
use common::oracle::home::{Environment, Home};
use common::oracle::runner::Runner;
use common::oracle::sqlplus::Sqlplus;
use common::record::Log;
use common::secret::Secret;

use crate::cli::Cli;
use crate::plan::Wish;

/// How long the keeper of a killed run goes on trying to end backup mode.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// The keeper acts when this tool does not: it stands still.
const KEEPER_GRACE: Duration = Duration::from_secs(2);

pub struct Setup<'a> {
    pub cli: &'a Cli,
    pub frame: &'a Frame,
    pub sid: String,
    home: Home,
    connect: Secret,
    pub sqlplus: Sqlplus,
    /// `None` only for --end-backup, which does without what it can.
    pub array: Option<Array>,
    pub wish: Wish,
    pub state_dir: PathBuf,
    pub log_dir: PathBuf,
    pub log: LogFile,
}

impl<'a> Setup<'a> {
    /// `quiet`: nothing is written anywhere, for --dry-run.
    pub fn new(cli: &'a Cli, frame: &'a Frame, quiet: bool) -> anyhow::Result<Self> {
        let text = cli.connect.clone().unwrap_or_else(|| "/ as sysdba".to_owned());
        let parsed = Connect::of_setting(&text, "--connect", "SQLPLUS_CONNECTION_STRING")?;
        let connect = Secret::new(text);
        let home = Home::locate(&Environment::of_process(), parsed.needs_sid())?;
        let sid = match (&home.sid, &parsed) {
            (Some(sid), _) => sid.clone(),
            (None, Connect::Wallet { alias, .. }) => alias.clone(),
            (None, Connect::Password { tns: Some(tns), .. }) => tns.clone(),
            (None, _) => "database".to_owned(),
        };
        let sid = plain(&sid);
        let array = match cli.array.open(Cli::TOOL) {
            Ok(array) => Some(array),
            Err(_) if cli.end_backup => None,
            Err(error) => return Err(error),
        };
        let stamp = if cli.utc {
            Utc::now().format("%Y-%m-%d_%H%M%S").to_string()
        } else {
            Local::now().format("%Y-%m-%d_%H%M%S").to_string()
        };
        let wish = Wish::new(cli, &stamp)?;
        if let Some(dir) = cli.controlfile_to.as_ref().filter(|d| !d.is_absolute()) {
            let text = format!("--controlfile-to {} is not an absolute path", dir.display());
            return Err(Failure::new(Exit::Usage, text).into());
        }
        let (state_dir, log_dir) = directories(cli, quiet)?;
        let named = match &cli.oracle_server {
            Some(name) if name.to_ascii_lowercase().starts_with("db") => plain(name),
            Some(name) => format!("db{}", plain(name)),
            None => format!("db{sid}"),
        };
        let path = log_dir.join(format!("{named}-{stamp}.log"));
        let log = LogFile::open((!quiet).then_some(path.as_path()), Cli::TOOL, frame.verbose)?;
        let transcript = (!quiet).then_some(path);
        let sqlplus =
            Sqlplus::new(Runner::Local(home.clone()), parsed).limit(cli.sql_timeout).log(transcript);
        Ok(Self { cli, frame, sid, home, connect, sqlplus, array, wish, state_dir, log_dir, log })
    }

    pub fn keeper(&self) -> guardian::Settings {
        guardian::Settings {
            tool: Cli::TOOL.to_owned(),
            run: self.frame.run.clone(),
            state_dir: self.state_dir.clone(),
            log_dir: self.log_dir.clone(),
            sid: self.sid.clone(),
            oracle_home: self.home.home.clone(),
            oracle_sid: self.home.sid.clone(),
            connect: self.connect.clone(),
            sql_limit: self.cli.sql_timeout,
            cap: Some(self.cli.max_backup_mode + KEEPER_GRACE),
            give_up: GIVE_UP,
        }
    }

    /// A sentence for people and for mailreport.
    pub fn say(&self, record: Log) -> anyhow::Result<()> {
        self.log.say(&record);
        self.frame.out.emit(&record)
    }

    pub fn warn(&self, text: impl Into<String>) -> anyhow::Result<()> {
        self.say(Log::warning(text))
    }
}

/// For file names.
fn plain(name: &str) -> String {
    name.replace(|c: char| !(c.is_ascii_alphanumeric() || "_-$#+".contains(c)), "_")
}

/// A run that changes nothing makes no directories either.
fn directories(cli: &Cli, quiet: bool) -> anyhow::Result<(PathBuf, PathBuf)> {
    if quiet {
        let state = cli.common.state_dir_path()?;
        let log = cli.common.log_dir.clone().unwrap_or_else(|| state.clone());
        return Ok((state, log));
    }
    Ok((cli.common.state_dir()?, cli.common.log_dir()?))
}
