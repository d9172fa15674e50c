//! Reports a pipeline by mail, to Prometheus and to Nagios.

fn main() {}
