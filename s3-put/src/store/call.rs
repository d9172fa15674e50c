//! One request until it has succeeded or will not: retries, fresh credentials, redirects, older servers.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::Client;
use chrono::Utc;
use common::record::Log;

use super::body::{Pace, Throttle};
use super::connection::{Connection, Settings};
use super::decide::{decide, is_damage, About, Action, Deed, Feature, Mode};
use super::facts::{Facts, Stage};
use super::{Kind, Trouble};

/// What may take how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// A question: 60 s for the whole answer.
    Short,
    /// CompleteMultipartUpload: the server may have to copy the whole object. One attempt may take as long as all.
    Long,
    /// A body moves; only standstill is limited.
    Moving,
}

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// Credentials that are refused so soon after a refresh will not get better.
const REFRESH_AGAIN: Duration = Duration::from_secs(300);

type Note = dyn Fn(Log) + Send + Sync;

/// The bucket. Shared by all tasks of a run.
pub struct Store {
    settings: Settings,
    connection: RwLock<Connection>,
    mode: RwLock<Mode>,
    renewing: tokio::sync::Mutex<Renewals>,
    retry_for: Duration,
    stall: Duration,
    throttle: Option<Arc<Throttle>>,
    /// Bytes of content that were sent or received in this run.
    moved: Arc<AtomicU64>,
    changed: AtomicBool,
    /// Attempts that failed and were made again.
    retries: AtomicU64,
    note: Box<Note>,
    noted: Mutex<std::collections::HashSet<String>>,
}

#[derive(Default)]
struct Renewals {
    refreshed: Option<Instant>,
    redirected: bool,
}

impl Store {
    /// Opens the bucket's connection; sends nothing to it yet. `note` gets what a person should know.
    ///
    /// # Errors
    /// [`Kind::NoCredentials`].
    pub async fn open(
        settings: Settings,
        (retry_for, stall): (Duration, Duration),
        bwlimit: Option<u64>,
        note: Box<Note>,
    ) -> Result<Self, Trouble> {
        let connection = Connection::open(&settings, 0).await?;
        Ok(Self {
            settings,
            connection: RwLock::new(connection),
            mode: RwLock::new(Mode::FULL),
            renewing: tokio::sync::Mutex::default(),
            retry_for,
            stall,
            throttle: bwlimit.map(|rate| Arc::new(Throttle::new(rate))),
            moved: Arc::default(),
            changed: AtomicBool::new(false),
            retries: AtomicU64::new(0),
            note,
            noted: Mutex::default(),
        })
    }

    pub fn bucket(&self) -> &str {
        &self.settings.bucket
    }

    /// Tells one store from another: address and bucket.
    pub fn identity(&self) -> String {
        let endpoint = self.settings.endpoint.clone().or_else(|| self.connection().endpoint);
        format!("{}/{}", endpoint.unwrap_or_else(|| "aws".to_owned()), self.settings.bucket)
    }

