//! Every setting of every tool for `docs/CONFIGURATION.md`, and the codes of `docs/TROUBLESHOOTING.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use clap::{Arg, Command};
use common::explain::{self, Nature};

use super::tools;

const CONFIGURATION: &str = "docs/CONFIGURATION.md";
const TROUBLESHOOTING: &str = "docs/TROUBLESHOOTING.md";
const BEGIN: &str = "<!-- codes: made by `cargo run -p rig --bin docs` -->\n";
const END: &str = "<!-- end of codes -->\n";

const HEAD: &str = "\
# Configuration

Made by `cargo run -p rig --bin docs` from the command lines of the tools; change it there.

A flag wins over the environment, the environment over the env file, the env file over the default. The env file is the one that
`--env-file` or `ORAPIPE_ENV_FILE` names; the scripts also find a `.env` beside the name by which they are called. Its lines are
`NAME=value`; quotes, `export`, comments and CRLF are understood, `$` is not expanded. An empty value means \"not set\". A name that
looks like a misspelt setting is a warning. `--show-config` of any tool prints every value and where it came from.

A setting that is *secret* is never shown, is refused on the command line when it holds a password, and makes
an env file that others may read a refusal (`chmod 600`).

## Settings

| setting | flag | read by | default | secret | meaning |
|---|---|---|---|---|---|
";

/// Settings that no flag has: of Oracle, of the system, of the AWS SDK; name, who reads it, what it is.
const WITHOUT_FLAG: [(&str, &str, &str); 22] = [
    (
        "AWS_ACCESS_KEY_ID",
        "s3-put, s3-get",
        "access key, where neither a profile nor a role of the machine gives one",
    ),
    ("AWS_PROFILE", "s3-put, s3-get", "profile of ~/.aws/config and ~/.aws/credentials"),
    ("AWS_SECRET_ACCESS_KEY", "s3-put, s3-get", "its secret half"),
    ("AWS_SESSION_TOKEN", "s3-put, s3-get", "of temporary credentials"),
    ("DB_NAME", "nothing", "known, so that an env file which other scripts share may have it"),
    ("LANG", "mailreport, and every program that is started", "language of the mail without --language"),
    ("LC_ALL", "mailreport, and every program that is started", "as LANG, and before it"),
    ("LD_LIBRARY_PATH", "Oracle's programs", "completed with $ORACLE_HOME/lib"),
    ("NLS_LANG", "nothing", "Oracle's programs always get AMERICAN_AMERICA.AL32UTF8: their words are read"),
    ("ORACLE_BASE", "Oracle's programs", "handed on"),
    (
        "ORACLE_HOME",
        "all tools that use Oracle",
        "else from oratab; programs come from its bin, else from PATH",
    ),
    ("ORACLE_SID", "all tools", "the instance, and the name of the database in records, states and locks"),
    ("ORATAB", "all tools that use Oracle", "this file instead of /etc/oratab and /var/opt/oracle/oratab"),
    ("PATH", "all", "where programs are looked for last"),
    ("TNS_ADMIN", "Oracle's programs", "handed on; cron does not read your profile"),
    ("TZ", "all", "time zone of log files, of days in names and of mails; records are in UTC"),
    ("DR_MONITOR_INTERVAL", "monitor_dr.sh", "seconds between two looks; 10"),
    ("DR_SESSION", "orquestra_dr.sh, monitor_dr.sh", "name of the tmux session; DR_DBPROD"),
    ("DR_STOP_LIMIT", "orquestra_dr.sh", "seconds that the tools have after --stop; 180"),
    ("ORAPIPE_BIN", "all scripts", "directory of the programs; else beside the scripts, else PATH"),
    (
        "DRILL_LOCK_WAIT",
        "dr-drill.sh",
        "seconds for which it waits for a recovery of the standby that is under way; 600",
    ),
    (
        "PROMETHEUS_DIR",
        "all scripts with a report",
        "directory of the node exporter's textfile collector; a file per job",
    ),
];

/// One environment name as one flag has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub flag: Option<String>,
    pub tools: Vec<String>,
    pub default: String,
    pub secret: bool,
    pub meaning: String,
}

fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // A table cell: no bar, and no brackets that would be a tag.
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn help(arg: &Arg) -> String {
    let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    match text.split_once(" [default: ") {
        Some((head, tail)) => {
            one_line(&format!("{head}{}", tail.split_once(']').map_or("", |(_, rest)| rest)))
        }
        None => one_line(&text),
    }
}

fn default(arg: &Arg) -> String {
    let values: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        return format!("`{}`", one_line(&values.join(",")));
    }
    let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let named =
        text.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']')).map(|(d, _)| one_line(d));
    named.unwrap_or_default()
}

fn is_secret(arg: &Arg, name: &str) -> bool {
    arg.is_hide_env_values_set() || common::settings::holds_secret(name, "x")
}

/// The settings of all tools that a flag has, by name; those of one name that differ are rows of their own.
pub fn settings() -> Vec<Setting> {
    let mut rows: BTreeMap<(String, String, String), Setting> = BTreeMap::new();
    for command in tools::commands() {
        for arg in all_arguments(&command) {
            let (Some(env), Some(long)) = (arg.get_env(), arg.get_long()) else { continue };
            let name = env.to_string_lossy().into_owned();
            let meaning = help(arg);
            let row =
                rows.entry((name.clone(), long.to_owned(), meaning.clone())).or_insert_with(|| Setting {
                    secret: is_secret(arg, &name),
                    flag: Some(long.to_owned()),
                    tools: Vec::new(),
                    default: default(arg),
                    name,
                    meaning,
                });
            if !row.tools.contains(&command.get_name().to_owned()) {
                row.tools.push(command.get_name().to_owned());
            }
        }
    }
    rows.into_values().collect()
}

