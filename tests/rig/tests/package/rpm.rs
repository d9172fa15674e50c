//! The .rpm: installed, upgraded and removed with rpm in a root of its own.

use std::process::Command;

use crate::root::Root;
use crate::stage::{done, modes, old, Packages, ENV_FILE};

const BOOKS: &str = "var/lib/rpm";

fn redhat() -> Root {
    let root = Root::new(BOOKS);
    done(&mut rpm(&root, "--initdb"));
    root
}

fn rpm(root: &Root, action: &str) -> Command {
    let mut command = root.command("rpm");
    command
        .args(["--root", root.path("").to_str().unwrap(), "--dbpath", &format!("/{BOOKS}"), action])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// What rpm said, without what Debian's says whenever it installs or removes.
fn said(command: &mut Command) -> String {
    let said = done(command);
    let debian = ["rpm: RPM should not be used directly", "rpm: However assuming you know"];
    said.lines().filter(|l| !debian.iter().any(|d| l.starts_with(d))).map(|l| format!("{l}\n")).collect()
}

#[test]
fn it_brings_what_its_list_says_and_takes_it_away_again() {
    let packages = Packages::made();
    let root = redhat();
    // The root knows no C library; what is asked for is looked at below.
    assert_eq!(said(rpm(&root, "-i").args(["--nodeps", "--includedocs"]).arg(packages.rpm())), "");
    assert_eq!(modes(&root.brought()), packages.list("rpm"));
    root.try_it(&packages.version);
    assert_eq!(said(rpm(&root, "-V").args(["--nodeps", "orapipe"])), "");
    let configuration = done(rpm(&root, "-qc").arg("orapipe"));
    assert!(configuration.lines().any(|l| l == format!("/{ENV_FILE}")), "{configuration}");
    assert!(configuration.lines().all(|l| l.starts_with("/etc/")), "{configuration}");

    let needs = done(rpm(&root, "-q").args(["--requires", "orapipe"]));
    let needs: Vec<_> = needs.lines().filter(|l| !l.starts_with("rpmlib(") && *l != "/bin/sh").collect();
    assert_eq!(needs, ["bash", "glibc >= 2.17"]);
    // What rpm 4.11 of Oracle Linux 7 does not know is not used.
    let formats = done(rpm(&root, "-q").args([
        "--qf",
        "%{PAYLOADCOMPRESSOR} %{FILEDIGESTALGO} %{BUILDHOST}",
        "orapipe",
    ]));
    assert_eq!(formats, "xz 8 reproducible");

    assert_eq!(said(rpm(&root, "-e").arg("orapipe")), "");
    assert_eq!(root.brought().len(), 0, "{:?}", root.brought());
    assert_eq!(root.own_directories(), Vec::<String>::new());
}

#[test]
fn an_upgrade_keeps_the_env_file_that_was_edited() {
    let root = redhat();
    done(rpm(&root, "-i").args(["--nodeps", "--includedocs"]).arg(old().rpm()));
    assert!(root.path("usr/libexec/orapipe/gone.sh").exists());
    let edited = "ORACLE_SID=OURS\n";
    std::fs::write(root.path(ENV_FILE), edited).unwrap();
    std::fs::write(root.path("etc/orapipe/PROD.env"), edited).unwrap();

    let packages = Packages::made();
    let said = done(rpm(&root, "-U").args(["--nodeps", "--includedocs"]).arg(packages.rpm()));
    assert!(said.contains(&format!("{ENV_FILE}.rpmnew")), "{said}");
    assert_eq!(std::fs::read_to_string(root.path(ENV_FILE)).unwrap(), edited);
    assert!(!root.path("usr/libexec/orapipe/gone.sh").exists());
    root.try_it(&packages.version);

    done(rpm(&root, "-e").arg("orapipe"));
    assert_eq!(std::fs::read_to_string(root.path(&format!("{ENV_FILE}.rpmsave"))).unwrap(), edited);
    let left: Vec<_> = root.brought().into_keys().collect();
    assert_eq!(left, ["etc/orapipe/PROD.env", &format!("{ENV_FILE}.rpmnew"), &format!("{ENV_FILE}.rpmsave")]);
}
