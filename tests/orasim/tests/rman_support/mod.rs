//! A quiet database and RMAN over it, without a daemon; transcripts with what changes from run to run masked.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use orasim::instance::{FileSpec, Instance, Spec, TablespaceKind, TablespaceSpec};
use orasim::rman::run;
use orasim::server::admin::Admin;
use orasim::server::fault::{Fault, Kind};
use orasim::server::front::Front;
use orasim::server::Core;
use orasim::sqlplus::Process;

pub struct Site {
    pub dir: tempfile::TempDir,
    pub core: Arc<Core>,
    pub db: Arc<Instance>,
    pub env: BTreeMap<String, String>,
}

impl Site {
    pub fn with(front: &Front, change: impl FnOnce(&mut Spec)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("db");
        let file = |name: &str| FileSpec { path: dir.path().join("data").join(name), bytes: 512 << 10 };
        let mut spec = Spec {
            tablespaces: vec![
                TablespaceSpec::new("SYSTEM", vec![file("system01.dbf")]),
                TablespaceSpec {
                    kind: TablespaceKind::Undo,
                    ..TablespaceSpec::new("UNDOTBS1", vec![file("undo01.dbf")])
                },
                TablespaceSpec::new("USERS", vec![file("users01.dbf")]),
                TablespaceSpec { read_only: true, ..TablespaceSpec::new("HIST", vec![file("hist01.dbf")]) },
                TablespaceSpec {
                    kind: TablespaceKind::Temporary,
                    ..TablespaceSpec::new("TEMP", vec![file("temp01.dbf")])
                },
            ],
            log_bytes: 1 << 20,
            changes_per_second: 0,
            write_pause_ms: 0,
            ..Spec::default()
        };
        change(&mut spec);
        std::fs::create_dir_all(dir.path().join("bk")).unwrap();
        let db = Instance::create(&at, &spec).unwrap();
        front.save(&at).unwrap();
        let core = Core::with(&db).unwrap();
        Self { dir, core, db, env: BTreeMap::new() }
    }

    pub fn new() -> Self {
        Self::with(&Front::default(), |_| {})
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// RMAN with these words; the status and what it printed.
    pub fn rman(&self, args: &[&str], input: &str) -> (i32, String) {
        let process = Process {
            argv: args.iter().map(|a| a.to_string()).collect(),
            env: self.env.clone(),
            cwd: self.dir.path().to_path_buf(),
            pid: 4711,
            ppid: 1,
            core: Some(Arc::clone(&self.core)),
        };
        let mut out = Vec::new();
        let status = run(&process, &mut input.as_bytes(), &mut out);
        (status, String::from_utf8(out).unwrap())
    }

    /// A command file; what comes after its echo.
    pub fn script(&self, text: &str) -> (i32, String) {
        let (status, whole) = self.file(text);
        let echo: String = text.lines().last().unwrap_or_default().to_string();
        let after = whole.split_once(&format!("> {echo}\n")).map_or(whole.clone(), |(_, b)| b.to_string());
        (status, after)
    }

    /// A command file; everything.
    pub fn file(&self, text: &str) -> (i32, String) {
        std::fs::write(self.at("script.rman"), text.replace("@@", &self.dir.path().display().to_string()))
            .unwrap();
        self.rman(&["target", "/", "cmdfile=script.rman"], "")
    }

    /// A script that must succeed.
    pub fn good(&self, text: &str) -> String {
        let (status, said) = self.file(text);
        assert_eq!(status, 0, "{said}");
        said
    }

    /// Key of the newest backup set with this tag, by LIST.
    pub fn set_key(&self, tag: &str) -> String {
        let said = self.good(&format!("list backup summary tag {tag};\n"));
        let row = said.lines().rfind(|l| l.trim_end().ends_with(&tag.to_uppercase()));
        row.and_then(|r| r.split_whitespace().next())
            .unwrap_or_else(|| panic!("{tag} not in {said}"))
            .to_string()
    }

    /// Handles of the pieces with a tag that LIST shows, oldest first.
    pub fn handles(&self, tag: &str) -> Vec<String> {
        let said = self.good(&format!("list backup tag {tag};\n"));
        said.lines().filter_map(|l| l.trim().strip_prefix("Piece Name: ")).map(str::to_string).collect()
    }

    pub fn sql(&self, text: &str) -> String {
        self.core.admin(&Admin::Sql { text: text.into() }).unwrap()
    }

    pub fn fault(&self, pattern: &str, kind: Kind, skip: u32) {
        let fault = Fault { pattern: pattern.into(), kind, times: Some(1), skip };
        self.core.admin(&Admin::AddFault(fault)).unwrap();
    }

    /// With the directory, dates, times, SCNs, stamps and random names masked.
    pub fn masked(&self, text: &str) -> String {
        let text = text.replace(&self.dir.path().display().to_string(), "/u01");
        let rules: [(&str, &str); 12] = [
            (r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", "<day>"),
            (r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d", "<stack date>"),
            (r"\d\d-[A-Z]{3}-\d\d", "DD-MON-YY"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<iso date>"),
            (r"TAG\d{8}T\d{6}", "TAG<t>"),
            (r"RECID=\d+", "RECID=<n>"),
            (r"STAMP=\d+", "STAMP=<n>"),
            (r"SID=\d+", "SID=<n>"),
            (r"elapsed time: \d\d:\d\d:\d\d", "elapsed time: <t>"),
            (r"bk/[A-Za-z0-9]{8}_(\d+_\d+(?:_\d+)?)", "bk/<u>_$1"),
            (r"-\d{8}-([0-9a-f]{2})\b", "-<day>-$1"),
            (r"\b\d{12}\b", "<scn>"),
        ];
        let mut out = text;
        for (rule, with) in rules {
            out = regex::Regex::new(rule).unwrap().replace_all(&out, with).into_owned();
        }
        out
    }
}

/// The frame around an error stack.
pub const FRAME: &str = "RMAN-00571: ===========================================================\nRMAN-00569: =============== ERROR MESSAGE STACK FOLLOWS ===============\nRMAN-00571: ===========================================================\n";
