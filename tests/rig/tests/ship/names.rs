//! Names that shells and lists break on.

use anyhow::{ensure, Result};

use crate::pair::{said, with_status, write, Pair};

#[test]
fn odd_names_arrive_and_nothing_in_them_is_executed() -> Result<()> {
    let mut pair = Pair::new()?;
    let root = pair.root.path().to_owned();
    pair.src = root.join("src $(touch pwned) `touch pwned`/a b");
    pair.dst = root.join("dst $(touch pwned) 'x' \"y\";touch pwned");
    std::fs::create_dir_all(&pair.src)?;
    for (n, name) in [
        "1 1 with blanks.dbf",
        "2026_11_20/o1_mf_1_2_x\u{e7}\u{e3}o_.arc",
        "$(touch pwned).arc",
        "-n.arc",
        "#4.arc",
        "it's.arc",
        "new\nline.arc",
        "1_8_1197657913.dbf",
        "1_9_1197657913.dbf.gz.arc",
    ]
    .iter()
    .enumerate()
    {
        let sequence = n as u32 + 1;
        pair.add_as(name, 1, sequence, 64 << 10)?;
    }
    let outcome = pair.run(0)?;
    ensure!(with_status(&outcome, "shipped") == 9, "{}", said(&outcome));
    ensure!(pair.mark(1)? == Some(9), "{:?}", pair.mark(1)?);
    pair.check_equal()?;
    for dir in [root.clone(), root.join("scratch"), pair.host.home(), pair.dst.clone(), pair.src.clone()] {
        ensure!(!dir.join("pwned").exists(), "a name was executed in {}", dir.display());
    }
    let outcome = pair.run(0)?;
    ensure!(with_status(&outcome, "present") == 9, "{}", said(&outcome));
    Ok(())
}

#[test]
fn what_is_no_log_is_left_out_and_a_name_in_latin1_is_said() -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let pair = Pair::new()?;
    let log = std::fs::read(pair.add(1, 1, 64 << 10)?)?;
    write(&pair.src.join("1_2_1197657913.dbf.tmp"), b"no log")?;
    write(&pair.src.join("README"), b"no log")?;
    write(&pair.src.join("not_a_date/1_3_1197657913.dbf"), &log)?;
    let outcome = pair.run(0)?;
    ensure!(with_status(&outcome, "shipped") == 1, "{}", said(&outcome));
    ensure!(crate::pair::files(&pair.dst)?.len() == 1, "{:?}", crate::pair::files(&pair.dst)?);
    write(&pair.src.join(std::ffi::OsStr::from_bytes(b"latin\xe7.arc")), &log)?;
    let outcome = pair.run(1)?;
    ensure!(said(&outcome).contains("not UTF-8"), "{}", said(&outcome));
    Ok(())
}

#[test]
fn settings_of_the_originals_and_named_files() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=4 {
        pair.add_as(&format!("2026_11_20/o1_mf_1_{sequence}_abcdefgh_.arc"), 1, sequence, 64 << 10)?;
    }
    let env = [
        ("SOURCEBASEDIR", pair.src.display().to_string()),
        ("DESTBASEDIR", pair.dst.display().to_string()),
        ("DRSERVER", pair.host.host()),
        ("SSHUSER", pair.host.user().to_owned()),
        ("MAXWORKERS", "3".to_owned()),
        ("SEQ_FILTER_MAX", "3".to_owned()),
        ("APPLIED", "none".to_owned()),
    ];
    let tool = || -> Result<rig::tool::Tool> {
        let bare = pair.bare()?.env_remove("DEST_HOST").env_remove("DEST_USER");
        Ok(env.iter().fold(bare, |tool, (name, value)| tool.env(name, value)))
    };
    // One log by its bare name, as `envia_archivelogs.py FILE`.
    let outcome = tool()?.arg("o1_mf_1_2_abcdefgh_.arc").run()?.expect(0)?;
    ensure!(with_status(&outcome, "shipped") == 1, "{}", said(&outcome));
    ensure!(
        pair.dst.join("2026_11_20/o1_mf_1_2_abcdefgh_.arc").is_file(),
        "{:?}",
        crate::pair::files(&pair.dst)?
    );
    let outcome = tool()?.run()?.expect(0)?;
    ensure!(
        (with_status(&outcome, "shipped"), with_status(&outcome, "present")) == (2, 1),
        "{}",
        said(&outcome)
    );
    ensure!(pair.mark(1)? == Some(3), "{:?}", pair.mark(1)?);
    let outcome = tool()?.arg("o1_mf_1_99_abcdefgh_.arc").run()?;
    ensure!(matches!(outcome.status, Some(1 | 2)), "a named file that is not there: {}", said(&outcome));
    Ok(())
}

#[test]
fn a_directory_of_this_machine_is_a_destination_too() -> Result<()> {
    let pair = Pair::new()?;
    for sequence in 1..=3 {
        pair.add_as(&format!("2026_11_20/o1_mf_1_{sequence}_abcdefgh_.arc"), 1, sequence, 256 << 10)?;
    }
    let tool = || -> Result<rig::tool::Tool> {
        Ok(pair.tool()?.env_remove("DEST_HOST").env_remove("DEST_USER").env_remove("SSH_OPTIONS"))
    };
    let half = pair.dst.join("2026_11_20/o1_mf_1_2_abcdefgh_.arc");
    write(&half, &std::fs::read(pair.src.join("2026_11_20/o1_mf_1_2_abcdefgh_.arc"))?[..100_000])?;
    let watch = pair.watch(&[half]);
    let outcome = tool()?.run()?.expect(0)?;
    ensure!(
        (with_status(&outcome, "shipped"), with_status(&outcome, "resumed")) == (2, 1),
        "{}",
        said(&outcome)
    );
    ensure!(pair.host.connections()? == 0, "over ssh?");
    ensure!(pair.mark(1)? == Some(3), "{:?}", pair.mark(1)?);
    tool()?.arg("--verify").run()?.expect(0)?;
    pair.check_equal()?;
    ensure!(watch.end()? == 3, "each was looked at");
    Ok(())
}
