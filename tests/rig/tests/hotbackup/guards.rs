//! What is refused before anything is touched, and what only looks like trouble.

use anyhow::{ensure, Result};
use orasim::instance::Spec;
use orasim::server::fault::Kind;
use rig::tool::{Outcome, Tool};
use rig::world::PRIMARY;

use crate::stage::{said, small, tablespaces, with_status, Stage};

/// Nothing at the standby, no BEGIN BACKUP at the primary, and these words.
fn refused(stage: &Stage, tool: &Tool, status: i32, words: &[&str]) -> Result<Outcome> {
    let outcome = tool.run()?.expect(status)?;
    for word in words {
        ensure!(said(&outcome).contains(word), "{word} is not in\n{}", said(&outcome));
    }
    let calls = stage.world.primary.journal()?;
    ensure!(calls.iter().flat_map(|c| &c.statements).all(|s| s.backup.is_empty()), "BEGIN BACKUP was done");
    for i in 0..3 {
        let mount = stage.layout().standby_mount(i);
        ensure!(
            !mount.exists() || std::fs::read_dir(&mount)?.next().is_none(),
            "{} has files",
            mount.display()
        );
    }
    ensure!(stage.marks()?.is_empty());
    Ok(outcome)
}

#[test]
fn a_database_without_archived_logs_is_refused() -> Result<()> {
    let spec = Spec { archivelog: false, ..small() };
    let stage = Stage::shaped(spec, true, |l| tablespaces(l, &["USERS"], 256 << 10))?;
    refused(&stage, &stage.hot()?, 4, &["NOARCHIVELOG"])?;
    stage.check()
}

#[test]
fn files_without_a_place_of_their_own_are_refused() -> Result<()> {
    let stage = Stage::small(256 << 10)?;
    let layout = stage.layout();
    let one = format!("{}={}", layout.primary_mount(0).display(), layout.standby_mount(0).display());
    let tool = stage.hot()?.env("PATH_MAP", &one);
    // All that have no place are named, not just the first.
    refused(&stage, &tool, 4, &["vendas_1.dbf", "users_2.dbf"])?;

    // Two prefixes of the primary to one of the standby, and files of the same name below them.
    let path = layout.primary_mount(2).join("oradata/users_1.dbf").display().to_string();
    stage.sqlplus(PRIMARY, &format!("alter tablespace users add datafile '{path}' size 262144"))?;
    let all: Vec<String> = (0..3)
        .map(|i| format!("{}={}", layout.primary_mount(i).display(), layout.standby_mount(0).display()))
        .collect();
    let tool = stage.hot()?.env("PATH_MAP", all.join(","));
    refused(&stage, &tool, 4, &["users_1.dbf"])?;
    // The longest prefix wins: a rule for the directory of the new file settles it.
    let extra = format!(
        "{},{}={}",
        all.join(","),
        layout.primary_mount(2).join("oradata").display(),
        layout.standby_mount(1).display()
    );
    stage.hot()?.env("PATH_MAP", extra).run()?.expect(0)?;
    stage.prove()?;
    stage.check()
}

#[test]
fn passwords_that_expire_soon_are_expired_or_wrong() -> Result<()> {
    const SECRET: &str = "change_on_install";
    let stage = Stage::small(256 << 10)?;
    let tool = |logon: &str| -> Result<Tool> { Ok(stage.hot()?.env("SQLPLUS_CONNECTION_STRING", logon)) };
    let good = format!("sys/{SECRET} as sysdba");

    // 75 would make cron try a wrong password again and again, and lock the account.
    let wrong = refused(&stage, &tool("system/falsch#99")?, 64, &["ORA-01017", "lock the account"])?;
    ensure!(!said(&wrong).contains("SP2-"), "{}", said(&wrong));
    ensure!(!said(&wrong).contains("falsch#99"), "the password was told:\n{}", said(&wrong));

    stage.fault("", Kind::Expired, None, 0)?;
    let outcome = tool(&good)?.run()?;
    ensure!(outcome.status != Some(0) && said(&outcome).contains("ORA-28001"), "{}", said(&outcome));
    ensure!(outcome.elapsed.as_secs() < 20, "it waited for a new password: {:?}", outcome.elapsed);
    stage.clear_faults()?;

    stage.fault("", Kind::ExpireWarning { days: 3 }, None, 0)?;
    let outcome = tool(&good)?.run()?.expect(0)?;
    ensure!(with_status(&outcome, "copied").len() == 5, "{}", said(&outcome));
    ensure!(!said(&outcome).contains(SECRET), "the password was told");
    stage.clear_faults()?;
    stage.prove()?;
    stage.world.check(&[SECRET, "falsch#99"])?;
    let logs = std::fs::read_dir(stage.world.log_dir())?.chain(std::fs::read_dir(stage.world.state_dir())?);
    for entry in logs {
        let path = entry?.path();
        if path.is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            ensure!(
                !text.contains(SECRET) && !text.contains("falsch#99"),
                "{} has a password",
                path.display()
            );
        }
    }
    Ok(())
}

#[test]
fn tablespaces_of_one_name_in_two_pluggable_databases() -> Result<()> {
    let spec = Spec { pdbs: vec!["SALES".into(), "HR".into()], ..small() };
    let stage = Stage::shaped(spec, true, |layout| {
        let mut all = tablespaces(layout, &["USERS"], 256 << 10);
        for (pdb, names) in [
            ("PDB$SEED", &["SYSTEM", "SYSAUX"][..]),
            ("SALES", &["SYSTEM", "SYSAUX", "USERS"]),
            ("HR", &["SYSTEM", "SYSAUX", "USERS"]),
        ] {
            for name in names {
                let mut made = tablespaces(layout, &[], 256 << 10).swap_remove(0);
                made.name = (*name).to_owned();
                made.pdb = Some(pdb.to_owned());
                made.read_only = pdb == "PDB$SEED";
                let dir = layout.primary_mount(1).join(pdb.replace('$', ""));
                made.files[0].path = dir.join(format!("{}.dbf", name.to_lowercase()));
                all.push(made);
            }
        }
        all
    })?;
    let outcome = stage.cycle()?;
    let users: Vec<_> = outcome
        .of("tablespace")
        .into_iter()
        .filter(|r| r.text("name") == Some("USERS") && r.text("status") == Some("copied"))
        .filter_map(|r| r.text("container").or(Some("CDB$ROOT")).map(str::to_owned))
        .collect();
    ensure!(users.len() == 3, "{users:?}\n{}", said(&outcome));
    stage.prove()?;
    stage.check()
}
