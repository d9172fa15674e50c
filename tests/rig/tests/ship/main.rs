//! arch-ship over real ssh and rsync, with everything that goes wrong between two hosts.

mod disks;
mod gaps;
mod kills;
mod logs;
mod names;
mod pair;
mod pipeline;
mod there;
