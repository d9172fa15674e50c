//! RMAN's command line: words with or without `=`, in any order, in any case.

use std::path::PathBuf;

/// What was asked for on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// Connect string of TARGET.
    pub target: Option<String>,
    pub catalog: Option<String>,
    pub auxiliary: Option<String>,
    pub nocatalog: bool,
    /// CMDFILE or `@`, as named.
    pub cmdfile: Option<String>,
    /// Arguments of USING, for &1 and so on in the command file.
    pub using: Vec<String>,
    /// LOG or MSGLOG.
    pub log: Option<PathBuf>,
    pub append: bool,
    /// CHECKSYNTAX: parses and does not run.
    pub checksyntax: bool,
    pub help: bool,
}

fn bare(value: &str) -> String {
    value.trim_matches(['\'', '"']).to_string()
}

/// # Errors
/// The lines under RMAN-00552.
pub fn parse(argv: &[String]) -> Result<Args, Vec<(u32, String)>> {
    let mut args = Args::default();
    let mut words = argv.iter().peekable();
    while let Some(word) = words.next() {
        let (key, glued) = match word.split_once('=') {
            Some((key, value)) if key.chars().all(|c| c.is_ascii_alphabetic()) => (key, Some(value)),
            _ => (word.as_str(), None),
        };
        let key = key.to_ascii_lowercase();
        let mut value = || -> Option<String> {
            match glued {
                Some("") | None => {
                    let next = words.next()?;
                    if next == "=" {
                        return words.next().cloned();
                    }
                    Some(next.strip_prefix('=').map_or_else(|| next.clone(), str::to_string))
                }
                Some(value) => Some(value.to_string()),
            }
        };
        let missing = || {
            vec![(1009, "syntax error: found \"end-of-file\": expecting one of: \"double-quoted-string, identifier, single-quoted-string\"".to_string())]
        };
        match key.as_str() {
            "target" => args.target = Some(bare(&value().ok_or_else(missing)?)),
            "catalog" | "rcvcat" => args.catalog = Some(bare(&value().ok_or_else(missing)?)),
            "auxiliary" | "clone" => args.auxiliary = Some(bare(&value().ok_or_else(missing)?)),
            "cmdfile" => args.cmdfile = Some(bare(&value().ok_or_else(missing)?)),
            "log" | "msglog" => args.log = Some(bare(&value().ok_or_else(missing)?).into()),
            "nocatalog" => args.nocatalog = true,
            "append" => args.append = true,
            "checksyntax" => args.checksyntax = true,
            "msgno" | "debug" => {}
            "help" | "?" => args.help = true,
            "using" => args.using.extend(words.by_ref().cloned()),
            _ => match word.strip_prefix('@') {
                Some("") => args.cmdfile = Some(bare(words.next().ok_or_else(missing)?)),
                Some(file) => args.cmdfile = Some(bare(file)),
                None => {
                    return Err(vec![
                        (1009, "syntax error: found \"identifier\": expecting one of: \"append, auxiliary, catalog, checksyntax, clobber, clone, cmdfile, debug, help, log, ?, msglog, msgno, nocatalog, pipe, rcvcat, script, send, target, timeout, trace, using\"".into()),
                        (1008, format!("the bad identifier was: {word}")),
                        (1007, "at line 1 column 1 file: command line arguments".into()),
                    ])
                }
            },
        }
    }
    Ok(args)
}

/// `&1` and so on by the words of USING.
pub fn substitute(text: &str, using: &[String]) -> String {
    let mut text = text.to_string();
    for (n, value) in using.iter().enumerate().rev() {
        let name = format!("&{}", n + 1);
        text = text.replace(&format!("{name}."), value).replace(&name, value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Args {
        parse(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn all_forms() {
        for words in [
            &["target", "/", "cmdfile", "x.rman", "log", "y"][..],
            &["target=/", "CMDFILE='x.rman'", "log=y"],
            &["TARGET", "=", "/", "@x.rman", "msglog", "=y"],
            &["target", "=/", "@", "x.rman", "msglog", "y"],
        ] {
            let args = of(words);
            assert_eq!(args.target.as_deref(), Some("/"), "{words:?}");
            assert_eq!(args.cmdfile.as_deref(), Some("x.rman"), "{words:?}");
            assert_eq!(args.log, Some("y".into()), "{words:?}");
        }
        let args = of(&["target", "sys/a=b@x", "nocatalog", "@x", "using", "a", "b"]);
        assert_eq!(args.target.as_deref(), Some("sys/a=b@x"));
        assert!(args.nocatalog && args.using == ["a", "b"]);
        assert_eq!(substitute("tag &1 '&2.x'", &args.using), "tag a 'bx'");
        assert_eq!(parse(&["foo".into()]).unwrap_err()[1].1, "the bad identifier was: foo");
    }
}
