//! All files of a run: several at once, none waited for longer than needed.

use std::sync::Arc;
use std::time::Duration;

use common::logfile::Progress;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::job::{self, Job, Outcome, Session};
use crate::store::stopped;

/// Files under way at once; how much of them is in memory and on the wire is limited elsewhere.
const AT_ONCE: usize = 32;

/// Uploads every job that comes until there are no more, or a signal comes.
///
/// # Errors
/// A record could not be written.
pub async fn run(session: &Arc<Session>, mut jobs: mpsc::Receiver<Job>) -> anyhow::Result<Vec<Outcome>> {
    let mut under_way = JoinSet::new();
    let mut outcomes = Vec::new();
    let mut more = true;
    let mut progress = Progress::new(0);
    let mut announced = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    while more || !under_way.is_empty() {
        tokio::select! {
            job = jobs.recv(), if more && under_way.len() < AT_ONCE => match job {
                Some(job) => {
                    announced += std::fs::metadata(&job.path).map_or(0, |m| m.len());
                    progress.expect(announced);
                    let session = Arc::clone(session);
                    under_way.spawn(async move { job::run(&session, job).await });
                }
                None => more = false,
            },
            Some(done) = under_way.join_next() => outcomes.push(done??),
            _ = tick.tick() => progress.show(session.store.moved()),
            () = stopped(), if more => {
                // Those under way end by themselves, each in a state from which the next run goes on.
                more = false;
                jobs.close();
            }
        }
    }
    progress.end();
    Ok(outcomes)
}
