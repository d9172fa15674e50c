//! Makes what the demo begins with below DIR: an ORACLE_HOME, the descriptions of a busy primary and of an empty
//! standby, and the settings of the tools as an env file.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{ensure, Context, Result};
use clap::Parser;
use orasim::instance::Spec;
use rig::world::{Layout, PRIMARY, STANDBY};

#[derive(Parser)]
struct Args {
    /// Where everything goes
    #[arg(value_name = "DIR")]
    root: PathBuf,
    /// Datafiles of the primary
    #[arg(long, default_value_t = 40)]
    files: usize,
    /// Size of each in bytes
    #[arg(long, default_value_t = 4 << 20)]
    bytes: u64,
    /// Block changes per second
    #[arg(long, default_value_t = 4000)]
    rate: u32,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "dr-world: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<()> {
    ensure!(args.files >= 12, "the eight tablespaces need at least 12 datafiles");
    let layout = Layout { root: args.root.canonicalize().with_context(|| args.root.display().to_string())? };
    for dir in [layout.standby_archive(), layout.root.join("state"), layout.root.join("log")] {
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    }
    if let Some(control) = layout.standby_control().parent() {
        std::fs::create_dir_all(control).with_context(|| format!("make {}", control.display()))?;
    }
    orasim::server::home::make(&layout.home(), &rig::tool::bin_dir()?)?;
    let spec = layout.primary(Spec {
        changes_per_second: args.rate,
        log_bytes: 2 << 20,
        tablespaces: layout.tablespaces(args.files, args.bytes),
        ..Spec::default()
    });
    let write = |name: &str, text: String| {
        let path = layout.root.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write("primary.json", serde_json::to_string_pretty(&spec)?)?;
    write("standby.json", serde_json::to_string_pretty(&layout.standby(&spec))?)?;
    let root = layout.root.display();
    let settings = [
        ("ORACLE_HOME", layout.home().display().to_string()),
        ("ORACLE_SID", PRIMARY.to_owned()),
        ("STANDBY_ORACLE_HOME", layout.home().display().to_string()),
        ("STANDBY_SID", STANDBY.to_owned()),
        ("STATE_DIR", format!("{root}/state")),
        ("LOG_DIR", format!("{root}/log")),
        ("PATH_MAP", layout.path_map()),
        ("DEST_ARCHLOG_DIR", layout.standby_archive().display().to_string()),
        ("DEST_STANDBY_DIR", layout.standby_dir().join("control").display().to_string()),
        ("SLEEP_INTERVAL", "2".to_owned()),
    ];
    let lines: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    write("PROD.env", lines.concat())
}
