//! SET: every variable that changes the output, with SQL*Plus' defaults, names and refusals.

#[derive(Debug, Clone)]
pub struct Settings {
    pub pagesize: usize,
    pub linesize: usize,
    pub newpage: usize,
    pub numwidth: usize,
    pub numformat: Option<String>,
    pub heading: bool,
    /// 0 is OFF; otherwise the number of rows from which on they are counted.
    pub feedback: usize,
    pub echo: bool,
    pub termout: bool,
    pub verify: bool,
    /// `None` is DEFINE OFF.
    pub define: Option<char>,
    pub tab: bool,
    pub trimout: bool,
    pub trimspool: bool,
    pub wrap: bool,
    pub colsep: String,
    pub null: String,
    pub long: usize,
    pub sqlblanklines: bool,
    pub sqlprompt: String,
    pub serveroutput: bool,
    pub timing: bool,
    pub time: bool,
    pub csv: Option<Csv>,
    pub recsep: bool,
    pub underline: Option<char>,
    pub autorecovery: bool,
    pub exitcommit: bool,
    pub logsource: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Csv {
    pub delimiter: char,
    pub quote: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pagesize: 14,
            linesize: 80,
            newpage: 1,
            numwidth: 10,
            numformat: None,
            heading: true,
            feedback: 6,
            echo: false,
            termout: true,
            verify: true,
            define: Some('&'),
            tab: true,
            trimout: true,
            trimspool: false,
            wrap: true,
            colsep: " ".into(),
            null: String::new(),
            long: 80,
            sqlblanklines: false,
            sqlprompt: "SQL> ".into(),
            serveroutput: false,
            timing: false,
            time: false,
            csv: None,
            recsep: true,
            underline: Some('-'),
            autorecovery: false,
            exitcommit: true,
            logsource: None,
        }
    }
}

/// Full name and shortest abbreviation of the variables that are accepted and change nothing here.
const INERT: &[(&str, &str)] = &[
    ("APPINFO", "APPI"),
    ("ARRAYSIZE", "ARRAY"),
    ("AUTOCOMMIT", "AUTO"),
    ("AUTOPRINT", "AUTOP"),
    ("AUTOTRACE", "AUTOT"),
    ("BLOCKTERMINATOR", "BLO"),
    ("CMDSEP", "CMDS"),
    ("COLINVISIBLE", "COLINVI"),
    ("COMPATIBILITY", "COM"),
    ("CONCAT", "CON"),
    ("COPYCOMMIT", "COPYC"),
    ("COPYTYPECHECK", "COPYTYPECHECK"),
    ("DESCRIBE", "DESCRIBE"),
    ("EDITFILE", "EDITF"),
    ("EMBEDDED", "EMB"),
    ("ERRORLOGGING", "ERRORL"),
    ("ESCAPE", "ESC"),
    ("ESCCHAR", "ESCCHAR"),
    ("FLAGGER", "FLAGGER"),
    ("FLUSH", "FLU"),
    ("HEADSEP", "HEADS"),
    ("HISTORY", "HIST"),
    ("INSTANCE", "INSTANCE"),
    ("LOBOFFSET", "LOBOF"),
    ("LOBPREFETCH", "LOBPREF"),
    ("LONGCHUNKSIZE", "LONGC"),
    ("PAUSE", "PAU"),
    ("RECSEPCHAR", "RECSEPCHAR"),
    ("ROWPREFETCH", "ROWPREF"),
    ("SCAN", "SCAN"),
    ("SECUREDCOL", "SECUREDCOL"),
    ("SHIFTINOUT", "SHIFT"),
    ("SHOWMODE", "SHOW"),
    ("SQLCASE", "SQLC"),
    ("SQLCONTINUE", "SQLCO"),
    ("SQLNUMBER", "SQLN"),
    ("SQLPLUSCOMPATIBILITY", "SQLPLUSCOMPAT"),
    ("SQLPREFIX", "SQLPRE"),
    ("SQLTERMINATOR", "SQLT"),
    ("STATEMENTCACHE", "STATEMENTC"),
    ("SUFFIX", "SUF"),
    ("XMLOPTIMIZATIONCHECK", "XMLOPT"),
    ("XQUERY", "XQUERY"),
];

