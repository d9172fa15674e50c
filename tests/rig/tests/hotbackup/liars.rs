//! A standby that says "received" and has something else: what was not whole never gets the name of a datafile.

use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use rig::host::{program_path, write_program, HostOptions};
use rig::tool::Outcome;
use rig::world::{Setup, World};

use crate::stage::{reason, said, small, tablespaces, with_status, Stage};

struct Liar {
    stage: Stage,
    /// A shell text that every receiving rsync runs at its end.
    lie: PathBuf,
    _dir: tempfile::TempDir,
}

impl Liar {
    /// HIST is read only: files 4 and 5; USERS has 6 and 7.
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let lie = dir.path().join("lie");
        std::fs::write(&lie, "")?;
        let script = format!(
            "#!/bin/sh\n'{}' \"$@\" || exit\ncase \" $* \" in *' --server '*) ;; *) exit 0;; esac\n\
             . '{}'\nexit 0\n",
            program_path("rsync")?.display(),
            lie.display()
        );
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin)?;
        write_program(&bin.join("rsync"), &script)?;
        let env = vec![("PATH".to_owned(), format!("{}:/usr/bin:/bin", bin.display()))];
        let host = HostOptions { env, ..HostOptions::default() };
        let world = World::shaped(&Setup { spec: small(), host, over_ssh: true }, |layout| {
            let mut all = tablespaces(layout, &["HIST", "USERS"], 512 << 10);
            all[3].read_only = true;
            all
        })?;
        Ok(Self { stage: Stage { world }, lie, _dir: dir })
    }

    /// A new cycle with this lie about one file: its tablespace fails for the reason, the older copy stays as it is.
    fn told(&self, file: u32, tablespace: &str, text: &str, words: &str) -> Result<Outcome> {
        let copies = self.copies(tablespace)?;
        let before: Vec<Vec<u8>> = copies.iter().map(std::fs::read).collect::<std::io::Result<_>>()?;
        self.prepare(file, &format!("echo told >> '{}'; {text}", self.told_path()))?;
        let outcome = self.stage.hot()?.arg("--new-cycle").run()?.expect(1)?;
        ensure!(Path::new(&self.told_path()).exists(), "the lie was not told");
        std::fs::remove_file(self.told_path())?;
        std::fs::write(&self.lie, "")?;
        ensure!(with_status(&outcome, "failed") == [tablespace], "{}", said(&outcome));
        ensure!(with_status(&outcome, "copied").len() == 4, "{}", said(&outcome));
        ensure!(reason(&outcome, tablespace)?.contains(words), "{}", said(&outcome));
        for (path, old) in copies.iter().zip(before) {
            ensure!(std::fs::read(path)? == old, "{} was changed", path.display());
        }
        ensure!(!self.stage.mark(tablespace).exists() && self.stage.active()? == 0);
        Ok(outcome)
    }

    /// Names of files do not come in rsync's arguments: the temporary one of this datafile is `$last`.
    fn prepare(&self, file: u32, text: &str) -> Result<()> {
        let dir = self.stage.layout().standby_dir();
        let all = format!("'{}'/u1*/oradata/.orapipe-hot-*-f{file}-*", dir.display());
        let text = format!("for last in {all}; do [ -e \"$last\" ] || continue; {text}; done\n");
        Ok(std::fs::write(&self.lie, text)?)
    }

    fn told_path(&self) -> String {
        self.lie.with_extension("told").display().to_string()
    }

    fn copies(&self, tablespace: &str) -> Result<Vec<PathBuf>> {
        let layout = self.stage.layout();
        let mut found = Vec::new();
        for i in 0..3 {
            let dir = layout.standby_mount(i).join("oradata");
            for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())?.flatten() {
                if entry.file_name().to_string_lossy().starts_with(&tablespace.to_lowercase()) {
                    found.push(entry.path());
                }
            }
        }
        ensure!(found.len() == 2, "{found:?}");
        Ok(found)
    }
}

#[test]
fn what_did_not_arrive_whole_never_replaces_a_datafile() -> Result<()> {
    let liar = Liar::new()?;
    let stage = &liar.stage;
    stage.cycle()?;

    liar.told(6, "USERS", "truncate -s -8192 \"$last\"", "its header says")?;
    // The header of the older copy, which was frozen at another SCN, over the new blocks.
    let older = liar.copies("USERS")?.into_iter().find(|p| p.ends_with("users_1.dbf")).context("users_1")?;
    let header = format!(
        "dd if='{}' of=\"$last\" bs=8192 skip=1 seek=1 count=1 conv=notrunc 2>/dev/null",
        older.display()
    );
    liar.told(6, "USERS", &header, "SCN")?;
    let other = older.with_file_name("sysaux_1.dbf");
    let other =
        if other.exists() { other } else { stage.layout().standby_mount(2).join("oradata/sysaux_1.dbf") };
    let foreign = format!("cp '{}' \"$last\"", other.display());
    liar.told(6, "USERS", &foreign, "header is of file 2")?;
    liar.told(6, "USERS", "rm \"$last\"", "datafile 6")?;
    // A file that cannot change is compared byte for byte.
    liar.told(
        4,
        "HIST",
        "printf X | dd of=\"$last\" bs=1 seek=100000 conv=notrunc 2>/dev/null",
        "differs from its copy",
    )?;

    let outcome = stage.cycle()?;
    ensure!(with_status(&outcome, "copied") == ["HIST"], "{}", said(&outcome));
    stage.prove()?;
    stage.check()
}

#[test]
fn what_arrived_badly_once_is_sent_again() -> Result<()> {
    let liar = Liar::new()?;
    let once = format!("[ -e '{0}' ] || {{ truncate -s 65536 \"$last\"; touch '{0}'; }}", liar.told_path());
    liar.prepare(6, &once)?;
    liar.stage.cycle()?;
    ensure!(Path::new(&liar.told_path()).exists(), "the lie was not told");
    liar.stage.prove()?;
    liar.stage.check()
}
