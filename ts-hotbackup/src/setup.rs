//! What a run needs before it does anything: settings checked, names chosen, nothing touched yet.

use std::path::PathBuf;
use std::time::Duration;

use common::app::{Args, Frame};
use common::exit::{Exit, Failure};
use common::guardian;
use common::logfile::LogFile;
use common::oracle::connect::Connect;
use common::oracle::home::{Environment, Home};
use common::oracle::runner::Runner;
use common::oracle::sqlplus::Sqlplus;
use common::record::Log;
use common::remote::Target;
use common::secret::Secret;
use regex::Regex;

use crate::cli::Cli;
use crate::cycle::Store;
use crate::map::PathMap;
use crate::plan::Policy;

/// How long the keeper of a killed run goes on trying to end backup mode.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

pub struct Setup<'a> {
    pub cli: &'a Cli,
    pub frame: &'a Frame,
    pub sid: String,
    home: Home,
    connect: Secret,
    pub sqlplus: Sqlplus,
    pub policy: Policy,
    pub target: Target,
    pub state_dir: PathBuf,
    pub log_dir: PathBuf,
    pub log: LogFile,
}

impl<'a> Setup<'a> {
    /// `quiet`: nothing is written anywhere, for --status and --dry-run.
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
        let sid = sid.replace(|c: char| !(c.is_ascii_alphanumeric() || "_-$#+".contains(c)), "_");
        let target = cli.standby.target()?;
        let base = cli.dest_base.as_ref().map(|b| b.to_string_lossy().into_owned());
        let policy = Policy {
            exclude: pattern(cli.exclude.as_deref(), "--exclude")?,
            last: pattern(cli.last.as_deref(), "--last")?,
            only: cli.tablespaces.clone(),
            map: PathMap::new(&cli.map, base.as_deref())?,
        };
        for dir in [&cli.standby_dir, &cli.archlog_dir].into_iter().flatten() {
            if !dir.is_absolute() {
                let text = format!("{} is not an absolute path", dir.display());
                return Err(Failure::new(Exit::Usage, text).into());
            }
        }
        let (state_dir, log_dir) = directories(cli, quiet)?;
        let name = format!("hot_backup_ts_to_{}", target.log_name());
        let log = log_dir.join(format!("{name}.out"));
        let log = LogFile::open((!quiet).then_some(log.as_path()), Cli::TOOL, frame.verbose)?;
        let transcript = (!quiet).then(|| log_dir.join(format!("{name}.sqlplus.log")));
        let sqlplus =
            Sqlplus::new(Runner::Local(home.clone()), parsed).limit(cli.sql_timeout).log(transcript);
        Ok(Self { cli, frame, sid, home, connect, sqlplus, policy, target, state_dir, log_dir, log })
    }

    pub fn store(&self) -> Store {
        Store::new(&self.state_dir, &self.sid)
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
            cap: self.cli.max_backup_mode,
            give_up: GIVE_UP,
        }
    }

    pub fn rsync_log(&self) -> PathBuf {
        self.log_dir.join(format!("hot_backup_ts_to_{}.rsync.log", self.target.log_name()))
    }

    /// Where copies go, as one text: another one is another cycle.
    pub fn destination(&self) -> String {
        self.target.host.clone().unwrap_or_else(|| "this host".to_owned())
    }

    /// A sentence for people and for mailreport.
    pub fn say(&self, record: Log) -> anyhow::Result<()> {
        self.log.say(&record);
        self.frame.out.emit(&record)
    }
}

fn pattern(text: Option<&str>, flag: &str) -> Result<Option<Regex>, Failure> {
    text.map(|t| Regex::new(t).map_err(|e| Failure::new(Exit::Usage, format!("{flag} {t:?}: {e}"))))
        .transpose()
}

/// A run that changes nothing makes no directories either.
fn directories(cli: &Cli, quiet: bool) -> anyhow::Result<(PathBuf, PathBuf)> {
    let named = |dir: &Option<PathBuf>| dir.clone().filter(|d| quiet && !d.is_dir());
    let state = match named(&cli.common.state_dir) {
        Some(dir) => dir,
        None => cli.common.state_dir()?,
    };
    let log = match named(&cli.common.log_dir) {
        Some(dir) => dir,
        None if cli.common.log_dir.is_none() => state.clone(),
        None => cli.common.log_dir()?,
    };
    Ok((state, log))
}
