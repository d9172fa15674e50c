//! Runs RMAN, judges what it did, plans restores and runs them.

fn main() {}
