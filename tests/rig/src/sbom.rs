//! What is built into the programs: a bill of materials (CycloneDX 1.6) and the licence texts that go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The crates that make the programs; `s3-put` makes two of the ten.
pub const TOOLS: [&str; 9] = [
    "arch-ship",
    "dp-export",
    "ib-prune",
    "ib-snap",
    "mailreport",
    "rman-run",
    "s3-put",
    "ts-hotbackup",
    "zip-rotate",
];

/// The part of `cargo metadata` that we read.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub description: Option<String>,
    pub repository: Option<String>,
    /// Absent for crates of the workspace.
    pub source: Option<String>,
    pub manifest_path: PathBuf,
}

/// A crate by name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    pub name: String,
    pub version: String,
}

impl Crate {
    /// The package URL, which is also the name of the component inside the document.
    pub fn purl(&self) -> String {
        // `+` of build metadata is not a literal character of a package URL.
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

/// Crates and what each needs, from `cargo tree --prefix depth --format '{p}'`, with all trees one below the other.
///
/// # Errors
/// A line that is not depth, name and version, or a depth that leaves one out.
pub fn tree(text: &str) -> Result<BTreeMap<Crate, BTreeSet<Crate>>> {
    let mut needs: BTreeMap<Crate, BTreeSet<Crate>> = BTreeMap::new();
    let mut path: Vec<Crate> = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let digits =
            line.find(|c: char| !c.is_ascii_digit()).with_context(|| format!("cargo tree: {line}"))?;
        let depth: usize = line[..digits].parse().with_context(|| format!("cargo tree: {line}"))?;
        let mut words = line[digits..].split_whitespace();
        let (name, version) =
            words.next().zip(words.next()).with_context(|| format!("cargo tree: {line}"))?;
        let version = version.strip_prefix('v').with_context(|| format!("cargo tree: {line}"))?;
        ensure!(depth <= path.len(), "cargo tree: {line}: nothing above it");
        let this = Crate { name: name.to_owned(), version: version.to_owned() };
        path.truncate(depth);
        if let Some(above) = path.last() {
            needs.entry(above.clone()).or_default().insert(this.clone());
        }
        needs.entry(this.clone()).or_default();
        path.push(this);
    }
    Ok(needs)
}

/// What one document is made from.
pub struct Facts<'a> {
    /// The version of orapipe.
    pub version: &'a str,
    /// The time of the sources; the document says no other.
    pub at: DateTime<Utc>,
    pub metadata: &'a Metadata,
    /// What is linked into the programs.
    pub linked: &'a BTreeMap<Crate, BTreeSet<Crate>>,
    /// The same with what only runs while building: build scripts, procedural macros and their crates.
    pub all: &'a BTreeMap<Crate, BTreeSet<Crate>>,
}

/// The parts of CycloneDX 1.6 that we write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bom {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: BomMetadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct BomMetadata {
    timestamp: String,
    component: Component,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
}

#[derive(Serialize)]
struct Licence {
    expression: String,
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

/// The bill of materials of all programs together.
///
/// # Errors
/// A crate of the tree that `cargo metadata` does not know.
pub fn bom(facts: &Facts<'_>) -> Result<Bom> {
    let known = index(facts.metadata);
    let product = format!("pkg:generic/orapipe@{}", facts.version);
    let mut components = Vec::new();
    let mut dependencies = vec![Dependency {
        reference: product.clone(),
        depends_on: facts.all.keys().filter(|c| TOOLS.contains(&c.name.as_str())).map(Crate::purl).collect(),
    }];
    for (this, needs) in facts.all {
        let package = known
            .get(this)
            .with_context(|| format!("{} {}: not in cargo metadata", this.name, this.version))?;
        let tool = TOOLS.contains(&this.name.as_str());
        components.push(Component {
            kind: if tool { "application" } else { "library" },
            bom_ref: this.purl(),
            name: this.name.clone(),
            version: this.version.clone(),
            description: package
                .description
                .as_deref()
                .map(|d| d.split_whitespace().collect::<Vec<_>>().join(" ")),
            scope: Some(if facts.linked.contains_key(this) { "required" } else { "excluded" }),
            licenses: package
                .license
                .iter()
                .map(|l| Licence { expression: l.replace('/', " OR ") })
                .collect(),
            purl: package.source.is_some().then(|| this.purl()),
            external_references: package
                .repository
                .iter()
                .map(|url| Reference { kind: "vcs", url: url.clone() })
                .collect(),
        });
        dependencies
            .push(Dependency { reference: this.purl(), depends_on: needs.iter().map(Crate::purl).collect() });
    }
    Ok(Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: serial(facts),
        version: 1,
        metadata: BomMetadata {
            timestamp: facts.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            component: Component {
                kind: "application",
                bom_ref: product,
                name: "orapipe".to_owned(),
                version: facts.version.to_owned(),
                description: Some(
                    "Unix tools for the backup and disaster recovery of Oracle databases".to_owned(),
                ),
                scope: None,
                licenses: vec![Licence { expression: "MIT OR Apache-2.0".to_owned() }],
                purl: None,
                external_references: Vec::new(),
            },
        },
        components,
        dependencies,
    })
}

