//! backup_oracle.sh.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{ensure, Result};

use super::place::{Place, OLD_LINE};
use crate::exports::{names, Lab, PASSWORD};

const ZIP: &str = "import sys,zipfile
for n in sys.argv[1:]:
    zipfile.ZipFile(n,'w',zipfile.ZIP_DEFLATED).writestr('GOLD.DMP','rows'*1000)";

#[test]
fn the_night_goes_on_with_the_archives_and_dumps_of_the_original() -> Result<()> {
    let lab = Lab::new()?;
    let script = "backup_oracle.sh";
    let place = Place::new(&lab.at(""), script)?;
    let (dumps, cloud) = (lab.at("dp"), lab.at("cloud"));
    fs::create_dir(&cloud)?;
    let users =
        ["GOLD", "FIN"].map(|u| format!(r#"{{"user":"{u}","password":"{PASSWORD}","schema":"{u}"}}"#));
    let path = |p: &std::path::Path| p.display().to_string();
    place.settings(&[
        ("ORACLE_HOME", path(&lab.at("home"))),
        ("ORACLE_SID", "PROD".to_owned()),
        ("ORACLE_SERVICE", "prod".to_owned()),
        ("ORACLE_DIRECTORY", "DP_DIR".to_owned()),
        ("ORACLE_USERS", format!("[{}]", users.join(","))),
        ("DB_FOLDER", path(&dumps)),
        ("CLOUD_FOLDER", path(&cloud)),
        ("LOG_DIR", path(&place.at("log"))),
        ("STATE_DIR", path(&place.at("state"))),
        ("RETENTION_DAYS", "400".to_owned()),
        ("KEEP_MINIMUM_BACKUPS", "2".to_owned()),
        ("MAX_TOTAL_BACKUPS", "7".to_owned()),
    ])?;
    // Eight nights of the original, the newest cut off while it was copied; a dump of last week and one of yesterday.
    let today = chrono::Local::now().date_naive();
    let weekdays =
        ["domingo", "segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira", "sábado"];
    let weekday =
        |date: chrono::NaiveDate| weekdays[chrono::Datelike::weekday(&date).num_days_from_sunday() as usize];
    let mut archives = Vec::new();
    for days in 1..=8 {
        let date = today - chrono::Duration::days(days);
        archives.push(format!("backup_{}_{date}.zip", weekday(date)));
    }
    for dir in [&dumps, &cloud] {
        let out = Command::new("python3").args(["-c", ZIP]).args(&archives).current_dir(dir).output()?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    let cut = cloud.join(&archives[0]);
    let whole = fs::read(&cut)?;
    fs::write(&cut, &whole[..whole.len() / 2])?;
    let mine = format!("GOLD_{}.DMP", weekday(today));
    let yesterdays = format!("FIN_{}.DMP", weekday(today - chrono::Duration::days(1)));
    for (name, days) in [(&mine, 7), (&yesterdays, 1)] {
        fs::write(dumps.join(name), "an old dump".repeat(20_000))?;
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        fs::File::options().write(true).open(dumps.join(name))?.set_modified(then)?;
    }
    let log_name = format!("log/backup_completo_{today}.log");
    place.write(&log_name, OLD_LINE)?;
    let very_old = place.write("log/backup_completo_2026-01-01.log", OLD_LINE)?;
    fs::File::options()
        .write(true)
        .open(&very_old)?
        .set_modified(SystemTime::now() - Duration::from_secs(31 * 86_400))?;

    // The damaged copy is told of; everything else is as before.
    let ran = place.run(script, &[])?;
    ensure!(matches!(ran.status, Some(0 | 1)), "{:?} {}", ran.status, ran.said);
    let of = |schema: &str| ran.of("export").into_iter().find(|e| e["schema"] == schema).cloned();
    for schema in ["GOLD", "FIN"] {
        ensure!(of(schema).is_some_and(|e| e["status"] == "success"), "{schema}: {}", ran.said);
    }
    ensure!(lab.dump(&mine)?.iter().map(|(_, rows)| rows).sum::<u64>() == 3000, "the dump has its old name");
    let new = format!("backup_{}_{today}.zip", weekday(today));
    let zips = |dir: &std::path::Path| -> Result<Vec<String>> {
        Ok(names(dir)?.into_iter().filter(|n| n.ends_with(".zip")).collect())
    };
    let (here, there) = (zips(&dumps)?, zips(&cloud)?);
    ensure!(here.contains(&new) && there.contains(&new), "{here:?} {there:?}");
    ensure!(fs::read(dumps.join(&new))? == fs::read(cloud.join(&new))?);
    // Seven good ones stay; a half one is no backup, pushes none out and is not removed.
    ensure!(here.len() == 7 && !here.contains(&archives[7]), "{here:?}");
    ensure!(there.contains(&archives[0]), "the half copy is kept for a look: {there:?}");
    let good = there.iter().filter(|n| **n != archives[0]).count();
    ensure!(good == 7, "{there:?}");
    // In no archive of ours: it waits until its weekday writes the name anew.
    ensure!(dumps.join(&yesterdays).exists());
    let log = place.read(&log_name)?;
    ensure!(log.starts_with(OLD_LINE) && log.contains("[INFO] backup begins"), "{log}");
    let ended = format!("backup ended with status {}", ran.status.unwrap_or(-1));
    ensure!(log.contains(&ended) && !very_old.exists(), "{log}");
    ensure!(!log.contains(PASSWORD) && !ran.said.contains(PASSWORD));

    // A failed night: the old status, the old dump, a line in the log, and no archive goes.
    lab.fault(
        "GOLD",
        &[orasim::datapump::Kind::Fatal { code: 39_126, text: "Worker unexpected fatal error".into() }],
    )?;
    let before = (zips(&dumps)?, lab.dump(&mine)?);
    let ran = place.run(script, &[])?.expect(1)?;
    ensure!(zips(&dumps)?.len() >= before.0.len() && lab.dump(&mine)? == before.1, "{}", ran.said);
    ensure!(place.read(&log_name)?.contains("[ERROR] backup ended with status 1"));
    lab.check_clean(None)
}
