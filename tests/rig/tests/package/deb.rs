//! The .deb: installed, upgraded, removed and purged with dpkg in a root of its own.

use std::process::Command;

use rig::host::write_program;

use crate::root::Root;
use crate::stage::{done, modes, old, said, scratch, Packages, ENV_FILE};

const BOOKS: &str = "var/lib/dpkg";

/// A root in which dpkg knows a C library of this version and a shell.
fn debian(glibc: &str) -> Root {
    let root = Root::new(BOOKS);
    for sub in ["info", "updates", "triggers", "parts"] {
        std::fs::create_dir_all(root.path(BOOKS).join(sub)).unwrap();
    }
    let installed = |name: &str, version: &str| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\nMaintainer: x <x@localhost>\nDescription: x\n\n")
    };
    let status = installed("libc6", glibc) + &installed("bash", "4.2-1");
    std::fs::write(root.path(BOOKS).join("status"), status).unwrap();
    for empty in ["available", "info/bash.list", "info/bash.md5sums", "info/libc6.list", "info/libc6.md5sums"]
    {
        std::fs::write(root.path(BOOKS).join(empty), "").unwrap();
    }
    root
}

fn dpkg(root: &Root, action: &str) -> Command {
    let mut command = root.command("dpkg");
    // Without a terminal: an edited configuration file stays as it is, which is also the default answer.
    command
        .arg(format!("--root={}", root.path("").display()))
        .args(["--force-confdef", "--force-confold", "--no-triggers", action])
        // Whatever this machine's own settings leave out, and not into its own log.
        .args(["--path-include=*", &format!("--log={}", root.path("var/log/dpkg.log").display())])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[test]
fn it_brings_what_its_list_says_and_takes_it_away_again() {
    let packages = Packages::made();
    let root = debian("2.17-1");
    let said = done(dpkg(&root, "--install").arg(packages.deb()));
    // Nothing beside what dpkg itself says.
    let ours: Vec<_> = said
        .lines()
        .filter(|l| {
            !["Selecting ", "(Reading ", "Preparing ", "Unpacking ", "Setting up "]
                .iter()
                .any(|d| l.starts_with(d))
        })
        .collect();
    assert!(ours.is_empty(), "{said}");
    assert_eq!(modes(&root.brought()), packages.list("deb"));
    root.try_it(&packages.version);
    assert_eq!(done(&mut dpkg(&root, "--audit")), "");
    assert_eq!(done(dpkg(&root, "--verify").arg("orapipe")), "");

    done(dpkg(&root, "--remove").arg("orapipe"));
    // Configuration files stay until they are purged.
    let left = root.brought();
    assert!(left.keys().all(|path| path.starts_with("etc/")) && left.contains_key(ENV_FILE), "{left:?}");
    done(dpkg(&root, "--purge").arg("orapipe"));
    assert_eq!(root.brought().len(), 0, "{:?}", root.brought());
    assert_eq!(root.own_directories(), Vec::<String>::new());
}

#[test]
fn an_upgrade_keeps_the_env_file_that_was_edited() {
    let root = debian("2.17-1");
    done(dpkg(&root, "--install").arg(old().deb()));
    assert!(root.path("usr/libexec/orapipe/gone.sh").exists());
    let edited = "ORACLE_SID=OURS\n";
    std::fs::write(root.path(ENV_FILE), edited).unwrap();
    std::fs::write(root.path("etc/orapipe/PROD.env"), edited).unwrap();

    let packages = Packages::made();
    done(dpkg(&root, "--install").arg(packages.deb()));
    assert_eq!(std::fs::read_to_string(root.path(ENV_FILE)).unwrap(), edited);
    let beside = root.path(&format!("{ENV_FILE}.dpkg-dist"));
    assert!(!std::fs::read_to_string(beside).unwrap().contains("as it was"));
    assert!(!root.path("usr/libexec/orapipe/gone.sh").exists());
    root.try_it(&packages.version);

    // A file that the package never brought is nobody's to remove.
    done(dpkg(&root, "--purge").arg("orapipe"));
    let left: Vec<_> = root.brought().into_keys().collect();
    assert_eq!(left, ["etc/orapipe/PROD.env"]);
}

#[test]
fn an_older_c_library_is_refused() {
    let root = debian("2.12-1");
    let (status, said) = said(dpkg(&root, "--install").arg(Packages::made().deb()));
    assert_ne!(status, 0, "{said}");
    assert!(said.contains("libc6 (>= 2.17)"), "{said}");
}

/// At removal what runs is ended before its programs go; at an upgrade it goes on.
#[test]
fn units_are_stopped_at_removal_only() {
    let packages = Packages::made();
    let dir = scratch("control");
    done(Command::new("dpkg-deb").arg("-e").arg(packages.deb()).arg(dir.path()));
    let calls = dir.path().join("calls");
    write_program(&dir.path().join("systemctl"), &format!("#!/bin/sh\necho \"$*\" >>{}\n", calls.display()))
        .unwrap();
    std::fs::create_dir(dir.path().join("running")).unwrap();
    let run = |script: &str, args: &[&str]| {
        let _none = std::fs::remove_file(&calls);
        let text = std::fs::read_to_string(dir.path().join(script)).unwrap();
        let copy = dir.path().join("copy");
        // As if systemd ran here.
        let running = dir.path().join("running").display().to_string();
        assert!(text.contains("/run/systemd/system"));
        write_program(&copy, &text.replace("/run/systemd/system", &running)).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        assert_eq!(done(Command::new(&copy).args(args).env("PATH", path)), "");
        std::fs::read_to_string(&calls).unwrap_or_default()
    };
    for upgrade in [["upgrade", "9.9.9"], ["1", ""]] {
        assert_eq!(run("prerm", &upgrade), "");
    }
    for removal in [["remove", ""], ["0", ""]] {
        let calls = run("prerm", &removal);
        for unit in packages.list("deb").keys().filter_map(|p| p.strip_prefix("usr/lib/systemd/system/")) {
            assert!(calls.contains(&format!("stop {}\n", unit.replace("@.", "@*."))), "{unit}: {calls}");
            assert!(calls.contains(&format!("disable {unit}\n")), "{unit}: {calls}");
        }
    }
    assert_eq!(run("postinst", &["configure", ""]), "daemon-reload\n");
    assert_eq!(run("postrm", &["remove"]), "daemon-reload\n");
}
