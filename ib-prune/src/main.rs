//! Deletes InfiniBox snapshots that the retention no longer needs.

fn main() {}
