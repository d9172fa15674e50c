//! backup_oracle_s3.sh and restore_oracle.sh.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};

use super::place::{Place, OLD_LINE};
use crate::lab::{walk, Lab};

/// The .env of the original, with the server of the test behind the endpoint.
fn settings(lab: &Lab, place: &Place) -> Result<()> {
    let env = lab.environment()?;
    let wanted = [
        "ORACLE_HOME",
        "ORACLE_SID",
        "S3_BUCKET_NAME",
        "S3_BACKUP_PREFIX",
        "S3_LOG_PREFIX",
        "TEMP_BACKUP_DIR",
        "RESTORE_SOURCE_DIR",
        "AWS_ENDPOINT_URL",
        "AWS_EC2_METADATA_DISABLED",
    ];
    let mut all: Vec<(&str, String)> = Vec::new();
    for (name, value) in &env {
        if wanted.contains(&name.as_str()) || name.starts_with("AWS_") {
            all.push((name, value.to_string_lossy().into_owned()));
        }
    }
    all.push(("RMAN_TARGET_CONNECT_STRING", "/".to_owned()));
    all.push(("LOG_DIR", place.at("log").display().to_string()));
    all.push(("STATE_DIR", place.at("state").display().to_string()));
    place.settings(&all)
}

/// What the original gives to RMAN, given to RMAN: a plain full backup, which is no level 0.
fn original_backup(lab: &Lab, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let file = lab.at("rman/rman_script_FULL.rcv");
    let dir = dir.display();
    fs::write(
        &file,
        format!(
            "RUN {{\nALLOCATE CHANNEL d1 TYPE DISK;\n\
             BACKUP DATABASE FORMAT '{dir}/db_backup_FULL_%U' TAG 'BK_FULL_1119010000';\n\
             BACKUP ARCHIVELOG ALL FORMAT '{dir}/archivelog_%U';\nRELEASE CHANNEL d1;\n}}\nexit;\n"
        ),
    )?;
    let out = Command::new(lab.home.join("bin/rman"))
        .args(["target", "/", "nocatalog"])
        .arg(format!("cmdfile={}", file.display()))
        .env_clear()
        .envs(lab.environment()?)
        .stdin(Stdio::null())
        .output()
        .context("run rman")?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    Ok(())
}

/// Consistent files, and an instance that can be asked where they are.
fn shut_down(lab: &Lab) -> Result<()> {
    let file = lab.at("shutdown.sql");
    fs::write(&file, "connect / as sysdba\nshutdown immediate\nstartup mount\nexit\n")?;
    let out = Command::new(lab.home.join("bin/sqlplus"))
        .args(["-S", "/nolog"])
        .env_clear()
        .envs(lab.environment()?)
        .stdin(Stdio::from(fs::File::open(file)?))
        .output()
        .context("run sqlplus")?;
    ensure!(lab.state()? == "Mounted", "{}", String::from_utf8_lossy(&out.stdout));
    Ok(())
}

fn bytes(paths: &[std::path::PathBuf]) -> Result<Vec<Vec<u8>>> {
    paths.iter().map(|p| fs::read(p).with_context(|| p.display().to_string())).collect()
}

