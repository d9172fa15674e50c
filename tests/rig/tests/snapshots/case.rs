//! What a case is: what is wished, what goes wrong when, and what has to come out of it.

use std::time::Duration;

use ibsim::{Config, Fault, Rule};
use orasim::server::fault::{Fault as DbFault, Kind, When};
use rustix::process::Signal;

use crate::bench::{ARCHIVE, DATA, GROUP};

/// What is snapshot, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub data: Vec<String>,
    pub archive: Vec<String>,
    pub group: bool,
    pub separate: bool,
}

impl Shape {
    /// All data volumes at one instant, then the archive volume.
    pub fn whole() -> Self {
        let data = DATA.map(str::to_owned).to_vec();
        Self { data, archive: vec![ARCHIVE.to_owned()], group: false, separate: false }
    }

    /// One after the other, for arrays without group snapshots.
    pub fn separate() -> Self {
        Self { separate: true, ..Self::whole() }
    }

    /// By a consistency group.
    pub fn group() -> Self {
        Self { group: true, ..Self::whole() }
    }

    /// One volume of each kind.
    pub fn single() -> Self {
        Self { data: vec![DATA[0].to_owned()], ..Self::whole() }
    }

    pub fn args(&self) -> Vec<String> {
        let mut args = Vec::new();
        if self.group {
            args.extend(["--data-cg".to_owned(), GROUP.to_owned()]);
        } else {
            args.extend(["--data-volume".to_owned(), self.data.join(",")]);
        }
        if self.separate {
            args.push("--separate-snapshots".to_owned());
        }
        if self.archive.is_empty() {
            args.push("--no-archive".to_owned());
        } else {
            args.extend(["--archive-volume".to_owned(), self.archive.join(",")]);
        }
        args
    }
}

/// When a blow falls.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// The n-th request like this has reached the array, from 1: method, path and query.
    Request(&'static str, &'static str, usize),
    /// A statement like this, in capitals, has reached the database.
    Statement(&'static str),
}

/// What is done to the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    Signal(Signal),
    /// The same signal three times.
    Thrice(Signal),
    /// SIGKILL for the whole process group.
    Group,
    /// SIGKILL for the keeper of backup mode alone.
    Keeper,
    /// SIGKILL for everything, as when the host goes down.
    Host,
    /// SIGSTOP, and SIGCONT when nothing is in backup mode any more, which has to be so many seconds later at the latest.
    Stop(u64),
    /// None to the tool: somebody else does this in the database.
    Dba(&'static [&'static str]),
}

/// What has to be on the array in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Complete,
    Incomplete,
    /// No snapshot of the run.
    Nothing,
    /// No complete set; what there is is marked.
    NoSet,
    /// Whatever is true is told truly.
    Truth,
    /// The array stores no metadata.
    Unmarked,
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub shape: Shape,
    pub rules: Vec<Rule>,
    pub database: Vec<DbFault>,
    pub blow: Option<(Moment, Blow)>,
    pub args: Vec<String>,
    /// Statuses that are right; none for a tool that is killed.
    pub status: Vec<i32>,
    pub set: Wanted,
    /// A word that somebody who reads what it says must find.
    pub says: Option<&'static str>,
    /// After so long the run is over.
    pub within: Duration,
    /// The array that it is played on.
    pub config: Config,
    /// What is seen in the next run when the array has to be its old self again.
    pub next: bool,
}

impl Case {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            shape: Shape::whole(),
            rules: Vec::new(),
            database: Vec::new(),
            blow: None,
            args: Vec::new(),
            status: vec![0],
            set: Wanted::Complete,
            says: None,
            within: Duration::from_secs(40),
            config: Config::default(),
            next: true,
        }
    }

    pub fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    pub fn database(mut self, pattern: &str, kind: Kind, times: Option<u32>) -> Self {
        self.database.push(DbFault { pattern: pattern.to_owned(), kind, times, skip: 0 });
        self
    }

    pub fn blow(mut self, moment: Moment, blow: Blow) -> Self {
        self.blow = Some((moment, blow));
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|a| (*a).to_owned()));
        self
    }

    pub fn ends(mut self, status: &[i32], set: Wanted) -> Self {
        self.status = status.to_vec();
        self.set = set;
        self
    }

    pub fn says(mut self, word: &'static str) -> Self {
        self.says = Some(word);
        self
    }

    pub fn within(mut self, seconds: u64) -> Self {
        self.within = Duration::from_secs(seconds);
        self
    }

    pub fn is_killed(&self) -> bool {
        matches!(self.blow, Some((_, Blow::Signal(Signal::KILL) | Blow::Group | Blow::Host)))
    }
}

/// Holds a request open for so many milliseconds; it is executed then, whoever waits.
pub fn open(ms: u64) -> Fault {
    Fault::Delay(ms)
}

/// Holds a statement open.
pub fn statement_open(seconds: f64) -> Kind {
    Kind::Hang { seconds: Some(seconds), when: When::Before }
}
