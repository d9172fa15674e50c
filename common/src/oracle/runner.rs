//! Where Oracle's programs run: on this host, or through a shell on another one.

use std::sync::Arc;
use std::time::Duration;

use super::home::{Home, NLS};
use super::script::Marks;
use crate::exit::{Exit, Failure};
use crate::process::Cmd;
use crate::settings::secrets_in_environment;

/// A way to run an `sh` script elsewhere, for example over an ssh connection.
pub trait Shell: Send + Sync {
    /// The call that runs `script_sh` with a POSIX shell there and hands it `stdin` byte for byte.
    fn command(&self, script_sh: &str, stdin: Vec<u8>, limit: Duration) -> Cmd;

    /// The other side's name for messages.
    fn name(&self) -> String;
}

/// What is known of the Oracle installation on the other host; what is not is taken from its profile or oratab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteHome {
    /// A file of shell settings sourced first; `~/` is the remote home directory.
    pub profile: Option<String>,
    pub oracle_home: Option<String>,
    pub oracle_sid: Option<String>,
}

/// Where a session runs.
#[derive(Clone)]
pub enum Runner {
    Local(Home),
    Remote { shell: Arc<dyn Shell>, home: RemoteHome },
}

impl Runner {
    /// Instance and host for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Local(home) => home.sid.clone().unwrap_or_else(|| "this host".to_owned()),
            Self::Remote { shell, home } => match &home.oracle_sid {
                Some(sid) => format!("{sid} at {}", shell.name()),
                None => shell.name(),
            },
        }
    }

    /// The call of `program` with `args`. `os_auth`: TWO_TASK must not lead `/` to another database.
    pub(crate) fn command(
        &self,
        program: &str,
        args: &[String],
        stdin: Vec<u8>,
        limit: Duration,
        os_auth: bool,
        marks: &Marks,
    ) -> Result<Cmd, Failure> {
        match self {
            Self::Local(home) => {
                let mut cmd = Cmd::new(home.program(program)?, limit).args(args).stdin(stdin);
                cmd.env = home.variables();
                cmd.env_remove = ["ORACLE_PATH", "SQLPATH"].map(str::to_owned).to_vec();
                cmd.env_remove.extend(secrets_in_environment());
                if os_auth {
                    cmd.env_remove.push("TWO_TASK".to_owned());
                }
                Ok(cmd)
            }
            Self::Remote { shell, home } => {
                let call = RemoteCall { program, args, os_auth, before: "", stop_after: limit + PATIENCE };
                let sh = remote_sh(home, &call, &marks.shell());
                Ok(shell.command(&sh, stdin, limit))
            }
        }
    }
}

/// What is to be run in the other host's installation.
pub(crate) struct RemoteCall<'a> {
    pub program: &'a str,
    pub args: &'a [String],
    /// TWO_TASK must not lead `/` to another database.
    pub os_auth: bool,
    /// A line of shell in the empty directory, before the program.
    pub before: &'a str,
    /// The program is stopped there after so long (where there is `timeout`): when our connection is cut, nobody here
    /// can stop it any more.
    pub stop_after: Duration,
}

/// How much longer than here the limit is there, so that the local one speaks first.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// The failure that the other host's shell announced behind its mark.
pub(crate) fn shell_failure(runner: &Runner, message: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{}: {message}", runner.name())).hint(
        "name the installation on the standby: STANDBY_PROFILE, STANDBY_ORACLE_HOME, STANDBY_SID, or its oratab",
    )
}

