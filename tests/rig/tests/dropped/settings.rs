//! The tables of docs/DROPIN.md against what the tools know.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use regex::Regex;

/// The tools behind each chapter.
const CHAPTERS: [(&str, &[&str]); 8] = [
    ("envia_archivelogs.sh", &["arch-ship"]),
    ("copy_archivelog_to_pamvs0003l.sh", &["arch-ship"]),
    ("hot_backup_ts_to_pamvs0003l.sh", &["ts-hotbackup"]),
    ("orquestra_dr.sh", &[]),
    ("backup_oracle_s3.sh", &["rman-run", "s3-put"]),
    ("restore_oracle.sh", &["rman-run", "s3-get"]),
    ("backup_oracle.sh", &["dp-export", "zip-rotate", "mailreport"]),
    ("orasync.sh, remove_old_snaps.sh", &["ib-snap", "ib-prune"]),
];

/// What stands between backticks in a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn names(text: &str) -> Result<BTreeSet<String>> {
    let placeholder = Regex::new("<[^>]*>")?;
    let name = Regex::new("[A-Z][A-Z0-9_]{3,}")?;
    let mut found = BTreeSet::new();
    for part in code(text) {
        let part = placeholder.replace_all(part, "");
        found.extend(name.find_iter(&part).map(|m| m.as_str().to_owned()));
    }
    Ok(found)
}

/// The second cells of the tables whose head is "original, ours", and the lines that begin with "New:".
fn ours(chapter: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut inside = false;
    for line in chapter.lines() {
        if line.starts_with('|') {
            inside |= line.starts_with("| original | ours |");
            if inside {
                cells.extend(line.split(" | ").nth(1));
            }
        } else {
            inside = false;
            cells.extend(line.strip_prefix("New: ").or(line.strip_prefix("New for all: ")));
        }
    }
    cells
}

#[test]
fn every_setting_of_the_drop_in_tables_is_known_and_every_known_one_is_in_them() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/DROPIN.md");
    let text = std::fs::read_to_string(path)?;
    let chapter = |name: &str| -> Result<String> {
        let found = text.split("\n## ").find(|c| c.lines().next() == Some(name));
        Ok(found.with_context(|| format!("no chapter {name}"))?.to_owned())
    };
    let known: BTreeSet<String> = common::settings::known().map(str::to_owned).collect();
    let for_all = names(&chapter("All scripts")?)?;
    let mut told: std::collections::BTreeMap<&str, BTreeSet<String>> = std::collections::BTreeMap::new();
    let flag = Regex::new("--[a-z][a-z0-9-]+")?;
    for (title, tools) in CHAPTERS {
        let chapter = chapter(title)?;
        ensure!(chapter.contains("| the original | loses | ours |"), "{title} tells of no defect");
        let flags: BTreeSet<String> =
            tools.iter().filter_map(|t| rig::docs::flags(t)).flat_map(|f| f.into_keys()).collect();
        for cell in ours(&chapter) {
            for name in names(cell)?.iter().filter(|n| *n != "TMPDIR") {
                ensure!(known.contains(name), "{title}: no tool knows {name}");
                for tool in tools {
                    told.entry(tool).or_default().insert(name.clone());
                }
            }
            for found in code(cell).flat_map(|c| flag.find_iter(c)).map(|m| m.as_str().to_owned()) {
                let of_script = ["--status", "--stop", "--new-cycle", "--detached", "--local"];
                ensure!(
                    flags.contains(&found) || of_script.contains(&found.as_str()),
                    "{title}: {tools:?} have no {found}"
                );
            }
        }
    }
    for setting in rig::docs::settings() {
        for tool in &setting.tools {
            let here = told.get(tool.as_str()).is_some_and(|names| names.contains(&setting.name));
            ensure!(
                here || for_all.contains(&setting.name),
                "DROPIN.md does not tell of {} of {tool}",
                setting.name
            );
        }
    }
    for (second, name, tools) in rig::docs::second_names() {
        for tool in tools {
            let here = told.get(tool.as_str()).is_some_and(|names| names.contains(&second));
            ensure!(here, "DROPIN.md does not tell of {second}, second name of {name} for {tool}");
        }
    }
    Ok(())
}
