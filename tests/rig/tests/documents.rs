//! What is written about the tools is what the tools are.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

// The lab of the restores has more than is used here.
#[allow(dead_code)]
#[path = "rmans3/lab.rs"]
mod lab;
mod written {
    pub mod claims;
    pub mod commands;
    pub mod guide;
}

use std::path::{Path, PathBuf};
use std::process::Command;

use rig::tool::{clean_environment, program};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn output(program: &Path, args: &[&str]) -> (i32, String) {
    // Help shows the values of settings.
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(clean_environment()).env_remove("ORAPIPE_ALLOW_ROOT");
    let out = command.output().unwrap();
    (
        out.status.code().unwrap(),
        String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr),
    )
}

/// The tools, and the page of each.
const PAGES: [(&str, &str); 10] = [
    ("arch-ship", "arch-ship/README.md"),
    ("ib-snap", "ib-snap/README.md"),
    ("ib-prune", "ib-prune/README.md"),
    ("ts-hotbackup", "ts-hotbackup/README.md"),
    ("rman-run", "rman-run/README.md"),
    ("s3-put", "s3-put/README.md"),
    ("s3-get", "s3-put/s3-get.md"),
    ("dp-export", "dp-export/README.md"),
    ("zip-rotate", "zip-rotate/README.md"),
    ("mailreport", "mailreport/README.md"),
];

#[test]
fn generated_documents_are_up_to_date() {
    let (status, said) = output(&program("docs").unwrap(), &["--check"]);
    assert_eq!(status, 0, "{said}");
}

#[test]
fn the_options_in_each_readme_are_those_of_help() {
    for (tool, page) in PAGES {
        let (status, help) = output(&program(tool).unwrap(), &["--help"]);
        assert_eq!(status, 0, "{help}");
        let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
        let readme = std::fs::read_to_string(root().join(page)).unwrap();
        assert!(readme.contains(&format!("```text\n{}\n```\n", lines.join("\n"))), "{page}");
    }
}

#[test]
fn every_exit_status_of_the_contract_is_in_every_help() {
    for (tool, _) in PAGES {
        let (_, help) = output(&program(tool).unwrap(), &["--help"]);
        // Those that a tool never ends with: nothing to find, or no time limit for the whole run.
        let never: &[&str] = match tool {
            "s3-put" => &["5", "124"],
            "s3-get" => &["124"],
            "dp-export" | "ib-snap" => &["5"],
            "ib-prune" => &["5", "124"],
            _ => &[],
        };
        let all = ["0", "1", "2", "3", "4", "5", "64", "75", "124", "130", "143"];
        for status in all.iter().filter(|s| !never.contains(s)) {
            let there =
                help.lines().any(|l| l.trim_start().split_once(' ').is_some_and(|(n, _)| n == *status));
            assert!(there, "{tool} --help does not tell of status {status}");
        }
    }
}

#[test]
fn every_crate_has_a_licence_that_we_may_ship() {
    let (status, said) = {
        let out = Command::new(program("licences").unwrap()).current_dir(root()).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    assert_eq!(status, 0, "{said}");
}

/// README, its translation, the pages of the tools, and everything in docs.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["README.md", "README.pt-BR.md", "packaging/README.md"].map(PathBuf::from).into();
    found.extend(PAGES.iter().map(|(_, page)| PathBuf::from(page)));
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = PathBuf::from("docs").join(entry.unwrap().file_name());
        if name.extension().is_some_and(|e| e == "md") {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// The fenced blocks of a document, with their languages.
fn blocks(document: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !inside => {
                blocks.push((kind.to_owned(), String::new()));
                inside = true;
            }
            Some("") => inside = false,
            _ if inside => blocks.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    assert!(!inside, "{}: a block without its end", document.display());
    blocks
}

#[test]
fn every_file_that_a_document_links_to_is_there_and_every_tool_is_linked() {
    for document in documents() {
        let text = std::fs::read_to_string(root().join(&document)).unwrap();
        let links: Vec<_> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        let here = root().join(document.parent().unwrap());
        for link in links.iter().filter(|l| !l.starts_with("https://")) {
            let file = link.split('#').next().unwrap();
            assert!(file.is_empty() || here.join(file).exists(), "{} links to {link}", document.display());
        }
        if document.to_string_lossy().starts_with("README") {
            for (tool, page) in PAGES {
                assert!(links.contains(&page), "{} does not link to the page of {tool}", document.display());
            }
            for entry in documents().iter().filter(|d| d.starts_with("docs")) {
                let link = entry.to_string_lossy().into_owned();
                assert!(links.contains(&link.as_str()), "{} does not link to {link}", document.display());
            }
        }
    }
}
