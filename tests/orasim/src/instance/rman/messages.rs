//! Oracle's words for what can be wrong with a piece or a disk.

use std::{io, path::Path};

use crate::{
    engine::OraError,
    instance::life::NO_SUCH_FILE,
    pieces::{
        api::{Failure, Message},
        format::Damage,
    },
};

pub(super) fn ora(error: &OraError) -> Vec<Message> {
    error.stack.iter().map(|(code, text)| Message::ora(*code, text.clone())).collect()
}

pub(super) fn failed(error: &OraError) -> Failure {
    Failure::new(ora(error))
}

/// The operating system's line below an Oracle error.
fn system(e: &io::Error) -> String {
    let number = e.raw_os_error().unwrap_or(5);
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("Linux-x86_64 Error: {number}: {text}")
}

/// ORA-19502: writing into a piece failed.
pub(super) fn write_error(path: &Path, block: u64, e: &io::Error) -> Vec<Message> {
    vec![
        Message::ora(
            19502,
            format!("write error on file \"{}\", block number {block} (block size=8192)", path.display()),
        ),
        Message::ora(27072, format!("File I/O error\n{}\nAdditional information: 4", system(e))),
    ]
}

/// ORA-19504: a file could not be made.
pub(super) fn create_error(path: &Path, e: &io::Error) -> Vec<Message> {
    let below = if e.kind() == io::ErrorKind::AlreadyExists {
        Message::ora(27038, "created file already exists\nAdditional information: 1")
    } else {
        Message::ora(27040, format!("file create error, unable to create file\n{}", system(e)))
    };
    vec![Message::ora(19504, format!("failed to create file \"{}\"", path.display())), below]
}

/// ORA-19505 and ORA-27037: a file that is not there.
pub(super) fn missing(path: &Path) -> Vec<Message> {
    vec![
        Message::ora(19505, format!("failed to identify file \"{}\"", path.display())),
        Message::ora(27037, NO_SUCH_FILE),
    ]
}

/// ORA-19870 and what stands below it.
pub(super) fn piece_error(path: &Path, damage: &Damage) -> Vec<Message> {
    let mut lines =
        vec![Message::ora(19870, format!("error while restoring backup piece {}", path.display()))];
    lines.extend(damage_lines(path, damage));
    lines
}

pub(super) fn damage_lines(path: &Path, damage: &Damage) -> Vec<Message> {
    let read = |block: u64, below: String| {
        vec![
            Message::ora(19587, format!("error occurred reading 8192 bytes at block number {block}")),
            Message::ora(27072, format!("File I/O error\n{below}")),
        ]
    };
    match damage {
        Damage::Missing => missing(path),
        Damage::Io(e) => read(1, system(e)),
        Damage::NotAPiece => vec![Message::ora(19608, format!("{} is not a backup piece", path.display()))],
        Damage::Truncated(block) => {
            read(*block, "Additional information: 4\nAdditional information: -1".into())
        }
        Damage::Corrupt(block) => vec![Message::ora(
            19599,
            format!("block number {block} is corrupt in backup piece {}", path.display()),
        )],
    }
}

/// RMAN-06026 with the files that have no backup.
pub(super) fn not_found(files: &[u32]) -> Failure {
    let mut lines = vec![Message::rman(6026, "some targets not found - aborting restore")];
    lines.extend(
        files
            .iter()
            .map(|f| Message::rman(6023, format!("no backup or copy of datafile {f} found to restore"))),
    );
    Failure::new(lines)
}