#[test]
fn backup_to_s3_leaves_the_pieces_that_the_original_could_not_upload_and_thins_out_its_logs() -> Result<()> {
    let lab = Lab::new(0)?;
    lab.write(200)?;
    let script = "backup_oracle_s3.sh";
    let place = Place::new(lab.home.parent().context("a directory")?, script)?;
    settings(&lab, &place)?;
    // Its last run: RMAN done, the upload failed, so the directory stayed.
    let old = lab.at("rman/20261119_010000_run");
    original_backup(&lab, &old)?;
    let pieces = walk(&old)?;
    ensure!(pieces.len() >= 2, "{pieces:?}");
    let content = bytes(&pieces)?;
    for (name, days) in
        [("FULL_20261108_010000", 11), ("FULL_20261115_010000", 4), ("INCREMENTAL_20261118_010000", 1)]
    {
        let path = place.write(&format!("log/backup_log_{name}.log"), OLD_LINE)?;
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400 + 60);
        fs::File::options().write(true).open(path)?.set_modified(then)?;
    }

    // Its full backup is no base for a level 1: RMAN makes a level 0 of it, and that is said.
    let ran = place.run(script, &["Incremental"])?.expect(1)?;
    ensure!(ran.said.contains("level 0"), "{}", ran.said);
    // Directories and logs are named by the second.
    std::thread::sleep(std::time::Duration::from_millis(1001));
    let ran = place.run(script, &["FULL"])?.expect(0)?;
    ensure!(ran.of("object").len() >= 4, "{}", ran.said);
    ensure!(walk(&old)? == pieces && bytes(&pieces)? == content, "the original's pieces are nobody else's");
    let mut runs: Vec<_> = fs::read_dir(lab.at("rman"))?.flatten().map(|e| e.path()).collect();
    runs.retain(|p| p.is_dir() && *p != old);
    // The incremental had a warning, so its pieces stay; those of the full backup are proven in S3 and go, as before.
    ensure!(runs.len() == 1, "{runs:?}");
    ensure!(walk(&runs[0])?.iter().all(|p| !p.to_string_lossy().contains("_FULL_")), "{runs:?}");
    let logs: Vec<String> = fs::read_dir(place.at("log"))?
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n.starts_with("backup_log_"))
        .collect();
    let of = |kind: &str| logs.iter().filter(|n| n.contains(kind)).count();
    ensure!(
        (of("_FULL_"), of("_INCREMENTAL_")) == (1, 1),
        "the latest FULL log and today's INCREMENTAL: {logs:?}"
    );
    let today = chrono::Local::now().format("%Y%m%d").to_string();
    ensure!(logs.iter().all(|n| n.contains(&today)), "{logs:?}");
    // Nothing was deleted here that is not there.
    let stored = lab.server.objects()?;
    for name in ["FULL_20261108_010000", "FULL_20261115_010000", "INCREMENTAL_20261118_010000"] {
        ensure!(stored.keys().any(|k| k.contains(name)), "{name} is nowhere: {:?}", stored.keys());
    }

    // The pieces that were left are stored by hand, and then they may go.
    let path = old.display().to_string();
    let mut all: Vec<String> = pieces.iter().map(|p| p.display().to_string()).collect();
    all.push("--delete-source".to_owned());
    let args: Vec<&str> = all.iter().map(String::as_str).collect();
    std::thread::sleep(std::time::Duration::from_millis(1001));
    let ran = lab.tool("s3-put", &args, b"")?.expect(&[0])?;
    ensure!(ran.of("object").len() >= pieces.len() && !old.exists(), "{path}: {}", ran.said());
    Ok(())
}

#[test]
fn restore_takes_the_folder_of_the_original_as_it_lies() -> Result<()> {
    let lab = Lab::new(0)?;
    lab.write(300)?;
    let script = "restore_oracle.sh";
    let place = Place::new(lab.home.parent().context("a directory")?, script)?;
    settings(&lab, &place)?;
    original_backup(&lab, &lab.at("restore/20261119_010000_run"))?;
    place.write("log/restore_log_20261101_010000.log", OLD_LINE)?;
    fs::write(lab.at("restore/rman_restore_script.rcv"), "RUN {\n")?;
    lab.write(50)?;
    let last = lab.scn()?;

    // An open database stays: the original sent SHUTDOWN IMMEDIATE first.
    let ran = place.run(script, &["FULL", "--local"])?.expect(4)?;
    ensure!(ran.said.contains("the database is open") && lab.state()? == "Open", "{}", ran.said);
    lab.db.admin(orasim::server::admin::Admin::Kill)?;
    fs::remove_dir_all(lab.at("data"))?;
    let _none = fs::remove_file(lab.db.dir.join("in-flight.blocks"));
    let ran = place.run(script, &["full", "--local"])?.expect(0)?;
    ensure!(lab.state()? == "Open", "opened, as the original did: {}", ran.said);
    ensure!(lab.scn()? >= last, "{}", ran.said);
    // The files of an open database are fuzzy.
    shut_down(&lab)?;
    ensure!(lab.check_truth()? >= last, "{}", ran.said);
    ensure!(lab.server.requests().is_empty(), "--local asks no bucket");
    let logs: Vec<String> = fs::read_dir(place.at("log"))?
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n.starts_with("restore_log_"))
        .collect();
    ensure!(logs.len() >= 2 && logs.contains(&"restore_log_20261101_010000.log".to_owned()), "{logs:?}");
    ensure!(lab.at("restore/20261119_010000_run").is_dir(), "the pieces stay");
    Ok(())
}
