//! What the documents say of tests, messages and each other.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

use crate::{blocks, documents, root};

/// Every source below the repository, without what was built.
fn sources(endings: &[&str]) -> Vec<(String, String)> {
    fn walk(dir: &Path, endings: &[&str], found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                walk(&path, endings, found);
            } else if endings.iter().any(|e| name.ends_with(e)) {
                // Somebody may be writing it.
                found.extend(std::fs::read_to_string(&path).map(|text| (path.display().to_string(), text)));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), endings, &mut found);
    found
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The cells of all tables of a text.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|l| l.starts_with("| ") || l.starts_with("|-"));
    lines.map(|l| l.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let text = read("docs/SECURITY.md");
    let definition = Regex::new(r"(?m)^\s*(?:async )?fn ([a-z0-9_]+)\(").unwrap();
    let defined: BTreeSet<String> = sources(&[".rs"])
        .iter()
        .filter(|(_, text)| {
            text.contains("#[test]") || text.contains("#[tokio::test") || text.contains("proptest!")
        })
        .flat_map(|(_, text)| definition.captures_iter(text).map(|c| c[1].to_owned()).collect::<Vec<_>>())
        .collect();
    let mut attacks = 0;
    for cells in rows(&text).iter().filter(|r| r.len() == 3 && r[2] != "tests" && !r[2].starts_with('-')) {
        let names: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test for: {}", cells[0]);
        for name in names {
            assert!(defined.contains(name), "{}: there is no test {name}", cells[0]);
        }
        attacks += 1;
    }
    assert!(attacks > 15, "{attacks}");
}

/// Words of ssh, and what stands for something else in a message.
const NOT_OURS: [&str; 4] =
    ["Permission denied (publickey", "Host key verification failed", "sudo -u oracle", "User=oracle"];

#[test]
fn every_message_that_troubleshooting_quotes_is_said_by_something() {
    let text = read("docs/TROUBLESHOOTING.md");
    let (symptoms, _) = text.split_once("## By code").unwrap();
    let said: String = sources(&[".rs", ".sh"])
        .into_iter()
        .filter(|(name, _)| !name.contains("/tests/rig/tests/written/"))
        .map(|(_, text)| text)
        .collect();
    // A string that goes on in the next line.
    let said = Regex::new(r"\\\n\s*").unwrap().replace_all(&said, "").into_owned();
    let mut quoted = 0;
    for cells in rows(symptoms).iter().filter(|r| r.len() >= 2) {
        for message in cells[0].split('`').skip(1).step_by(2) {
            for part in message.split(['…', '*']).map(str::trim).filter(|p| p.len() > 5) {
                let known = NOT_OURS.iter().any(|n| part.starts_with(n)) || said.contains(part);
                assert!(known, "nothing says {part:?}");
                quoted += 1;
            }
        }
    }
    assert!(quoted > 20, "{quoted}");
}

#[test]
fn the_portuguese_readme_has_the_same_chapters_and_commands() {
    let (english, portuguese) = (read("README.md"), read("README.pt-BR.md"));
    // Comments may be translated.
    let commands = |name: &str| -> Vec<String> {
        let shell = blocks(Path::new(name)).into_iter().filter(|(kind, _)| kind == "sh");
        let lines = shell.flat_map(|(_, b)| b.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.map(|l| l.split("  #").next().unwrap_or(&l).trim_end().to_owned()).collect()
    };
    assert_eq!(commands("README.md"), commands("README.pt-BR.md"));
    assert!(commands("README.md").len() > 12);
    let count = |text: &str, what: &str| text.lines().filter(|l| l.starts_with(what)).count();
    for what in ["## ", "### ", "| ", "```"] {
        assert_eq!(count(&english, what), count(&portuguese, what), "lines that begin with {what:?}");
    }
    let links = |text: &str| -> BTreeSet<String> {
        text.split("](").skip(1).filter_map(|r| Some(r.split(')').next()?.to_owned())).collect()
    };
    let other = |set: BTreeSet<String>| -> BTreeSet<String> {
        set.into_iter().filter(|l| !l.starts_with("README")).collect()
    };
    assert_eq!(other(links(&english)), other(links(&portuguese)));
    assert!(links(&english).contains("README.pt-BR.md") && links(&portuguese).contains("README.md"));
}

#[test]
fn every_json_of_the_documents_is_json() {
    let mut seen = 0;
    for document in documents() {
        for (_, block) in blocks(&document).iter().filter(|(kind, _)| kind == "json") {
            let whole = serde_json::from_str::<serde_json::Value>(block).is_ok();
            let lines = block.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok());
            assert!(whole || lines, "{}: {block}", document.display());
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen}");
}
