//! What is written about the tools is what the tools are.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

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
const PAGES: [(&str, &str); 8] = [
    ("arch-ship", "arch-ship/README.md"),
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
            "dp-export" => &["5"],
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

#[test]
fn every_file_that_the_readme_links_to_is_there_and_every_tool_is_linked() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let links: Vec<_> = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    for link in links.iter().filter(|l| !l.starts_with("https://")) {
        assert!(root().join(link).exists(), "README.md links to {link}");
    }
    for (tool, page) in PAGES {
        assert!(links.contains(&page), "README.md does not link to the page of {tool}");
    }
}
