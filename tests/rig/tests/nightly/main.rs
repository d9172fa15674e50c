//! The nightly export as cron runs it: the wrapper script with the original's settings, night after night.

mod archives;
mod endings;
mod stage;
mod weeks;
