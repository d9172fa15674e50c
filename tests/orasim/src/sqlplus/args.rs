//! The command line of `sqlplus`.

/// Who to log on as, from the command line or from CONNECT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub user: String,
    pub password: Option<String>,
    pub identifier: Option<String>,
    pub sysdba: bool,
    /// `/`: by the operating system, or by a wallet when an identifier is there.
    pub external: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    pub silent: bool,
    pub once: bool,
    pub restrict: u8,
    pub nolog: bool,
    pub version: bool,
    pub csv: bool,
    pub target: Option<Target>,
    pub script: Option<String>,
    pub parameters: Vec<String>,
}

/// Parses `user/"pass"@alias as sysdba`, `/ as sysdba`, `/@alias`.
pub fn target(text: &str) -> Option<Target> {
    let mut out = Target::default();
    let upper = text.trim().to_uppercase();
    let mut rest = text.trim().to_string();
    for role in [" AS SYSDBA", " AS SYSOPER", " AS SYSBACKUP", " AS SYSDG", " AS SYSASM", " AS SYSKM"] {
        if let Some(head) = upper.strip_suffix(role) {
            out.sysdba = true;
            rest = text.trim().get(..head.len())?.trim_end().to_string();
            break;
        }
    }
    let mut chars = rest.chars().peekable();
    let mut part = |stops: &[char]| -> (String, bool) {
        let mut word = String::new();
        let quoted = chars.peek() == Some(&'"');
        if quoted {
            chars.next();
            for c in chars.by_ref() {
                if c == '"' {
                    break;
                }
                word.push(c);
            }
        }
        while let Some(c) = chars.peek().copied().filter(|c| !stops.contains(c)) {
            word.push(c);
            chars.next();
        }
        (word, quoted)
    };
    let (user, quoted) = part(&['/', '@']);
    if !quoted && user.contains(char::is_whitespace) {
        return None;
    }
    out.user = user;
    let mut tail: String = String::new();
    let (mut password, mut password_quoted) = (None, false);
    // What is left begins with '/' or '@'.
    let consumed = |t: &mut dyn FnMut(&[char]) -> (String, bool)| t(&[]);
    let (left, _) = consumed(&mut part);
    if let Some(after) = left.strip_prefix('/') {
        let mut chars = after.chars().peekable();
        let mut word = String::new();
        if chars.peek() == Some(&'"') {
            password_quoted = true;
            chars.next();
            for c in chars.by_ref() {
                if c == '"' {
                    break;
                }
                word.push(c);
            }
        }
        while let Some(c) = chars.peek().copied().filter(|c| *c != '@') {
            word.push(c);
            chars.next();
        }
        password = Some(word);
        tail = chars.collect();
    } else if left.starts_with('@') {
        tail = left;
    }
    if let Some(p) = &password {
        if !password_quoted && p.contains(char::is_whitespace) {
            return None;
        }
    }
    out.password = password;
    if let Some(identifier) = tail.strip_prefix('@') {
        if identifier.is_empty() || identifier.contains(char::is_whitespace) {
            return None;
        }
        out.identifier = Some(identifier.to_string());
    }
    out.external = out.user.is_empty() && out.password.as_deref() == Some("");
    Some(out)
}

/// # Errors
/// The usage line that SQL*Plus prints for an argument that it does not know.
pub fn parse(argv: &[String]) -> Result<Args, String> {
    let mut args = Args::default();
    let mut rest = argv.iter().peekable();
    while let Some(arg) = rest.peek() {
        let upper = arg.to_ascii_uppercase();
        match upper.as_str() {
            "-S" | "-SILENT" => args.silent = true,
            "-L" | "-LOGON" => args.once = true,
            "-F" | "-FAST" | "-NOLOGINTIME" | "-NOLOGINTIMES" => {}
            "-V" | "-VERSION" => args.version = true,
            "-R" | "-RESTRICT" | "-C" | "-COMPATIBILITY" | "-M" | "-MARKUP" => {
                rest.next();
                let value = rest.peek().map(|v| v.to_ascii_uppercase()).unwrap_or_default();
                if upper.starts_with("-R") {
                    args.restrict = match value.parse() {
                        Ok(n @ 1..=3) => n,
                        _ => return Err(usage()),
                    };
                } else if upper.starts_with("-M") {
                    args.csv = value.contains("CSV");
                }
            }
            "-H" | "-HELP" => return Err(usage()),
            _ if upper.starts_with('-') => return Err(usage()),
            _ => break,
        }
        rest.next();
    }
    let words: Vec<&String> = rest.collect();
    let mut i = 0;
    if let Some(first) = words.first() {
        if first.eq_ignore_ascii_case("/nolog") {
            args.nolog = true;
            i = 1;
        } else if !first.starts_with('@') {
            let mut text = (*first).clone();
            i = 1;
            while words.get(i).is_some_and(|w| !w.starts_with('@')) {
                text.push(' ');
                text.push_str(words[i]);
                i += 1;
            }
            args.target = Some(target(&text).ok_or_else(usage)?);
        }
    }
    if let Some(script) = words.get(i).and_then(|w| w.strip_prefix('@')) {
        args.script = Some(script.to_string());
        args.parameters = words[i + 1..].iter().map(ToString::to_string).collect();
    }
    Ok(args)
}

pub fn usage() -> String {
    "\n Usage 1: sqlplus -H | -V\n\n    -H             Displays the SQL*Plus version and the\n                   usage help.\n    -V             Displays the SQL*Plus version.\n\n Usage 2: sqlplus [ [<option>] [{logon | /nolog}] [<start>] ]\n\n  <option> is: [-C <version>] [-F] [-L] [-M \"<options>\"] [-NOLOGINTIME]\n               [-R <level>] [-S]\n".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let t = target("system/\"p@ss/word\"@orcl as sysdba").unwrap();
        assert_eq!(
            (t.user.as_str(), t.password.as_deref(), t.identifier.as_deref(), t.sysdba),
            ("system", Some("p@ss/word"), Some("orcl"), true)
        );
        let t = target("/ as sysdba").unwrap();
        assert!(t.external && t.sysdba && t.identifier.is_none());
        let t = target("/@prod").unwrap();
        assert!(t.external && t.identifier.as_deref() == Some("prod"));
        let t = target("scott").unwrap();
        assert_eq!((t.user.as_str(), t.password), ("scott", None));
        assert!(target("select 1 from dual;").is_none());
    }

    #[test]
    fn command_lines() {
        let line = |s: &str| parse(&s.split(' ').map(str::to_string).collect::<Vec<_>>());
        let a = line("-S -L / as sysdba @x.sql one two").unwrap();
        assert!(a.silent && a.once && a.target.unwrap().sysdba);
        assert_eq!((a.script.as_deref(), a.parameters.len()), (Some("x.sql"), 2));
        assert!(line("-S /nolog").unwrap().nolog);
        assert!(line("-X").is_err());
        assert_eq!(line("-R 3 /nolog").unwrap().restrict, 3);
    }
}
