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

#[test]
fn generated_documents_are_up_to_date() {
    let (status, said) = output(&program("docs").unwrap(), &["--check"]);
    assert_eq!(status, 0, "{said}");
}

#[test]
fn the_options_in_each_readme_are_those_of_help() {
    for tool in ["arch-ship", "ts-hotbackup", "zip-rotate"] {
        let (status, help) = output(&program(tool).unwrap(), &["--help"]);
        assert_eq!(status, 0, "{help}");
        let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
        let readme = std::fs::read_to_string(root().join(tool).join("README.md")).unwrap();
        assert!(readme.contains(&format!("```text\n{}\n```\n", lines.join("\n"))), "{tool}/README.md");
    }
}

#[test]
fn every_exit_status_of_the_contract_is_in_every_help() {
    for tool in ["arch-ship", "ts-hotbackup", "zip-rotate"] {
        let (_, help) = output(&program(tool).unwrap(), &["--help"]);
        for status in ["0", "1", "2", "3", "4", "5", "64", "75", "124", "130", "143"] {
            let there =
                help.lines().any(|l| l.trim_start().split_once(' ').is_some_and(|(n, _)| n == status));
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
