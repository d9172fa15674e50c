//! A simulated InfiniBox.
