//! What is refused before the database is touched.

use std::os::unix::fs::symlink;
use std::path::Path;

use ibsim::{Config, Fault, Rule};

use crate::lab::{run, Lab, Ran};

#[track_caller]
fn untouched(lab: &Lab, ran: &Ran) {
    assert!(!lab.statements().contains("BEGIN BACKUP"), "{}", ran.stderr);
    assert_eq!(lab.array.count("POST", "^/volumes"), 0);
    assert!(lab.array.snapshots().iter().all(|s| !s.name.starts_with("orasync")));
    assert!(!lab.pending());
}

#[test]
fn whatever_would_fail_in_backup_mode_fails_before() {
    let lab = Lab::small();
    let refuse = |change: &dyn Fn(&mut std::process::Command), code: i32, says: &str| {
        let mut command = lab.tool();
        change(&mut command);
        let ran = run(&mut command).exits(code);
        assert!(ran.says(says), "{says}: {}", ran.stderr);
        untouched(&lab, &ran);
    };
    refuse(
        &|c| {
            c.env("REPLICATED_DATA_VOLUMES", "DATA1,NOPE");
        },
        4,
        "no volume NOPE",
    );
    refuse(
        &|c| {
            c.env("REPLICATED_DATA_VOLUMES", "DATA1,DATA1");
        },
        64,
        "named twice",
    );
    refuse(
        &|c| {
            c.env_remove("REPLICATED_ARCHIVE_VOLUMES");
        },
        64,
        "--no-archive",
    );
    refuse(
        &|c| {
            c.env("REPLICATED_DATA_VOLUMES", "");
        },
        64,
        "no volume with datafiles",
    );
    refuse(
        &|c| {
            c.env("SOURCE_INFINIBOX_PASSWORD", "wrong");
        },
        64,
        "SOURCE_INFINIBOX_PASSWORD",
    );
    refuse(
        &|c| {
            c.env("SOURCE_INFINIBOX_USER", "monitor");
        },
        4,
        "may only read",
    );
    refuse(
        &|c| {
            c.env("SOURCE_INFINIBOX", "127.0.0.1:1");
        },
        75,
        "127.0.0.1:1",
    );
    refuse(
        &|c| {
            c.env("SOURCE_INFINIBOX", "http://127.0.0.1:1");
        },
        64,
        "shows the password",
    );
    refuse(
        &|c| {
            c.args(["--infinibox-password", "x"]);
        },
        64,
        "every user of this host",
    );
    refuse(
        &|c| {
            c.args(["--lock-until", "2020-01-01"]);
        },
        64,
        "in the past",
    );
    refuse(
        &|c| {
            c.args(["--controlfile-to", "/nonexistent"]);
        },
        64,
        "no such directory",
    );
    refuse(
        &|c| {
            c.args(["--data-cg", "NOPE"]);
        },
        4,
        "no consistency group NOPE",
    );
    lab.array.add_snapshots("DATA1", [("ONE".to_owned(), 1_700_000_000_000)]).unwrap();
    refuse(
        &|c| {
            c.env("REPLICATED_DATA_VOLUMES", "ONE");
        },
        4,
        "ONE is a snapshot",
    );
    let many = (0..998).map(|n| (format!("s{n}"), 1_700_000_000_000 + n));
    lab.array.add_snapshots("DATA1", many).unwrap();
    refuse(&|_| {}, 4, "999 snapshots");
}

#[test]
fn a_password_in_the_address_is_never_shown() {
    let lab = Lab::small();
    for address in ["http://admin:geheim@ibox1", "admin:geheim@ibox1", "https://admin:x,geheim@ibox1"] {
        let ran = run(lab.tool().env("SOURCE_INFINIBOX", address)).exits(64);
        assert!(ran.says("in the address of the array"), "{}", ran.stderr);
        let out = lab.tool().env("SOURCE_INFINIBOX", address).arg("--show-config").output().unwrap();
        let shown = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(shown.contains("--infinibox = ***"), "{shown}");
        for text in [&ran.stdout, &ran.stderr, &shown, &lab.written()] {
            assert!(!text.contains("geheim"), "{text}");
        }
        untouched(&lab, &ran);
    }
}

