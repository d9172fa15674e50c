//! ib-snap and ib-prune from the outside, against a simulated database and a simulated array: whatever goes wrong, the
//! database is out of backup mode, and the array holds a complete set or one that says that it is none.

mod answers;
mod bench;
mod blows;
mod case;
mod database;
mod late;
mod limits;
mod logons;
mod proof;
mod restore;
mod secrets;
mod stage;
mod together;