/// A UUID that follows from the contents (RFC 9562, version 8): the same sources give the same document.
fn serial(facts: &Facts<'_>) -> String {
    let mut digest = Sha256::new();
    digest.update(facts.version);
    digest.update(facts.at.timestamp().to_be_bytes());
    for this in facts.all.keys() {
        digest.update(this.purl());
        digest.update([0]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The licence texts of all that is linked, each text once, below the crates that bring it. MIT, BSD and Apache ask that
/// they go with the programs.
///
/// # Errors
/// A crate that `cargo metadata` does not know, or a file that cannot be read.
pub fn notices(facts: &Facts<'_>) -> Result<String> {
    let known = index(facts.metadata);
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without = Vec::new();
    for this in facts.linked.keys() {
        let package = known
            .get(this)
            .with_context(|| format!("{} {}: not in cargo metadata", this.name, this.version))?;
        if package.source.is_none() {
            continue;
        }
        let licence = package.license.as_deref().unwrap_or("no licence named");
        let line = format!("{} {} ({licence})", this.name, this.version);
        let dir = package.manifest_path.parent().unwrap_or(Path::new("."));
        let files = licence_files(dir)?;
        if files.is_empty() {
            without.push(line.clone());
        }
        for file in files {
            let bytes = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            texts.entry(text.trim_end().to_owned()).or_default().push(line.clone());
        }
    }
    let mut out =
        String::from("The programs of orapipe contain the crates below, under the licences below.\n");
    let mut texts: Vec<_> = texts.into_iter().collect();
    texts.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    for (text, mut crates) in texts {
        crates.dedup();
        out.push_str(&format!("\n{}\n\n{}\n\n{text}\n", "=".repeat(78), crates.join("\n")));
    }
    if !without.is_empty() {
        out.push_str(&format!("\n{}\n\nThese bring no text of their own:\n\n", "=".repeat(78)));
        out.push_str(&without.join("\n"));
        out.push('\n');
    }
    Ok(out)
}

fn licence_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_uppercase();
        let ours = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        if ours.iter().any(|o| name.starts_with(o)) && entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn index(metadata: &Metadata) -> BTreeMap<Crate, &Package> {
    let key = |p: &Package| Crate { name: p.name.clone(), version: p.version.clone() };
    metadata.packages.iter().map(|p| (key(p), p)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, version: &str) -> Crate {
        Crate { name: name.to_owned(), version: version.to_owned() }
    }

    const TREE: &str = "0s3-put v0.1.0 (/work/x)\n1a v1.0.0\n2b v2.0.0+spec\n1b v2.0.0+spec (*)\n\n0mailreport v0.1.0 (/work/y)\n1c v3.0.0 (proc-macro)\n";

    #[test]
    fn the_depths_of_cargo_tree_say_who_needs_whom() {
        let tree = tree(TREE).unwrap();
        assert_eq!(tree.len(), 5);
        let b = named("b", "2.0.0+spec");
        assert_eq!(tree[&named("s3-put", "0.1.0")], BTreeSet::from([named("a", "1.0.0"), b.clone()]));
        assert_eq!(tree[&named("a", "1.0.0")], BTreeSet::from([b.clone()]));
        assert_eq!(tree[&b], BTreeSet::new());
        assert_eq!(b.purl(), "pkg:cargo/b@2.0.0%2Bspec");
        assert!(super::tree("0a v1.0.0\n2b v1.0.0\n").is_err());
        assert!(super::tree("a v1.0.0\n").is_err());
    }

    #[test]
    fn a_document_has_every_crate_once_and_says_what_only_the_build_needs() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("LICENSE-MIT"), "do as you like\r\n").unwrap();
        let all = tree(TREE).unwrap();
        let mut linked = all.clone();
        linked.remove(&named("c", "3.0.0"));
        let metadata = Metadata {
            packages: all
                .keys()
                .map(|c| Package {
                    name: c.name.clone(),
                    version: c.version.clone(),
                    license: Some("MIT/Apache-2.0".to_owned()),
                    description: Some("two\n  lines".to_owned()),
                    repository: None,
                    source: (!TOOLS.contains(&c.name.as_str())).then(|| "registry".to_owned()),
                    manifest_path: dir.path().join("Cargo.toml"),
                })
                .collect(),
        };
        let facts = Facts {
            version: "9.9.9",
            at: DateTime::UNIX_EPOCH,
            metadata: &metadata,
            linked: &linked,
            all: &all,
        };
        let text = serde_json::to_string(&bom(&facts).unwrap()).unwrap();
        assert_eq!(text, serde_json::to_string(&bom(&facts).unwrap()).unwrap());
        assert_eq!(text.matches("\"scope\":\"required\"").count(), 4, "{text}");
        assert_eq!(text.matches("\"scope\":\"excluded\"").count(), 1, "{text}");
        assert!(text.contains("1970-01-01T00:00:00Z") && text.contains("\"two lines\""), "{text}");
        assert!(text.contains("MIT OR Apache-2.0") && !text.contains("MIT/"), "{text}");

        let notices = notices(&facts).unwrap();
        assert_eq!(notices.matches("do as you like").count(), 1, "{notices}");
        assert!(notices.contains("a 1.0.0 (MIT/Apache-2.0)\nb 2.0.0+spec (MIT/Apache-2.0)\n"), "{notices}");
        assert!(!notices.contains("s3-put") && !notices.contains("c 3.0.0"), "{notices}");
    }
}
