//! Every command of the documents goes through a shell. The tools read their command line and settings and show them; what is
//! for another machine is one of [`ELSEWHERE`].

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use rig::host::write_program;
use rig::tool::{clean_environment, program};
use tempfile::TempDir;

use crate::{blocks, documents, root, PAGES};

/// Commands that are not run here, and why. Those that are ours: their flags are looked up in their text.
const ELSEWHERE: [(&str, &str); 20] = [
    ("ansible-playbook", "needs hosts; tests/rig/tests/fleet runs it"),
    ("apt", "installs on this machine; tests/rig/tests/package does it in a root of its own"),
    ("cargo", "has built what runs here"),
    ("check_orapipe.sh", "needs a database; tests/rig/tests/operate runs it"),
    ("demo.sh", "tests/rig/tests/demo.rs runs it"),
    ("dnf", "as apt"),
    ("dr-drill.sh", "needs a standby; the drill has tests of its own"),
    ("install", "needs root and the user oracle; copies or makes the directory here"),
    ("install.sh", "tests/rig/tests/package runs it"),
    ("logrotate", "tests/rig/tests/operate runs it"),
    ("node_exporter", "a server of others"),
    ("package.sh", "builds for an hour; tests/rig/tests/package looks at what it packs"),
    ("promtool", "tests/rig/tests/operate runs it"),
    (
        "python3",
        "downloads from PyPI into a virtual environment; scripts/setup.sh does the same with the same file",
    ),
    ("ssh", "needs the standby host"),
    ("ssh-copy-id", "needs the standby host"),
    ("standby-recover.sh", "needs a standby; the demo and the stories run it"),
    ("sudo", "needs root: what stands behind it is run"),
    ("systemctl", "needs systemd; the units are checked by tests/rig/tests/operate, their names here"),
    ("test.sh", "has started what runs here"),
];

struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self { dir: tempfile::Builder::new().prefix("orapipe-docs-").tempdir().unwrap() };
        for dir in [
            "bin",
            "scripts",
            "state",
            "log",
            "tmp",
            "usr/libexec/orapipe",
            "etc/orapipe",
            "home/oracle/.ssh",
            "home/oracle/.local/state/orapipe/spool",
            "home/oracle/.alkdba",
        ] {
            std::fs::create_dir_all(sandbox.at(dir)).unwrap();
        }
        for (tool, _) in PAGES {
            let real = program(tool).unwrap();
            let text = format!(
                "#!/bin/bash\nprintf '%s %s\n' {tool} \"$*\" >>\"$CALLS\"\n\
                 case \" $* \" in *' --show-config '*) ;; *) set -- \"$@\" --show-config ;; esac\n\
                 exec '{}' \"$@\" </dev/null >/dev/null\n",
                real.display()
            );
            write_program(&sandbox.at("bin").join(tool), &text).unwrap();
        }
        let show = "printf '%s %s\n' \"${0##*/}\" \"$*\" >>\"$CALLS\"\n";
        for (name, _) in ELSEWHERE {
            let text = match name {
                "sudo" => "#!/bin/bash\nif [ \"$1\" = -u ]; then shift 2; fi\nexec \"$@\"\n".to_owned(),
                "install" => format!(
                    "#!/bin/bash\n{show}case \" $* \" in *' -d '*) for d; do case $d in /*) mkdir -p \"$d\";; esac; done;; \
                     *) cp \"${{@: -2:1}}\" \"${{@: -1}}\";; esac\n"
                ),
                "python3" => format!(
                    "#!/bin/bash\n{show}mkdir -p \"$3/bin\"\ncp \"$(dirname \"$0\")/ssh\" \"$3/bin/pip\"\n"
                ),
                "ansible-playbook" => format!("#!/bin/bash\n{show}test -f \"$1\"\n"),
                _ => format!("#!/bin/bash\n{show}"),
            };
            write_program(&sandbox.at("bin").join(name), &text).unwrap();
            // Inside an unpacked tarball.
            if name == "install.sh" {
                write_program(&sandbox.at(name), &text).unwrap();
            }
        }
        for entry in std::fs::read_dir(root().join("scripts")).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stand_in = sandbox.at("bin").join(&name);
            let target = if stand_in.exists() { stand_in } else { entry.path() };
            for dir in ["scripts", "usr/libexec/orapipe"] {
                symlink(&target, sandbox.at(dir).join(&name)).unwrap();
            }
        }
        let copied = Command::new("cp").arg("-r").arg(root().join("fleet")).arg(sandbox.at("fleet")).status();
        assert!(copied.unwrap().success());
        std::fs::write(sandbox.at("fleet/databases.txt"), "dbhost1 PROD\n").unwrap();
        for name in ["schemas.jsonl", "night.jsonl", "etc/orapipe/schemas.jsonl"] {
            std::fs::write(sandbox.at(name), "").unwrap();
        }
        std::fs::copy(root().join("scripts/PROD.env.example"), sandbox.at("etc/orapipe/PROD.env.example"))
            .unwrap();
        sandbox
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A text with the directories of a real machine moved below this one.
    fn moved(&self, text: &str) -> String {
        let places = Regex::new(
            r#"(?m)(^|[\s='"(<>:,])/(u\d\d|backup|mnt|home|etc|opt|usr|restore|arch|var|path|tmp)\b"#,
        )
        .unwrap();
        let root = self.dir.path().display().to_string();
        places.replace_all(text, |c: &regex::Captures<'_>| format!("{}{root}/{}", &c[1], &c[2])).into_owned()
    }

    fn shell(&self, script: &str) -> (i32, String) {
        let path = format!(
            "{}:{}:/usr/sbin:/usr/bin:/sbin:/bin",
            self.at("bin").display(),
            self.at("usr/libexec/orapipe").display()
        );
        let out = Command::new("bash")
            .args(["-c", script])
            .env_clear()
            .envs(clean_environment())
            .env("PATH", path)
            .env("HOME", self.at("home/oracle"))
            .env("CALLS", self.at("calls"))
            .env("ORAPIPE_BIN", self.at("bin"))
            .env("ORACLE_SID", "DBPROD")
            .env("STATE_DIR", self.at("state"))
            .env("LOG_DIR", self.at("log"))
            // What the text tells to write into the env file.
            .env("S3_BUCKET_NAME", "dba-backups")
            .env("RESTORE_SOURCE_DIR", self.at("u05/restore"))
            .env("TMPDIR", self.at("tmp"))
            .env("TMUX_TMPDIR", self.at("tmp"))
            .env("TERM", "xterm")
            .current_dir(self.dir.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), said)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // orquestra_dr.sh has started a server of this directory.
        self.shell("tmux kill-server 2>/dev/null || true");
    }
}

