//! mailreport against real and scripted mail servers, killed at every step, and looked at in a browser.

mod delivery;
mod kills;
mod monitors;
mod pair;
mod postfix;
mod render;
mod report;
mod secrets;
mod spool;
