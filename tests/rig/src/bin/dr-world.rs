//! Makes what the demo begins with below DIR: an ORACLE_HOME, the descriptions of a busy primary and of an empty
//! standby, and the settings of the tools as an env file; the same for a second, smaller database that is backed up and
//! exported.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{ensure, Context, Result};
use clap::Parser;
use orasim::datapump::{Config, Directory, Schema, Table};
use orasim::instance::{DestSpec, FileSpec, Spec, TablespaceKind, TablespaceSpec};
use orasim::server::front::{Account, Front};
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
    write("PROD.env", env_file(&settings))?;
    shop(&layout)
}

fn env_file(settings: &[(&str, String)]) -> String {
    settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// SID of the second database.
const SHOP: &str = "DBLOJA";
/// The schemas that are exported, and their tables with rows.
const SCHEMAS: [(&str, &[(&str, u64)]); 2] = [
    ("GOLD", &[("CLIENTES", 1200), ("VENDAS", 2400), ("NOTAS", 800)]),
    ("FIN", &[("CONTAS", 1600), ("SALDOS", 400)]),
];

/// Everything of it is in `loja`.
fn shop(layout: &Layout) -> Result<()> {
    let root = layout.root.join("loja");
    for dir in ["data", "control", "arch", "rman", "restore", "dumps", "network", "state", "log"] {
        let dir = root.join(dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    }
    let write = |name: &str, text: String| write_private(&root.join(name), &text);
    let file = |name: String| FileSpec { path: root.join("data").join(name), bytes: 2 << 20 };
    let of = |name: &str, kind, n: usize| TablespaceSpec {
        kind,
        ..TablespaceSpec::new(
            name,
            (1..=n).map(|i| file(format!("{}{i:02}.dbf", name.to_lowercase()))).collect(),
        )
    };
    let spec = Spec {
        name: SHOP.to_owned(),
        sid: SHOP.to_owned(),
        // Another one than the primary's.
        dbid: 1_497_201_077,
        log_bytes: 1 << 20,
        changes_per_second: 400,
        tablespaces: vec![
            of("SYSTEM", TablespaceKind::Permanent, 1),
            of("SYSAUX", TablespaceKind::Permanent, 1),
            of("UNDOTBS1", TablespaceKind::Undo, 1),
            of("LOJA", TablespaceKind::Permanent, 4),
        ],
        control_files: vec![root.join("control/control01.ctl")],
        dests: vec![DestSpec { id: 1, directory: Some(root.join("arch")), omf: false, service: None }],
        ..Spec::default()
    };
    write("spec.json", serde_json::to_string_pretty(&spec)?)?;
    let mut front = Front::default();
    let mut config = Config::default();
    let mut lines = Vec::new();
    for (schema, tables) in SCHEMAS {
        let password = root.join(format!("{schema}.pw"));
        let secret = format!("tiger of {schema}");
        write_private(&password, &format!("{secret}\n"))?;
        front.users.insert(schema.to_owned(), Account { password: secret, dba: false, sysdba: false });
        let tables = tables.iter().map(|(name, rows)| Table::new(name, *rows)).collect();
        config.schemas.insert(schema.to_owned(), Schema { tables });
        lines.push(format!(
            "{{\"user\":\"{schema}\",\"password_file\":{:?}}}\n",
            password.display().to_string()
        ));
    }
    let grantees = SCHEMAS.map(|(schema, _)| schema.to_owned()).to_vec();
    config.directories.insert("DP_DIR".to_owned(), Directory { path: root.join("dumps"), grantees });
    write("front.json", serde_json::to_string_pretty(&front)?)?;
    write("datapump.json", serde_json::to_string_pretty(&config)?)?;
    write("schemas.jsonl", lines.concat())?;
    let path = |name: &str| root.join(name).display().to_string();
    let settings = [
        ("ORACLE_HOME", layout.home().display().to_string()),
        ("ORACLE_SID", SHOP.to_owned()),
        ("STATE_DIR", path("state")),
        ("LOG_DIR", path("log")),
        ("TEMP_BACKUP_DIR", path("rman")),
        ("RESTORE_SOURCE_DIR", path("restore")),
        ("S3_BACKUP_PREFIX", "loja/".to_owned()),
        ("ORACLE_DIRECTORY", "DP_DIR".to_owned()),
        ("ORACLE_SERVICE", "loja".to_owned()),
        ("DB_FOLDER", path("dumps")),
        ("CLOUD_FOLDER", path("network")),
        ("EMAIL_FROM", "backup@example.com".to_owned()),
        ("EMAIL_TO", "dba@example.com".to_owned()),
    ];
    write("LOJA.env", env_file(&settings))
}

/// Passwords are in these.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let make = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    make().with_context(|| format!("write {}", path.display()))
}
