//! `drill`: the standby is opened, asked and put back into recovery, whatever happens meanwhile.

mod evidence;
mod journal;
mod keeper;
mod plan;
#[cfg(test)]
mod plan_tests;
mod prove;
mod queries;
mod run;
mod standby;

pub use keeper::run_if_asked;
pub use run::run;