/// The shell commands of a document, block by block.
fn shell_blocks(document: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, body) in blocks(document) {
        match kind.as_str() {
            "sh" => found.push(body),
            "console" => {
                let commands: Vec<_> = body.lines().filter_map(|l| l.strip_prefix("$ ")).collect();
                found.push(commands.join("\n"));
            }
            "text" | "json" | "sql" | "xml" | "yaml" | "cron" => {}
            other => panic!("{}: a block of kind {other:?}", document.display()),
        }
    }
    found
}

#[test]
fn every_command_of_every_document_is_run_or_says_why_not() {
    let mut calls = String::new();
    for document in documents() {
        let blocks = shell_blocks(&document);
        if blocks.is_empty() {
            continue;
        }
        let sandbox = Sandbox::new();
        let mut script = String::from(
            "set -eEu -o pipefail\ntrap 'echo \"block $block: status $?: $BASH_COMMAND\" >&2' ERR\n",
        );
        for (n, block) in blocks.iter().enumerate() {
            script.push_str(&format!("block={}\n{}\n", n + 1, sandbox.moved(block)));
        }
        let (status, said) = sandbox.shell(&script);
        assert_eq!(status, 0, "{}:\n{said}", document.display());
        calls.push_str(&std::fs::read_to_string(sandbox.at("calls")).unwrap_or_default());
    }
    // The real programs have seen them, with these flags.
    for (tool, _) in PAGES {
        let n = calls.lines().filter(|l| l.split(' ').next() == Some(tool)).count();
        assert!(n > 0, "no document calls {tool}");
    }
    assert!(calls.lines().count() > 100, "{}", calls.lines().count());
    for line in calls.lines() {
        let name = line.split(' ').next().unwrap();
        let ours = root().join("scripts").join(name);
        if ours.exists() {
            let text = std::fs::read_to_string(&ours).unwrap();
            // Its own, or those of the tool that it hands its arguments to.
            let handed: Vec<_> = PAGES
                .iter()
                .filter(|(tool, _)| text.contains(&format!("{tool} ")))
                .map(|(tool, _)| *tool)
                .collect();
            for word in line.split(' ').filter(|w| w.starts_with("--")) {
                let flag = word.split('=').next().unwrap();
                let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
                let own = text.match_indices(flag).any(|(at, _)| !goes_on(&text[at + flag.len()..]));
                let tools = handed.iter().any(|t| rig::docs::flags(t).is_some_and(|f| f.contains_key(flag)));
                assert!(own || tools, "{name} has no {flag}: {line}");
            }
        }
        if name == "systemctl" {
            for unit in line.split(' ').filter(|w| w.contains('@')) {
                let (head, tail) = unit.split_once('@').unwrap();
                let template = format!("packaging/systemd/{head}@.{}", tail.rsplit('.').next().unwrap());
                assert!(root().join(&template).exists(), "there is no {template}: {line}");
            }
        }
    }
    let used = |name: &str| calls.lines().any(|l| l.split(' ').next() == Some(name));
    // sudo only hands on.
    for (name, why) in ELSEWHERE.iter().filter(|(n, _)| *n != "sudo") {
        assert!(used(name), "no document calls {name} ({why})");
    }
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let sandbox = Sandbox::new();
    for (wrong, status) in [
        ("arch-ship --discover databse", 64),
        ("rman-run full --no-such-flag | s3-put", 64),
        ("no-such-tool --help", 127),
        ("scripts/restore_oracle.sh LATEST", 64),
        ("mailreport --test < not-there.jsonl", 1),
    ] {
        assert_eq!(sandbox.shell(&format!("set -eo pipefail\n{wrong}")).0, status, "{wrong}");
    }
    assert_eq!(sandbox.moved("a --map /u05=/u15 </etc/x"), {
        let r = sandbox.dir.path().display();
        format!("a --map {r}/u05={r}/u15 <{r}/etc/x")
    });
}