/// Backup mode does not wait for settings of the array, and wrong ones are an error all the same.
#[test]
fn end_backup_goes_without_an_array_and_tells_wrong_settings() {
    let lab = Lab::small();
    run(lab.bare().env_remove("SOURCE_INFINIBOX").arg("--end-backup")).exits(0);
    for dry in [&["--end-backup"][..], &["--end-backup", "--dry-run"]] {
        let ran = run(lab.bare().env_remove("SOURCE_INFINIBOX_USER").args(dry)).exits(64);
        assert!(
            ran.says("no user for the array") && ran.says("no backup mode of ours is on"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_404_of_the_group_snapshot_names_the_way_without() {
    let lab = Lab::small();
    lab.array.faults(vec![Rule::on("POST", "^/volumes/group_snapshot", Fault::status(404))]).unwrap();
    let ran = lab.run(&[]).exits(2);
    assert!(ran.says("--separate-snapshots"), "{}", ran.stderr);
    lab.assert_clean();
}

#[test]
fn an_array_that_is_none_or_is_away_is_told_apart() {
    let lab = Lab::small();
    for (fault, code, says) in [
        (Fault::Html { status: 200, executed: false }, 2, "HTML"),
        (Fault::status(503), 75, "503"),
        (Fault::status(500), 75, "500"),
        (Fault::Hang, 75, "no answer within"),
    ] {
        lab.array.faults(vec![Rule::any(fault)]).unwrap();
        let ran = run(lab.tool().args(["--array-timeout", "500ms"])).exits(code);
        assert!(ran.says(says), "{says}: {}", ran.stderr);
        untouched(&lab, &ran);
    }
    lab.array.faults(Vec::new()).unwrap();
    let wrong = Lab::new(Config { certificate: ibsim::Certificate::WrongName, ..Config::default() });
    let ran = wrong.run(&[]).exits(64);
    assert!(ran.says("certificate") && ran.says("--ca-file"), "{}", ran.stderr);
    untouched(&wrong, &ran);
}

#[test]
fn a_database_that_cannot_be_snapshot_is_refused() {
    let lab = Lab::with(Config::default(), |spec| spec["archivelog"] = false.into());
    let ran = lab.run(&[]).exits(4);
    assert!(ran.says("NOARCHIVELOG"), "{}", ran.stderr);
    untouched(&lab, &ran);
}

#[test]
fn backup_mode_of_somebody_else_is_refused_and_not_ended() {
    let lab = Lab::small();
    lab.sql("ALTER TABLESPACE USERS BEGIN BACKUP");
    let ran = lab.run(&[]).exits(4);
    assert!(ran.says("not by us"), "{}", ran.stderr);
    assert_eq!(lab.active().len(), 1);
    assert_eq!(lab.array.count("POST", "^/volumes"), 0);
}

/// Mounts, devices and multipath as this lab would have them on a host.
pub fn host(lab: &Lab) -> std::path::PathBuf {
    let root = lab.dir.path().join("host");
    let real = lab.dir.path().canonicalize().unwrap();
    let mut info = String::from("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    for (n, (dir, volume)) in
        [("data1", "DATA1"), ("data2", "DATA2"), ("data3", "DATA3"), ("arch", "ARCH")].into_iter().enumerate()
    {
        let serial = lab.array.with(|s| {
            let id = s.find(volume).unwrap();
            s.volume_serial(id)
        });
        info.push_str(&format!(
            "{} 1 253:{n} / {} rw - xfs /dev/dm-{n} rw\n",
            n + 2,
            real.join(dir).display()
        ));
        let device = root.join(format!("sys/devices/dm-{n}"));
        std::fs::create_dir_all(device.join("dm")).unwrap();
        std::fs::write(device.join("dev"), format!("253:{n}\n")).unwrap();
        std::fs::write(device.join("dm/uuid"), format!("mpath-36{serial}\n")).unwrap();
        std::fs::create_dir_all(root.join("sys/dev/block")).unwrap();
        symlink(&device, root.join(format!("sys/dev/block/253:{n}"))).unwrap();
    }
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    std::fs::write(root.join("proc/self/mountinfo"), info).unwrap();
    root
}

fn covered(lab: &Lab, host: &Path, data: &str, archive: &str) -> Ran {
    let mut command = lab.tool();
    command.env("ORAPIPE_HOST_ROOT", host).env("REPLICATED_DATA_VOLUMES", data);
    command.env("REPLICATED_ARCHIVE_VOLUMES", archive).arg("--check-coverage");
    run(&mut command)
}

#[test]
fn a_datafile_on_no_listed_volume_is_refused_by_its_name() {
    let lab = Lab::small();
    let host = host(&lab);
    let ran = covered(&lab, &host, "DATA1,DATA2", "ARCH").exits(4);
    assert!(ran.says("users01.dbf") && !ran.says("system01.dbf"), "{}", ran.stderr);
    untouched(&lab, &ran);
    let ran = covered(&lab, &host, "DATA1,DATA2,DATA3", "DATA1").exits(4);
    assert!(ran.says("archive destination"), "{}", ran.stderr);
    untouched(&lab, &ran);
    covered(&lab, &host, "DATA1,DATA2,DATA3", "ARCH").exits(0);
    assert_eq!(lab.array.snapshots().len(), 4);
}
