//! What is in the packages: sums, C library, bill of materials, units.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use jsonschema::{Registry, Resource};
use serde_json::Value;

use crate::stage::{done, scratch, sources, sum, walk, Packages, TOOLS};

#[test]
fn the_sums_are_those_of_the_files() {
    let packages = Packages::made();
    let text = std::fs::read_to_string(packages.dir.join("SHA256SUMS")).unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let (said, name) = line.split_once("  ").unwrap();
        assert_eq!(sum(&packages.dir.join(name)), said, "{name}");
        names.insert(packages.dir.join(name));
    }
    let bom = packages.dir.join(format!("orapipe-{}.cdx.json", packages.version));
    assert_eq!(names, BTreeSet::from([packages.deb(), packages.rpm(), packages.tar(), bom]));
}

#[test]
fn every_list_has_the_programs_their_pages_and_what_a_dba_edits() {
    let packages = Packages::made();
    for (kind, top) in [("deb", "usr/"), ("rpm", "usr/"), ("tar", "")] {
        let list = packages.list(kind);
        let has = |mode: u32, path: &str| assert_eq!(list.get(path), Some(&mode), "{kind}: {path}");
        for tool in TOOLS {
            has(0o755, &format!("{top}bin/{tool}"));
            has(0o644, &format!("{top}share/man/man1/{tool}.1.gz"));
            has(0o644, &format!("{top}share/bash-completion/completions/{tool}"));
            has(0o644, &format!("{top}share/fish/vendor_completions.d/{tool}.fish"));
            let zsh = if kind == "deb" { "vendor-completions" } else { "site-functions" };
            has(0o644, &format!("{top}share/zsh/{zsh}/_{tool}"));
        }
        has(0o640, "etc/orapipe/PROD.env.example");
        has(0o755, &format!("{top}libexec/orapipe/envia_archivelogs.sh"));
        has(0o644, &format!("{top}libexec/orapipe/environment.sh"));
        for document in
            ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "orapipe.cdx.json", "NOTICES-crates.txt.gz"]
        {
            has(0o644, &format!("{top}share/doc/orapipe/{document}"));
        }
        has(0o644, &format!("{top}share/orapipe/examples/crontab.example"));
        // Everything of packaging/systemd, as it is there.
        let units = sources().join("packaging/systemd");
        for unit in walk(&units).iter().filter(|path| path.is_file()) {
            let name = unit.strip_prefix(&units).unwrap().to_str().unwrap();
            if name != "README.md" {
                has(0o644, &format!("{top}lib/systemd/system/{name}"));
            }
        }
        // What is ours alone to run or to edit has no other bits.
        assert!(list.values().all(|mode| [0o755, 0o644, 0o640].contains(mode)), "{kind}");
        for dev in ["test.sh", "setup.sh", "package.sh"] {
            assert!(!list.keys().any(|path| path.ends_with(dev)), "{kind}: {dev}");
        }
    }
}

/// What a unit starts, and the page that it names, are there.
#[test]
fn the_units_name_files_of_the_package() {
    let packages = Packages::made();
    let list = packages.list("deb");
    let dir = scratch("units");
    done(Command::new("dpkg-deb").arg("-x").arg(packages.deb()).arg(dir.path()));
    let units: Vec<_> =
        list.keys().filter(|p| p.starts_with("usr/lib/systemd/system/") && p.contains("service")).collect();
    assert!(!units.is_empty());
    for unit in units {
        let text = std::fs::read_to_string(dir.path().join(unit)).unwrap();
        for line in text.lines().filter(|l| l.starts_with("Exec") || l.starts_with("Documentation=file:")) {
            for word in line.split(|c: char| c.is_whitespace() || "=\"';,".contains(c)) {
                let path = word.trim_start_matches("file://").trim_start_matches(['-', '+', '!', '@', ':']);
                let ours = ["/usr/libexec/orapipe/", "/usr/share/doc/orapipe/", "/usr/share/orapipe/"];
                let program = path.strip_prefix("/usr/bin/").is_some_and(|p| TOOLS.contains(&p));
                if program || ours.iter().any(|o| path.starts_with(o)) {
                    assert!(list.contains_key(path.trim_start_matches('/')), "{unit}: {path}");
                }
            }
        }
    }
}

