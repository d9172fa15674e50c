//! Calls of expdp: parameter file in, log out.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use common::oracle::connect::Connect;
use common::oracle::home::Home;
use common::process::{Cmd, Done};

/// How often the log is looked at for the logon, and the lock told that the run is getting on.
const LOOK: Duration = Duration::from_millis(200);

/// The client programs and how they log on.
#[derive(Clone)]
pub struct Expdp {
    pub home: Home,
    pub connect: Connect,
    /// A directory that only we can read.
    pub private: PathBuf,
    /// Begins the names of our files in it; has no dot.
    pub db: String,
    /// Gets the output as it arrives; standard error is part of it, for expdp writes its log there.
    pub log: PathBuf,
}

/// A parameter file with a password: mode 0600, gone when this is dropped.
struct ParameterFile(PathBuf);

impl ParameterFile {
    fn write(path: PathBuf, text: &str) -> anyhow::Result<Self> {
        let this = Self(path);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&this.0)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("write parameter file {}", this.0.display()))?;
        Ok(this)
    }

    fn remove(&self) {
        // Not there any more: removed before.
        let _gone = std::fs::remove_file(&self.0);
    }
}

impl Drop for ParameterFile {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Expdp {
    /// Runs an export; what it said is in the log. `alive` is called as long as the client runs.
    ///
    /// # Errors
    /// The program is not found or cannot be started.
    pub fn export(
        &self,
        job: &str,
        parameters: &[String],
        limit: Duration,
        alive: &(dyn Fn() + Sync),
    ) -> anyhow::Result<Done> {
        let file = self.parameter_file(job, parameters)?;
        let from = std::fs::metadata(&self.log).map_or(0, |m| m.len());
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    alive();
                    // The client has logged on: it has read the file.
                    if file.0.exists() && logged_on(&self.log, from) {
                        file.remove();
                    }
                    std::thread::sleep(LOOK);
                }
            });
            let done = self.command(&file, limit).and_then(|cmd| cmd.run());
            ended.store(true, Ordering::Relaxed);
            done
        })
    }

    /// Attaches to a job and kills it: the job lives in the server and does not end with its client.
    pub fn kill(&self, owner: &str, job: &str, limit: Duration) -> anyhow::Result<Done> {
        let file = self.parameter_file(&format!("{job}.kill"), &[format!("attach={owner}.{job}")])?;
        // The question "are you sure" is answered in the language of the client, which is ours.
        self.command(&file, limit)?.stdin(*b"KILL_JOB\nyes\n").uninterruptible().run()
    }

    fn parameter_file(&self, name: &str, parameters: &[String]) -> anyhow::Result<ParameterFile> {
        let text = format!("{}\n{}\n", self.connect.userid().expose(), parameters.join("\n"));
        ParameterFile::write(self.private.join(format!("{}.{}.par", self.db, name.to_lowercase())), &text)
    }

    fn command(&self, file: &ParameterFile, limit: Duration) -> anyhow::Result<Cmd> {
        let mut cmd = Cmd::new(self.home.program("expdp")?, limit)
            .arg(format!("parfile={}", file.0.display()))
            .log(Some(self.log.clone()));
        for (name, value) in self.home.variables() {
            cmd = cmd.env(&name, value);
        }
        // A default connection must not lead the logon to another database.
        cmd.env_remove.push("TWO_TASK".to_owned());
        cmd.secrets = self.connect.secrets();
        Ok(cmd)
    }
}

/// Whether the client has said in its first lines that it is connected.
fn logged_on(log: &Path, from: u64) -> bool {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(16 * 1024).read_to_end(&mut text)?;
        Ok(text)
    };
    read().is_ok_and(|text| contains(&text, b"Connected to"))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

/// Removes parameter files that a killed run for this database has left: nobody reads them any more. Those of another
/// database may belong to a run that is under way.
pub fn clean(private: &Path, db: &str) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(private).with_context(|| format!("read {}", private.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = name.strip_prefix(db).is_some_and(|rest| rest.starts_with('.'));
        if ours && path.extension().is_some_and(|e| e == "par") {
            std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}
