//! An `$ORACLE_HOME` with our programs, and the way from ORACLE_SID or a connect identifier to an instance directory.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

/// Makes `bin/{sqlplus,rman,expdp,oraenv}`, `sqlplus/admin/glogin.sql`, `network/admin/tnsnames.ora`, `orasim/`.
///
/// `programs` is the directory that holds our binaries; they are linked, not copied.
///
/// # Errors
/// When a program is missing or a file cannot be made.
pub fn make(home: &Path, programs: &Path) -> Result<()> {
    for dir in ["bin", "sqlplus/admin", "network/admin", "orasim", "dbs"] {
        let dir = home.join(dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    for program in ["sqlplus", "rman", "expdp"] {
        let target = programs.join(program);
        if !target.is_file() {
            bail!("{} is not there: build orasim first", target.display());
        }
        let link = home.join("bin").join(program);
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(&target, &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    let oraenv = home.join("bin/oraenv");
    std::fs::write(
        &oraenv,
        format!(
            "#!/bin/sh\n# Sets the environment of an instance of the simulator; to be sourced.\nORACLE_HOME='{0}'\nexport ORACLE_HOME ORACLE_SID\ncase \":$PATH:\" in *:'{0}/bin':*) ;; *) PATH='{0}/bin':$PATH; export PATH ;; esac\n",
            home.display()
        ),
    )?;
    std::fs::set_permissions(&oraenv, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for (file, text) in [
        ("sqlplus/admin/glogin.sql", "--\n-- Site profile of SQL*Plus\n--\n"),
        ("network/admin/tnsnames.ora", ""),
    ] {
        let path = home.join(file);
        if !path.exists() {
            std::fs::write(&path, text)?;
        }
    }
    Ok(())
}

/// Tells the home where the instance of a SID lives.
///
/// # Errors
/// When the file cannot be written.
pub fn register(home: &Path, sid: &str, dir: &Path) -> Result<()> {
    let path = home.join("orasim").join(sid);
    std::fs::write(&path, format!("{}\n", dir.display()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The instance directory of a SID, if the home knows it.
pub fn find(home: &Path, sid: &str) -> Option<PathBuf> {
    if sid.is_empty() || sid.contains('/') {
        return None;
    }
    let text = std::fs::read_to_string(home.join("orasim").join(sid)).ok()?;
    Some(PathBuf::from(text.lines().next()?))
}

/// Adds an alias to tnsnames.ora.
///
/// # Errors
/// When the file cannot be written.
pub fn add_alias(home: &Path, alias: &str, sid: &str) -> Result<()> {
    use std::io::Write;
    let path = home.join("network/admin/tnsnames.ora");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    writeln!(
        file,
        "{alias} =\n  (DESCRIPTION =\n    (ADDRESS = (PROTOCOL = TCP)(HOST = localhost)(PORT = 1521))\n    (CONNECT_DATA = (SID = {sid}))\n  )\n"
    )?;
    Ok(())
}

/// The SID that a connect identifier means; `None` is ORA-12154.
pub fn resolve(tns_admin: &Path, identifier: &str) -> Option<String> {
    // Easy connect: //host:port/service
    if let Some((_, service)) = identifier.trim_start_matches("//").split_once('/') {
        return Some(service.to_string());
    }
    let text = std::fs::read_to_string(tns_admin.join("tnsnames.ora")).ok()?;
    let compact: String = text
        .lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .map(|l| format!("{}\n", l.trim_end()))
        .collect();
    let mut found = false;
    for line in compact.lines() {
        if let Some((alias, _)) = line.split_once('=').filter(|_| !line.starts_with([' ', '\t', '('])) {
            found = alias.split(',').any(|a| a.trim().eq_ignore_ascii_case(identifier));
        }
        if !found {
            continue;
        }
        let upper = line.to_ascii_uppercase().replace(' ', "");
        for key in ["(SID=", "(SERVICE_NAME="] {
            if let Some(at) = upper.find(key) {
                let plain = line.replace(' ', "");
                let tail = &plain[at + key.len()..];
                return tail.split(')').next().map(str::to_string);
            }
        }
    }
    None
}
