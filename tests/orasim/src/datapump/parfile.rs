//! Parameters of expdp: `name=value` on the command line and in a parameter file.

use std::path::Path;

/// A parameter; the name is upper case.
pub type Parameter = (String, String);

/// Reads a parameter file: one parameter a line, `#` begins a comment, quotes may stand around a value.
pub fn read(path: &Path) -> Result<Vec<Parameter>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|_| format!("LRM-00109: could not open parameter file '{}'", path.display()))?;
    let mut parameters = Vec::new();
    for line in text.lines() {
        let line = uncommented(line).trim();
        if !line.is_empty() {
            parameters.push(parameter(line)?);
        }
    }
    Ok(parameters)
}

/// `name=value`, or a lone word as the logon of the command line.
pub fn parameter(word: &str) -> Result<Parameter, String> {
    let (name, value) = word
        .split_once('=')
        .ok_or_else(|| format!("LRM-00112: multiple values not allowed for parameter '{word}'"))?;
    let name = name.trim().to_ascii_uppercase();
    if !KNOWN.contains(&name.as_str()) {
        return Err(format!("LRM-00101: unknown parameter name '{}'", name.to_lowercase()));
    }
    let value = value.trim();
    let bare = ['\'', '"'].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
    // A blank ends a value that is not quoted: what follows would be the next parameter.
    if bare.is_none() && value.contains(' ') && name != "QUERY" && name != "INCLUDE" && name != "EXCLUDE" {
        let rest = value.split_once(' ').map_or("", |(_, rest)| rest);
        return Err(format!(
            "LRM-00112: multiple values not allowed for parameter '{}' ({rest})",
            name.to_lowercase()
        ));
    }
    Ok((name, bare.unwrap_or(value).to_owned()))
}

/// A `#` inside quotes is part of the value.
fn uncommented(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if c == q => quote = None,
            _ => {}
        }
    }
    line
}

const KNOWN: &[&str] = &[
    "USERID",
    "ATTACH",
    "DIRECTORY",
    "DUMPFILE",
    "LOGFILE",
    "NOLOGFILE",
    "JOB_NAME",
    "SCHEMAS",
    "FLASHBACK_SCN",
    "FLASHBACK_TIME",
    "FILESIZE",
    "PARALLEL",
    "REUSE_DUMPFILES",
    "CONTENT",
    "COMPRESSION",
    "EXCLUDE",
    "INCLUDE",
    "QUERY",
    "METRICS",
    "LOGTIME",
    "STATUS",
    "VERSION",
    "CLUSTER",
    "ESTIMATE",
    "PARFILE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_protect_blanks_and_hashes() {
        assert_eq!(parameter("userid='sys/\"a b\" as sysdba'").unwrap().1, "sys/\"a b\" as sysdba");
        assert_eq!(uncommented("userid=u/\"p#w\" # note"), "userid=u/\"p#w\" ");
        assert!(parameter("userid=/ as sysdba").is_err());
        assert!(parameter("comressed=y").unwrap_err().starts_with("LRM-00101"));
    }
}
