//! Archived logs as a database writes them: header, numbered blocks, checksums; the redo in them is noise.

use std::sync::OnceLock;

use orasim::redolog::{blocks, LogHeader, Order};

pub const DBID: u32 = 1_497_201_050;
pub const RESETLOGS_ID: u32 = 1_197_657_913;
const START_SCN: u64 = 959_994_799_549;
const BLOCK: usize = 512;
const NOISE: usize = 8 << 20;

/// One incarnation of a database.
#[derive(Debug, Clone, Copy)]
pub struct Incarnation {
    pub resetlogs_id: u32,
    pub scn: u64,
    pub previous: (u32, u64),
}

impl Incarnation {
    pub const FIRST: Self = Self { resetlogs_id: RESETLOGS_ID, scn: START_SCN, previous: (0, 0) };

    /// The one that RESETLOGS makes at `scn` of this one.
    pub fn reset(self, scn: u64) -> Self {
        Self { resetlogs_id: self.resetlogs_id + 86_400, scn, previous: (self.resetlogs_id, self.scn) }
    }

    /// First SCN of a sequence; each log spans a thousand.
    pub fn first_scn(self, sequence: u32) -> u64 {
        self.scn + u64::from(sequence - 1) * 1000
    }

    /// A whole log of `bytes`, a multiple of 512.
    pub fn log(self, thread: u16, sequence: u32, bytes: usize) -> Vec<u8> {
        let nab = (bytes / BLOCK) as u32;
        let header = LogHeader {
            order: Order::Little,
            block_size: BLOCK as u32,
            dbid: DBID,
            db_name: "DBPROD".to_owned(),
            control_seq: sequence,
            file_blocks: nab.max(8192),
            group: 1,
            activation: DBID ^ 0x00A5_5A00,
            thread,
            sequence,
            nab,
            resetlogs_id: self.resetlogs_id,
            resetlogs_scn: self.scn,
            low_scn: self.first_scn(sequence),
            low_time: self.resetlogs_id + sequence * 60,
            next_scn: self.first_scn(sequence + 1),
            next_time: self.resetlogs_id + (sequence + 1) * 60,
            previous_resetlogs_id: self.previous.0,
            previous_resetlogs_scn: self.previous.1,
        };
        let mut log = header.encode();
        let redo = (nab as usize - 2) * (BLOCK - 16);
        let from = (usize::from(thread) * 7919 + sequence as usize * 4099) % (NOISE - redo);
        log.extend(blocks(&noise()[from..from + redo], &[], &header, 2));
        assert_eq!(log.len(), nab as usize * BLOCK);
        log
    }

    /// The default LOG_ARCHIVE_FORMAT.
    pub fn name(self, thread: u16, sequence: u32) -> String {
        format!("{thread}_{sequence}_{}.dbf", self.resetlogs_id)
    }
}

fn noise() -> &'static [u8] {
    static NOISES: OnceLock<Vec<u8>> = OnceLock::new();
    NOISES.get_or_init(|| {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        std::iter::repeat_with(|| dice.next().to_le_bytes()).take(NOISE / 8).flatten().collect()
    })
}

/// Numbers at random that a printed seed brings back.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}
