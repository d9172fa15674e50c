//! `install.sh`: below a prefix, again, over an older one, interrupted, refused, and away again.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rig::host::write_program;
use tempfile::TempDir;

use crate::stage::{done, modes, old, said, scratch, sources, tree, Packages, ENV_FILE, TOOLS};

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: scratch("prefix") }
    }

    fn prefix(&self) -> PathBuf {
        self.dir.path().join("orapipe")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.prefix().join(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(sources().join("scripts/install.sh"));
        command.arg("--prefix").arg(self.prefix()).args(args);
        command
    }

    fn from(&self, packages: &Packages) -> Command {
        self.command(&["--from", packages.tar().to_str().unwrap()])
    }

    fn uninstall(&self) -> Command {
        self.command(&["--uninstall"])
    }
}

#[test]
fn it_installs_what_the_manifest_says_and_takes_exactly_that_away() {
    let place = Place::new();
    let packages = Packages::made();
    let text = done(&mut place.from(&packages));
    assert!(
        text.contains(&format!("orapipe {} is in {}", packages.version, place.prefix().display())),
        "{text}"
    );
    let mut expected = packages.list("tar");
    expected.insert("share/orapipe/install.sh".to_owned(), 0o755);
    expected.insert("share/orapipe/INSTALLED".to_owned(), 0o644);
    let first = tree(&place.prefix());
    assert_eq!(modes(&first), expected);
    for tool in TOOLS {
        let said = done(Command::new(place.file("bin").join(tool)).arg("--version").env_clear());
        assert_eq!(said, format!("{tool} {}\n", packages.version));
    }
    // A wrapper finds the programs without a PATH that has them, as cron starts it.
    let wrapper = place.file("libexec/orapipe/envia_archivelogs.sh");
    let version = done(Command::new(wrapper).arg("--version").env_clear().env("PATH", "/usr/bin:/bin"));
    assert_eq!(version, format!("arch-ship {}\n", packages.version));
    // What is to be copied into a crontab or a unit directory names the files of this prefix.
    let mut looked = 0;
    for path in
        first.keys().filter(|p| p.starts_with("lib/systemd") || p.starts_with("share/orapipe/examples"))
    {
        let text = std::fs::read_to_string(place.file(path)).unwrap();
        for elsewhere in
            ["/usr/libexec/orapipe", "/opt/orapipe/scripts", "/usr/bin/arch-ship", "/usr/bin/ts-hotbackup"]
        {
            assert!(!text.contains(elsewhere), "{path} has {elsewhere}");
        }
        looked += 1;
    }
    assert!(looked >= 2);

    // Again, and nothing is another.
    done(&mut place.from(&packages));
    assert_eq!(tree(&place.prefix()), first);

    std::fs::write(place.file("share/mine"), "x").unwrap();
    let text = done(Command::new(place.file("share/orapipe/install.sh")).arg("--uninstall"));
    assert!(text.contains("holds other files, which stay"), "{text}");
    assert_eq!(tree(&place.prefix()).into_keys().collect::<Vec<_>>(), ["share/mine"]);
    assert!(!place.file("bin").exists() && !place.file("share/orapipe").exists());

    let (status, text) = said(&mut place.uninstall());
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("nothing is installed in"), "{text}");
}

#[test]
fn an_upgrade_keeps_what_was_edited_and_says_so() {
    let place = Place::new();
    done(&mut place.from(&old()));
    assert!(place.file("libexec/orapipe/gone.sh").exists());
    let edited = "ORACLE_SID=OURS\n";
    std::fs::write(place.file(ENV_FILE), edited).unwrap();
    std::fs::write(place.file("etc/orapipe/PROD.env"), edited).unwrap();
    let wrapper = place.file("libexec/orapipe/envia_archivelogs.sh");
    std::fs::write(&wrapper, "#!/bin/sh\n# by hand\n").unwrap();
    // One that somebody has called so, before we do.
    let theirs = place.file(&format!("{ENV_FILE}.new"));
    std::fs::write(&theirs, "theirs\n").unwrap();

    let packages = Packages::made();
    let text = done(&mut place.from(&packages));
    let new = format!("{ENV_FILE}.orapipe-new");
    assert!(text.contains("kept, because it was edited") && text.contains(&new), "{text}");
    assert_eq!(std::fs::read_to_string(place.file(ENV_FILE)).unwrap(), edited);
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs\n");
    assert!(!std::fs::read_to_string(place.file(&new)).unwrap().contains("as it was"));
    let saved = || -> Vec<(String, String)> {
        let entries = std::fs::read_dir(wrapper.parent().unwrap()).unwrap().flatten();
        let named = entries
            .map(|e| (e.file_name().into_string().unwrap(), std::fs::read_to_string(e.path()).unwrap()));
        let mut found: Vec<_> = named.filter(|(n, _)| n.starts_with("envia_archivelogs.sh.saved.")).collect();
        found.sort_by(|a, b| a.1.cmp(&b.1));
        found
    };
    let first = saved();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1, "#!/bin/sh\n# by hand\n");
    assert!(text.contains(&first[0].0), "{text}");
    assert!(std::fs::read_to_string(&wrapper).unwrap().contains("need arch-ship"));
    assert!(!place.file("libexec/orapipe/gone.sh").exists());

    // Once more changes nothing of theirs, and a second edit does not take the place of the first.
    std::fs::write(&wrapper, "#!/bin/sh\n# later by hand\n").unwrap();
    done(&mut place.from(&packages));
    assert_eq!(std::fs::read_to_string(place.file(ENV_FILE)).unwrap(), edited);
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs\n");
    assert!(place.file(&new).exists());
    let both = saved();
    let texts: Vec<_> = both.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["#!/bin/sh\n# by hand\n", "#!/bin/sh\n# later by hand\n"]);

    done(&mut place.uninstall());
    let left: Vec<_> = tree(&place.prefix()).into_keys().collect();
    let mut expected =
        vec!["etc/orapipe/PROD.env".to_owned(), ENV_FILE.to_owned(), format!("{ENV_FILE}.new")];
    let mut names: Vec<_> = both.into_iter().map(|(name, _)| format!("libexec/orapipe/{name}")).collect();
    names.sort();
    expected.append(&mut names);
    assert_eq!(left, expected);
}

