//! The S3 server of a test: in this process, on loopback, with a record of every request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::call::{Call, Operation};
use crate::store::disk::{Bucket, Object, Part, Upload};
use crate::store::{Rules, Store};

/// The access key of every server here; the secret is made for each server.
pub const ACCESS_KEY: &str = "AKIATESTORAPIPE0000A";

/// The bucket that exists from the beginning.
pub const BUCKET: &str = "backups";

/// Which server to start.
#[derive(Debug, Clone)]
pub struct Options {
    pub rules: Rules,
    /// 0: any free port.
    pub port: u16,
    pub secret_key: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { rules: Rules::default(), port: 0, secret_key: secret() }
    }
}

/// A request that the server has answered. One that broke off before its end has no entry in this list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub call: Call,
    pub status: u16,
    /// Since the server began.
    pub at: Duration,
}

impl Seen {
    /// The server did what was asked.
    pub fn done(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    under_way: AtomicUsize,
    began: AtomicUsize,
}

/// A running server. Dropping it ends every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    root: PathBuf,
    secret: String,
    log: Arc<Log>,
    runtime: Option<Runtime>,
}

impl Server {
    /// With the rules of S3, storing in `dir`, which keeps its objects from one server to the next.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::with(dir, Options::default())
    }

    pub fn with(dir: &Path, options: Options) -> Result<Self> {
        Bucket::create(dir, BUCKET).with_context(|| format!("make a bucket in {}", dir.display()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3-server")
            .enable_all()
            .build()
            .context("start a runtime")?;
        let mut builder = S3ServiceBuilder::new(Store::new(dir.to_owned(), options.rules));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, options.secret_key.clone()));
        let service = builder.build();
        let at = SocketAddr::from(([127, 0, 0, 1], options.port));
        let listener = runtime.block_on(TcpListener::bind(at)).with_context(|| format!("listen on {at}"))?;
        let address = listener.local_addr().context("ask for the port")?;
        let log = Arc::new(Log::default());
        runtime.spawn(accept(listener, service, Arc::clone(&log), Instant::now()));
        Ok(Self { address, root: dir.to_owned(), secret: options.secret_key, log, runtime: Some(runtime) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What a client needs in its environment, the endpoint left out.
    pub fn credentials(&self) -> BTreeMap<String, String> {
        credentials(&self.secret)
    }

    /// Every answered request so far, in the order of the answers.
    pub fn requests(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answered requests of one operation.
    pub fn count(&self, operation: Operation) -> usize {
        self.requests().iter().filter(|s| s.call.operation == operation).count()
    }

    /// Requests whose head has arrived so far, answered or not.
    pub fn begun(&self) -> usize {
        self.log.began.load(Ordering::SeqCst)
    }

    /// How often each part (upload, number) was stored.
    pub fn parts_stored(&self) -> BTreeMap<(String, u32), usize> {
        let mut parts = BTreeMap::new();
        for seen in self.requests().iter().filter(|s| s.call.operation == Operation::UploadPart && s.done()) {
            *parts.entry((seen.call.upload_id.clone(), seen.call.part)).or_default() += 1;
        }
        parts
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.log.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until no request is under way: a dead client's last one may still be worked on.
    pub fn settle(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        while self.log.under_way.load(Ordering::SeqCst) > 0 {
            ensure!(Instant::now() < end, "a request is still under way after 20 s");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn bucket(&self) -> Result<Bucket> {
        Bucket::open(&self.root, BUCKET).context("the bucket is gone")
    }

    /// What is stored in the bucket, by key; the latest versions.
    pub fn objects(&self) -> Result<BTreeMap<String, Object>> {
        self.bucket()?.objects().context("list the objects")
    }

    /// The file that holds the bytes of an object, for tests that damage or remove it.
    pub fn object_file(&self, key: &str) -> Result<PathBuf> {
        let (_, data) =
            self.bucket()?.object(key, None)?.with_context(|| format!("there is no object {key}"))?;
        Ok(data)
    }

    pub fn object_bytes(&self, key: &str) -> Result<Vec<u8>> {
        let file = self.object_file(key)?;
        std::fs::read(&file).with_context(|| format!("read {}", file.display()))
    }

    /// As an administrator does behind the tools' back.
    pub fn remove(&self, key: &str) -> Result<()> {
        ensure!(self.bucket()?.delete(key, None)?, "there is no object {key}");
        Ok(())
    }

    /// Uploads that are neither completed nor aborted, with their parts.
    pub fn uploads(&self) -> Result<Vec<(Upload, Vec<Part>)>> {
        let bucket = self.bucket()?;
        let mut all = Vec::new();
        for upload in bucket.uploads().context("list the uploads")? {
            let parts = bucket.parts(&upload.id)?;
            all.push((upload, parts));
        }
        Ok(all)
    }

    /// Makes the uploads older than they are.
    pub fn age_uploads(&self, by: Duration) -> Result<()> {
        let bucket = self.bucket()?;
        for mut upload in bucket.uploads()? {
            upload.initiated = upload.initiated.saturating_sub(u64::try_from(by.as_millis())?);
            bucket.save_upload(&upload)?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The environment with an access key that a client of ours reads.
pub fn credentials(secret: &str) -> BTreeMap<String, String> {
    [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_REGION", "us-east-1")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Told apart from every other word, so that a test finds it where it must not be.
fn secret() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("s3cr3t/Orapipe+Test+{:07}{next:05}=wJalrX", std::process::id())
}

async fn accept(listener: TcpListener, service: S3Service, log: Arc<Log>, start: Instant) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        tokio::spawn(serve(stream, service.clone(), Arc::clone(&log), start));
    }
}

/// Counts down also when the client goes away and the future is dropped.
struct UnderWay(Arc<Log>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(stream: TcpStream, service: S3Service, log: Arc<Log>, start: Instant) {
    let _slower = stream.set_nodelay(true);
    let answer = hyper::service::service_fn(|request: Request<Incoming>| {
        let call = Call::of(request.method(), request.uri(), request.headers());
        log.began.fetch_add(1, Ordering::SeqCst);
        log.under_way.fetch_add(1, Ordering::SeqCst);
        let under_way = UnderWay(Arc::clone(&log));
        let service = service.clone();
        let log = Arc::clone(&log);
        async move {
            let _under_way = under_way;
            let response: Response<s3s::Body> = service.call(request.map(s3s::Body::from)).await?;
            let status = response.status().as_u16();
            let seen = Seen { call, status, at: start.elapsed() };
            log.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            Ok::<_, s3s::HttpError>(response)
        }
    });
    // A client that breaks off is what these tests are about.
    let _broken =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}
