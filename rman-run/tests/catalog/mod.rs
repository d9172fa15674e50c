//! Records of backups as rman-run and s3-put write them, and runs of `plan` over them.

use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::record::{
    ArchivedLog, Content, ControlfileContent, DatafileContent, DatafileFact, File, IncarnationFact,
    LogContent, LogStatus, Mode, Object, ObjectStatus, Out, Payload, Role, ThreadFact,
};

pub struct Db {
    dbid: u64,
    /// (name, line)
    lines: Vec<(String, String)>,
    sequence: u64,
    sets: u64,
}

pub struct Planned {
    pub status: i32,
    /// All that was written.
    pub text: String,
    pub stderr: String,
    /// The lines that are not the tool's own.
    pub forwarded: String,
    /// Of `run_end`.
    pub message: String,
}

impl Planned {
    pub fn record(&self, kind: &str) -> String {
        let own =
            |l: &&str| l.contains("\"tool\":\"rman-run\"") && l.contains(&format!("\"type\":\"{kind}\""));
        self.text.lines().find(own).unwrap_or_else(|| panic!("no {kind} in {}", self.text)).to_owned()
    }
}

pub fn db() -> Db {
    Db::new(42)
}

pub fn time(scn: u64) -> Option<String> {
    Some(format!("2026-10-04T{:02}:{:02}:{:02}", scn / 3600, scn / 60 % 60, scn % 60))
}

impl Db {
    pub fn new(dbid: u64) -> Self {
        Self { dbid, lines: Vec::new(), sequence: 1, sets: 0 }
    }

    pub fn raw(&mut self, line: &str) {
        self.lines.push((String::new(), format!("{line}\n")));
    }

    pub fn add(&mut self, other: &Self) {
        self.lines.extend(other.lines.iter().cloned());
    }

    fn push<P: Payload>(&mut self, name: &str, payload: &P) {
        let out = Out::to(Box::new(std::io::sink()), "test", "r", Mode::Json);
        let line = String::from_utf8(out.line(payload).unwrap()).unwrap();
        self.lines.push((name.to_owned(), format!("{line}\n")));
    }

    fn set(&mut self, names: &[String], scn: u64, level: Option<u64>, bytes: u64, contents: Vec<Content>) {
        self.sets += 1;
        for (i, name) in names.iter().enumerate() {
            let file = File {
                path: format!("/b/{name}"),
                bytes: Some(bytes),
                sha256: Some(hash(&format!("{}{name}", self.dbid))),
                role: Some(Role::BackupPiece),
                db: Some(format!("DB{}", self.dbid)),
                dbid: Some(self.dbid),
                level,
                set_stamp: Some(scn),
                set_count: Some(self.sets),
                piece: Some(i as u64 + 1),
                pieces: Some(names.len() as u64),
                completed: time(scn),
                contents: Some(contents.clone()),
                ..File::default()
            };
            self.push(name, &file);
        }
    }

    fn datafile(&self, file: u64, scn: u64, level: u64, incremental: u64) -> Content {
        Content::Datafile(DatafileContent {
            file,
            level: Some(level),
            incremental_change: incremental,
            checkpoint_change: scn,
            checkpoint_time: time(scn),
            resetlogs_change: 1,
            creation_change: 5,
            ..DatafileContent::default()
        })
    }

    pub fn level0(&mut self, scn: u64) {
        let contents = vec![self.datafile(1, scn, 0, 0), self.datafile(2, scn, 0, 0)];
        self.set(&[format!("full_{scn}_a"), format!("full_{scn}_b")], scn, Some(0), 5000, contents);
        self.controlfile(scn);
    }

    pub fn level1(&mut self, scn: u64, since: u64) {
        let contents = vec![self.datafile(1, scn, 1, since), self.datafile(2, scn, 1, since)];
        self.set(&[format!("incr_{scn}")], scn, Some(1), 100, contents);
        self.controlfile(scn);
    }

    fn controlfile(&mut self, scn: u64) {
        let datafile = |file| DatafileFact {
            file,
            path: format!("/o/f{file}.dbf"),
            tablespace: format!("T{file}"),
            creation_change: 5,
            bytes: 8192,
            ..DatafileFact::default()
        };
        let content = ControlfileContent {
            checkpoint_change: scn + 1,
            resetlogs_change: 1,
            datafiles: vec![datafile(1), datafile(2)],
            threads: vec![ThreadFact { thread: 1, enabled_change: 1, disabled_change: None }],
            incarnations: vec![IncarnationFact {
                resetlogs_change: 1,
                resetlogs_id: 9,
                ..IncarnationFact::default()
            }],
            ..ControlfileContent::default()
        };
        self.set(&[format!("cf_{scn}")], scn + 1, None, 10, vec![Content::Controlfile(Box::new(content))]);
    }

