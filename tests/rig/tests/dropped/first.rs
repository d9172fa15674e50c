//! The first calls of somebody new: every error leads further.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Result};
use rig::host::{HostOptions, SshHost};
use rig::tool::{clean_environment, program};

use super::place::Place;

/// Status, and what was said to people.
fn call(mut command: Command) -> Result<(Option<i32>, String)> {
    let out = command.stdin(std::process::Stdio::null()).output()?;
    Ok((out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned()))
}

fn tool(name: &str, home: &Path) -> Result<Command> {
    let mut command = Command::new(program(name)?);
    command
        .env_clear()
        .envs(clean_environment())
        .env("HOME", home)
        .env("ORATAB", "/dev/null")
        .current_dir(home);
    Ok(command)
}

#[test]
fn without_settings_each_script_names_the_first_that_is_missing() -> Result<()> {
    let root = tempfile::tempdir()?;
    for (script, args, expected) in [
        ("envia_archivelogs.sh", &[][..], "DEST_ARCHLOG_DIR or DESTBASEDIR"),
        ("copy_archivelog_to_pamvs0003l.sh", &[], "DEST_ARCHLOG_DIR or DESTBASEDIR"),
        ("hot_backup_ts_to_pamvs0003l.sh", &[], "set ORACLE_SID and ORACLE_HOME"),
        ("backup_oracle_s3.sh", &["FULL"], "TEMP_BACKUP_DIR"),
        (
            "restore_oracle.sh",
            &["FULL"],
            "name the bucket with the backups, or the directory with the pieces",
        ),
        ("backup_oracle.sh", &[], "with lines such as {\"user\":"),
    ] {
        let mut place = Place::new(&root.path().join(script), script)?;
        place.set("ORATAB", "/dev/null");
        let ran = place.run(script, args)?.expect(64)?;
        ensure!(ran.said.contains(expected) && ran.said.contains("hint: "), "{script}: {}", ran.said);
    }
    Ok(())
}

#[test]
fn an_env_file_with_a_secret_that_others_may_read_is_refused() -> Result<()> {
    let root = tempfile::tempdir()?;
    let file = root.path().join("PROD.env");
    fs::write(&file, "ORACLE_SID=PROD\nSMTP_PASSWORD=tiger\n")?;
    for (mode, status) in [(0o644, 4), (0o640, 4), (0o604, 4), (0o600, 64)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        for name in ["arch-ship", "mailreport", "zip-rotate"] {
            let mut command = tool(name, root.path())?;
            command.arg("--env-file").arg(&file).arg("--no-such-flag");
            let (found, said) = call(command)?;
            ensure!(found == Some(status), "{name} {mode:o}: {found:?} {said}");
            ensure!(!said.contains("tiger"), "{said}");
            ensure!(status != 4 || said.contains(&format!("chmod 600 {}", file.display())), "{said}");
        }
    }
    // Without a secret everybody may read it.
    fs::write(&file, "ORACLE_SID=PROD\nDEST_HOTS=dr1\n")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let mut command = tool("arch-ship", root.path())?;
    command.arg("--env-file").arg(&file);
    let (status, said) = call(command)?;
    ensure!(
        status == Some(64) && said.contains("unknown setting DEST_HOTS; did you mean DEST_HOST?"),
        "{said}"
    );
    let mut command = tool("arch-ship", root.path())?;
    command.env("ORAPIPE_ENV_FILE", "/nowhere/PROD.env");
    let (status, said) = call(command)?;
    ensure!(status == Some(64) && said.contains("name a readable file with --env-file"), "{said}");
    Ok(())
}

#[test]
fn root_is_refused_unless_allowed() -> Result<()> {
    let root = tempfile::tempdir()?;
    for name in ["arch-ship", "ts-hotbackup", "zip-rotate", "mailreport"] {
        let mut command = match rustix::process::geteuid().is_root() {
            true => Command::new(program(name)?),
            // Root of a namespace of its own.
            false => {
                let mut command = Command::new("unshare");
                command.arg("--map-root-user").arg(program(name)?);
                command
            }
        };
        command.env_clear().envs(clean_environment()).env_remove("ORAPIPE_ALLOW_ROOT");
        command.env("HOME", root.path()).current_dir(root.path());
        let (status, said) = call(command)?;
        ensure!(status == Some(4) && said.contains("this is root"), "{name}: {status:?} {said}");
        ensure!(said.contains("hint: run it as the owner of the database software"), "{said}");
    }
    ensure!(fs::read_dir(root.path())?.count() == 0, "root has left files");
    Ok(())
}

#[test]
fn a_host_that_is_not_there_or_does_not_know_the_key_is_told_with_the_cure() -> Result<()> {
    let root = tempfile::tempdir()?;
    let source = root.path().join("arch");
    crate::pair::write(&source.join("1_7_1.dbf"), &crate::logs::Incarnation::FIRST.log(1, 7, 64 << 10))?;
    let host = SshHost::start(&HostOptions::default())?;
    let ship = |host_name: &str, options: &str| -> Result<(Option<i32>, String)> {
        let mut command = tool("arch-ship", root.path())?;
        command.arg("--source-dir").arg(&source).args([
            "--dest-dir",
            "/u16/arch",
            "--applied",
            "none",
            "--retries",
            "0",
        ]);
        command.env("DEST_HOST", host_name).env("DEST_USER", host.user()).env("SSH_OPTIONS", options);
        call(command)
    };
    let (status, said) = ship("nohost.invalid", "")?;
    ensure!(status == Some(2) && said.contains("hint: no such host"), "{status:?} {said}");
    // A port at which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (status, said) = ship("127.0.0.1", &format!("-p {port}"))?;
    ensure!(status == Some(75) && said.contains("is the port right"), "{status:?} {said}");
    host.revoke_key()?;
    let (status, said) = ship(&host.host(), &host.ssh_options())?;
    ensure!(status == Some(2) && said.contains("Permission denied"), "{status:?} {said}");
    ensure!(said.contains("hint: ") && said.contains("key"), "{said}");
    Ok(())
}