#[test]
fn an_env_file_that_nobody_edited_follows_the_version() {
    let place = Place::new();
    done(&mut place.from(&old()));
    assert!(std::fs::read_to_string(place.file(ENV_FILE)).unwrap().contains("as it was"));
    assert_eq!(std::fs::metadata(place.file(ENV_FILE)).unwrap().permissions().mode() & 0o777, 0o640);
    done(&mut place.from(&Packages::made()));
    assert!(!std::fs::read_to_string(place.file(ENV_FILE)).unwrap().contains("as it was"));
    assert!(!place.file(&format!("{ENV_FILE}.new")).exists());
}

/// Everything that is refused leaves the prefix as it was.
#[test]
fn what_cannot_go_well_is_refused_before_anything_is_changed() {
    let place = Place::new();
    let old = old();
    let refused = |command: &mut Command, status: i32, words: &[&str]| {
        let before = if place.prefix().exists() { Some(tree(&place.prefix())) } else { None };
        let (ended, text) = said(command);
        assert_eq!(ended, status, "{text}");
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        let after = if place.prefix().exists() { Some(tree(&place.prefix())) } else { None };
        assert_eq!(before, after, "{text}");
    };
    refused(&mut place.command(&[]), 1, &["not said what to install", "hint: "]);
    refused(&mut place.command(&["--from", "x", "--build"]), 64, &["exclude each other"]);
    refused(&mut place.command(&["--from", "/nowhere/x.tar.gz"]), 1, &["cannot read /nowhere/x.tar.gz"]);

    let copy = place.dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let tar = copy.join(old.tar().file_name().unwrap());
    std::fs::copy(old.tar(), &tar).unwrap();
    let from = ["--from", tar.to_str().unwrap()];
    refused(&mut place.command(&from), 1, &["there is no SHA256SUMS beside", "hint: "]);
    std::fs::write(copy.join("SHA256SUMS"), "00  other.tar.gz\n").unwrap();
    refused(&mut place.command(&from), 1, &["has no line for"]);
    std::fs::copy(old.dir.join("SHA256SUMS"), copy.join("SHA256SUMS")).unwrap();
    let mut bytes = std::fs::read(&tar).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&tar, &bytes).unwrap();
    refused(&mut place.command(&from), 1, &["is damaged"]);

    // A file of somebody else where one of ours would go.
    std::fs::create_dir_all(place.file("bin")).unwrap();
    std::fs::write(place.file("bin/s3-get"), "of somebody else").unwrap();
    refused(&mut place.from(&old), 1, &["in the way", "bin/s3-get", "choose another --prefix"]);
    std::fs::remove_file(place.file("bin/s3-get")).unwrap();

    for shared in ["/usr", "/", "relative/../up"] {
        let mut command = Command::new(sources().join("scripts/install.sh"));
        command.args(["--prefix", shared, "--from", old.tar().to_str().unwrap()]);
        let (status, text) = said(&mut command);
        assert!(status == 1 || status == 64, "{text}");
    }
}

