//! The shapes of the lines that matter.

use std::sync::LazyLock;

use regex::Regex;

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        // A pattern that does not compile is found by the first test; it then matches nothing.
        static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($text).ok());
    };
}

// What `ts`, a logging wrapper or syslog puts before each line.
pattern!(
    STAMP,
    r"^(?:\[?\d{4}[-/]\d\d[-/]\d\d[T _-]\d\d:\d\d(?::\d\d)?[\d.,]*(?:Z|[+-]\d\d:?\d\d)?\]?|\[?\d\d:\d\d:\d\d[\d.,]*\]?|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S+:|\[?(?:INFO|ERROR|WARN(?:ING)?|DEBUG)\]?:?)(?:\s*[-|:]?\s*(?:\[?(?:INFO|ERROR|WARN(?:ING)?|DEBUG)\]?:?))?\s*[-|:]?\s+"
);
// `Recovery Manager: Release 19.0.0.0.0 - Production on …`, in any language.
pattern!(BANNER, r"^\s*([\p{L}\u{fffd}][\p{L}\u{fffd} ]{4,48}?) ?: \S+ \d{1,2}(?:\.\d+){2,4}\b");
// `piece handle=… tag=… comment=…`, `manejador de parte=… etiqueta=… comentario=…`; an autobackup has no tag.
pattern!(
    HANDLE,
    r"^(?:\S+ \S+: ?)?[^=/\\+]{3,40}=(\S.*?)(?: [^=\s]{1,20}=([A-Za-z0-9_$#]+|null|NULL))?(?: [^=\s]{1,20}=(?:NONE|NULL|API .*|Proxy.*|MMS.*|[^=]*))?$"
);
pattern!(STARTING_PIECE, r"^(?:channel )?(\S+): starting piece (\d+) at ");
pattern!(FINISHED_PIECE, r"^(?:channel )?(\S+): finished piece (\d+) at ");
// `canal ORA_DISK_1: iniciando parte 1 en 18/11/2025`: channel, piece number, date, whatever the words.
pattern!(
    SOME_PIECE,
    r"^\S+ ([A-Za-z_]\w*): [^\d=/\\:]+ (\d{1,4}) [^\d=/\\:]+ (?:\d{1,4}[-/.]\S+|\d{8,14}\b|\d\d:\d\d)"
);
pattern!(INPUT_FILE, r"^input datafile (?:file number|fno)=0*(\d+) ");
pattern!(NO_PARENT, r"^no parent backup or copy of datafile (\d+) found");
pattern!(LEVEL_1, r"starting (?:compressed )?(?:encrypted )?incremental level 1 datafile backup ?set");
pattern!(OTHER_SET, r"starting .*(?:datafile|archived? log|backup ?set|copy)");
pattern!(STARTING, r"^Starting (.+?) at \S");
pattern!(FINISHED, r"^Finished (.+?) at \S");
// The row of a file in the table that VALIDATE prints.
pattern!(FAILED_ROW, r"^\s*\d+\s+(?:\d+\s+)?FAILED\s+\d+(?:\s|$)");
pattern!(
    SHELL_CALL,
    r"(?:^|[$#>%\]] *)\S*\brman(?:\.exe)?(?: +(?:target|nocatalog|/|catalog|auxiliary)\b.*| +/.*|)$"
);

/// The line without the time stamp before it; `None` when it has none.
pub fn without_stamp(line: &str) -> Option<&str> {
    let found = STAMP.as_ref()?.find(line)?;
    line.get(found.end()..)
}

/// Name of the program in its banner.
pub fn banner(line: &str) -> Option<&str> {
    let name = BANNER.as_ref()?.captures(line)?.get(1)?.as_str().trim();
    let foreign = ["Export", "Import", "Oracle", "SQL", "Database", "Version", "Release", "TNS", "Copyright"];
    (!foreign.iter().any(|f| name.starts_with(f))).then_some(name)
}

/// Name of the piece that a line calls finished, or read.
pub fn handle(line: &str) -> Option<&str> {
    let words = line.split_once('=')?.0;
    // Lines with `=` that are no handles are told apart by what is behind the first `=`.
    if words.contains("SID") || words.contains("sid") || words.ends_with(['>', '#']) {
        return None;
    }
    let found = HANDLE.as_ref()?.captures(line)?;
    let path = found.get(1)?.as_str();
    let english = words.ends_with("piece handle") || words.ends_with("handle");
    let tagged =
        found.get(2).is_some() && (line.contains("=NONE") || line.contains("=API") || line.contains("=null"));
    let untagged = line.ends_with("=NONE") && path.contains(['/', '\\', '+', '-']);
    (english || tagged || untagged).then_some(path)
}

/// A piece that begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Starting,
    Finished,
    /// In another language: the first such line begins, the second ends.
    Either,
}

/// Channel and number of the piece that the line speaks of.
pub fn piece(line: &str) -> Option<(Piece, &str, &str)> {
    let get = |regex: &LazyLock<Option<Regex>>, what| {
        let found = (**regex).as_ref()?.captures(line)?;
        Some((what, found.get(1)?.as_str(), found.get(2)?.as_str()))
    };
    get(&STARTING_PIECE, Piece::Starting)
        .or_else(|| get(&FINISHED_PIECE, Piece::Finished))
        .or_else(|| get(&SOME_PIECE, Piece::Either))
}