    /// What is still used of the protocol.
    pub fn mode(&self) -> Mode {
        *self.mode.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn throttle(&self) -> Option<Arc<Throttle>> {
        self.throttle.clone()
    }

    /// Waits for the rate before a body that the SDK hashes for its signature: such a body cannot be slowed down while
    /// it goes out.
    pub async fn hold_back(&self, bytes: usize) -> Result<(), Trouble> {
        match &self.throttle {
            Some(throttle) if !self.mode().unsigned => {
                sleep(throttle.grant(bytes, tokio::time::Instant::now())).await
            }
            _ => Ok(()),
        }
    }

    /// Counts the bytes of one attempt.
    pub fn pace(&self) -> Pace {
        Pace::of(&self.moved)
    }

    /// Bytes of content that moved in this run.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Whether a request that changes the bucket has succeeded.
    pub fn changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    pub fn note_change(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Attempts that were made again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// How long nothing may move.
    pub fn stall(&self) -> Duration {
        self.stall
    }

    /// How long one request is tried.
    pub fn retry_for(&self) -> Duration {
        self.retry_for
    }

    fn connection(&self) -> Connection {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells a person something once.
    pub fn note_once(&self, log: Log) {
        let fresh = self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(log.message.clone());
        if fresh {
            (self.note)(log);
        }
    }

    /// Makes one request, as often as it takes. `request` gets the client, the mode and the pace of each attempt.
    pub async fn call<T, E, F, Fut>(
        &self,
        what: &str,
        deed: Deed,
        limit: Limit,
        request: F,
    ) -> Result<T, Trouble>
    where
        F: Fn(Client, Mode, Pace) -> Fut,
        Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let begun = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (connection, mode, pace) = (self.connection(), self.mode(), self.pace());
            let sent = request(connection.client, mode, pace.clone());
            let facts = match self.watched(sent, &pace, (limit, deed, mode)).await? {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Facts::of(&error),
                Err(stalled) => stalled,
            };
            pace.undo();
            let about = About { what, deed, mode, now: Utc::now() };
            match decide(&facts, about) {
                Action::Fail(trouble) => return Err(trouble),
                Action::Retry => {
                    let pause = pause(attempt);
                    if begun.elapsed() + pause > self.retry_for {
                        return Err(self.gave_up(what, attempt, begun, &facts));
                    }
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    sleep(pause).await?;
                }
                Action::Refresh => self.refresh(what, connection.generation, &facts).await?,
                Action::Redirect { region, address } => {
                    self.redirect(what, connection.generation, region, address, &facts).await?;
                }
                Action::Downgrade(feature) => self.downgrade(feature, &facts),
            }
        }
    }

    /// The attempt, unless it stands still, takes too long or a signal comes.
    async fn watched<R>(
        &self,
        attempt: impl Future<Output = R>,
        pace: &Pace,
        (limit, deed, mode): (Limit, Deed, Mode),
    ) -> Result<Result<R, Facts>, Trouble> {
        let (every, what) = match limit {
            // A body that the SDK hashes for its signature goes out unseen: only its answer can be waited for.
            Limit::Moving if deed == Deed::Sends && !mode.unsigned => (self.stall * 8, "no answer"),
            Limit::Moving => (self.stall, "not a byte moved"),
            Limit::Short => (Duration::from_secs(60).min(self.stall * 4), "no answer"),
            Limit::Long => (self.retry_for.max(self.stall), "no answer"),
        };
        let standstill = async {
            let mut seen = pace.bytes();
            loop {
                tokio::time::sleep(every).await;
                let now = pace.bytes();
                if now == seen {
                    return;
                }
                seen = now;
            }
        };
        tokio::select! {
            // The answer first: it may come in the same moment as the signal.
            biased;
            answer = attempt => Ok(Ok(answer)),
            () = standstill => Ok(Err(Facts::stalled(format!("{what} for {} s", every.as_secs_f64())))),
            () = stopped() => Err(Trouble::stopped()),
        }
    }

    fn gave_up(&self, what: &str, attempts: u32, begun: Instant, facts: &Facts) -> Trouble {
        let said = match (facts.status, facts.code.as_str()) {
            (0, _) => facts.message.clone(),
            (status, "") => format!("the server answered {status}"),
            (status, code) => format!("the server answered {status} {code}"),
        };
        let place = self.settings.endpoint.clone().or_else(|| self.connection().endpoint);
        let place = place.map(|p| format!(" at {p}")).unwrap_or_default();
        Trouble::new(
            if is_damage(facts) { Kind::Corrupt } else { Kind::Unreachable },
            format!(
                "{what}: gave up after {attempts} attempts in {:.0} s: {said}",
                begun.elapsed().as_secs_f64()
            ),
        )
        .hint(match facts.stage {
            Stage::Connect => format!("check the network, the proxy and the address of the server{place}"),
            _ => "run it again: finished parts are not sent twice".to_owned(),
        })
    }

    async fn refresh(&self, what: &str, generation: u32, facts: &Facts) -> Result<(), Trouble> {
        let mut renewals = self.renewing.lock().await;
        if self.connection().generation != generation {
            return Ok(());
        }
        if renewals.refreshed.is_some_and(|at| at.elapsed() < REFRESH_AGAIN) {
            return Err(Trouble::new(
                Kind::Credentials,
                format!("{what}: the server answered {} {}: the credentials have expired", facts.status, facts.code),
            )
            .hint("renew them (aws sso login, a new session token) and run again: finished parts are not sent twice"));
        }
        renewals.refreshed = Some(Instant::now());
        self.note_once(Log::warning(format!(
            "the credentials have expired ({}): read them again from their source",
            facts.code
        )));
        let now = self.connection();
        let settings =
            Settings { region: now.region.or_else(|| self.settings.region.clone()), ..self.settings.clone() };
        self.replace(Connection::open(&settings, generation + 1).await?);
        Ok(())
    }

    async fn redirect(
        &self,
        what: &str,
        generation: u32,
        region: Option<String>,
        address: Option<String>,
        facts: &Facts,
    ) -> Result<(), Trouble> {
        let mut renewals = self.renewing.lock().await;
        let now = self.connection();
        if now.generation != generation {
            return Ok(());
        }
        let same = region.is_none() || region == now.region;
        let place = self.settings.endpoint.clone().or_else(|| now.endpoint.clone());
        // The region is enough for Amazon and for any server under a fixed name; an address alone is all we have else.
        let address = if same { address } else { None };
        // From TLS to plain text is no way for backups and session tokens.
        let plain = |a: &String| {
            a.starts_with("http://") && !place.as_deref().is_some_and(|p| p.starts_with("http://"))
        };
        let address = address.filter(|a| !plain(a));
        if renewals.redirected || same && address.is_none() {
            return Err(Trouble::new(
                Kind::Other,
                format!("{what}: the server answered {} {} again", facts.status, facts.code),
            )
            .hint("set AWS_REGION to the region of the bucket"));
        }
        renewals.redirected = true;
        let to = region.clone().or_else(|| address.clone()).unwrap_or_default();
        self.note_once(Log::warning(format!(
            "bucket {} is at {to}, not at {}: followed for this run; set AWS_REGION to save the detour",
            self.bucket(),
            now.region.as_deref().unwrap_or("the default region")
        )));
        let settings = Settings {
            region: region.or(now.region),
            endpoint: address.or_else(|| self.settings.endpoint.clone()),
            ..self.settings.clone()
        };
        self.replace(Connection::open(&settings, generation + 1).await?);
        Ok(())
    }

    fn replace(&self, connection: Connection) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn downgrade(&self, feature: Feature, facts: &Facts) {
        let mut mode = self.mode.write().unwrap_or_else(PoisonError::into_inner);
        let without = mode.without(feature);
        let news = *mode != without;
        *mode = without;
        drop(mode);
        if news {
            let what = match feature {
                Feature::Checksums => "CRC64NVME checksums: what is stored will be read back and compared",
                Feature::Unsigned => "unsigned bodies: they are hashed once more for the signature",
                Feature::Conditional => {
                    "If-None-Match: two writers of one key at the same time are not told apart"
                }
            };
            self.note_once(Log::warning(format!(
                "this server refuses ({} {}) what newer ones know; going on without {what}",
                facts.status, facts.code
            )));
        }
    }
}

/// Full jitter: anything up to twice as long as the time before, so that many clients do not come back together.
fn pause(attempt: u32) -> Duration {
    let ceiling = Duration::from_millis(200).saturating_mul(1 << attempt.min(10)).min(PAUSE_MAX);
    let share = f64::from(jitter() % 1024) / 1024.0;
    ceiling.mul_f64(0.25 + 0.75 * share)
}

/// Enough chance for a pause: the hasher of the standard library is seeded by the system.
fn jitter() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u8(0);
    (hasher.finish() & 0xffff) as u32
}

/// Ends when a signal has asked us to stop.
pub async fn stopped() {
    while common::signals::pending().is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn sleep(pause: Duration) -> Result<(), Trouble> {
    tokio::select! {
        () = tokio::time::sleep(pause) => Ok(()),
        () = stopped() => Err(Trouble::stopped()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_below_their_limit() {
        for attempt in 1..40 {
            let pause = pause(attempt);
            assert!(pause <= PAUSE_MAX && pause >= Duration::from_millis(50), "{attempt}: {pause:?}");
        }
        assert!(pause(1) <= Duration::from_millis(400));
        assert!(pause(20) >= Duration::from_secs(5));
    }
}
