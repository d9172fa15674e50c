//! Takes application-consistent InfiniBox snapshots of an Oracle database.

fn main() {}
