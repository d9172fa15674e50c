//! The API and the network as a bare client sees them: every byte of the answers is asserted here, not by a library.

mod bytes;
mod client;
mod faults;
mod guesses;
mod objects;
mod transport;
