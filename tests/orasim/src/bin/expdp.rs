//! `expdp` of the simulator.

use std::io::BufReader;
use std::process::ExitCode;

use orasim::sqlplus::Process;

fn main() -> ExitCode {
    let process = match Process::current() {
        Ok(process) => process,
        Err(error) => {
            eprintln!("expdp: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut input = BufReader::new(std::io::stdin());
    let status = orasim::datapump::client::run(&process, &mut input, &mut std::io::stderr());
    if let Some(signal) = rustix::process::Signal::from_named_raw(status - 256) {
        // It dies as if somebody had sent it. Twice: Rust's own handler of SIGSEGV lets the first one pass.
        for _ in 0..2 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        }
    }
    ExitCode::from((status & 0xff) as u8)
}
