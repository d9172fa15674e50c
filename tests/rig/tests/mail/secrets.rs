//! The password is nowhere but in the dialogue with the server.

use std::path::Path;
use std::time::Duration;

use anyhow::{ensure, Result};
use rig::smtp::{Encryption, Manners, Step};

use crate::pair::{bracket, said, tool, Pair};

const SECRET: &str = "s3cret-Tiger/9f";

fn files_below(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), found),
            _ => found.push(entry.path()),
        }
    }
}

#[test]
fn the_password_is_in_no_argv_record_log_spool_or_mail() -> Result<()> {
    let login = Some(("oracle".to_owned(), SECRET.to_owned()));
    let manners =
        Manners { encryption: Encryption::Starttls, login, hold: Some(Step::Mail), ..Manners::default() };
    let pair = Pair::new(manners.clone())?;
    let log = pair.dir.path().join("expdp.log");
    std::fs::write(&log, format!("a log that has {SECRET} in it\n"))?;
    let lines = [
        format!("{{\"type\":\"log\",HEAD,\"level\":\"error\",\"message\":\"connect with {SECRET} failed\"}}"),
        format!("{{\"type\":\"file\",HEAD,\"path\":\"{}\",\"role\":\"log\"}}", log.display()),
    ];
    let env_file = pair.dir.path().join("PROD.env");
    std::fs::write(&env_file, format!("SMTP_USERNAME=oracle\nSMTP_PASSWORD='{SECRET}'\n"))?;
    std::fs::set_permissions(&env_file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let run = pair
        .patient("20s")?
        .env("SMTP_TLS", "starttls")
        .env("SMTP_CA_FILE", pair.authority.ca_file())
        .env("ORAPIPE_ENV_FILE", &env_file)
        .arg("--verbose")
        .args(["--history", "h.jsonl", "--output", "m.eml", "--html", "m.html", "--prometheus", "m.prom"]);
    let mut started = run.clone().stdin(bracket("dp-export", "success", 0, &lines)).start()?;
    started.until(Duration::from_secs(15), "the step", |_| Ok(pair.server.holds()))?;
    let argv = std::fs::read(format!("/proc/{}/cmdline", started.pid()))?;
    ensure!(!String::from_utf8_lossy(&argv).contains(SECRET), "in argv");
    let waiting = std::fs::read_to_string(&pair.waiting()[0])?;
    pair.server.release();
    let outcome = started.wait()?.expect(0)?;
    let received = pair.server.expect(1)?;
    ensure!(received[0].user.as_deref() == Some("oracle"), "it did not log on");
    let own: Vec<_> = outcome.records.iter().map(|r| r.line.as_str()).collect();
    for (what, text) in [
        ("a record", own.join("\n")),
        ("standard error", outcome.stderr.clone()),
        ("the spool", waiting),
        ("the mail", received[0].text()),
    ] {
        ensure!(!text.contains(SECRET), "in {what}: {text}");
    }
    ensure!(received[0].text().contains("connect with ***"), "{}", received[0].text());
    let mut files = Vec::new();
    files_below(pair.dir.path(), &mut files);
    for file in files.iter().filter(|f| **f != env_file && **f != log) {
        // What the rig caught of standard output and input has the lines that were passed on.
        let caught = file.extension().is_some_and(|e| e == "stdout" || e == "stdin");
        let text = String::from_utf8_lossy(&std::fs::read(file)?).into_owned();
        ensure!(caught || !text.contains(SECRET), "in {}", file.display());
    }
    Ok(())
}

#[test]
fn a_password_on_the_command_line_or_over_an_open_line_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let base = tool(dir.path())?
        .env("SMTP_SERVER", "mx.example.com")
        .env("SMTP_USERNAME", "oracle")
        .stdin("")
        .arg("--flush");
    let outcome = base.clone().arg(format!("--smtp-password={SECRET}")).run()?.expect(4)?;
    ensure!(outcome.stderr.contains("list of processes"), "{}", outcome.stderr);
    let open = base.clone().env("SMTP_PASSWORD", SECRET).env("SMTP_TLS", "none");
    let outcome = open.run()?.expect(4)?;
    ensure!(said(&outcome).contains("unencrypted") && !said(&outcome).contains(SECRET), "{}", said(&outcome));
    let readable = dir.path().join("password");
    std::fs::write(&readable, SECRET)?;
    let outcome = base.clone().arg("--smtp-password-file").arg(&readable).run()?.expect(4)?;
    ensure!(outcome.stderr.contains("chmod 600"), "{}", outcome.stderr);
    let shown = base.env("SMTP_PASSWORD", SECRET).arg("--show-config");
    let started = shown.start()?;
    std::thread::sleep(Duration::from_millis(500));
    let text = started.stdout()?;
    ensure!(text.contains("--smtp-password = ***") && !text.contains(SECRET), "{text}");
    Ok(())
}
