//! Small random databases with a history: what happened, what was backed up, what was lost since.
//!
//! Blocks are real: a restore can be carried out on them and be compared with the truth.

use std::collections::BTreeMap;

use super::catalogue::{
    Catalogue, ControlfileItem, DatafileItem, FileFact, Incarnation, LogItem, Scn, Set, Structure, Thread,
};

/// Splitmix64: the same worlds on every machine.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub const BLOCKS: usize = 2;

/// The SCN of the last change of each block.
pub type Blocks = [Scn; BLOCKS];

#[derive(Debug, Clone)]
pub struct Change {
    pub scn: Scn,
    pub thread: u32,
    pub file: (u32, Scn),
    pub block: usize,
}

#[derive(Debug, Clone)]
pub struct Life {
    pub file: u32,
    pub creation: Scn,
    pub dropped: Option<Scn>,
    pub read_only: Option<Scn>,
    /// Past and present stretches.
    pub quiet: Vec<(Scn, Option<Scn>)>,
}

#[derive(Debug, Clone)]
struct Open {
    thread: u32,
    enabled: Scn,
    disabled: Option<Scn>,
    sequence: u64,
    first: Scn,
}

/// The blocks that a set has of a datafile: `None` where it was not copied.
pub type Copied = [Option<Scn>; BLOCKS];

