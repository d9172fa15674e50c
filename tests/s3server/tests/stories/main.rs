//! s3-put and s3-get against real servers that are cut off, lie, stall and die.

mod files;
mod kills;
mod matrix;
mod nodes;
mod roundtrip;
mod stage;
