//! Documents that are made from the sources: schemas, table of records, man pages, completions, options in the READMEs.

mod records;
mod settings;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(crate) use records::bind_type;
pub use settings::{flags, second_names, settings, without_flag, Setting};
pub use tools::{forget_settings, help};

/// Every generated file: path from the repository's root, content.
///
/// # Errors
/// A README lacks the markers between which its options belong.
pub fn generate(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = records::files()?;
    files.extend(tools::files(root)?);
    files.extend(settings::files(root)?);
    Ok(files)
}

/// Generated files that differ from what is in the repository, and files in the generated directories that nothing
/// makes any more.
pub fn stale(root: &Path) -> Result<Vec<String>> {
    let wanted = generate(root)?;
    let mut stale = Vec::new();
    for (path, content) in &wanted {
        match std::fs::read_to_string(root.join(path)) {
            Ok(found) if found == *content => {}
            Ok(_) => stale.push(format!("{} is out of date", path.display())),
            Err(_) => stale.push(format!("{} is missing", path.display())),
        }
    }
    for dir in ["docs/schemas", "docs/man", "docs/completions"] {
        for entry in std::fs::read_dir(root.join(dir)).with_context(|| format!("list {dir}"))? {
            let path = Path::new(dir).join(entry?.file_name());
            if !wanted.contains_key(&path) {
                stale.push(format!("{} belongs to nothing", path.display()));
            }
        }
    }
    Ok(stale)
}

/// Writes every generated file.
pub fn write(root: &Path) -> Result<usize> {
    let wanted = generate(root)?;
    for (path, content) in &wanted {
        let path = root.join(path);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        }
        std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(wanted.len())
}
