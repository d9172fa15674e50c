//! Stores files in S3 with proof, and brings them back.

fn main() {}
