//! Words of three shells: POSIX sh, the blanks-and-quotes splitting of SSH_OPTIONS, and rsync's own for `-e`.

/// One word for a POSIX shell.
pub fn sh_quote(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len() + 2);
    out.push(b'\'');
    for byte in word {
        if *byte == b'\'' {
            out.extend_from_slice(b"'\\''");
        } else {
            out.push(*byte);
        }
    }
    out.push(b'\'');
    out
}

/// One word for the command of `rsync -e`: it knows quotes, doubled quotes inside them, and no backslash.
pub fn rsync_rsh_word(word: &str) -> String {
    let plain = !word.is_empty() && !word.contains([' ', '\'', '"']);
    if plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "''"))
    }
}

/// Splits as a shell does: blanks, single and double quotes, backslash. Nothing is expanded.
///
/// # Errors
/// A quote that is not closed, or a backslash at the end.
pub fn split_words(text: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => anyhow::bail!("a single quote is not closed"),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => anyhow::bail!("a double quote is not closed"),
                        },
                        Some(c) => word.push(c),
                        None => anyhow::bail!("a double quote is not closed"),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => anyhow::bail!("a backslash at the end quotes nothing"),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The script for `printf %b`: every byte that any login shell could take for something else as `\0ooo`.
///
/// csh expands `!` and dies of a newline even between single quotes, so quoting alone would not do.
pub(super) fn octal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b' '
            | b'/'
            | b'.'
            | b'_'
            | b'-'
            | b'='
            | b','
            | b':' => {
                out.push(char::from(*byte));
            }
            other => out.push_str(&format!("\\0{other:03o}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_as_a_shell_would() {
        let split = |s: &str| split_words(s).unwrap();
        assert_eq!(split("-p 2222  -i\t'/a b/key'"), ["-p", "2222", "-i", "/a b/key"]);
        assert_eq!(split(r#"-o "User=a \"b\" $x" c\ d ''"#), ["-o", "User=a \"b\" $x", "c d", ""]);
        assert_eq!(split("  "), Vec::<String>::new());
        assert!(split_words("-i 'x").is_err() && split_words("\"x").is_err() && split_words("x\\").is_err());
    }

    #[test]
    fn the_words_of_rsync_have_no_backslash() {
        assert_eq!(rsync_rsh_word("-S"), "-S");
        assert_eq!(rsync_rsh_word("exit 255"), "'exit 255'");
        assert_eq!(rsync_rsh_word("it's \"x\""), "'it''s \"x\"'");
        assert_eq!(rsync_rsh_word(""), "''");
    }

    #[test]
    fn a_quote_inside_a_word_stays_inside() {
        assert_eq!(sh_quote(b"a'b"), b"'a'\\''b'");
    }

    #[test]
    fn nothing_dangerous_reaches_the_login_shell() {
        assert_eq!(octal(b"a !\n'\\"), "a \\0041\\0012\\0047\\0134");
    }
}
