//! orquestra_dr.sh in a tmux session that the original has made.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use rig::tool::clean_environment;

use super::place::Place;

struct Tmux<'a>(&'a Place);

impl Tmux<'_> {
    fn call(&self, args: &[&str]) -> Result<String> {
        let out = Command::new("tmux")
            .args(args)
            .env_clear()
            .envs(clean_environment())
            .env("HOME", self.0.at(""))
            .env("TMUX_TMPDIR", self.0.at("tmp"))
            .output()?;
        Ok(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
    }

    /// As the original does it: a shell, and what is typed into it.
    fn window(&self, first: bool, name: &str, line: &str) -> Result<()> {
        if first {
            self.call(&["new-session", "-d", "-s", "DR_DBPROD", "-n", name, "-x", "120", "-y", "40"])?;
        } else {
            self.call(&["new-window", "-t", "DR_DBPROD", "-n", name])?;
        }
        self.call(&["send-keys", "-t", &format!("DR_DBPROD:{name}"), line, "C-m"])?;
        Ok(())
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _gone = self.call(&["kill-server"]);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !holds()? {
        ensure!(begin.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn orquestra_takes_over_the_windows_of_the_original_when_nothing_runs_in_them() -> Result<()> {
    let root = tempfile::Builder::new().prefix("orapipe-dropin-").tempdir()?;
    let script = "orquestra_dr.sh";
    let mut place = Place::new(root.path(), script)?;
    place.set("TMUX_TMPDIR", place.at("tmp"));
    place.set("TERM", "xterm-256color");
    place.set("STATE_DIR", place.at("state"));
    place.set("ORAPIPE_BIN", place.at("programs"));
    std::fs::create_dir(place.at("programs"))?;
    for tool in ["arch-ship", "ts-hotbackup"] {
        let text = "#!/bin/bash\ncase \" $* \" in *' --status '*) exit 0;; esac\n\
                    echo \"ours: $(basename \"$0\")\"; trap 'exit 143' TERM; while :; do sleep 0.1; done\n";
        rig::host::write_program(&place.at("programs").join(tool), text)?;
    }
    // The shipping has ended and the shell waits; the hot backup is in the middle of a tablespace.
    rig::host::write_program(&place.at("bin/hot_original.sh"), "#!/bin/bash\ntouch \"$1\"\nsleep 100\n")?;
    let tmux = Tmux(&place);
    tmux.window(true, "archivelog", "cd /")?;
    let began = place.at("tmp/began");
    let line = format!("{} {}", place.at("bin/hot_original.sh").display(), began.display());
    tmux.window(false, "hot_backup", &line)?;
    tmux.window(false, "monitor", "bash")?;
    until("the original runs", || Ok(began.exists()))?;
    let pids = || tmux.call(&["list-panes", "-s", "-t", "DR_DBPROD", "-F", "#{pane_pid}"]);
    let before = pids()?;

    for action in [&["--detached"][..], &["--stop"]] {
        let ran = place.run(script, action)?.expect(4)?;
        ensure!(
            ran.said.contains("window hot_backup") && ran.said.contains("hot_original.sh"),
            "{}",
            ran.said
        );
        ensure!(ran.said.contains("hint: "), "{}", ran.said);
        ensure!(pids()? == before, "a refused run changes nothing");
    }

    tmux.call(&["send-keys", "-t", "DR_DBPROD:hot_backup", "C-c"])?;
    until("it has ended", || Ok(place.run(script, &["--detached"])?.status == Some(0)))?;
    let windows = tmux.call(&["list-windows", "-t", "DR_DBPROD", "-F", "#W"])?;
    ensure!(windows == "archivelog\nhot_backup\nmonitor\n", "no window twice: {windows}");
    for (window, tool) in [("archivelog", "arch-ship"), ("hot_backup", "ts-hotbackup")] {
        until(tool, || {
            let screen = tmux.call(&["capture-pane", "-p", "-t", &format!("DR_DBPROD:{window}")])?;
            Ok(screen.contains(&format!("ours: {tool}")))
        })?;
    }
    let after = pids()?;
    let ran = place.run(script, &["--detached"])?.expect(0)?;
    ensure!(ran.said.matches("runs already").count() == 3 && pids()? == after, "{}", ran.said);
    place.run(script, &["--stop"])?.expect(0)?;
    Ok(())
}
