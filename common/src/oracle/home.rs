//! Finds ORACLE_HOME and ORACLE_SID: environment first, then oratab.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::exit::{Exit, Failure};

/// Where oratab is: Linux, AIX and HP-UX, then Solaris.
pub const ORATABS: [&str; 2] = ["/etc/oratab", "/var/opt/oracle/oratab"];

/// What the search looks at, as a value: a tool may put a flag or a line of its env file in place of a variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// ORACLE_HOME.
    pub oracle_home: Option<PathBuf>,
    /// ORACLE_SID.
    pub oracle_sid: Option<String>,
    /// ORATAB: this file instead of [`ORATABS`].
    pub oratab: Option<PathBuf>,
    /// PATH.
    pub path: Option<OsString>,
    /// LD_LIBRARY_PATH.
    pub library_path: Option<OsString>,
}

impl Environment {
    /// The environment of this process; an empty variable counts as not set.
    pub fn of_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        Self {
            oracle_home: var("ORACLE_HOME").map(PathBuf::from),
            oracle_sid: var("ORACLE_SID").map(|v| v.to_string_lossy().into_owned()),
            oratab: var("ORATAB").map(PathBuf::from),
            path: var("PATH"),
            library_path: var("LD_LIBRARY_PATH"),
        }
    }
}

/// One line of oratab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OratabEntry {
    /// Instance or database name; `*` stands for "no database, only a home".
    pub sid: String,
    pub home: PathBuf,
}

impl OratabEntry {
    /// Not ASM (`+ASM1`), not the management database (`-MGMTDB`), not `*`.
    pub fn is_database(&self) -> bool {
        !self.sid.starts_with(['+', '-', '*'])
    }
}

/// Reads `SID:HOME:Y` lines; comments, blank lines and lines without a home are left out.
pub fn parse_oratab(text: &str) -> Vec<OratabEntry> {
    let mut entries: Vec<OratabEntry> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut fields = line.split(':').map(str::trim);
        let (Some(sid), Some(home)) = (fields.next(), fields.next()) else { continue };
        if sid.is_empty() || home.is_empty() || entries.iter().any(|e| e.sid == sid) {
            continue;
        }
        entries.push(OratabEntry { sid: sid.to_owned(), home: PathBuf::from(home) });
    }
    entries
}

/// An Oracle installation and the instance that is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home {
    /// `None`: programs come from PATH alone (Instant Client).
    pub home: Option<PathBuf>,
    /// `None` only for a connection over the network.
    pub sid: Option<String>,
    path: Option<OsString>,
    library_path: Option<OsString>,
}