#[test]
fn no_program_needs_a_c_library_younger_than_that_of_oracle_linux_7() {
    let packages = Packages::made();
    let dir = scratch("glibc");
    done(Command::new("dpkg-deb").arg("-x").arg(packages.deb()).arg(dir.path()));
    let mut highest = (0, 0);
    for tool in TOOLS {
        let program = dir.path().join("usr/bin").join(tool);
        let symbols = done(Command::new("objdump").arg("-T").arg(&program));
        let mut versions = 0;
        for word in symbols.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.') {
            if let Some(version) = word.strip_prefix("GLIBC_") {
                let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(u32::MAX));
                highest = highest.max((parts.next().unwrap(), parts.next().unwrap_or(0)));
                versions += 1;
            }
        }
        assert!(versions > 0, "{tool} names no symbol of the C library");
        // Position independent, read-only relocations, no executable stack.
        let header = done(Command::new("readelf").args(["-Wlhd"]).arg(&program));
        assert!(
            header.contains("DYN (Position-Independent") && header.contains("GNU_RELRO"),
            "{tool}: {header}"
        );
        let stack = header.lines().find(|l| l.contains("GNU_STACK")).unwrap();
        assert!(stack.contains(" RW ") && !stack.contains(" RWE "), "{tool}: {stack}");
    }
    println!("highest GLIBC symbol version needed: GLIBC_{}.{}", highest.0, highest.1);
    assert!(highest <= (2, 17), "{highest:?}");
}

#[test]
fn the_bill_of_materials_keeps_to_the_official_schema_and_names_what_is_inside() {
    let packages = Packages::made();
    let file = packages.dir.join(format!("orapipe-{}.cdx.json", packages.version));
    let bom: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();

    let schemas = schemas();
    let load = |name: &str| -> Value {
        let path = schemas.join(name);
        let text =
            std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}: run scripts/setup.sh", path.display()));
        serde_json::from_slice(&text).unwrap()
    };
    // The main schema names the others by their file names, below its own address.
    let mut registry = Registry::new();
    for name in [
        "spdx.SNAPSHOT.schema.json",
        "jsf-0.82.SNAPSHOT.schema.json",
        "cryptography-defs.SNAPSHOT.schema.json",
    ] {
        let mut schema = load(name);
        let address = format!("http://cyclonedx.org/schema/{name}");
        schema["$id"] = Value::String(address.clone());
        registry = registry.add(address, Resource::from_contents(schema)).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let validator = jsonschema::options()
        .with_registry(&registry)
        .should_validate_formats(true)
        .build(&load("bom-1.6.SNAPSHOT.schema.json"))
        .unwrap();
    let problems: Vec<_> =
        validator.iter_errors(&bom).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    // The validator does look.
    let mut broken = bom.clone();
    broken["components"][0]["type"] = "thing".into();
    broken["serialNumber"] = "urn:uuid:1".into();
    assert_eq!(validator.iter_errors(&broken).count(), 2);

    let components = bom["components"].as_array().unwrap();
    let scope = |name: &str| {
        components
            .iter()
            .find(|c| c["name"] == name)
            .map(|c| c["scope"].as_str().unwrap_or_default().to_owned())
    };
    for linked in
        TOOLS.iter().filter(|t| **t != "s3-get").chain(&["common", "aws-sdk-s3", "rustls", "libdeflate-sys"])
    {
        assert_eq!(scope(linked).as_deref(), Some("required"), "{linked}");
    }
    assert_eq!(scope("clap_derive").as_deref(), Some("excluded"));
    // What only tests need is not inside.
    for test in ["proptest", "rusqlite", "orasim", "rig", "s3s"] {
        assert_eq!(scope(test), None, "{test}");
    }
    let references: BTreeSet<_> = components.iter().map(|c| c["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(references.len(), components.len());
    for dependency in bom["dependencies"].as_array().unwrap() {
        for needed in dependency["dependsOn"].as_array().unwrap() {
            assert!(references.contains(needed.as_str().unwrap()), "{needed}");
        }
    }
}

fn schemas() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|c| !c.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    cache.join("orapipe/cyclonedx-11.12.0/cyclonedx/schema/_res")
}
