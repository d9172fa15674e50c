//! The handle that tests hold.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure, Context, Result};
use regex::Regex;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::bytes;
use crate::config::Config;
use crate::error::ApiError;
use crate::fault::{Rule, Rules};
use crate::guesses::Guesses;
use crate::log::Request;
use crate::server::{accept, lock, tls, Address, Shared};
use crate::state::group::Group;
use crate::state::{Change, Object, State};

/// Bytes of a volume that says nothing of its size: 1 TiB.
pub(crate) const SIZE: u64 = 1 << 40;

/// A running array. Dropping it ends every connection.
#[derive(Debug)]
pub struct Array {
    shared: Arc<Shared>,
    http: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    ca_file: PathBuf,
    runtime: Option<Runtime>,
    _dir: Option<tempfile::TempDir>,
}

fn told(error: ApiError) -> anyhow::Error {
    anyhow!("{}: {}", error.code, error.message)
}

#[allow(clippy::panic)]
fn wanted(method: &str, path: &str) -> impl Fn(&Request) -> bool {
    let path = Regex::new(path).unwrap_or_else(|e| panic!("{e}"));
    let method = method.to_owned();
    move |r: &Request| {
        (method == "*" || r.method == method)
            && path.is_match(r.line().split_once(' ').map_or("", |(_, target)| target))
    }
}

