//! The code in a message, and what can be said of it.

use common::explain;

const FAMILIES: [&str; 12] =
    ["ORA-", "RMAN-", "UDE-", "UDI-", "TNS-", "SP2-", "EXP-", "IMP-", "PLS-", "LRM-", "KUP-", "DBV-"];

/// The first code in a text: `ORA-01555`, `rsync 23`, `ssh 255`.
pub fn find(text: &str) -> Option<String> {
    let coded = FAMILIES
        .iter()
        .filter_map(|family| {
            text.match_indices(family).find_map(|(at, _)| {
                let before = text[..at].chars().next_back();
                let digits: String =
                    text[at + family.len()..].chars().take_while(char::is_ascii_digit).take(6).collect();
                let whole = digits.len() >= 3 && !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
                whole.then(|| (at, format!("{family}{digits}")))
            })
        })
        .min();
    let program = || {
        ["rsync", "ssh", "expdp"].into_iter().find_map(|name| {
            let rest = &text[text.find(&format!("{name} exited "))? + name.len() + 8..];
            let digits: String = rest.chars().take_while(char::is_ascii_digit).take(3).collect();
            (!digits.is_empty()).then(|| format!("{name} {digits}"))
        })
    };
    coded.map(|(_, code)| code).or_else(program)
}

/// What a code means and what to do about it, when the table has it.
pub fn hint(code: &str) -> Option<String> {
    explain::exact(code).map(|e| format!("{}: {}", e.meaning, e.cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_code_of_a_text_is_found() {
        for (text, code) in [
            ("export failed: ORA-31693: Table \"HR\".\"X\"; ORA-01555", Some("ORA-31693")),
            ("RMAN-03009: failure; ORA-19502", Some("RMAN-03009")),
            ("rsync exited 23 after 14s: /arch/1.arc", Some("rsync 23")),
            ("ssh exited 255 after 1s", Some("ssh 255")),
            ("no such file", None),
            ("FLORA-1234 and ORA-x", None),
            ("çORA-01555 é ORA-", None),
            ("ORA-", None),
        ] {
            assert_eq!(find(text).as_deref(), code, "{text}");
        }
    }

    #[test]
    fn a_known_code_has_a_hint() {
        assert!(hint("ORA-01555").is_some() && hint("rsync 23").is_some());
        assert!(hint("ORA-99999").is_none());
    }
}
