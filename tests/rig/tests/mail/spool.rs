//! The spool when the disk, a person or another program has been at it.

use anyhow::{ensure, Result};
use rig::disk::SmallDisk;
use rig::smtp::Manners;

use crate::pair::{said, Pair};

#[test]
fn a_damaged_file_is_put_aside_and_the_others_are_sent() -> Result<()> {
    let pair = Pair::new(Manners { greylist: 1, ..Manners::default() })?;
    pair.tool()?.run()?.expect(1)?;
    std::fs::write(pair.spool().join("00000000-damaged.mail"), b"{\"v\":1,\"to\":")?;
    let outcome = pair.tool()?.stdin("").arg("--flush").run()?.expect(1)?;
    pair.server.expect(1)?;
    ensure!(said(&outcome).contains("00000000-damaged.mail.corrupt-"), "{}", said(&outcome));
    pair.tool()?.stdin("").arg("--flush").run()?.expect(0)?;
    Ok(())
}

#[test]
fn a_full_disk_is_said_and_the_mail_is_sent_all_the_same() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    let disk = SmallDisk::mount(8)?;
    let spool = disk.path().join("spool");
    std::fs::create_dir_all(&spool)?;
    disk.fill(0)?;
    let outcome = pair.tool()?.arg("--spool").arg(&spool).run()?.expect(1)?;
    ensure!(said(&outcome).contains("the mail could not be kept on disk"), "{}", said(&outcome));
    ensure!(
        String::from_utf8_lossy(&outcome.stdout).contains(&crate::pair::success()),
        "the records are lost"
    );
    // A full disk is what the mail is to tell of.
    pair.server.expect(1)?;
    disk.empty()?;
    pair.tool()?.arg("--spool").arg(&spool).run()?.expect(0)?;
    pair.server.expect(2)?;
    Ok(())
}

#[test]
fn a_dry_run_changes_nothing() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    let at = |name: &str| pair.dir.path().join(name);
    let outcome = pair
        .tool()?
        .arg("--dry-run")
        .args(["--history", "h.jsonl", "--prometheus", "m.prom", "--output", "m.eml", "--html", "m.html"])
        .run()?
        .expect(0)?;
    ensure!(outcome.of("planned").len() == 5, "{}", said(&outcome));
    ensure!(outcome.of("mail").is_empty() && pair.server.connections() == 0, "{}", said(&outcome));
    for name in ["state", "h.jsonl", "m.prom", "m.eml", "m.html"] {
        ensure!(!at(name).exists(), "{name} was made");
    }
    Ok(())
}

#[test]
fn a_test_mail_says_what_it_is() -> Result<()> {
    let pair = Pair::new(Manners::default())?;
    pair.tool()?.stdin("").args(["--test", "--language", "pt"]).run()?.expect(0)?;
    let received = pair.server.expect(1)?;
    let (subject, text, _) = crate::pair::python(pair.dir.path(), &received[0].bytes)?;
    ensure!(subject.starts_with("TESTE: o e-mail do orapipe funciona"), "{subject}");
    ensure!(text.contains("Isto é um teste"), "{text}");
    Ok(())
}