fn number(regex: &LazyLock<Option<Regex>>, line: &str) -> Option<u64> {
    (**regex).as_ref()?.captures(line)?.get(1)?.as_str().parse().ok()
}

/// File number of a datafile that goes into a set.
pub fn input_file(line: &str) -> Option<u64> {
    number(&INPUT_FILE, line)
}

/// File number of a datafile for which a level 1 found no level 0.
pub fn no_parent(line: &str) -> Option<u64> {
    number(&NO_PARENT, line)
}

/// Whether a set of level 1 begins; `None` when no set begins.
pub fn begins_level_1(line: &str) -> Option<bool> {
    if LEVEL_1.as_ref()?.is_match(line) {
        return Some(true);
    }
    OTHER_SET.as_ref()?.is_match(line).then_some(false)
}

/// The job that the line says was begun (`true`) or ended: `backup`, `restore`, `Control File and SPFILE Autobackup`.
pub fn job(line: &str) -> Option<(bool, &str)> {
    let of = |regex: &LazyLock<Option<Regex>>| Some((**regex).as_ref()?.captures(line)?.get(1)?.as_str());
    match line.as_bytes().first()? {
        b'S' => Some((true, of(&STARTING)?)),
        b'F' => Some((false, of(&FINISHED)?)),
        _ => None,
    }
}

/// A file in which VALIDATE found damage.
pub fn failed_row(line: &str) -> bool {
    FAILED_ROW.as_ref().is_some_and(|r| r.is_match(line))
}

/// The line in which somebody called RMAN at a shell's prompt.
pub fn shell_call(line: &str) -> bool {
    let Some((_, behind)) = line.split_once("rman") else { return false };
    // With a command file there is no terminal to copy from.
    let batch = ["cmdfile", "@", "log=", "<<", " < "].iter().any(|w| behind.contains(w));
    !batch && SHELL_CALL.as_ref().is_some_and(|r| r.is_match(line))
}

/// An echoed command: `RMAN> …`, `  12> …`.
pub fn is_echo(line: &str) -> bool {
    if line.starts_with("RMAN>") {
        return true;
    }
    let text = line.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && digits < 7 && text.as_bytes().get(digits) == Some(&b'>')
}

/// Whether the line is a prompt at which RMAN waits for a command.
pub fn waits(line: &str) -> bool {
    line.trim_end().ends_with("RMAN>") && line.split_whitespace().all(|w| w.ends_with('>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for regex in [
            &STAMP,
            &BANNER,
            &HANDLE,
            &STARTING_PIECE,
            &FINISHED_PIECE,
            &SOME_PIECE,
            &INPUT_FILE,
            &NO_PARENT,
            &LEVEL_1,
            &OTHER_SET,
            &STARTING,
            &FINISHED,
            &FAILED_ROW,
            &SHELL_CALL,
        ] {
            assert!(regex.is_some());
        }
    }

    #[test]
    fn banners_in_several_languages() {
        for (line, name) in [
            (
                "Recovery Manager: Release 19.0.0.0.0 - Production on Fri Apr 4 13:46:20 2025",
                "Recovery Manager",
            ),
            ("Recovery Manager: Release 9.2.0.6.0 - Production", "Recovery Manager"),
            ("Recovery Manager : Version 10.2.0.1.0 - Production le Lun.", "Recovery Manager"),
            (
                "Gerenciador de Recupera\u{fffd}\u{fffd}o: Release 11.2.0.4.0 - Production em Qui",
                "Gerenciador de Recupera\u{fffd}\u{fffd}o",
            ),
        ] {
            assert_eq!(banner(line), Some(name), "{line}");
        }
        for line in [
            "Export: Release 11.2.0.2.0 - Production on Thu Aug 29 16:45:01 2013",
            "SQL*Plus: Release 19.0.0.0.0 - Production on Thu",
            "channel c1: VERITAS NetBackup for Oracle - Release 4.5FP_6 (2004102519)",
            "Version 19.26.0.0.0",
        ] {
            assert_eq!(banner(line), None, "{line}");
        }
    }

    #[test]
    fn handles_in_several_languages_and_none_where_there_is_none() {
        for (line, path) in [
            ("piece handle=/b/a b/x_1_1 tag=TAG20251118T121028 comment=NONE", "/b/a b/x_1_1"),
            ("piece handle=/b/c-1-2-00 comment=NONE", "/b/c-1-2-00"),
            ("piece handle=qf4_1_1 tag=TAG comment=API Version 2.0,MMS Version 19.0.0.1", "qf4_1_1"),
            (
                "manejador de parte=C:\\APP\\DATABASE\\0A_1_1 etiqueta=TAG2025 comentario=NONE",
                "C:\\APP\\DATABASE\\0A_1_1",
            ),
            ("handle de peça=/b/0238ifdj_1_1 tag=TAG2 comentário=NONE", "/b/0238ifdj_1_1"),
            ("channel c1: piece handle=/b/x tag=T1", "/b/x"),
            ("piece handle=x.rman tag=TAG20040622T023557 params=NULL", "x.rman"),
        ] {
            assert_eq!(handle(line), Some(path), "{line}");
        }
        for line in [
            "channel ORA_DISK_1: SID=18 device type=DISK",
            "input datafile file number=00001 name=/u/system01.dbf",
            "input archived log thread=1 sequence=15 RECID=18 STAMP=917076670",
            "connected to target database: XE (DBID=3114375768)",
        ] {
            assert_eq!(handle(line), None, "{line}");
        }
    }
}
