//! A primary, a standby and the host between them: what every story begins with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use orasim::instance::{DestSpec, FileSpec, Spec, TablespaceKind, TablespaceSpec};
use tempfile::TempDir;

use crate::host::{kill, with_environment, HostOptions, Process, SshHost};
use crate::instance::Instance;
use crate::tool::Tool;

/// SID of the primary and of the standby.
pub const PRIMARY: &str = "DBPROD";
pub const STANDBY: &str = "DBPRODSB";

/// How long a keeper may take to end after its tool.
const KEEPER_END: Duration = Duration::from_secs(10);

const PREFIXES: [&str; 3] = ["u05", "u06", "u07"];

/// What a world is made of. Directories are filled in by [`World::new`].
#[derive(Debug, Clone)]
pub struct Setup {
    pub spec: Spec,
    pub host: HostOptions,
    /// Without it the tools work on local paths.
    pub over_ssh: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { spec: Spec::default(), host: HostOptions::default(), over_ssh: true }
    }
}

/// Everything lives below one temporary directory: ORACLE_HOME, the primary's and the standby's files, state, logs.
#[derive(Debug)]
pub struct World {
    // Ended before the directory goes.
    pub primary: Instance,
    pub standby: Instance,
    pub host: Option<SshHost>,
    root: TempDir,
}

/// The directories of a world below its root, the same in the demo.
#[derive(Debug, Clone)]
pub struct Layout {
    pub root: PathBuf,
}

impl Layout {
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Where the primary's datafiles are: three mount points.
    pub fn primary_mount(&self, index: usize) -> PathBuf {
        self.root.join("prod").join(PREFIXES[index % PREFIXES.len()])
    }

    pub fn primary_archive(&self) -> PathBuf {
        self.root.join("prod/arch")
    }

    pub fn standby_dir(&self) -> PathBuf {
        self.root.join("dr")
    }

    pub fn standby_archive(&self) -> PathBuf {
        self.standby_dir().join("arch")
    }

    pub fn standby_mount(&self, index: usize) -> PathBuf {
        // The originals' map: /u05=/u15 and so on.
        self.standby_dir().join(PREFIXES[index % PREFIXES.len()].replace("u0", "u1"))
    }

    pub fn standby_control(&self) -> PathBuf {
        self.standby_dir().join("control/standby.ctl")
    }

    /// PATH_MAP for ts-hotbackup.
    pub fn path_map(&self) -> String {
        let pairs: Vec<_> = (0..PREFIXES.len())
            .map(|i| format!("{}={}", self.primary_mount(i).display(), self.standby_mount(i).display()))
            .collect();
        pairs.join(",")
    }

    /// The primary of `spec` with its files, logs and archive in this layout.
    pub fn primary(&self, mut spec: Spec) -> Spec {
        spec.name = "DBPROD".to_owned();
        spec.sid = PRIMARY.to_owned();
        if spec.dests.is_empty() {
            spec.dests =
                vec![DestSpec { id: 1, directory: Some(self.primary_archive()), omf: false, service: None }];
        }
        if spec.tablespaces.is_empty() {
            spec.tablespaces = self.tablespaces(40, 1 << 20);
        }
        spec
    }

    /// A home for the standby of `primary`, with nothing in it.
    pub fn standby(&self, primary: &Spec) -> Spec {
        Spec {
            name: primary.name.clone(),
            unique_name: Some("DBPROD_DR".to_owned()),
            sid: STANDBY.to_owned(),
            dbid: primary.dbid,
            standby: true,
            control_files: vec![self.standby_control()],
            dests: vec![DestSpec {
                id: 1,
                directory: Some(self.standby_archive()),
                omf: false,
                service: None,
            }],
            changes_per_second: 0,
            edition: primary.edition.clone(),
            ..Spec::default()
        }
    }

    /// Eight tablespaces with `files` datafiles of `bytes` over the three mount points, and a temporary one: two undo, a
    /// name in mixed case, one with a blank, one read only, one offline.
    pub fn tablespaces(&self, files: usize, bytes: u64) -> Vec<TablespaceSpec> {
        let plan: [(&str, TablespaceKind, usize); 8] = [
            ("SYSTEM", TablespaceKind::Permanent, 1),
            ("SYSAUX", TablespaceKind::Permanent, 1),
            ("UNDOTBS1", TablespaceKind::Undo, 2),
            ("UNDOTBS2", TablespaceKind::Undo, 2),
            ("Vendas", TablespaceKind::Permanent, 0),
            ("Nota Fiscal", TablespaceKind::Permanent, 0),
            ("HISTORICO", TablespaceKind::Permanent, 2),
            ("ARQUIVO", TablespaceKind::Permanent, 2),
        ];
        let fixed: usize = plan.iter().map(|(_, _, n)| n).sum();
        let free = files.saturating_sub(fixed).max(2);
        let mut number = 0;
        let mut tablespaces = Vec::new();
        for (name, kind, n) in plan {
            let n = match (n, name) {
                (0, "Vendas") => free - free / 2,
                (0, _) => free / 2,
                _ => n,
            };
            let files = (1..=n)
                .map(|i| {
                    number += 1;
                    let file = format!("{}{i:02}.dbf", name.to_lowercase().replace(' ', "_"));
                    FileSpec { path: self.primary_mount(number).join("oradata/DBPROD").join(file), bytes }
                })
                .collect();
            let mut tablespace = TablespaceSpec::new(name, files);
            tablespace.kind = kind;
            tablespace.read_only = name == "HISTORICO";
            tablespace.offline = name == "ARQUIVO";
            tablespaces.push(tablespace);
        }
        let temp = FileSpec { path: self.primary_mount(0).join("oradata/DBPROD/temp01.dbf"), bytes };
        let mut temporary = TablespaceSpec::new("TEMP", vec![temp]);
        temporary.kind = TablespaceKind::Temporary;
        tablespaces.push(temporary);
        tablespaces
    }
}