/// True when `word` is `full` cut at `short` or later.
pub fn abbreviates(word: &str, short: &str, full: &str) -> bool {
    let word = word.to_ascii_uppercase();
    word.len() >= short.len() && full.starts_with(&word)
}

/// Words of a SQL*Plus command; quoted ones keep their blanks and lose their quotes.
pub fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut word = String::new();
        if c == '"' || c == '\'' {
            for d in chars.by_ref() {
                if d == c {
                    break;
                }
                word.push(d);
            }
        } else {
            word.push(c);
            while let Some(d) = chars.peek().filter(|d| !d.is_whitespace()) {
                word.push(*d);
                chars.next();
            }
        }
        out.push(word);
    }
    out
}

impl Settings {
    /// `SET a x b y …`: each pair is applied until the first that is wrong. Returns what SQL*Plus complains about.
    pub fn set(&mut self, text: &str, csv_allowed: bool) -> Result<(), String> {
        let list = words(text);
        if list.is_empty() {
            return Err(
                "SP2-0281: SET missing set option\nUsage: SET SET_VARIABLE [ { ON | OFF | VALUE } ]".into()
            );
        }
        let mut rest = list.as_slice();
        while let Some((name, tail)) = rest.split_first() {
            let used = self.one(name, tail, csv_allowed)?;
            rest = tail.get(used..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Sets one variable; gives the number of words that its value took.
    fn one(&mut self, name: &str, tail: &[String], csv_allowed: bool) -> Result<usize, String> {
        let is = |short: &str, full: &str| abbreviates(name, short, full);
        let value = tail.first().map(String::as_str);
        let on_off = |label: &str| match value.map(str::to_ascii_uppercase).as_deref() {
            Some("ON") => Ok(true),
            Some("OFF") => Ok(false),
            _ => Err(format!("SP2-0265: {label} must be set ON or OFF")),
        };
        let number = |label: &str, least: usize, most: usize| match value.map(str::parse::<usize>) {
            Some(Ok(n)) if (least..=most).contains(&n) => Ok(n),
            Some(Ok(n)) => Err(format!("SP2-0267: {label} option {n} out of range ({least} through {most})")),
            _ => Err(format!("SP2-0268: {label} option not a valid number")),
        };
        if is("LIN", "LINESIZE") {
            self.linesize = number("linesize", 1, 32767)?;
        } else if is("PAGES", "PAGESIZE") {
            self.pagesize = number("pagesize", 0, 50000)?;
        } else if is("NUM", "NUMWIDTH") {
            self.numwidth = number("numwidth", 2, 50)?;
        } else if is("NUMF", "NUMFORMAT") {
            self.numformat = value.filter(|v| !v.is_empty()).map(str::to_string);
        } else if is("NEWP", "NEWPAGE") {
            self.newpage = if value.is_some_and(|v| v.eq_ignore_ascii_case("NONE")) {
                0
            } else {
                number("newpage", 0, 999)?
            };
        } else if is("LONG", "LONG") {
            self.long = number("long", 1, 2_000_000_000)?;
        } else if is("HEA", "HEADING") {
            self.heading = on_off("heading")?;
        } else if is("FEED", "FEEDBACK") {
            self.feedback = match value.map(str::to_ascii_uppercase).as_deref() {
                Some("ON") => 1,
                Some("OFF") => 0,
                Some("ONLY") => 1,
                _ => number("feedback", 0, 50000)?,
            };
            if tail.get(1).is_some_and(|w| w.eq_ignore_ascii_case("SQL_ID")) {
                return Ok(2);
            }
        } else if is("ECHO", "ECHO") {
            self.echo = on_off("echo")?;
        } else if is("TERM", "TERMOUT") {
            self.termout = on_off("termout")?;
        } else if is("VER", "VERIFY") {
            self.verify = on_off("verify")?;
        } else if is("DEF", "DEFINE") {
            self.define = match value.map(str::to_ascii_uppercase).as_deref() {
                Some("ON") => Some('&'),
                Some("OFF") => None,
                Some(other) => other.chars().next(),
                None => return Err("SP2-0272: define character cannot be alphanumeric or white space".into()),
            };
        } else if is("TAB", "TAB") {
            self.tab = on_off("tab")?;
        } else if is("TRIM", "TRIMOUT") {
            self.trimout = on_off("trimout")?;
        } else if is("TRIMS", "TRIMSPOOL") {
            self.trimspool = on_off("trimspool")?;
        } else if is("WRA", "WRAP") {
            self.wrap = on_off("wrap")?;
        } else if is("COLSEP", "COLSEP") {
            self.colsep = value.unwrap_or(" ").into();
        } else if is("NULL", "NULL") {
            self.null = value.unwrap_or("").into();
        } else if is("SQLBL", "SQLBLANKLINES") {
            self.sqlblanklines = on_off("sqlblanklines")?;
        } else if is("SQLP", "SQLPROMPT") {
            self.sqlprompt = value.unwrap_or("").into();
        } else if is("SERVEROUT", "SERVEROUTPUT") {
            self.serveroutput = on_off("serveroutput")?;
            // SIZE n | UNLIMITED, FORMAT w
            let extra = tail.iter().skip(1).take_while(|w| {
                let w = w.to_ascii_uppercase();
                ["SIZE", "UNLIMITED", "FORMAT", "WRAPPED", "WORD_WRAPPED", "TRUNCATED", "FOR", "WRA"]
                    .contains(&w.as_str())
                    || w.parse::<u64>().is_ok()
            });
            return Ok(1 + extra.count());
        } else if is("TIMI", "TIMING") {
            self.timing = on_off("timing")?;
        } else if is("TI", "TIME") {
            self.time = on_off("time")?;
        } else if is("RECSEP", "RECSEP") {
            self.recsep = !value.is_some_and(|v| v.eq_ignore_ascii_case("OFF"));
        } else if is("UND", "UNDERLINE") {
            self.underline = match value {
                Some(v) if v.eq_ignore_ascii_case("OFF") => None,
                Some(v) if v.eq_ignore_ascii_case("ON") => Some('-'),
                Some(v) => v.chars().next(),
                None => Some('-'),
            };
        } else if is("AUTORECOVERY", "AUTORECOVERY") {
            self.autorecovery = on_off("autorecovery")?;
        } else if is("EXITC", "EXITCOMMIT") {
            self.exitcommit = on_off("exitcommit")?;
        } else if is("LOGSOURCE", "LOGSOURCE") {
            self.logsource = value.filter(|v| !v.is_empty()).map(str::to_string);
        } else if is("MARK", "MARKUP") {
            return self.markup(tail, csv_allowed).map(|()| tail.len());
        } else if INERT.iter().any(|(full, short)| is(short, full)) {
            if value.is_none() {
                return Err(format!("SP2-0265: {} must be set ON or OFF", name.to_ascii_lowercase()));
            }
        } else {
            return Err(match value {
                None => format!("SP2-0158: unknown SET option \"{name}\""),
                Some(value) => {
                    let all = format!("{name} {value}");
                    let shown: String = all.chars().take(10).collect();
                    let dots = if all.chars().count() > 10 { "..." } else { "" };
                    format!("SP2-0735: unknown SET option beginning \"{shown}{dots}\"")
                }
            });
        }
        Ok(1)
    }

    fn markup(&mut self, tail: &[String], csv_allowed: bool) -> Result<(), String> {
        let upper: Vec<String> = tail.iter().map(|w| w.to_ascii_uppercase()).collect();
        match upper.first().map(String::as_str) {
            Some("CSV") if csv_allowed => {
                if upper.get(1).map(String::as_str) == Some("OFF") {
                    self.csv = None;
                    return Ok(());
                }
                let mut csv = Csv { delimiter: ',', quote: true };
                for pair in upper.windows(2).skip(1) {
                    match pair[0].as_str() {
                        "DELIMITER" | "DELIM" => csv.delimiter = pair[1].chars().next().unwrap_or(','),
                        "QUOTE" => csv.quote = pair[1] != "OFF",
                        _ => {}
                    }
                }
                self.csv = Some(csv);
                Ok(())
            }
            Some("HTML") if upper.get(1).map(String::as_str) == Some("OFF") => Ok(()),
            Some(other) => Err(format!("SP2-0158: unknown SET MARKUP option \"{other}\"")),
            None => Err("SP2-0281: markup missing set option".into()),
        }
    }

    /// The text of SHOW for one variable.
    pub fn show(&self, name: &str) -> Option<String> {
        let is = |short: &str, full: &str| abbreviates(name, short, full);
        let flag = |on: bool| if on { "ON" } else { "OFF" };
        Some(if is("LIN", "LINESIZE") {
            format!("linesize {}", self.linesize)
        } else if is("PAGES", "PAGESIZE") {
            format!("pagesize {}", self.pagesize)
        } else if is("NUM", "NUMWIDTH") {
            format!("numwidth {}", self.numwidth)
        } else if is("FEED", "FEEDBACK") {
            match self.feedback {
                0 => "feedback OFF".into(),
                n => format!("FEEDBACK ON for {n} or more rows"),
            }
        } else if is("HEA", "HEADING") {
            format!("heading {}", flag(self.heading))
        } else if is("ECHO", "ECHO") {
            format!("echo {}", flag(self.echo))
        } else if is("TAB", "TAB") {
            format!("tab {}", flag(self.tab))
        } else if is("WRA", "WRAP") {
            if self.wrap {
                "wrap : lines will be wrapped".into()
            } else {
                "wrap : lines will be truncated".into()
            }
        } else if is("TERM", "TERMOUT") {
            format!("termout {}", flag(self.termout))
        } else if is("VER", "VERIFY") {
            format!("verify {}", flag(self.verify))
        } else if is("SQLBL", "SQLBLANKLINES") {
            format!("sqlblanklines {}", flag(self.sqlblanklines))
        } else if is("SQLP", "SQLPROMPT") {
            format!("sqlprompt \"{}\"", self.sqlprompt)
        } else if is("LONG", "LONG") {
            format!("long {}", self.long)
        } else if is("DEF", "DEFINE") {
            match self.define {
                Some(c) => format!("define \"{c}\" (hex {:x})", u32::from(c)),
                None => "define OFF".into(),
            }
        } else {
            return None;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let mut s = Settings::default();
        s.set("pages 0 lin 200 feed off trims on serverout on size unlimited format wrapped tab off", true)
            .unwrap();
        assert_eq!((s.pagesize, s.linesize, s.feedback, s.trimspool, s.tab), (0, 200, 0, true, false));
        assert_eq!(
            s.set("linesize 40000", true).unwrap_err(),
            "SP2-0267: linesize option 40000 out of range (1 through 32767)"
        );
        assert!(s.set("foo", true).unwrap_err().starts_with("SP2-0158: unknown SET option \"foo\""));
        assert!(s.set("markup csv on", false).unwrap_err().starts_with("SP2-0158"));
        assert!(s.set("wrap maybe", true).unwrap_err().starts_with("SP2-0265"));
        s.set("markup csv on delimiter ; quote off", true).unwrap();
        assert!(s.csv.is_some_and(|c| c.delimiter == ';' && !c.quote));
    }
}