impl Array {
    /// Listens on 127.0.0.1, for each management address on a port for HTTP and one for HTTPS.
    ///
    /// # Errors
    /// When a port, a certificate or the directory cannot be had.
    pub fn start(config: Config) -> Result<Self> {
        let (dir, temporary) = match &config.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let dir = tempfile::Builder::new().prefix("ibsim-").tempdir().context("make a directory")?;
                (dir.path().to_owned(), Some(dir))
            }
        };
        let store = dir.join("snapshots");
        std::fs::create_dir_all(&store).with_context(|| format!("make {}", store.display()))?;
        let ca_file = dir.join("ca.pem");
        let acceptor = match &config.certificate_files {
            Some((certificate, key)) => tls::of_files(certificate, key, &ca_file)?,
            None => tls::acceptor(config.certificate, &ca_file)?,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ibsim")
            .enable_all()
            .build()
            .context("start a runtime")?;
        let shared = Arc::new(Shared {
            rules: Mutex::default(),
            log: Mutex::default(),
            addresses: Mutex::new(vec![Address::Up; config.addresses]),
            ports: Mutex::default(),
            latency: Mutex::new(config.latency),
            keep_alive: Mutex::new(config.keep_alive),
            admin: AtomicBool::new(config.door),
            under_way: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            start: Instant::now(),
            state: Mutex::new(State::new(config.clone(), store)),
        });
        let (mut http, mut https) = (Vec::new(), Vec::new());
        for address in 0..config.addresses {
            for secure in [false, true] {
                let wanted = match (address, secure) {
                    (0, false) => config.port,
                    (0, true) => config.tls_port,
                    _ => 0,
                };
                let at = SocketAddr::from(([127, 0, 0, 1], wanted));
                let listener =
                    runtime.block_on(TcpListener::bind(at)).with_context(|| format!("listen on {at}"))?;
                let bound = listener.local_addr().context("ask for the port")?;
                if secure { &mut https } else { &mut http }.push(bound);
                let acceptor = secure.then(|| acceptor.clone());
                runtime.spawn(accept(listener, Arc::clone(&shared), address, acceptor));
            }
        }
        *lock(&shared.ports) =
            http.iter().zip(&https).map(|(plain, secure)| (plain.to_string(), secure.to_string())).collect();
        Ok(Self { shared, http, https, ca_file, runtime: Some(runtime), _dir: temporary })
    }

    /// `127.0.0.1:PORT` of plain HTTP. `n`: the management address, from 0.
    pub fn host(&self, n: usize) -> String {
        self.http[n].to_string()
    }

    /// `127.0.0.1:PORT` of HTTPS.
    pub fn tls_host(&self, n: usize) -> String {
        self.https[n].to_string()
    }

    /// `http://127.0.0.1:PORT`, without `/api/rest`.
    pub fn url(&self, n: usize) -> String {
        format!("http://{}", self.http[n])
    }

    /// `https://127.0.0.1:PORT`, without `/api/rest`.
    pub fn tls_url(&self, n: usize) -> String {
        format!("https://{}", self.https[n])
    }

    /// The PEM file of the certificate that signs the array's, or of the array's own.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Reaches everything; no request is executed meanwhile.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut lock(&self.shared.state))
    }

    /// A volume of 1 TiB in the first pool.
    ///
    /// # Errors
    /// When the name is taken or refused.
    pub fn add_volume(&self, name: &str) -> Result<u64> {
        self.with(|state| {
            let pool = *state.pools.keys().next().context("there is no pool")?;
            state.add_volume(name, pool, SIZE).map_err(told)
        })
    }

    /// A consistency group with these volumes, in the pool of the first.
    ///
    /// # Errors
    /// When the name is taken or a volume cannot be a member.
    pub fn add_group(&self, name: &str, volumes: &[&str]) -> Result<u64> {
        self.with(|state| {
            let first = state.find(volumes.first().context("a group of nothing")?)?;
            let pool = state.volume(first).map_err(told)?.pool_id;
            let group = state.add_group(name, pool, None).map_err(told)?;
            for volume in volumes {
                let id = state.find(volume)?;
                state.join(group, id).map_err(told)?;
            }
            Ok(group)
        })
    }

    /// Thousands of snapshots, in the past: name and time by the array's clock. They have no bytes.
    ///
    /// # Errors
    /// When there is no such volume or a name is taken.
    pub fn add_snapshots(
        &self,
        parent: &str,
        named: impl IntoIterator<Item = (String, i64)>,
    ) -> Result<Vec<u64>> {
        self.with(|state| {
            let parent = state.find(parent)?;
            state.add_snapshots(parent, named).map_err(told)
        })
    }

    /// From now on the directory stands for the bytes of the volume, and its snapshots copy it; see [`crate::bytes`].
    ///
    /// # Errors
    /// When there is no such volume or directory.
    pub fn bind(&self, volume: &str, dir: &Path) -> Result<()> {
        ensure!(dir.is_dir(), "{} is no directory", dir.display());
        self.with(|state| {
            let id = state.find(volume)?;
            state.volume_mut(id).map_err(told)?.bytes = Some(dir.to_owned());
            Ok(())
        })
    }

    /// Copies the bytes of a snapshot (or volume) to a directory, in the place of what is in it.
    ///
    /// # Errors
    /// When it has no bytes, or they cannot be copied.
    pub fn restore_bytes(&self, name_or_id: &str, to: &Path) -> Result<()> {
        let from = self.object(name_or_id)?.bytes;
        let from = from.with_context(|| format!("{name_or_id} has no bytes: its volume is not bound"))?;
        std::fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
        bytes::restore(&from, to)
    }

    /// Every volume and snapshot, by id.
    pub fn objects(&self) -> Vec<Object> {
        self.with(|state| state.objects())
    }

    /// Every snapshot, by id.
    pub fn snapshots(&self) -> Vec<Object> {
        self.objects().into_iter().filter(|o| o.is_snapshot).collect()
    }

    /// # Errors
    /// When there is no such object.
    pub fn object(&self, name_or_id: &str) -> Result<Object> {
        self.with(|state| {
            let id = state.find(name_or_id)?;
            Ok(Object::of(state.volume(id).map_err(told)?, state))
        })
    }

    /// Consistency groups and snapshot groups.
    pub fn groups(&self) -> Vec<Group> {
        self.with(|state| state.groups.values().cloned().collect())
    }

    /// Something that somebody else does.
    ///
    /// # Errors
    /// When there is no such object, or the array refuses.
    pub fn change(&self, change: &Change) -> Result<()> {
        self.with(|state| state.change(change, None))
    }

    /// The array's clock, epoch milliseconds.
    pub fn now(&self) -> i64 {
        self.with(|state| state.now())
    }

    /// Sets the array's clock to so many milliseconds ahead of the host's.
    pub fn set_clock_offset(&self, ms: i64) {
        self.with(|state| state.offset_ms = ms);
    }

    /// The array's clock goes forward.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.with(|state| state.offset_ms = state.offset_ms.saturating_add(ms));
    }

    /// From now on these rules hold, and their counting begins.
    ///
    /// # Errors
    /// When a regular expression is none.
    pub fn faults(&self, rules: Vec<Rule>) -> Result<()> {
        self.faults_with_seed(rules, 1)
    }

    /// # Errors
    /// When a regular expression is none.
    pub fn faults_with_seed(&self, rules: Vec<Rule>, seed: u64) -> Result<()> {
        *lock(&self.shared.rules) = Rules::new(rules, seed)?;
        Ok(())
    }

    /// From now on each request takes so long before it is executed.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.shared.latency) = latency;
    }

    /// Connections that begin from now on are closed after being idle so long.
    pub fn set_keep_alive(&self, keep_alive: Duration) {
        *lock(&self.shared.keep_alive) = keep_alive;
    }

    /// Changes the behaviours that are guesses.
    pub fn set_guesses(&self, change: impl FnOnce(&mut Guesses)) {
        self.with(|state| change(&mut state.config.guesses));
    }

    /// What a management address does from now on.
    pub fn set_address(&self, n: usize, address: Address) {
        if let Some(slot) = lock(&self.shared.addresses).get_mut(n) {
            *slot = address;
        }
    }

    /// The management moves: this address answers, all others 503.
    pub fn fail_over_to(&self, n: usize) {
        for (at, slot) in lock(&self.shared.addresses).iter_mut().enumerate() {
            *slot = if at == n { Address::Up } else { Address::Unavailable };
        }
    }

    /// Ends every session, as a restart of the management does.
    pub fn expire_sessions(&self) {
        self.with(|state| state.sessions.clear());
    }

    /// Every request since the last [`Array::clear_log`], in the order of arrival.
    pub fn log(&self) -> Vec<Request> {
        lock(&self.shared.log).clone()
    }

    /// Forgets the requests so far. Not while requests are under way.
    pub fn clear_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// Requests of a method (`*`: any) whose `path?query` matches a regular expression.
    ///
    /// # Panics
    /// When the expression is none: a count of nothing must not come of a slip in a test.
    pub fn requests(&self, method: &str, path: &str) -> Vec<Request> {
        let wanted = wanted(method, path);
        lock(&self.shared.log).iter().filter(|r| wanted(r)).cloned().collect()
    }

    /// How many [`Array::requests`] there are.
    ///
    /// # Panics
    /// When the expression is none.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let wanted = wanted(method, path);
        lock(&self.shared.log).iter().filter(|r| wanted(r)).count()
    }

    /// Waits until that many requests of a method and path have come, answered or not.
    ///
    /// # Errors
    /// When they have not come in the time given.
    pub fn wait_for(&self, method: &str, path: &str, n: usize, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while self.count(method, path) < n {
            ensure!(Instant::now() < end, "{n} requests {method} {path} have not come in {limit:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until nothing is under way, late executions included.
    ///
    /// # Errors
    /// When something is after 30 s.
    pub fn settle(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while self.shared.under_way.load(Ordering::SeqCst) > 0 {
            ensure!(Instant::now() < end, "a request is still under way after 30 s");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
