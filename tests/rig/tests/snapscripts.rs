//! orasync.sh and remove_old_snaps.sh: which tool gets what, what comes out, and that a real array is pruned by them.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ibsim::{Array, Config, PASSWORD};
use rig::tool::{bin_dir, clean_environment, program};
use tempfile::TempDir;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name).canonicalize().unwrap()
}

struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("orapipe-snapscripts-").tempdir().unwrap();
        for sub in ["bin", "state"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `arch-ship` stands for the directory of programs.
    fn stand_ins(&self) {
        for name in ["arch-ship", "ib-snap", "ib-prune"] {
            self.write(
                name,
                "echo \"$(basename \"$0\") $* of $SOURCE_INFINIBOX with $ORAPIPE_ENV_FILE\"; exit ${CODE:-0}",
            );
        }
        self.write("mailreport", "sed 's/^/mailed: /'; echo \"mailreport $*\"; exit ${CODE:-0}");
    }

    fn write(&self, name: &str, text: &str) {
        rig::host::write_program(&self.path("bin").join(name), &format!("#!/bin/bash\n{text}\n")).unwrap();
    }

    fn settings(&self, text: &str) -> PathBuf {
        let file = self.path("prod.env");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    fn command(&self, name: &str, bin: &Path) -> Command {
        let mut command = Command::new(script(name));
        command
            .env_clear()
            .envs(clean_environment())
            .env("HOME", self.dir.path())
            .env("STATE_DIR", self.path("state"))
            .env("ORAPIPE_BIN", bin)
            .stdin(std::process::Stdio::null());
        command
    }
}

fn said(command: &mut Command) -> (i32, String) {
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}

#[test]
fn the_wrappers_call_their_tool_with_all_that_they_are_given() {
    let stage = Stage::new();
    stage.stand_ins();
    let bin = stage.path("bin");
    for (name, tool) in [("orasync.sh", "ib-snap"), ("remove_old_snaps.sh", "ib-prune")] {
        let (status, text) =
            said(stage.command(name, &bin).args(["--dry-run", "a b"]).env("SOURCE_INFINIBOX", "box"));
        assert_eq!((status, text), (0, format!("{tool} --dry-run a b of box with \n")));
        assert_eq!(said(stage.command(name, &bin).env("CODE", "75")).0, 75);
        let (status, text) = said(stage.command(name, &bin).arg("--help"));
        assert_eq!(status, 0);
        assert!(
            text.contains(name) && text.contains("SOURCE_INFINIBOX_PASSWORD") && !text.contains("set -e"),
            "{text}"
        );
    }
}

#[test]
fn with_the_settings_of_mail_there_is_one() {
    let stage = Stage::new();
    stage.stand_ins();
    let bin = stage.path("bin");
    let file = stage.settings("SOURCE_INFINIBOX=box\nSMTP_SERVER=mail\nEMAIL_TO=dba@example.com\n");
    let shown = file.display();
    let run = |name: &str| said(stage.command(name, &bin).arg("-v").env("ORAPIPE_ENV_FILE", &file));
    let (status, text) = run("orasync.sh");
    assert_eq!(
        (status, text),
        (0, format!("mailed: ib-snap -v of  with {shown}\nmailreport --expect ib-snap\n"))
    );
    let (status, text) = run("remove_old_snaps.sh");
    let expected =
        format!("mailed: ib-prune -v of  with {shown}\nmailreport --expect ib-prune --only failure\n");
    assert_eq!((status, text), (0, expected));
    // Half of the settings is no mail.
    let half = stage.settings("SMTP_SERVER=mail\n#EMAIL_TO=dba@example.com\n");
    let (_, text) = said(stage.command("orasync.sh", &bin).env("ORAPIPE_ENV_FILE", half));
    assert!(!text.contains("mailreport"), "{text}");
}

#[test]
fn a_missing_tool_ends_with_64_and_a_hint() {
    let stage = Stage::new();
    // Away from what was built here.
    let scripts = stage.path("scripts");
    std::fs::create_dir(&scripts).unwrap();
    for name in ["orasync.sh", "remove_old_snaps.sh", "environment.sh"] {
        std::fs::copy(script(name), scripts.join(name)).unwrap();
    }
    for name in ["orasync.sh", "remove_old_snaps.sh"] {
        let mut command = Command::new(scripts.join(name));
        command.env_clear().envs(clean_environment()).stdin(std::process::Stdio::null());
        let (status, text) = said(&mut command);
        assert_eq!(status, 64, "{text}");
        assert!(
            text.contains(" is neither beside the scripts nor built nor in PATH") && text.contains("hint:"),
            "{text}"
        );
    }
}

#[test]
fn remove_old_snaps_prunes_with_the_settings_of_the_original() {
    program("ib-prune").unwrap();
    let stage = Stage::new();
    let array = Array::start(Config::default()).unwrap();
    array.add_volume("data").unwrap();
    array.add_volume("arch").unwrap();
    let now = array.now();
    for (days, stamp) in [(40, "2016-04-11_093413"), (30, "2016-04-12_093413"), (1, "2016-04-13_093413")] {
        let at = now - days * 86_400_000;
        array.add_snapshots("data", [(format!("orasync_data_{stamp}"), at)]).unwrap();
        array.add_snapshots("arch", [(format!("orasync_archive_{}9", &stamp[..16]), at + 6_000)]).unwrap();
    }
    let file = stage.settings(&format!(
        "SOURCE_INFINIBOX={}\nSOURCE_INFINIBOX_USER=pool_admin\nSOURCE_INFINIBOX_PASSWORD='{PASSWORD}'\n",
        array.host(0)
    ));
    let run = |args: &[&str]| {
        let bin = bin_dir().unwrap();
        let mut command = stage.command("remove_old_snaps.sh", &bin);
        said(command.arg("--insecure-http").args(args).env("ORAPIPE_ENV_FILE", &file))
    };
    let (status, text) = run(&["--dry-run"]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(text.matches("\"type\":\"planned\"").count(), 4, "{text}");
    assert_eq!(array.snapshots().len(), 6);
    let (status, text) = run(&[]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(text.matches("\"type\":\"removed\"").count(), 4, "{text}");
    assert!(!text.contains(PASSWORD));
    let left: Vec<String> = array.snapshots().into_iter().map(|o| o.name).collect();
    assert_eq!(left, ["orasync_data_2016-04-13_093413", "orasync_archive_2016-04-13_093419"]);
}