impl World {
    /// An open primary, a standby home that is down, and sshd.
    pub fn new(setup: &Setup) -> Result<Self> {
        Self::shaped(setup, |_| Vec::new())
    }

    /// As [`World::new`], with tablespaces whose paths are in this world; none of them means those of the spec.
    pub fn shaped(setup: &Setup, shape: impl FnOnce(&Layout) -> Vec<TablespaceSpec>) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("orapipe-world-").tempdir()?;
        let layout = Layout { root: root.path().canonicalize()? };
        let mut wanted = setup.spec.clone();
        let shaped = shape(&layout);
        if !shaped.is_empty() {
            wanted.tablespaces = shaped;
        }
        let home = layout.home();
        orasim::server::home::make(&home, &crate::tool::bin_dir()?)?;
        std::fs::create_dir_all(layout.standby_archive())?;
        let spec = layout.primary(wanted);
        let standby = Instance::create(&home, &layout.root.join("standby-instance"), &layout.standby(&spec))?;
        let primary = Instance::create(&home, &layout.root.join("primary-instance"), &spec)?;
        let host = setup.over_ssh.then(|| SshHost::start(&setup.host)).transpose()?;
        Ok(Self { primary, standby, host, root })
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn layout(&self) -> Layout {
        Layout { root: self.root.path().to_owned() }
    }

    pub fn state_dir(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.root.path().join("log")
    }

    /// The settings of both tools, as an operator's env file would have them.
    pub fn settings(&self) -> Vec<(String, OsString)> {
        let layout = self.layout();
        let mut settings: Vec<(String, OsString)> = Vec::new();
        let mut set = |name: &str, value: OsString| settings.push((name.to_owned(), value));
        set("ORACLE_HOME", layout.home().into());
        set("ORACLE_SID", PRIMARY.into());
        set("STANDBY_ORACLE_HOME", layout.home().into());
        set("STANDBY_SID", STANDBY.into());
        set("STATE_DIR", self.state_dir().into());
        set("LOG_DIR", self.log_dir().into());
        set("PATH_MAP", layout.path_map().into());
        set("DEST_ARCHLOG_DIR", layout.standby_archive().into());
        set("DEST_STANDBY_DIR", layout.standby_dir().join("control").into());
        if let Some(host) = &self.host {
            set("DEST_HOST", host.host().into());
            set("DEST_USER", host.user().into());
            set("SSH_OPTIONS", host.ssh_options().into());
        }
        settings
    }

    /// A call of one of our tools with these settings.
    pub fn tool(&self, name: &str) -> Result<Tool> {
        let scratch = self.root.path().join("scratch");
        std::fs::create_dir_all(&scratch).context("make the scratch directory")?;
        Ok(Tool::new(name, &scratch)?.envs(self.settings()))
    }

    /// Keepers of backup mode that the tools have left: they outlive the tool, and with the database gone they would
    /// try for a day.
    pub fn keepers(&self) -> Vec<Process> {
        let mut found = with_environment(&format!("{}/", self.root.path().display()));
        found.retain(|p| p.args.iter().any(|a| a == common::guardian::ARGUMENT));
        found
    }

    /// What must hold after every story, on both sides.
    ///
    /// # Errors
    /// A secret in an argument, a BEGIN BACKUP without its END, or a keeper that has not ended 10 s later.
    pub fn check(&self, secrets: &[&str]) -> Result<()> {
        self.primary.check_journal(secrets).context("journal of the primary")?;
        self.standby.check_journal(secrets).context("journal of the standby")?;
        let begin = Instant::now();
        while let Some(keeper) = self.keepers().first() {
            ensure!(begin.elapsed() < KEEPER_END, "keeper {} is left: {:?}", keeper.pid, keeper.args);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Tools and keepers first: without their database they would only try again.
        let ours = with_environment(&format!("{}/", self.root.path().display()));
        ours.iter().for_each(|p| kill(p.pid));
    }
}