/// Names that no flag has and what they are for, scripts included.
pub fn without_flag() -> impl Iterator<Item = &'static str> {
    WITHOUT_FLAG.iter().map(|(name, _, _)| *name)
}

/// Second names of settings: (second name, setting, tools).
pub fn second_names() -> Vec<(String, String, Vec<String>)> {
    let mut names: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for (tool, aliases) in tools::aliases() {
        for (second, name) in aliases {
            names.entry((second, name)).or_default().push(tool.clone());
        }
    }
    names.into_iter().map(|((second, name), tools)| (second.to_owned(), name.to_owned(), tools)).collect()
}

/// The flags of a tool and of its subcommands, long and short, with their dashes; and whether each takes a value.
pub fn flags(tool: &str) -> Option<BTreeMap<String, bool>> {
    let mut command = tools::commands().into_iter().find(|c| c.get_name() == tool)?;
    // Now it has --help and --version too.
    command.build();
    let mut flags = BTreeMap::new();
    for arg in all_arguments(&command) {
        let value = arg.get_action().takes_values();
        flags.extend(arg.get_long().map(|l| (format!("--{l}"), value)));
        flags.extend(arg.get_short().map(|s| (format!("-{s}"), value)));
    }
    Some(flags)
}

fn all_arguments(command: &Command) -> Vec<&Arg> {
    command.get_arguments().chain(command.get_subcommands().flat_map(all_arguments)).collect()
}

pub(super) fn files(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let path = root.join(TROUBLESHOOTING);
    let old = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok([
        (PathBuf::from(CONFIGURATION), configuration()?),
        (PathBuf::from(TROUBLESHOOTING), with_codes(&old).context(TROUBLESHOOTING)?),
    ]
    .into())
}

fn configuration() -> Result<String> {
    let mut text = HEAD.to_owned();
    let rows = settings();
    for row in &rows {
        ensure!(!row.meaning.is_empty(), "{} says nowhere what it means", row.name);
        writeln!(
            text,
            "| `{}` | `--{}` | {} | {} | {} | {} |",
            row.name,
            row.flag.as_deref().unwrap_or_default(),
            row.tools.join(", "),
            row.default,
            if row.secret { "yes" } else { "" },
            row.meaning
        )?;
    }
    text.push_str("\n### Second names\n\nThe originals differ in names. Where both are set, the first of these counts.\n\n| setting | second name | read by |\n|---|---|---|\n");
    for (second, name, tools) in second_names() {
        writeln!(text, "| `{name}` | `{second}` | {} |", tools.join(", "))?;
    }
    text.push_str("\n### Without a flag\n\n| setting | read by | secret | meaning |\n|---|---|---|---|\n");
    for (name, tools, meaning) in WITHOUT_FLAG {
        let secret = if common::settings::holds_secret(name, "x") { "yes" } else { "" };
        writeln!(text, "| `{name}` | {tools} | {secret} | {meaning} |")?;
    }
    check_known(&rows)?;
    text.push_str("\n## Flags without a setting\n");
    for command in tools::commands() {
        let mut flags = BTreeMap::new();
        for arg in all_arguments(&command) {
            let (Some(long), None) = (arg.get_long(), arg.get_env()) else { continue };
            if !arg.is_hide_set() {
                flags.entry(long.to_owned()).or_insert((default(arg), help(arg)));
            }
        }
        write!(text, "\n### {}\n\n| flag | default | meaning |\n|---|---|---|\n", command.get_name())?;
        for (flag, (default, help)) in flags {
            writeln!(text, "| `--{flag}` | {default} | {help} |")?;
        }
    }
    Ok(text)
}

/// What an env file may set and what is documented are the same names.
fn check_known(rows: &[Setting]) -> Result<()> {
    let mut told: BTreeSet<String> = rows.iter().map(|r| r.name.clone()).collect();
    told.extend(second_names().into_iter().map(|(second, _, _)| second));
    told.extend(without_flag().map(str::to_owned));
    let known: BTreeSet<String> = common::settings::known().map(str::to_owned).collect();
    let missing: Vec<_> = known.difference(&told).collect();
    ensure!(missing.is_empty(), "known to common::settings and documented nowhere: {missing:?}");
    let missing: Vec<_> = told.difference(&known).collect();
    ensure!(missing.is_empty(), "documented, and common::settings would take it for a typo: {missing:?}");
    Ok(())
}

fn with_codes(page: &str) -> Result<String> {
    let (head, rest) = page.split_once(BEGIN).context("the line that begins the codes is missing")?;
    let (_, tail) = rest.split_once(END).context("the line that ends the codes is missing")?;
    let mut table = String::from("| code | means | mostly because | do | again? |\n|---|---|---|---|---|\n");
    for entry in explain::entries() {
        let again = match entry.nature {
            Nature::Temporary => "may help",
            Nature::Permanent => "after the cure",
            Nature::Logon => "no: it may lock the account",
            Nature::Warning => "not needed",
        };
        let [code, meaning, cause, cure] = [entry.code, entry.meaning, entry.cause, entry.cure].map(one_line);
        writeln!(table, "| {code} | {meaning} | {cause} | {cure} | {again} |")?;
    }
    Ok(format!("{head}{BEGIN}\n{table}\n{END}{tail}"))
}
