//! Measures our tools beside what they replace and prints one table; see `--help`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rig::bench::{self, Goal, Options, Originals, Table};

/// Measure our tools beside what they replace, in one run, and print one table.
///
/// The ratios count; the seconds are those of this machine today. Source and destination are best in memory.
#[derive(Parser)]
#[command(name = "bench.sh", max_term_width = 100)]
struct Args {
    /// What to measure
    #[arg(value_enum)]
    what: What,

    /// One round, and the originals on a part of the files, scaled by their number
    #[arg(long, conflicts_with = "full")]
    quick: bool,

    /// The originals ship all files in every round, not only in the first
    #[arg(long)]
    full: bool,

    /// Leave the originals out: our tools and plain rsync only
    #[arg(long, conflicts_with_all = ["quick", "full"])]
    ours: bool,

    /// Rounds; the median counts [default: 3, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,

    /// End with status 5 when a goal is missed
    #[arg(long)]
    check: bool,

    /// Only cases whose name contains TEXT: "200 x", "40 x", "4 x 1", "slow", "idle"
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Make source and destination below DIR
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    dir: PathBuf,

    /// Directory of the release binaries
    #[arg(long, value_name = "DIR", hide = true)]
    bin: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// arch-ship on a LAN, on a slow link, and idle
    Ship,
    /// ts-hotbackup on a LAN and on a slow link
    Hotbackup,
    /// s3-put and s3-get beside s5cmd, the AWS CLI and boto3
    S3,
    /// Start-up time and size of the tools
    Start,
    /// zip-rotate beside Python's zipfile, zip and pigz
    Zip,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _closed = e.print();
            return ExitCode::from(if e.use_stderr() { 64 } else { 0 });
        }
    };
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "bench: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<u8> {
    let originals = match (args.quick, args.full, args.ours) {
        (true, _, _) => Originals::Subset,
        (_, true, _) => Originals::Always,
        (_, _, true) => Originals::Never,
        _ => Originals::Once,
    };
    let options = Options {
        rounds: args.rounds.map_or(if args.quick { 1 } else { 3 }, usize::from),
        originals,
        dir: args.dir.clone(),
        bin: args.bin.clone().unwrap_or_else(release_dir),
        only: args.only.clone(),
    };
    let mut table = Table::default();
    let measured = match args.what {
        What::Ship => bench::ship(&options, &mut table),
        What::Hotbackup => bench::hotbackup(&options, &mut table),
        What::S3 => bench::s3(&options, &mut table),
        What::Start => bench::start(&options, &mut table),
        What::Zip => bench::zip(&options, &mut table),
    };
    // What was measured before something failed is worth seeing.
    let mut out = std::io::stdout().lock();
    table.write(&mut out)?;
    let goals = measured?;
    writeln!(out)?;
    for goal in &goals {
        writeln!(out, "{goal}")?;
    }
    let missed = goals.iter().filter(|g| !Goal::is_met(g)).count();
    Ok(if args.check && missed > 0 { 5 } else { 0 })
}

fn release_dir() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(target).join("release")
}
