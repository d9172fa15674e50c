//! The tmux session over both tools and a real database.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Result};
use rig::tool::{bin_dir, clean_environment};
use rig::world::PRIMARY;

use crate::stage::{repository, Stage};

/// The session of a stage, in a tmux server of its own.
struct Session<'a>(&'a Stage);

impl Session<'_> {
    fn said(&self, command: &mut Command) -> Result<(i32, String)> {
        let root = self.0.world.path();
        std::fs::create_dir_all(root.join("tmux"))?;
        command
            .env_clear()
            .envs(clean_environment())
            .envs(self.0.world.settings())
            .env("HOME", root)
            .env("TMUX_TMPDIR", root.join("tmux"))
            .env("TMPDIR", root.join("tmux"))
            .env("ORAPIPE_BIN", bin_dir()?)
            .env("DISCOVER", "database")
            .env("SLEEP_INTERVAL", "1");
        let out = command.output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        Ok((out.status.code().unwrap_or(-1), text))
    }

    fn tmux(&self, args: &[&str]) -> Result<String> {
        Ok(self.said(Command::new("tmux").args(args))?.1)
    }

    fn orquestra(&self, args: &[&str]) -> Result<(i32, String)> {
        self.said(Command::new(repository().join("scripts/orquestra_dr.sh")).args(args))
    }

    fn screen(&self, window: &str) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-t", &format!("DR_DBPROD:{window}")])
    }

    fn until(&self, what: &str, seconds: u64, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        while !holds()? {
            if begin.elapsed() > Duration::from_secs(seconds) {
                let windows: Vec<String> = ["archivelog", "hot_backup", "monitor"]
                    .iter()
                    .filter_map(|w| self.screen(w).ok())
                    .collect();
                bail!(
                    "{what} did not happen: {}\n{}",
                    self.orquestra(&["--status"])?.1,
                    windows.join("\n---\n")
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let _gone = self.tmux(&["kill-server"]);
    }
}

#[test]
fn three_windows_make_a_standby_and_stop_in_order() -> Result<()> {
    let stage = Stage::small(1 << 20)?;
    let session = Session(&stage);
    let (status, text) = session.orquestra(&["--detached"])?;
    ensure!(status == 0, "{text}");
    let windows = session.tmux(&["list-windows", "-t", "DR_DBPROD", "-F", "#I #W"])?;
    ensure!(windows == "0 archivelog\n1 hot_backup\n2 monitor\n", "{windows}");
    let (_, again) = session.orquestra(&["--detached"])?;
    ensure!(again.contains("archivelog: runs already"), "{again}");
    session.until("the backup is done", 90, || {
        Ok(session.orquestra(&["--status"])?.1.contains("hot_backup: done"))
    })?;
    session.until("the monitor shows it", 30, || {
        let screen = session.screen("monitor")?;
        Ok(screen.contains("5 of 5 tablespaces") && screen.contains("thread 1"))
    })?;
    session.until("a log arrives", 30, || {
        Ok(std::fs::read_dir(stage.layout().standby_archive())?.flatten().count() > 0)
    })?;

    // Stopped in the middle of the next cycle: END BACKUP is done.
    stage.hang("end backup", Some(2.0))?;
    let (status, text) = session.orquestra(&["--detached", "--new-cycle"])?;
    ensure!(status == 0, "{text}");
    session.until("backup mode", 30, || Ok(stage.world.primary.in_backup_mode()? > 0))?;
    let (status, text) = session.orquestra(&["--stop"])?;
    ensure!(status == 0, "{text}");
    ensure!(text.contains("hot_backup: ended 143"), "{text}");
    ensure!(stage.active()? == 0, "--stop left backup mode on");
    stage.clear_faults()?;
    stage.cycle()?;
    let scn = stage.world.primary.number("SELECT TO_CHAR(CURRENT_SCN) FROM V$DATABASE")?;
    stage.sqlplus(PRIMARY, "alter system archive log current")?;
    stage.ship()?.run()?.expect(0)?;
    stage.prove_at(scn)?;
    stage.check()
}