    /// One log, backed up.
    pub fn logs(&mut self, first: u64, next: u64) {
        let log = LogContent {
            thread: 1,
            sequence: self.sequence,
            first_change: first,
            next_change: next,
            first_time: time(first),
            next_time: time(next),
            resetlogs_change: 1,
            resetlogs_id: Some(9),
        };
        self.sequence += 1;
        self.set(&[format!("arch_{next}")], next, None, 300, vec![Content::ArchivedLog(log)]);
    }

    pub fn disk_log(&mut self, path: &Path, sequence: u64, first: u64, next: u64) {
        let log = ArchivedLog {
            path: path.display().to_string(),
            thread: Some(1),
            sequence: Some(sequence),
            resetlogs_id: Some(9),
            first_change: Some(first),
            next_change: Some(next),
            status: Some(LogStatus::Present),
            ..ArchivedLog::default()
        };
        self.push("disk", &log);
    }

    pub fn drop_line(&mut self, name: &str) {
        self.lines.retain(|(n, _)| n != name);
    }

    /// The same piece in another place.
    pub fn copy(&mut self, name: &str, path: &str) {
        let (_, line) = self.lines.iter().find(|(n, _)| n == name).unwrap().clone();
        self.lines.push((path.to_owned(), line.replace(&format!("/b/{name}"), path)));
    }

    pub fn upload_all(&mut self) {
        let names: Vec<String> = self.lines.iter().map(|(n, _)| n.clone()).collect();
        for name in names {
            let object = Object {
                bucket: "b".to_owned(),
                key: format!("k/{name}"),
                path: Some(format!("/b/{name}")),
                sha256: Some(hash(&format!("{}{name}", self.dbid))),
                status: Some(ObjectStatus::Uploaded),
                ..Object::default()
            };
            self.push(&format!("k/{name}"), &object);
        }
    }

    pub fn object_failed(&mut self, key: &str) {
        let object = Object {
            bucket: "b".to_owned(),
            key: key.to_owned(),
            status: Some(ObjectStatus::Failed),
            ..Object::default()
        };
        self.push("failed", &object);
    }

    pub fn lines_of(&self, names: &[&str]) -> String {
        names
            .iter()
            .map(|n| self.lines.iter().find(|(name, _)| name == n).map(|(_, l)| l.as_str()).unwrap())
            .collect()
    }

    pub fn plan(&self, args: &[&str]) -> Planned {
        let text: String = self.lines.iter().map(|(_, l)| l.as_str()).collect();
        let piped = plan(&text, args, true);
        let from_file = plan(&text, args, false);
        assert_eq!((piped.status, &piped.forwarded), (from_file.status, &from_file.forwarded));
        piped
    }
}

/// A number that stands for the content of a file.
fn hash(name: &str) -> String {
    let sum = name.bytes().fold(7u64, |sum, b| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(b));
    format!("{sum:016x}").repeat(4)
}

fn plan(input: &str, args: &[&str], piped: bool) -> Planned {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rman-run"));
    command.arg("plan").args(args).env_clear().env("STATE_DIR", state.path()).env("ORAPIPE_ALLOW_ROOT", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut file = tempfile::tempfile().unwrap();
    if piped {
        command.stdin(Stdio::piped());
    } else {
        // What was read before must not be read again.
        file.write_all(b"read by somebody else\n").unwrap();
        let begin = file.stream_position().unwrap();
        file.write_all(input.as_bytes()).unwrap();
        file.seek(std::io::SeekFrom::Start(begin)).unwrap();
        command.stdin(file);
    }
    let mut child = command.spawn().unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let own = |l: &&str| l.contains("\"tool\":\"rman-run\"");
    let forwarded = text.lines().filter(|l| !own(l)).map(|l| format!("{l}\n")).collect();
    let end = text.lines().rfind(|l| l.contains("run_end")).unwrap_or_default();
    let message = end.split("\"message\":\"").nth(1).unwrap_or_default().trim_end_matches("\"}").to_owned();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Planned { status: output.status.code().unwrap(), text, stderr, forwarded, message }
}