impl Home {
    /// Reads oratab and decides, see [`Home::choose`].
    ///
    /// # Errors
    /// As [`Home::choose`]; an oratab named by ORATAB that cannot be read.
    pub fn locate(env: &Environment, needs_sid: bool) -> anyhow::Result<Self> {
        let (name, text) = match &env.oratab {
            Some(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("read ORATAB {}", path.display()))?;
                (path.display().to_string(), bytes)
            }
            None => ORATABS
                .iter()
                .find_map(|p| std::fs::read(p).ok().map(|bytes| ((*p).to_owned(), bytes)))
                .unwrap_or_else(|| (ORATABS[0].to_owned(), Vec::new())),
        };
        Ok(Self::choose(env, &parse_oratab(&String::from_utf8_lossy(&text)), &name, needs_sid)?)
    }

    /// The environment where it speaks, oratab for the rest. `oratab` is the file's name for messages.
    ///
    /// A RAC instance (`PROD1`) finds the entry of its database (`PROD`).
    ///
    /// # Errors
    /// Status 64: nothing names the instance, or oratab names several; the message lists them.
    pub fn choose(
        env: &Environment,
        entries: &[OratabEntry],
        oratab: &str,
        needs_sid: bool,
    ) -> Result<Self, Failure> {
        let found = |home: Option<PathBuf>, sid: Option<String>| Self {
            home,
            sid,
            path: env.path.clone(),
            library_path: env.library_path.clone(),
        };
        if let Some(sid) = &env.oracle_sid {
            let home = env.oracle_home.clone().or_else(|| home_of(sid, entries));
            return Ok(found(home, Some(sid.clone())));
        }
        let here = |e: &&OratabEntry| {
            e.is_database() && env.oracle_home.as_ref().is_none_or(|h| same_path(h, &e.home))
        };
        let databases: Vec<&OratabEntry> = entries.iter().filter(here).collect();
        match databases.as_slice() {
            [one] => Ok(found(Some(one.home.clone()), Some(one.sid.clone()))),
            _ if !needs_sid => {
                let any = || entries.iter().find(|e| e.sid == "*" || e.is_database()).map(|e| e.home.clone());
                Ok(found(env.oracle_home.clone().or_else(any), None))
            }
            [] => Err(Failure::new(
                Exit::Usage,
                format!("ORACLE_SID is not set and {oratab} names no database"),
            )
            .hint(
                "set ORACLE_SID and ORACLE_HOME, for example in the env file (cron does not read your profile)",
            )),
            several => {
                let sids: Vec<&str> = several.iter().map(|e| e.sid.as_str()).collect();
                Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "ORACLE_SID is not set and {oratab} names several databases: {}",
                        sids.join(", ")
                    ),
                )
                .hint(format!("set ORACLE_SID to the one you mean, for example ORACLE_SID={}", sids[0])))
            }
        }
    }

    /// `$ORACLE_HOME/bin/<name>`, else the first `<name>` of PATH.
    ///
    /// # Errors
    /// Status 64, naming the places that were searched.
    pub fn program(&self, name: &str) -> Result<PathBuf, Failure> {
        let own = self.home.as_ref().map(|h| h.join("bin").join(name));
        if let Some(path) = own.as_ref().filter(|p| is_executable(p)) {
            return Ok(path.clone());
        }
        let dirs = self.path.as_deref().map(std::env::split_paths).into_iter().flatten();
        if let Some(path) = dirs.map(|d| d.join(name)).find(|p| is_executable(p)) {
            return Ok(path);
        }
        let message = match &own {
            Some(path) => format!("{} is not an executable file and PATH has no {name}", path.display()),
            None => format!("ORACLE_HOME is not set and PATH has no {name}"),
        };
        Err(Failure::new(Exit::Usage, message).hint(
            "set ORACLE_HOME to the directory whose bin/ holds sqlplus, or correct the home in oratab; \
             check that this user may execute it",
        ))
    }

    /// What every Oracle program gets: home, instance, language, date formats, libraries.
    pub fn variables(&self) -> Vec<(String, OsString)> {
        let mut vars: Vec<(String, OsString)> =
            NLS.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect();
        if let Some(sid) = &self.sid {
            vars.push(("ORACLE_SID".to_owned(), sid.into()));
        }
        if let Some(home) = &self.home {
            vars.push(("ORACLE_HOME".to_owned(), home.into()));
            let mut libraries = home.join("lib").into_os_string();
            if let Some(old) = self.library_path.as_ref().filter(|p| !p.is_empty()) {
                libraries.push(":");
                libraries.push(old);
            }
            vars.push(("LD_LIBRARY_PATH".to_owned(), libraries));
        }
        vars
    }
}

/// The language of the programs is ours, whatever the DBA's profile says: FACTS 9.
pub(crate) const NLS: [(&str, &str); 4] = [
    ("NLS_LANG", "AMERICAN_AMERICA.AL32UTF8"),
    ("NLS_DATE_FORMAT", "YYYY-MM-DD HH24:MI:SS"),
    ("NLS_TIMESTAMP_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF"),
    ("LC_ALL", "C"),
];

fn home_of(sid: &str, entries: &[OratabEntry]) -> Option<PathBuf> {
    let database = sid.trim_end_matches(|c: char| c.is_ascii_digit());
    [sid, database, "*"]
        .iter()
        .find_map(|name| entries.iter().find(|e| e.sid == *name))
        .map(|e| e.home.clone())
}

