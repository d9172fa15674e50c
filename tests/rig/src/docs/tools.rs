//! What the command line of each tool gives: man page, completions, the options in its README.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use clap::Command;
use clap_complete::Shell;
use common::app::Args;

// The tools are programs, not libraries; their command lines depend only on `common` and clap.
#[path = "../../../../arch-ship/src/cli.rs"]
#[allow(dead_code)]
mod arch_ship;
#[path = "../../../../dp-export/src/cli.rs"]
#[allow(dead_code)]
mod dp_export;
#[path = "../../../../ib-prune/src/cli.rs"]
#[allow(dead_code)]
mod ib_prune;
#[path = "../../../../ib-snap/src/cli.rs"]
#[allow(dead_code)]
mod ib_snap;
#[path = "../../../../mailreport/src/cli.rs"]
#[allow(dead_code)]
mod mailreport;
#[path = "../../../../rman-run/src/cli.rs"]
#[allow(dead_code, unused_imports)]
mod rman_run;
// Shared by the two command lines below, which find it as `super::place`.
#[path = "../../../../s3-put/src/place.rs"]
#[allow(dead_code)]
mod place;
#[path = "../../../../s3-put/src/get/cli.rs"]
#[allow(dead_code)]
mod s3_get;
#[path = "../../../../s3-put/src/put/cli.rs"]
#[allow(dead_code)]
mod s3_put;
#[path = "../../../../ts-hotbackup/src/cli.rs"]
#[allow(dead_code)]
mod ts_hotbackup;
#[path = "../../../../zip-rotate/src/cli.rs"]
#[allow(dead_code)]
mod zip_rotate;

const BEGIN: &str = "<!-- options: made by `cargo run -p rig --bin docs` -->\n```text\n";
const END: &str = "```\n<!-- end of options -->\n";
/// What clap wraps to when nobody looks; the README shows that.
const WIDTH: usize = 100;

/// A tool's command line, and the second names of its settings.
struct Tool {
    command: Command,
    aliases: &'static [(&'static str, &'static str)],
}

fn tool<A: Args>() -> Tool {
    Tool { command: A::command().term_width(WIDTH), aliases: A::ALIASES }
}

fn tools() -> Vec<Tool> {
    vec![
        tool::<arch_ship::Cli>(),
        tool::<dp_export::Cli>(),
        tool::<ib_prune::Cli>(),
        tool::<ib_snap::Cli>(),
        tool::<mailreport::Cli>(),
        tool::<rman_run::Cli>(),
        tool::<s3_get::Cli>(),
        tool::<s3_put::Cli>(),
        tool::<ts_hotbackup::Cli>(),
        tool::<zip_rotate::Cli>(),
    ]
}

pub(super) fn commands() -> Vec<Command> {
    tools().into_iter().map(|t| t.command).collect()
}

/// The second names of each tool's settings.
pub(super) fn aliases() -> Vec<(String, &'static [(&'static str, &'static str)])> {
    tools().into_iter().map(|t| (t.command.get_name().to_owned(), t.aliases)).collect()
}

/// Takes the tools' settings out of our own environment: help shows their present values, and a document must not
/// depend on who makes it. To be called before any thread is started.
pub fn forget_settings() {
    for command in commands() {
        for name in command.get_arguments().filter_map(clap::Arg::get_env) {
            std::env::remove_var(name);
        }
    }
}

/// The `--help` of a tool as its README shows it, or `None` when there is no such tool.
pub fn help(tool: &str) -> Option<String> {
    let command = commands().into_iter().find(|c| c.get_name() == tool)?;
    Some(long_help(command))
}

fn long_help(mut command: Command) -> String {
    let text = command.render_long_help().to_string();
    let lines: Vec<_> = text.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The page of a tool: its crate's README, or its own file where the crate has two tools.
fn page(tool: &str) -> PathBuf {
    match tool {
        "s3-get" => PathBuf::from("s3-put/s3-get.md"),
        _ => PathBuf::from(tool).join("README.md"),
    }
}

pub(super) fn files(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    for command in commands() {
        let name = command.get_name().to_owned();
        files.insert(PathBuf::from(format!("docs/man/{name}.1")), man(command.clone())?);
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut command.clone(), name.clone(), &mut bytes);
            let text = String::from_utf8(bytes).context("completions are not UTF-8")?;
            files.insert(PathBuf::from("docs/completions").join(file), text);
        }
        let readme = page(&name);
        let old = match std::fs::read_to_string(root.join(&readme)) {
            // A new tool begins with its options alone.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("# {name}\n"),
            read => read.with_context(|| format!("read {}", readme.display()))?,
        };
        let new = with_options(&old, &long_help(command)).with_context(|| readme.display().to_string())?;
        files.insert(readme, new);
    }
    Ok(files)
}

fn man(command: Command) -> Result<String> {
    let version = command.get_version().unwrap_or_default().to_owned();
    let source = OsString::from(format!("orapipe {version}"));
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command)
        .source(source.to_string_lossy())
        .manual("orapipe")
        .render(&mut bytes)
        .context("make a man page")?;
    String::from_utf8(bytes).context("a man page is not UTF-8")
}

/// Fills the block of options; a README that has none gets one at its end.
fn with_options(readme: &str, options: &str) -> Result<String> {
    let Some((head, rest)) = readme.split_once(BEGIN) else {
        return Ok(format!("{}\n\n## All options\n\n{BEGIN}{options}\n{END}", readme.trim_end()));
    };
    let (_, tail) = rest.split_once(END).context("the line that ends the options is missing")?;
    ensure!(!tail.contains(BEGIN), "the options are there twice");
    Ok(format!("{head}{BEGIN}{options}\n{END}{tail}"))
}
