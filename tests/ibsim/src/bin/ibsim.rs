//! The simulated InfiniBox as a program.

fn main() {}