/// A tarball that was unpacked is installed by the script in it, and only while it is whole.
#[test]
fn the_unpacked_tarball_installs_itself() {
    let place = Place::new();
    let old = old();
    done(Command::new("tar").args(["-xzf", old.tar().to_str().unwrap(), "-C"]).arg(place.dir.path()));
    let inside = place.dir.path().join(format!("orapipe-{}", old.version));
    let run = || {
        let mut command = Command::new(inside.join("install.sh"));
        command.arg("--prefix").arg(place.prefix());
        command
    };
    done(&mut run());
    let whole = tree(&place.prefix());
    done(&mut place.uninstall());
    assert!(!place.prefix().exists());
    done(&mut place.from(&old));
    assert_eq!(tree(&place.prefix()).len(), whole.len());
    done(&mut place.uninstall());

    std::fs::write(inside.join("bin/s3-put"), "#!/bin/sh\necho other\n").unwrap();
    let (status, text) = said(&mut run());
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("bin/s3-put is not the one of the release"), "{text}");
    std::fs::remove_file(inside.join("bin/s3-put")).unwrap();
    let (status, text) = said(&mut run());
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("bin/s3-put is missing"), "{text}");
    assert!(!place.prefix().exists());
}

/// A program that does not start on this machine is noticed while the old ones are still in place.
#[test]
fn programs_that_do_not_start_are_not_installed() {
    let place = Place::new();
    let old = old();
    done(&mut place.from(&old));
    let before = tree(&place.prefix());
    let dir = scratch("broken");
    done(Command::new("tar").args(["-xzf", old.tar().to_str().unwrap(), "-C"]).arg(dir.path()));
    let inside = dir.path().join(format!("orapipe-{}", old.version));
    write_program(
        &inside.join("bin/rman-run"),
        "#!/bin/sh\necho 'version GLIBC_2.99 not found' >&2\nexit 1\n",
    )
    .unwrap();
    let manifest = std::fs::read_to_string(inside.join("MANIFEST")).unwrap();
    let line = manifest.lines().find(|l| l.ends_with(" bin/rman-run")).unwrap();
    let new = format!("0755 {} file bin/rman-run", crate::stage::sum(&inside.join("bin/rman-run")));
    std::fs::write(inside.join("MANIFEST"), manifest.replace(line, &new)).unwrap();
    let (status, text) = said(Command::new(inside.join("install.sh")).arg("--prefix").arg(place.prefix()));
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("rman-run does not start on this machine") && text.contains("GLIBC_2.99"),
        "{text}"
    );
    assert_eq!(tree(&place.prefix()), before);
}

/// Killed at any of its renames, the next run completes it, and `--uninstall` leaves nothing either way.
#[test]
fn a_run_that_is_killed_is_completed_or_taken_back() {
    let old = old();
    let whole = Place::new();
    done(&mut whole.from(&old));
    let sizes: Vec<_> = tree(&whole.prefix()).into_keys().collect();
    for (round, renames) in [1, 2, 40, sizes.len() - 1, sizes.len()].into_iter().enumerate() {
        let place = Place::new();
        let shim = place.dir.path().join("shim");
        std::fs::create_dir(&shim).unwrap();
        let count = place.dir.path().join("count");
        write_program(
            &shim.join("mv"),
            &format!("#!/bin/sh\necho >>{0}\n[ $(wc -l <{0}) -lt {renames} ] || {{ kill -9 $PPID; exit 1; }}\nexec /bin/mv \"$@\"\n", count.display()),
        )
        .unwrap();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", shim.display());
        let (status, text) = said(place.from(&old).env("PATH", path));
        assert_eq!(status, -1, "{renames}: {text}");
        if round % 2 == 0 {
            done(&mut place.from(&old));
            assert_eq!(tree(&place.prefix()).into_keys().collect::<Vec<_>>(), sizes, "{renames}");
        } else if renames == 1 {
            assert!(!place.file("bin").exists());
        }
        done(&mut place.uninstall());
        assert!(!place.prefix().exists(), "{renames}: {:?}", tree(&place.prefix()));
    }
}

#[test]
fn a_running_program_is_not_taken_away() {
    let place = Place::new();
    done(&mut place.from(&old()));
    // Any program will do that stays for a while.
    let sleeping = place.file("bin/ts-hotbackup");
    std::fs::remove_file(&sleeping).unwrap();
    std::fs::copy("/bin/sleep", &sleeping).unwrap();
    let mut child = Command::new(&sleeping).arg("60").spawn().unwrap();
    let before = tree(&place.prefix());
    let (status, text) = said(&mut place.uninstall());
    let running = format!("{} ts-hotbackup", child.id());
    let upgraded = done(&mut place.from(&Packages::made()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status, 1, "{text}");
    assert!(text.contains(&running), "{text}");
    assert!(before.contains_key("bin/arch-ship"));
    assert!(
        upgraded.contains("still running as they were started") && upgraded.contains(&running),
        "{upgraded}"
    );
    done(&mut place.uninstall());
}

#[test]
fn two_at_a_time_do_not_meet() {
    let place = Place::new();
    std::fs::create_dir(place.prefix()).unwrap();
    let held = std::fs::File::open(place.prefix()).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (status, text) = said(&mut place.from(&old()));
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("another install.sh works in"), "{text}");
    assert_eq!(std::fs::read_dir(place.prefix()).unwrap().count(), 0);
    assert!(Path::new(&place.prefix()).exists());
}