pub struct World {
    pub rng: Rng,
    pub scn: Scn,
    pub incarnations: Vec<Incarnation>,
    pub current: Scn,
    id: u64,
    pub changes: Vec<Change>,
    pub lives: Vec<Life>,
    threads: Vec<Open>,
    /// (thread, from, to) on the way to the present.
    pub enabled: Vec<(u32, Scn, Scn)>,
    pub sets: Vec<Set>,
    pub datafiles: Vec<(DatafileItem, Copied)>,
    pub logs: Vec<LogItem>,
    pub controlfiles: Vec<(ControlfileItem, Structure)>,
    /// Logs on disk that are in no backup yet.
    fresh: Vec<LogItem>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let mut world = Self {
            scn: 2,
            incarnations: vec![Incarnation { resetlogs: 1, id: 1, prior: None }],
            current: 1,
            id: 1,
            changes: Vec::new(),
            lives: Vec::new(),
            threads: vec![Open { thread: 1, enabled: 1, disabled: None, sequence: 1, first: 1 }],
            enabled: Vec::new(),
            sets: Vec::new(),
            datafiles: Vec::new(),
            logs: Vec::new(),
            controlfiles: Vec::new(),
            fresh: Vec::new(),
            rng: Rng(rng.next()),
        };
        let files = 1 + world.rng.below(3) as u32;
        for file in 1..=files {
            world.lives.push(Life { file, creation: 1, dropped: None, read_only: None, quiet: Vec::new() });
        }
        let events = 6 + world.rng.below(22);
        for _ in 0..events {
            world.event();
        }
        world.damage();
        world
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.lives.len()).filter(|i| self.lives[*i].dropped.is_none()).collect()
    }

    fn costly(&self) -> usize {
        self.sets.iter().filter(|s| !s.on_disk).count()
    }

    fn event(&mut self) {
        match self.rng.below(20) {
            0..=5 => self.change(),
            6..=8 => self.switch(),
            9..=12 => self.back_up(),
            13 => self.back_up_logs(),
            14 => self.create(),
            15 => self.drop(),
            16 => self.quiet(),
            17 => self.thread(),
            18 => self.reset(),
            _ => {
                for _ in 0..3 {
                    self.change();
                }
            }
        }
    }

    fn change(&mut self) {
        let open: Vec<u32> = self.threads.iter().filter(|t| t.disabled.is_none()).map(|t| t.thread).collect();
        let files: Vec<usize> =
            self.alive().into_iter().filter(|i| self.lives[*i].read_only.is_none()).collect();
        if let Some(&i) = files.get(self.rng.below(files.len().max(1) as u64) as usize) {
            let thread = open[self.rng.below(open.len() as u64) as usize];
            let file = (self.lives[i].file, self.lives[i].creation);
            let block = self.rng.below(BLOCKS as u64) as usize;
            self.changes.push(Change { scn: self.scn, thread, file, block });
        }
        self.scn += 1;
    }

    fn close(&mut self, index: usize, lost: bool) {
        let scn = self.scn;
        let (resetlogs, id) = (self.current, self.id);
        let open = &mut self.threads[index];
        if open.first < scn && !lost {
            let log = LogItem {
                set: 0,
                thread: open.thread,
                sequence: open.sequence,
                first: open.first,
                next: scn,
                first_time: Some(open.first as i64 * 10),
                next_time: Some(scn as i64 * 10),
                resetlogs,
                resetlogs_id: Some(id),
            };
            self.fresh.push(log);
            open.sequence += 1;
            open.first = scn;
        }
    }

    fn switch(&mut self) {
        let all = self.rng.one_in(2);
        let one = self.rng.below(self.threads.len() as u64) as usize;
        for i in 0..self.threads.len() {
            if self.threads[i].disabled.is_none() && (all || i == one) {
                self.close(i, false);
            }
        }
        if self.rng.one_in(3) {
            self.scn += 1;
        }
    }

    fn create(&mut self) {
        let number = 2 + self.rng.below(3) as u32;
        if self.lives.iter().any(|l| l.file == number && l.dropped.is_none()) {
            return;
        }
        let creation = self.scn;
        self.lives.push(Life { file: number, creation, dropped: None, read_only: None, quiet: Vec::new() });
        self.scn += 1;
    }

    fn drop(&mut self) {
        let list: Vec<usize> = self.alive().into_iter().filter(|i| self.lives[*i].file != 1).collect();
        if let Some(&i) = list.get(self.rng.below(list.len().max(1) as u64) as usize) {
            self.lives[i].dropped = Some(self.scn);
            self.scn += 1;
        }
    }

    fn quiet(&mut self) {
        let list: Vec<usize> = self.alive().into_iter().filter(|i| self.lives[*i].file != 1).collect();
        if let Some(&i) = list.get(self.rng.below(list.len().max(1) as u64) as usize) {
            let scn = self.scn;
            let life = &mut self.lives[i];
            match life.read_only.take() {
                Some(_) => {
                    if let Some(last) = life.quiet.last_mut() {
                        last.1 = Some(scn);
                    }
                }
                None => {
                    life.read_only = Some(scn);
                    life.quiet.push((scn, None));
                }
            }
            self.scn += 1;
        }
    }

    fn thread(&mut self) {
        let scn = self.scn;
        match self.threads.iter().position(|t| t.thread == 2) {
            None => {
                self.threads.push(Open { thread: 2, enabled: scn, disabled: None, sequence: 1, first: scn })
            }
            Some(i) if self.threads[i].disabled.is_none() && self.rng.one_in(2) => {
                self.close(i, false);
                self.threads[i].disabled = Some(scn);
                self.enabled.push((2, self.threads[i].enabled, scn));
                // Somebody has to write down that it is disabled.
                self.scn += 1;
                self.back_up_controlfile(None);
            }
            Some(_) => {}
        }
        self.scn += 1;
    }

    /// Point-in-time recovery: the database goes on from an earlier SCN.
    fn reset(&mut self) {
        if self.scn < 6 || self.incarnations.len() > 2 {
            return;
        }
        for i in 0..self.threads.len() {
            if self.threads[i].disabled.is_none() {
                let lost = self.rng.one_in(4);
                self.close(i, lost);
            }
        }
        self.back_up_controlfile(None);
        let back = self.rng.below(6).min(self.scn - 3);
        let low = self.current + 1;
        let scn = (self.scn - back).max(low);
        self.id += 1;
        self.incarnations.push(Incarnation { resetlogs: scn, id: self.id, prior: Some(self.current) });
        self.changes.retain(|c| c.scn < scn);
        self.lives.retain(|l| l.creation < scn);
        for life in &mut self.lives {
            if life.dropped.is_some_and(|d| d >= scn) {
                life.dropped = None;
            }
            life.quiet.retain(|(from, _)| *from < scn);
            for stretch in &mut life.quiet {
                if stretch.1.is_some_and(|to| to >= scn) {
                    stretch.1 = None;
                }
            }
            life.read_only = life.quiet.last().filter(|q| q.1.is_none()).map(|q| q.0);
        }
        for (_, _, to) in &mut self.enabled {
            *to = (*to).min(scn);
        }
        let mut threads = Vec::new();
        for open in std::mem::take(&mut self.threads) {
            if open.enabled < scn {
                let to = open.disabled.unwrap_or(scn).min(scn);
                if open.disabled.is_none_or(|d| d >= scn) {
                    self.enabled.retain(|(t, from, _)| (*t, *from) != (open.thread, open.enabled));
                    self.enabled.push((open.thread, open.enabled, to));
                    threads.push(Open { enabled: scn, disabled: None, sequence: 1, first: scn, ..open });
                }
            }
        }
        self.enabled.retain(|(_, from, to)| from < to);
        self.threads = threads;
        self.current = scn;
        self.scn = scn;
        if self.rng.one_in(2) {
            self.change();
        }
    }

    /// Ends what is open: the ranges of the threads up to for ever.
    pub fn thread_open(&self, thread: u32, scn: Scn) -> bool {
        let past = self.enabled.iter().any(|&(t, from, to)| t == thread && from <= scn && scn < to);
        past || self
            .threads
            .iter()
            .any(|t| t.thread == thread && t.enabled <= scn && t.disabled.is_none_or(|d| scn < d))
    }

    fn set(&mut self, bytes: u64) -> u32 {
        let pieces = if self.rng.one_in(4) { 2 } else { 1 };
        let n = self.sets.len() as u64;
        self.sets.push(Set {
            stamp: 1000 + n,
            count: n + 1,
            pieces,
            available: true,
            bytes,
            on_disk: false,
            completed: n as i64,
            lacking: 0,
        });
        self.sets.len() as u32 - 1
    }

    /// What a block holds of the present.
    fn blocks_at(&self, file: (u32, Scn), scn: Scn) -> Blocks {
        let mut blocks = [0; BLOCKS];
        for c in self.changes.iter().filter(|c| c.file == file && c.scn < scn) {
            blocks[c.block] = blocks[c.block].max(c.scn);
        }
        blocks
    }

    /// A parent of a level 1: what is on the way to the present.
    fn ancestors(&self) -> Vec<(Scn, Scn)> {
        let mut list = Vec::new();
        let mut end = Scn::MAX;
        let mut at = Some(self.current);
        while let Some(r) = at {
            list.push((r, end));
            end = r;
            at = self.incarnations.iter().rev().find(|i| i.resetlogs == r).and_then(|i| i.prior);
        }
        list
    }

    fn back_up(&mut self) {
        if self.costly() >= 8 {
            return;
        }
        let kind = self.rng.below(5);
        let checkpoint = self.scn;
        let files: Vec<(u32, Scn, Option<Scn>)> = self
            .alive()
            .into_iter()
            .map(|i| (self.lives[i].file, self.lives[i].creation, self.lives[i].read_only))
            .collect();
        // They are made before anything changes, and read after it.
        for _ in 0..self.rng.below(3) {
            self.change();
        }
        let split = self.rng.one_in(2);
        let bytes = if kind >= 2 { 1 + self.rng.below(6) } else { 5 + self.rng.below(12) };
        let mut sets = vec![self.set(bytes)];
        if split {
            let bytes = 1 + self.rng.below(8);
            sets.push(self.set(bytes));
        }
        let ways = self.ancestors();
        for (file, creation, read_only) in files {
            let checkpoint = match read_only {
                Some(since) if since <= checkpoint => since,
                _ => checkpoint,
            };
            if checkpoint <= creation {
                continue;
            }
            let set = sets[self.rng.below(sets.len() as u64) as usize];
            let parents: Vec<&DatafileItem> = self
                .datafiles
                .iter()
                .map(|(d, _)| d)
                .filter(|d| {
                    let on_way = ways
                        .iter()
                        .any(|(r, end)| *r == d.resetlogs && d.checkpoint <= *end && d.fuzzy < *end);
                    (d.file, d.creation) == (file, creation) && on_way && d.level.is_some()
                })
                .collect();
            let (level, incremental) = match kind {
                0 => (Some(0), 0),
                1 => (None, 0),
                2 | 3 => (Some(1), parents.iter().map(|d| d.checkpoint).max().unwrap_or(creation)),
                _ => {
                    let zeros = parents.iter().filter(|d| d.is_base());
                    (Some(1), zeros.map(|d| d.checkpoint).max().unwrap_or(creation))
                }
            };
            let mut copied: Copied = [None; BLOCKS];
            let mut fuzzy = 0;
            for (block, place) in copied.iter_mut().enumerate() {
                let read = checkpoint.max(self.scn - self.rng.below(self.scn - checkpoint + 1));
                let now = self.blocks_at((file, creation), read)[block];
                if now >= incremental {
                    *place = Some(now);
                }
                if now >= checkpoint {
                    fuzzy = fuzzy.max(now);
                }
            }
            let item = DatafileItem {
                set,
                file,
                level,
                incremental,
                checkpoint,
                fuzzy,
                resetlogs: self.current,
                creation,
                time: Some(checkpoint as i64 * 10),
            };
            self.datafiles.push((item, copied));
        }
        if self.rng.below(3) > 0 {
            self.switch();
        }
        let with = if self.rng.one_in(4) { Some(sets[0]) } else { None };
        self.back_up_controlfile(with);
        if self.rng.below(3) > 0 {
            self.back_up_logs();
        }
    }

    fn back_up_controlfile(&mut self, with: Option<u32>) {
        let set = match with {
            Some(set) => set,
            None => {
                let bytes = 1 + self.rng.below(2);
                self.set(bytes)
            }
        };
        let files = self
            .lives
            .iter()
            .filter(|l| l.dropped.is_none())
            .map(|l| FileFact {
                file: l.file,
                creation: l.creation,
                read_only_since: l.read_only,
                offline_change: None,
            })
            .collect();
        let threads = self
            .threads
            .iter()
            .map(|t| Thread { thread: t.thread, enabled: t.enabled, disabled: t.disabled })
            .collect();
        let structure = Structure { files, threads, incarnations: self.incarnations.clone() };
        let item = ControlfileItem {
            set,
            checkpoint: self.scn,
            time: None,
            resetlogs: self.current,
            structure: None,
        };
        self.controlfiles.push((item, structure));
        if self.rng.one_in(2) {
            self.scn += 1;
        }
    }

    fn back_up_logs(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return;
        }
        let copies = if self.rng.one_in(4) { 2 } else { 1 };
        if self.costly() < 9 {
            for _ in 0..copies {
                let bytes = 1 + self.rng.below(8);
                let mut set = self.set(bytes);
                for log in &fresh {
                    if self.rng.one_in(3) && self.costly() < 9 {
                        let bytes = 1 + self.rng.below(8);
                        set = self.set(bytes);
                    }
                    self.logs.push(LogItem { set, ..*log });
                }
            }
        }
        for log in fresh {
            if self.rng.one_in(5) || self.costly() >= 9 {
                self.keep_on_disk(log);
            }
        }
    }

    fn keep_on_disk(&mut self, log: LogItem) {
        let set = self.sets.len() as u32;
        self.sets.push(Set {
            pieces: 1,
            available: true,
            on_disk: true,
            count: u64::from(set) + 1,
            ..Set::default()
        });
        self.logs.push(LogItem { set, ..log });
    }

    /// What happened to the backups since.
    fn damage(&mut self) {
        for log in std::mem::take(&mut self.fresh) {
            self.keep_on_disk(log);
        }
        self.back_up_controlfile(None);
        let chance = [1000, 12, 6][self.rng.below(3) as usize];
        for set in &mut self.sets {
            if self.rng.one_in(chance) {
                set.available = false;
                set.lacking = 1 + self.rng.below(u64::from(set.pieces)) as u32;
            }
        }
    }

    pub fn catalogue(&self) -> Catalogue {
        let mut catalogue = Catalogue {
            sets: self.sets.clone(),
            datafiles: self.datafiles.iter().map(|(d, _)| *d).collect(),
            logs: self.logs.clone(),
            ..Catalogue::default()
        };
        for (item, structure) in &self.controlfiles {
            let structure = Some(catalogue.intern(structure.clone()));
            catalogue.controlfiles.push(ControlfileItem { structure, ..*item });
        }
        catalogue
    }

    /// The files of the database just before `scn`, with their blocks.
    pub fn truth(&self, scn: Scn) -> BTreeMap<(u32, Scn), Blocks> {
        self.lives
            .iter()
            .filter(|l| l.creation < scn && l.dropped.is_none_or(|d| d >= scn))
            .map(|l| ((l.file, l.creation), self.blocks_at((l.file, l.creation), scn)))
            .collect()
    }
}