/// One word for `sh`.
fn sh_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The POSIX script that finds the installation there and runs `program` in an empty directory of its own.
///
/// The profile gets no standard input, because that is ours, and its output goes nowhere.
pub(crate) fn remote_sh(home: &RemoteHome, call: &RemoteCall<'_>, mark: &str) -> String {
    let mut sh = String::new();
    if let Some(profile) = &home.profile {
        let path = match profile.strip_prefix("~/") {
            Some(rest) => format!("\"$HOME\"/{}", sh_quote(rest)),
            None => sh_quote(profile),
        };
        sh.push_str(&format!(
            "[ -r {path} ] || {{ echo; printf '%s %s\\n' {mark} 'the profile cannot be read: '{path}; exit 64; }}\n\
             . {path} </dev/null >/dev/null 2>&1\n",
            mark = sh_quote(mark),
        ));
    }
    if let Some(sid) = &home.oracle_sid {
        sh.push_str(&format!("ORACLE_SID={}\n", sh_quote(sid)));
    }
    match (&home.oracle_home, &home.oracle_sid, &home.profile) {
        (Some(path), _, _) => sh.push_str(&format!("ORACLE_HOME={}\n", sh_quote(path))),
        // The login environment's home belongs to its own SID, not to one that was asked for by name.
        (None, Some(_), None) => sh.push_str("ORACLE_HOME=\n"),
        (None, _, _) => {}
    }
    sh.push_str(&format!("mark={}\nprogram={}\n", sh_quote(mark), sh_quote(call.program)));
    sh.push_str(FIND);
    for (name, value) in NLS {
        sh.push_str(&format!("{name}={}; export {name}\n", sh_quote(value)));
    }
    if call.os_auth {
        sh.push_str("unset TWO_TASK\n");
    }
    sh.push_str(RUN);
    let seconds = call.stop_after.as_secs().max(1);
    sh.push_str(&format!(
        "set --\nif timeout --foreground 9 true 2>/dev/null; then set -- timeout --foreground -k 9 {seconds}; fi\n\
         {}\n\"$@\" \"$run\"",
        call.before
    ));
    for arg in call.args {
        sh.push(' ');
        sh.push_str(&sh_quote(arg));
    }
    sh.push_str("\nexit $?\n");
    sh
}

const FIND: &str = r#"
fail() { echo; printf '%s %s\n' "$mark" "$1"; exit 64; }
if [ -z "$ORACLE_HOME" ] || [ -z "$ORACLE_SID" ]; then
  tab=
  for file in "$ORATAB" /etc/oratab /var/opt/oracle/oratab; do
    if [ -n "$file" ] && [ -r "$file" ]; then tab=$file; break; fi
  done
  base=$(printf '%s' "$ORACLE_SID" | sed 's/[0-9]*$//')
  sids=; count=0; only=; byname=; bydb=; star=
  if [ -n "$tab" ]; then
    while IFS=: read -r sid path rest || [ -n "$sid" ]; do
      sid=$(printf '%s' "$sid" | tr -d ' \t\r')
      case $sid in ''|'#'*) continue ;; esac
      case $path in /*) ;; *) continue ;; esac
      if [ "$sid" = '*' ]; then [ -n "$star" ] || star=$path; continue; fi
      if [ -n "$ORACLE_SID" ]; then
        if [ "$sid" = "$ORACLE_SID" ] && [ -z "$byname" ]; then byname=$path; fi
        if [ "$sid" = "$base" ] && [ -z "$bydb" ]; then bydb=$path; fi
      fi
      case $sid in +*|-*) continue ;; esac
      if [ -n "$ORACLE_HOME" ] && [ "$path" != "$ORACLE_HOME" ]; then continue; fi
      sids="$sids $sid"; count=$((count + 1)); only=$sid; onlypath=$path
    done < "$tab"
  fi
  if [ -n "$ORACLE_SID" ]; then
    for path in "$byname" "$bydb" "$star"; do
      [ -n "$ORACLE_HOME" ] || ORACLE_HOME=$path
    done
  elif [ "$count" -eq 1 ]; then
    ORACLE_SID=$only; ORACLE_HOME=$onlypath
  elif [ "$count" -eq 0 ]; then
    fail "ORACLE_SID is not set and ${tab:-oratab} names no database"
  else
    fail "ORACLE_SID is not set and $tab names several databases:$sids"
  fi
fi
export ORACLE_SID
if [ -n "$ORACLE_HOME" ] && [ -x "$ORACLE_HOME/bin/$program" ]; then
  LD_LIBRARY_PATH=$ORACLE_HOME/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export ORACLE_HOME LD_LIBRARY_PATH
  run=$ORACLE_HOME/bin/$program
elif command -v "$program" >/dev/null 2>&1; then
  run=$program
else
  fail "there is no $program in ${ORACLE_HOME:-ORACLE_HOME (not set)} nor in PATH"
fi
"#;

const RUN: &str = r#"unset ORACLE_PATH SQLPATH
old=$(pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/orapipe.XXXXXX") || fail "no temporary directory can be made"
trap 'cd "$old"; rm -rf "$dir"' 0
trap 'exit 143' 1 2 13 15
cd "$dir" || exit 2
"#;
