//! One database instance: files, redo, clock, background processes.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{bail, Context, Result};
use chrono::NaiveDateTime;

use crate::{
    controlfile::{self, ControlFile},
    datafile::Header,
    engine::{Command, Container, Engine, OraError, Reply, State, View},
    faults::Faults,
    oratime,
    redolog::LogHeader,
    truth::Ledger,
};

mod archiver;
mod backup;
mod change;
mod consistency;
mod ddl;
mod life;
mod logsource;
mod make;
mod managed;
mod recover;
mod redo;
pub mod rman;
mod roll;
pub mod spec;
mod standby;
mod views;

pub use spec::{DestSpec, FakeLogs, FileSpec, Spec, TablespaceKind, TablespaceSpec};

/// An open datafile.
#[derive(Debug)]
struct OpenFile {
    file: File,
    header: Header,
    /// Online, read write: the writer may change it.
    writable: bool,
}

/// A changed block that is not on disk yet.
#[derive(Debug)]
struct Dirty {
    bytes: Vec<u8>,
}

/// A block of which the first half is on disk.
#[derive(Debug)]
struct HalfWritten {
    file: u32,
    block: u32,
    bytes: Vec<u8>,
}

/// The current log of one thread.
#[derive(Debug)]
struct RedoThread {
    group: u16,
    file: File,
    header: LogHeader,
    next_block: u32,
    capacity: u32,
    staged: Vec<u8>,
    starts: Vec<usize>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    spec: Spec,
    faults: Faults,
    state: State,
    started: NaiveDateTime,
    control: Option<controlfile::Open>,
    scn: u64,
    redo: BTreeMap<u16, RedoThread>,
    files: BTreeMap<u32, OpenFile>,
    dirty: BTreeMap<(u32, u32), Dirty>,
    half_written: Vec<HalfWritten>,
    /// Blocks whose image is in the redo since BEGIN BACKUP of their file.
    imaged: HashSet<(u32, u32)>,
    ledger: Option<Ledger>,
    random: u64,
    turn: usize,
    last_mark: u32,
    dest_errors: BTreeMap<u32, String>,
    /// A recovery that waits for a log.
    recovery: Option<recover::Session>,
    /// MRP0 is there; whether it applies in real time.
    managed: Option<bool>,
    /// CON_IDs of the pluggable databases that are open in a database that is open read only.
    pdbs_open: BTreeSet<u32>,
    /// The writer rests: an incarnation ends.
    frozen: bool,
    /// Nologging blocks that recovery has marked corrupt: (file, block, SCN).
    corrupt: BTreeSet<(u32, u32, u64)>,
    /// Blocks that a backup or a validation could not read: (file, block).
    bad_blocks: BTreeSet<(u32, u32)>,
    /// V$RMAN_OUTPUT: (status RECID, status STAMP, session RECID, session STAMP, line); only in memory.
    rman_output: Vec<(u32, u32, u32, u32, String)>,
}

/// Why a change cannot be made now.
#[derive(Debug)]
enum Stall {
    /// The next log of the thread is not archived: the database hangs until it is.
    Archiver,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stall {
    fn from(e: E) -> Self {
        Self::Failed(e.into())
    }
}

/// A simulated instance. All methods may be called from any thread.
#[derive(Debug)]
pub struct Instance {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Set when the background processes are to end.
    stop: AtomicBool,
    background: Mutex<Vec<JoinHandle<()>>>,
}

const SPEC_FILE: &str = "instance.json";
const FAULTS_FILE: &str = "faults.json";

/// An error of the machine below the database.
fn io_error(e: &anyhow::Error) -> OraError {
    OraError::new(603, "ORACLE server session terminated by fatal error")
        .then(27072, format!("File I/O error\n{e:#}"))
}

fn not_mounted() -> OraError {
    OraError::new(1507, "database not mounted")
}

fn not_open() -> OraError {
    OraError::new(1109, "database not open")
}

impl Inner {
    fn save_spec(&self) -> Result<()> {
        let path = self.dir.join(SPEC_FILE);
        let temporary = path.with_extension("writing");
        fs::write(&temporary, serde_json::to_vec_pretty(&self.spec)?)
            .with_context(|| format!("write {}", temporary.display()))?;
        fs::rename(&temporary, &path).with_context(|| format!("rename to {}", path.display()))
    }

