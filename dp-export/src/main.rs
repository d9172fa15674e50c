//! Exports schemas with Data Pump and judges what was exported.

fn main() {}
