//! A table of an application: LOJA.VENDAS has a row for each data block, whose value depends on every byte of it.

use super::{make, n, Inner, OraError, View};
use crate::{block, datafile};

pub(super) fn view(inner: &Inner) -> Result<View, OraError> {
    let control = inner.control()?;
    let mut rows = Vec::new();
    for file in control.datafiles.iter().filter(|f| !f.offline) {
        let failed = |e: &dyn std::fmt::Display| {
            OraError::new(1115, format!("IO error reading block from file ({e})"))
        };
        let handle = std::fs::File::open(&file.path).map_err(|e| failed(&e))?;
        for number in 2..=file.blocks {
            // What the instance has changed and not written is what its users see.
            let bytes = match inner.dirty.get(&(file.file, number)) {
                Some(dirty) => dirty.bytes.clone(),
                None => match inner.half_written.iter().find(|h| (h.file, h.block) == (file.file, number)) {
                    Some(half) => half.bytes.clone(),
                    None => datafile::read_block(&handle, number).map_err(|e| failed(&e))?,
                },
            };
            rows.push(vec![n(file.file), n(number), n(block::hash(&bytes) & 0xFFFF_FFFF)]);
        }
    }
    Ok(make("ARQUIVO n,BLOCO n,VALOR n", rows))
}
