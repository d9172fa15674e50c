//! `rman` of the simulator.

use std::io::{BufReader, BufWriter, Write};
use std::process::ExitCode;

use orasim::sqlplus::Process;

fn main() -> ExitCode {
    let process = match Process::current() {
        Ok(process) => process,
        Err(error) => {
            eprintln!("rman: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut input = BufReader::new(std::io::stdin());
    let mut output = BufWriter::new(std::io::stdout());
    let status = orasim::rman::run(&process, &mut input, &mut output);
    if output.flush().is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from((status & 0xff) as u8)
}
