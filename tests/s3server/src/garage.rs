//! A distributed S3 store: three Garage nodes on loopback, each object on all of them, any one of which may die.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use tempfile::TempDir;

use crate::server::BUCKET;

/// The version that scripts/setup.sh builds; it is run and never linked.
pub const VERSION: &str = "2.5.0";

/// Garage takes keys of this form only.
pub const ACCESS_KEY: &str = "GK0123456789abcdef01234567";
pub const REGION: &str = "garage";

const READY: Duration = Duration::from_secs(40);

/// Where scripts/setup.sh puts it.
///
/// # Errors
/// It is not there; a story that needs it fails and is not skipped.
pub fn program() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|c| !c.is_empty()).map(PathBuf::from).or_else(home);
    let path = cache.context("neither HOME nor XDG_CACHE_HOME is set")?;
    let path = path.join(format!("orapipe/garage-{VERSION}/bin/garage"));
    ensure!(path.is_file(), "{} is not there; run: scripts/setup.sh", path.display());
    Ok(path)
}

#[derive(Debug)]
struct Node {
    config: PathBuf,
    log: PathBuf,
    s3: SocketAddr,
    id: String,
    child: Option<Child>,
}

/// Three nodes with the bucket [`BUCKET`]. Dropping it kills them.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    program: PathBuf,
    nodes: Vec<Node>,
    secret: String,
}

impl Cluster {
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("garage-").tempdir().context("make a directory")?;
        let secret = format!("{:064x}", 0x5ec2e7_u64 << 32 | u64::from(std::process::id()));
        let mut cluster = Self { dir, program: program()?, nodes: Vec::new(), secret };
        for n in 0..3 {
            let node = cluster.make(n)?;
            cluster.nodes.push(node);
            cluster.run(n)?;
        }
        for n in 0..3 {
            let id = cluster.until(n, &["node", "id", "-q"])?;
            cluster.nodes[n].id = id.trim().to_owned();
        }
        for n in 1..3 {
            let id = cluster.nodes[n].id.clone();
            cluster.until(0, &["node", "connect", &id])?;
        }
        for n in 0..3 {
            let id = cluster.nodes[n].id.split('@').next().unwrap_or_default().to_owned();
            cluster.until(0, &["layout", "assign", &id, "-z", &format!("zone{n}"), "-c", "20G"])?;
        }
        cluster.until(0, &["layout", "apply", "--version", "1"])?;
        let secret = cluster.secret.clone();
        cluster.until(0, &["key", "import", "--yes", "-n", "orapipe", ACCESS_KEY, &secret])?;
        cluster.until(0, &["bucket", "create", BUCKET])?;
        cluster
            .until(0, &["bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", ACCESS_KEY])?;
        Ok(cluster)
    }

    fn make(&self, n: usize) -> Result<Node> {
        let dir = self.dir.path().join(format!("node{n}"));
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let config = dir.join("garage.toml");
        let place = dir.display();
        let text = format!(
            "metadata_dir = \"{place}/meta\"\n\
             data_dir = \"{place}/data\"\n\
             db_engine = \"sqlite\"\n\
             replication_factor = 3\n\
             metadata_fsync = false\n\
             block_size = \"1M\"\n\
             rpc_bind_addr = \"127.0.0.1:{}\"\n\
             rpc_public_addr = \"127.0.0.1:{}\"\n\
             rpc_secret = \"{:064x}\"\n\
             [s3_api]\n\
             s3_region = \"{REGION}\"\n\
             api_bind_addr = \"127.0.0.1:{}\"\n\
             [admin]\n\
             api_bind_addr = \"127.0.0.1:{}\"\n\
             admin_token = \"test\"\n",
            ports[0], ports[0], 0x0a11_u32, ports[1], ports[2]
        );
        fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let s3 = SocketAddr::from(([127, 0, 0, 1], ports[1]));
        Ok(Node { config, log: dir.join("log"), s3, id: String::new(), child: None })
    }

    fn run(&mut self, n: usize) -> Result<()> {
        let node = &mut self.nodes[n];
        let log = File::options().create(true).append(true).open(&node.log).context("open a log")?;
        // A test that is killed must not leave a node behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .arg("-c")
            .arg(&node.config)
            .arg("--allow-world-readable-secrets")
            .arg("true")
            .arg("server")
            .env("RUST_LOG", "garage=info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("copy a handle")?)
            .stderr(log)
            .spawn()
            .context("start setpriv and Garage")?;
        node.child = Some(child);
        Ok(())
    }

    /// An administrator's command, repeated until the nodes have found each other.
    fn until(&self, n: usize, args: &[&str]) -> Result<String> {
        let end = Instant::now() + READY;
        loop {
            let out = Command::new(&self.program)
                .arg("-c")
                .arg(&self.nodes[n].config)
                .args(["--allow-world-readable-secrets", "true"])
                .args(args)
                .env("RUST_LOG", "error")
                .output()
                .context("start Garage")?;
            if out.status.success() {
                return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
            }
            if Instant::now() > end {
                let log = fs::read_to_string(&self.nodes[n].log).unwrap_or_default();
                bail!("garage {args:?}: {}\n{log}", String::from_utf8_lossy(&out.stderr));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where node `n` (0 to 2) answers.
    pub fn address(&self, n: usize) -> SocketAddr {
        self.nodes[n].s3
    }

    pub fn endpoint(&self, n: usize) -> String {
        format!("http://{}", self.nodes[n].s3)
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What a client needs in its environment, the endpoint left out.
    pub fn credentials(&self) -> std::collections::BTreeMap<String, String> {
        [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", &self.secret), ("AWS_REGION", REGION)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// As a power failure does.
    pub fn kill(&mut self, n: usize) -> Result<()> {
        if let Some(mut child) = self.nodes[n].child.take() {
            child.kill().context("kill a node")?;
            child.wait().context("wait for a node")?;
        }
        Ok(())
    }

    pub fn start_again(&mut self, n: usize) -> Result<()> {
        self.run(n)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for n in 0..self.nodes.len() {
            let _gone = self.kill(n);
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("find a port")?.local_addr()?.port())
}
