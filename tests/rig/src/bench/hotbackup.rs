//! Placeholder
use super::{Goal, Options, Table};
pub fn run(_: &Options, _: &mut Table) -> anyhow::Result<Vec<Goal>> {
    anyhow::bail!("not yet")
}
