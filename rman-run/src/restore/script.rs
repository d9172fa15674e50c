//! The RMAN scripts of a restore. Pure: what is planned and what was found in, text out.

use std::fmt::Write;

use super::database::State;

/// Where recovery ends, as RMAN is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// As far as there is redo, online logs included.
    End,
    Scn(u64),
    /// "YYYY-MM-DD HH:MM:SS".
    Time(String),
    Sequence {
        thread: u32,
        sequence: u64,
    },
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub state: State,
    pub dbid: u64,
    /// The piece to restore the control file from; `None` keeps the one that is there.
    pub controlfile: Option<String>,
    /// The piece to restore the server parameter file from.
    pub spfile: Option<String>,
    /// Backup pieces to make known, in the order of their use.
    pub pieces: Vec<String>,
    /// Archived logs on disk to make known.
    pub logs: Vec<String>,
    /// A directory to make known whole, where there are no records.
    pub directory: Option<String>,
    /// Key of the incarnation to go back to.
    pub incarnation: Option<u64>,
    pub until: Until,
    /// File numbers with their new paths.
    pub newnames: Vec<(u64, String)>,
    /// Datafiles to restore; empty: the whole database.
    pub files: Vec<u64>,
    pub channels: u32,
}

/// A name between single quotes.
fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

impl Job {
    /// Brings the instance to MOUNT, with the parameter file and the control file that were asked for; `None` when it is
    /// there already.
    pub fn mount(&self) -> Option<String> {
        let mut text = String::new();
        if self.controlfile.is_none() && self.spfile.is_none() {
            match self.state {
                State::Mounted => return None,
                State::Down => text.push_str("STARTUP MOUNT;\n"),
                State::Started => text.push_str("ALTER DATABASE MOUNT;\n"),
                State::Open => text.push_str("SHUTDOWN IMMEDIATE;\nSTARTUP MOUNT;\n"),
            }
            text.push_str("EXIT;\n");
            return Some(text);
        }
        if self.dbid != 0 && self.state < State::Mounted {
            let _never = writeln!(text, "SET DBID {};", self.dbid);
        }
        match self.state {
            State::Started => {}
            // Without any parameter file RMAN starts the instance with a dummy one.
            State::Down => text.push_str("STARTUP NOMOUNT;\n"),
            State::Mounted | State::Open => text.push_str("SHUTDOWN IMMEDIATE;\nSTARTUP NOMOUNT;\n"),
        }
        if let Some(piece) = &self.spfile {
            let _never = writeln!(text, "RESTORE SPFILE FROM {};", quoted(piece));
            text.push_str("SHUTDOWN IMMEDIATE;\nSTARTUP NOMOUNT;\n");
        }
        if let Some(piece) = &self.controlfile {
            let _never = writeln!(text, "RESTORE CONTROLFILE FROM {};", quoted(piece));
        }
        text.push_str("ALTER DATABASE MOUNT;\nEXIT;\n");
        Some(text)
    }

    /// Marks what the repository believes to have and has not, or RESTORE would try it.
    pub fn crosscheck() -> String {
        String::from("CROSSCHECK BACKUP;\nEXIT;\n")
    }

    /// Makes the pieces known; `None` when there is none to be made known.
    pub fn catalog(&self) -> Option<String> {
        let mut text = String::new();
        for (what, list) in [("BACKUPPIECE", &self.pieces), ("ARCHIVELOG", &self.logs)] {
            for some in list.chunks(50) {
                let names: Vec<String> = some.iter().map(|n| quoted(n)).collect();
                let _never = writeln!(text, "CATALOG {what} {};", names.join(", "));
            }
        }
        if let Some(directory) = &self.directory {
            let _never = writeln!(text, "CATALOG START WITH {} NOPROMPT;", quoted(&format!("{directory}/")));
        }
        if text.is_empty() {
            return None;
        }
        text.push_str("EXIT;\n");
        Some(text)
    }

    /// RESTORE.
    pub fn restore(&self) -> String {
        let mut text = String::new();
        if let Some(key) = self.incarnation {
            let _never = writeln!(text, "RESET DATABASE TO INCARNATION {key};");
        }
        text.push_str("RUN {\n");
        self.channels(&mut text);
        self.until(&mut text);
        for (file, path) in &self.newnames {
            let _never = writeln!(text, "SET NEWNAME FOR DATAFILE {file} TO {};", quoted(path));
        }
        if self.files.is_empty() {
            text.push_str("RESTORE DATABASE;\n");
        } else {
            let list: Vec<String> = self.files.iter().map(u64::to_string).collect();
            let _never = writeln!(text, "RESTORE DATAFILE {};", list.join(", "));
        }
        if !self.newnames.is_empty() {
            text.push_str("SWITCH DATAFILE ALL;\n");
        }
        text.push_str("}\nEXIT;\n");
        text
    }

    /// RECOVER, in a call of its own: that it stops at the end of the redo must not undo the rest.
    pub fn recover(&self) -> String {
        let mut text = String::from("RUN {\n");
        self.channels(&mut text);
        self.until(&mut text);
        text.push_str("RECOVER DATABASE;\n}\nEXIT;\n");
        text
    }

    fn channels(&self, text: &mut String) {
        if self.channels > 1 {
            for n in 1..=self.channels {
                let _never = writeln!(text, "ALLOCATE CHANNEL c{n} DEVICE TYPE DISK;");
            }
        }
    }

    fn until(&self, text: &mut String) {
        let _never = match &self.until {
            Until::End => Ok(()),
            Until::Scn(scn) => writeln!(text, "SET UNTIL SCN {scn};"),
            Until::Time(time) => {
                writeln!(text, "SET UNTIL TIME \"TO_DATE('{time}', 'YYYY-MM-DD HH24:MI:SS')\";")
            }
            Until::Sequence { thread, sequence } => {
                writeln!(text, "SET UNTIL SEQUENCE {sequence} THREAD {thread};")
            }
        };
    }
}

/// Opens the database.
pub fn open(resetlogs: bool) -> String {
    format!("ALTER DATABASE OPEN{};\nEXIT;\n", if resetlogs { " RESETLOGS" } else { "" })
}

/// Where the longest SRC that fits puts a path.
pub fn mapped(path: &str, maps: &[(String, String)]) -> Option<String> {
    let fits = |from: &str| {
        path.strip_prefix(from).filter(|rest| from.ends_with('/') || rest.starts_with('/') || rest.is_empty())
    };
    let (from, to) =
        maps.iter().filter(|(from, _)| fits(from).is_some()).max_by_key(|(from, _)| from.len())?;
    let rest = fits(from)?;
    Some(format!("{}/{}", to.trim_end_matches('/'), rest.trim_start_matches('/')))
}

/// The log that RMAN-06054 asks for: (thread, sequence, lowest SCN).
pub fn unknown_log(text: &str) -> Option<(u32, u64, u64)> {
    let line = text.find("RMAN-06054")?;
    // The message is wrapped at the width of the terminal.
    let words: Vec<&str> = text[line..].split_whitespace().take(30).collect();
    let after = |word: &str| {
        let at = words.iter().position(|w| *w == word)?;
        words.get(at + 1)?.trim_end_matches([',', '.']).parse::<u64>().ok()
    };
    let thread = after("thread")?;
    let sequence = after("sequence").or_else(|| after("seq"))?;
    let scn = after("SCN").or_else(|| after("scn")).or_else(|| {
        let at = words.iter().position(|w| *w == "of" || *w == "lowscn")?;
        words.get(at + 1)?.parse().ok()
    })?;
    Some((u32::try_from(thread).ok()?, sequence, scn))
}