    fn control(&self) -> Result<&ControlFile, OraError> {
        match (&self.control, self.state) {
            (_, State::Down) => Err(OraError::new(1034, "ORACLE not available")),
            (Some(control), _) => Ok(&control.data),
            (None, _) => Err(not_mounted()),
        }
    }

    fn control_open(&mut self) -> Result<&mut controlfile::Open> {
        self.control.as_mut().context("the control file is not open")
    }

    fn control_mut(&mut self) -> Result<&mut ControlFile> {
        Ok(&mut self.control_open()?.data)
    }

    fn save_control(&mut self) -> Result<()> {
        let scn = self.scn;
        let open = self.control_open()?;
        if open.data.kind == controlfile::Kind::Current {
            open.data.scn = open.data.scn.max(scn);
            open.data.time = oratime::now();
        }
        open.save()
    }

    fn next_scn(&mut self) -> u64 {
        self.scn += 1;
        self.scn
    }

    fn random(&mut self) -> u64 {
        self.random = crate::block::mix(self.random);
        self.random
    }

    fn control_files(&self) -> Vec<PathBuf> {
        if self.spec.control_files.is_empty() {
            vec![self.dir.join("control01.ctl")]
        } else {
            self.spec.control_files.clone()
        }
    }

    fn dests(&self) -> Vec<DestSpec> {
        if self.spec.dests.is_empty() {
            vec![DestSpec { id: 1, directory: Some(self.dir.join("arch")), omf: false, service: None }]
        } else {
            self.spec.dests.clone()
        }
    }
}

impl Instance {
    /// Makes a database in `dir` and opens it; a standby home is only prepared and stays down.
    pub fn create(dir: &Path, spec: &Spec) -> Result<Arc<Self>> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        if dir.join(SPEC_FILE).exists() {
            bail!("{} has an instance already", dir.display());
        }
        make::check(spec)?;
        let instance = Self::over(dir, spec.clone(), Faults::default());
        {
            let mut inner = instance.lock();
            inner.save_spec()?;
            if !spec.standby {
                make::database(&mut inner)
                    .with_context(|| format!("make the database in {}", dir.display()))?;
            }
        }
        if !spec.standby {
            if let Err(e) = instance.startup(crate::engine::StartupMode::Open) {
                bail!("open the new database: {:?}", e.stack);
            }
        }
        Ok(instance)
    }

    /// An instance that is down, over what an earlier one left in `dir`, whether it was shut down or crashed.
    pub fn open(dir: &Path) -> Result<Arc<Self>> {
        let path = dir.join(SPEC_FILE);
        let spec: Spec =
            serde_json::from_slice(&fs::read(&path).with_context(|| format!("read {}", path.display()))?)
                .with_context(|| format!("decode {}", path.display()))?;
        let faults = match fs::read(dir.join(FAULTS_FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).context("decode the faults")?,
            Err(_) => Faults::default(),
        };
        Ok(Self::over(dir, spec, faults))
    }

