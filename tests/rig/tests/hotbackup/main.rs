//! ts-hotbackup, and the whole standby pipeline, over real ssh and rsync against a running database: what happens to it,
//! and whether the standby recovers.

mod disks;
mod guards;
mod hangs;
mod kills;
mod liars;
mod meanwhile;
mod pipeline;
mod sabotage;
mod scale;
mod session;
mod signals;
mod stage;