fn same_path(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORATAB: &str = "# comment\n\n*:/u01/client:N\nPROD:/u01/db19:Y  # prod\n+ASM:/u01/grid:N\n\
                          TEST:/u01/db21:N\nbroken\n:/x:Y\nPROD:/second:N\n";

    fn env(home: Option<&str>, sid: Option<&str>) -> Environment {
        Environment {
            oracle_home: home.map(PathBuf::from),
            oracle_sid: sid.map(str::to_owned),
            ..Environment::default()
        }
    }

    fn choose(env: &Environment, needs_sid: bool) -> Result<Home, Failure> {
        Home::choose(env, &parse_oratab(ORATAB), "/etc/oratab", needs_sid)
    }

    #[test]
    fn the_sid_finds_its_home() {
        let home = choose(&env(None, Some("TEST")), true).unwrap();
        assert_eq!(home.home.unwrap(), Path::new("/u01/db21"));
        let rac = choose(&env(None, Some("PROD2")), true).unwrap();
        assert_eq!(
            (rac.home.unwrap().as_path(), rac.sid.as_deref()),
            (Path::new("/u01/db19"), Some("PROD2"))
        );
        let other = choose(&env(None, Some("OTHER")), true).unwrap();
        assert_eq!(other.home.unwrap(), Path::new("/u01/client"));
    }

    #[test]
    fn the_environment_wins() {
        let home = choose(&env(Some("/mine"), Some("PROD")), true).unwrap();
        assert_eq!(home.home.unwrap(), Path::new("/mine"));
    }

    #[test]
    fn a_home_with_one_database_names_the_sid() {
        let home = choose(&env(Some("/u01/db21"), None), true).unwrap();
        assert_eq!(home.sid.as_deref(), Some("TEST"));
    }

    #[test]
    fn several_databases_are_listed() {
        let failure = choose(&env(None, None), true).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(
            failure.message,
            "ORACLE_SID is not set and /etc/oratab names several databases: PROD, TEST"
        );
        assert!(failure.hint.unwrap().contains("ORACLE_SID=PROD"));
        assert_eq!(choose(&env(None, None), false).unwrap().sid, None);
    }

    #[test]
    fn no_database_at_all_is_said() {
        let failure = Home::choose(&env(None, None), &[], "/etc/oratab", true).unwrap_err();
        assert_eq!(failure.message, "ORACLE_SID is not set and /etc/oratab names no database");
    }

    #[test]
    fn a_missing_oratab_named_by_the_environment_is_an_error() {
        let env = Environment { oratab: Some("/nonexistent/oratab".into()), ..Environment::default() };
        assert_eq!(Home::locate(&env, true).unwrap_err().to_string(), "read ORATAB /nonexistent/oratab");
    }

    #[test]
    fn a_program_must_be_executable() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::write(bin.join("sqlplus"), "#!/bin/sh\n").unwrap();
        let home = Home { home: Some(dir.path().into()), ..Home::default() };
        let failure = home.program("sqlplus").unwrap_err();
        assert_eq!(
            failure.message,
            format!("{} is not an executable file and PATH has no sqlplus", bin.join("sqlplus").display())
        );
        std::fs::set_permissions(bin.join("sqlplus"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(home.program("sqlplus").unwrap(), bin.join("sqlplus"));
        let client = Home { path: Some(bin.clone().into()), ..Home::default() };
        assert_eq!(client.program("sqlplus").unwrap(), bin.join("sqlplus"));
    }

    #[test]
    fn the_language_is_forced_and_the_libraries_come_first() {
        let env = Environment { library_path: Some("/old".into()), ..env(Some("/u01/db19"), Some("PROD")) };
        let vars = choose(&env, true).unwrap().variables();
        let var = |name: &str| vars.iter().find(|(k, _)| k == name).unwrap().1.to_str().unwrap().to_owned();
        assert_eq!(var("NLS_LANG"), "AMERICAN_AMERICA.AL32UTF8");
        assert_eq!(var("LD_LIBRARY_PATH"), "/u01/db19/lib:/old");
        assert_eq!((var("ORACLE_SID"), var("ORACLE_HOME")), ("PROD".into(), "/u01/db19".into()));
    }
}