    fn over(dir: &Path, spec: Spec, faults: Faults) -> Arc<Self> {
        let inner = Inner {
            dir: dir.to_owned(),
            faults,
            state: State::Down,
            started: oratime::now(),
            control: None,
            scn: 0,
            redo: BTreeMap::new(),
            files: BTreeMap::new(),
            dirty: BTreeMap::new(),
            half_written: Vec::new(),
            imaged: HashSet::new(),
            ledger: None,
            random: u64::from(spec.dbid),
            turn: 0,
            last_mark: 0,
            dest_errors: BTreeMap::new(),
            recovery: None,
            managed: None,
            pdbs_open: BTreeSet::new(),
            frozen: false,
            corrupt: BTreeSet::new(),
            bad_blocks: BTreeSet::new(),
            rman_output: Vec::new(),
            spec,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            background: Mutex::new(Vec::new()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, Inner>, at_most: Duration) -> MutexGuard<'a, Inner> {
        self.changed.wait_timeout(guard, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn start_background(self: &Arc<Self>) {
        self.stop.store(false, Ordering::SeqCst);
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        // Weak, so that an instance that nobody holds any more ends.
        let (writer, archiver, recoverer) =
            (Arc::downgrade(self), Arc::downgrade(self), Arc::downgrade(self));
        background.push(std::thread::spawn(move || {
            while let Some(pause) = recoverer.upgrade().and_then(|i| i.managed_round()) {
                std::thread::sleep(pause);
            }
        }));
        background.push(std::thread::spawn(move || {
            let mut pace = change::Pace::new();
            while let Some(pause) = writer.upgrade().and_then(|i| i.writer_round(&mut pace)) {
                std::thread::sleep(pause);
            }
        }));
        background.push(std::thread::spawn(
            move || {
                while archiver.upgrade().is_some_and(|i| i.archiver_round()) {}
            },
        ));
    }

    /// Ends the background processes; what they have in hand stays as it is.
    fn end_background(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        let handles: Vec<_> =
            self.background.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for handle in handles {
            // A background process that panicked is as dead as one that ended.
            let _ = handle.join();
        }
    }

    pub fn spec(&self) -> Spec {
        self.lock().spec.clone()
    }

    pub fn dir(&self) -> PathBuf {
        self.lock().dir.clone()
    }

    pub fn faults(&self) -> Faults {
        self.lock().faults.clone()
    }

    /// Takes effect at once and survives a restart.
    pub fn set_faults(&self, faults: Faults) -> Result<()> {
        let mut inner = self.lock();
        let path = inner.dir.join(FAULTS_FILE);
        fs::write(&path, serde_json::to_vec_pretty(&faults)?)
            .with_context(|| format!("write {}", path.display()))?;
        inner.faults = faults;
        drop(inner);
        self.changed.notify_all();
        Ok(())
    }

    /// Changes per second of the background writer from now on; 0 stops it. Kept over a restart.
    pub fn set_rate(&self, changes_per_second: u32) {
        let mut inner = self.lock();
        inner.spec.changes_per_second = changes_per_second;
        // A rate that is lost by a restart harms nobody.
        let _ = inner.save_spec();
        drop(inner);
        self.changed.notify_all();
    }

    /// CURRENT_SCN; 0 when not mounted.
    pub fn current_scn(&self) -> u64 {
        self.lock().scn
    }

    /// Paths of all datafiles by file number, as the control file has them.
    pub fn datafiles(&self) -> BTreeMap<u32, PathBuf> {
        let inner = self.lock();
        inner.control().map_or_else(
            |_| BTreeMap::new(),
            |c| c.datafiles.iter().map(|f| (f.file, f.path.clone())).collect(),
        )
    }

    /// Flips a byte of a block on disk, as a failing disk does. The checksum of the block shows it.
    ///
    /// # Errors
    /// When there is no such file or block.
    pub fn corrupt_block(&self, file: u32, block: u32) -> Result<()> {
        use std::os::unix::fs::FileExt;
        let path = self.datafiles().remove(&file).with_context(|| format!("no datafile {file}"))?;
        // What is in memory would heal it at the next checkpoint.
        self.lock().write_all_blocks()?;
        let handle = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let mut bytes = crate::datafile::read_block(&handle, block)?;
        bytes[crate::block::SIZE / 2 + 7] ^= 0x20;
        let at = u64::from(block) * crate::block::SIZE as u64;
        handle.write_all_at(&bytes, at).with_context(|| format!("write {}", path.display()))
    }

    /// Ends the background processes where they are and forgets everything in memory, as a killed instance would.
    pub fn crash(&self) {
        self.end_background();
        let mut inner = self.lock();
        inner.forget();
        inner.state = State::Down;
    }
}

impl Inner {
    /// Drops everything that is only in memory.
    fn forget(&mut self) {
        self.control = None;
        self.redo.clear();
        self.files.clear();
        self.dirty.clear();
        self.half_written.clear();
        self.imaged.clear();
        self.ledger = None;
        self.dest_errors.clear();
        self.scn = 0;
        self.recovery = None;
        self.managed = None;
        self.pdbs_open.clear();
        self.rman_output.clear();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }
}

impl Engine for Arc<Instance> {
    fn state(&self) -> State {
        self.lock().state
    }

    fn view(&self, name: &str, container: &Container) -> Option<Result<View, OraError>> {
        views::view(&self.lock(), name, container)
    }

    fn execute(&self, command: &Command, container: &mut Container) -> Result<Reply, OraError> {
        match command {
            Command::BeginBackup(scope) => self.begin_backup(scope, container),
            Command::EndBackup(scope) => self.end_backup(scope, container),
            Command::ArchiveLogCurrent => self.archive_log_current(),
            Command::SwitchLogfile => self.switch_logfile(),
            Command::Checkpoint => self.checkpoint_command(),
            Command::BackupControlfile { to, reuse } => {
                self.copy_control_file(to, *reuse, controlfile::Kind::Backup)
            }
            Command::CreateStandbyControlfile { to, reuse } => {
                self.copy_control_file(to, *reuse, controlfile::Kind::Standby)
            }
            Command::CreatePfile { to } => self.create_pfile(to),
            Command::SetParameter { name, value } => self.set_parameter(name, value),
            Command::SetContainer(name) => self.set_container(name, container),
            Command::ForceLogging(on) => self.force_logging(*on),
            Command::CreateTablespace { name, file, bytes, undo } => {
                self.create_tablespace(name, file, *bytes, *undo, container)
            }
            Command::AddDatafile { tablespace, file, bytes } => {
                self.add_datafile(tablespace, file, *bytes, container)
            }
            Command::DropTablespace { name } => self.drop_tablespace(name, container),
            Command::ResizeDatafile { file, bytes } => self.resize_datafile(file, *bytes),
            Command::TablespaceReadOnly(name) => self.tablespace_read_only(name, true, container),
            Command::TablespaceReadWrite(name) => self.tablespace_read_only(name, false, container),
            Command::TablespaceOffline(name) => self.tablespace_offline(name, true, container),
            Command::TablespaceOnline(name) => self.tablespace_offline(name, false, container),
            Command::Startup(mode) => self.startup(*mode),
            Command::Shutdown(mode) => self.shutdown(*mode),
            Command::Mount { standby } => self.mount(*standby),
            Command::Open { read_only, resetlogs } => self.open_database(*read_only, *resetlogs),
            Command::OpenPluggable => self.open_pluggable(),
            Command::ActivateStandby => self.activate(),
            Command::RenameFile { from, to } => self.rename_file(from, to),
            Command::RegisterLogfile { path, replace } => self.register_logfile(path, *replace),
            Command::CatalogFile { path } => self.catalog_file(path),
            Command::Recover(request) => self.recover(request, false),
            Command::RecoverCataloged(request) => self.recover(request, true),
            Command::RecoverLogfile(path) => self.recover_logfile(Some(path)),
            Command::RecoverContinue => self.recover_logfile(None),
            Command::RecoverCancel => self.recover_cancel(),
            Command::RecoverManaged { real_time } => self.recover_managed(*real_time),
            Command::RecoverManagedCancel => self.cancel_managed(),
        }
    }
}
