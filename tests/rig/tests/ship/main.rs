//! arch-ship over real ssh and rsync, with everything that goes wrong between two hosts.

mod database;
mod disks;
mod follow;
mod gaps;
mod hangs;
mod kills;
mod liars;
mod logs;
mod many;
mod names;
mod oracle;
mod pair;
mod pipeline;
mod recovery;
mod status;
mod there;
