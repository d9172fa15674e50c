//! Reads a whole archive back and checks every member: length, CRC-32, SHA-256.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{sync_channel, Receiver};

use anyhow::{bail, ensure, Context};
use sha2::{Digest, Sha256};

use crate::archive;
use crate::manifest::{self, Head, Member};
use crate::pack::hex;
use crate::readback;

const PIECE: usize = 256 << 10;

/// An archive that was read and is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Of the archive file.
    pub sha256: String,
    pub bytes: u64,
    /// Without our own list.
    pub members: u64,
    /// `None` when another program made it: then only lengths and CRC-32 were checked.
    pub head: Option<Head>,
}

/// Reads an archive from the disk.
///
/// `wanted` is what must be in it; without it the archive's own list says so.
///
/// # Errors
/// The first thing that is wrong, with the name of the member.
pub fn prove(
    path: &Path,
    wanted: Option<&[Member]>,
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Proof> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    readback::forget(&file);
    std::thread::scope(|scope| {
        // Both readers go over the same pages; who comes first fetches them.
        let whole = scope.spawn(|| readback::hash_of(&file, &mut |_| crate::job::stopped()));
        let members = read_members(path, wanted, tick);
        let whole = whole.join().map_err(|_| anyhow::anyhow!("the reader of the archive stopped"))?;
        let (head, members) = members.with_context(|| format!("read {} back", path.display()))?;
        let (sha256, bytes) = whole.with_context(|| format!("read {} back", path.display()))?;
        Ok(Proof { sha256, bytes, members, head })
    })
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

fn read_members(
    path: &Path,
    wanted: Option<&[Member]>,
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<(Option<Head>, u64)> {
    let mut zip = archive::open(path)?;
    let listed = match zip.by_name(manifest::MEMBER) {
        Ok(member) => Some(manifest::read(BufReader::new(member))?),
        Err(zip::result::ZipError::FileNotFound) => None,
        Err(e) => return Err(e).context(manifest::MEMBER),
    };
    let (head, listed) = listed.map_or((None, None), |(head, members)| (Some(head), Some(members)));
    if let (Some(wanted), Some(listed)) = (wanted, &listed) {
        ensure!(wanted == listed, "its list of members is not the one that was written");
    }
    let wanted = wanted.or(listed.as_deref());
    ensure!(wanted.is_none() || listed.is_some(), "{} is missing in it", manifest::MEMBER);
    let by_name: Option<HashMap<&str, &Member>> =
        wanted.map(|all| all.iter().map(|m| (m.name.as_str(), m)).collect());
    std::thread::scope(|scope| {
        let (pieces, received) = sync_channel::<Piece>(8);
        let hasher = scope.spawn(move || digests(&received));
        let mut names = Vec::new();
        let mut done = 0;
        for n in 0..zip.len() {
            let mut member = zip.by_index(n).with_context(|| format!("member {n}"))?;
            let name = member.name().with_context(|| format!("name of member {n}"))?.into_owned();
            let size = member.size();
            let mut read = 0;
            loop {
                let mut piece = vec![0; PIECE.min(usize::try_from(size - read).unwrap_or(PIECE) + 1)];
                // The reader checks the CRC-32 at the end of the member.
                let n = member.read(&mut piece).with_context(|| format!("member {name}"))?;
                if n == 0 {
                    break;
                }
                piece.truncate(n);
                read += n as u64;
                done += n as u64;
                ensure!(read <= size, "member {name} is longer than {size} bytes");
                if pieces.send(Piece::Bytes(piece)).is_err() {
                    bail!("the hasher stopped");
                }
                tick(done)?;
            }
            ensure!(read == size, "member {name} has {read} bytes instead of {size}");
            if pieces.send(Piece::End).is_err() {
                bail!("the hasher stopped");
            }
            names.push((name, read));
        }
        drop(pieces);
        let hashes = hasher.join().map_err(|_| anyhow::anyhow!("the hasher stopped"))?;
        let own = usize::from(listed.is_some());
        if let Some(wanted) = &by_name {
            ensure!(
                names.len() == wanted.len() + own,
                "it has {} members, not {}",
                names.len(),
                wanted.len() + own
            );
            for ((name, bytes), hash) in names.iter().zip(&hashes).filter(|((n, _), _)| n != manifest::MEMBER)
            {
                let member =
                    wanted.get(name.as_str()).with_context(|| format!("member {name} is not on its list"))?;
                ensure!(member.bytes == *bytes, "member {name} has {bytes} bytes, not {}", member.bytes);
                ensure!(member.sha256 == *hash, "member {name} has SHA-256 {hash}, not {}", member.sha256);
            }
        }
        Ok((head, (names.len() - own) as u64))
    })
}

fn digests(pieces: &Receiver<Piece>) -> Vec<String> {
    let mut all = Vec::new();
    let mut hash = Sha256::new();
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Bytes(bytes) => hash.update(&bytes),
            Piece::End => all.push(hex(&std::mem::take(&mut hash).finalize())),
        }
    }
    all
}

/// What an archive says of itself and the list of its members, read without the rest.
pub fn list(path: &Path) -> anyhow::Result<(Head, Vec<Member>)> {
    let mut zip = archive::open(path)?;
    let member = zip
        .by_name(manifest::MEMBER)
        .with_context(|| format!("{} of {}", manifest::MEMBER, path.display()))?;
    manifest::read(BufReader::new(member))
}
