//! Stopping jobs in the server and making sure that they are gone.

use std::time::{Duration, Instant};

use anyhow::Context;
use common::oracle::identifier::{literal, quoted};
use common::oracle::script::Script;
use common::oracle::sqlplus::Sqlplus;

use crate::expdp::Expdp;
use crate::plan::JOB_PREFIX;

/// A job as DBA_DATAPUMP_JOBS has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub owner: String,
    pub name: String,
    /// EXECUTING, STOPPING, NOT RUNNING, …
    pub state: String,
}

/// The jobs with our names that the user may see.
pub fn ours(sqlplus: &Sqlplus) -> anyhow::Result<Vec<Job>> {
    let filter = format!("JOB_NAME LIKE {}", literal(&format!("{JOB_PREFIX}%")));
    let mut script = Script::new();
    let all =
        script.query(&["OWNER_NAME", "JOB_NAME", "STATE"], format!("FROM DBA_DATAPUMP_JOBS WHERE {filter}"));
    match sqlplus.run(&script) {
        Ok(reply) => reply
            .rows(all)
            .iter()
            .map(|row| Ok(Job { owner: row.get(0)?, name: row.get(1)?, state: row.get(2)? }))
            .collect(),
        // Without the rights of a DBA a user sees its own jobs.
        Err(error) if error.has("ORA-00942") => {
            let mut script = Script::new();
            let own = script
                .query(&["USER", "JOB_NAME", "STATE"], format!("FROM USER_DATAPUMP_JOBS WHERE {filter}"));
            let reply = sqlplus.run(&script).context("read USER_DATAPUMP_JOBS")?;
            let rows = reply.rows(own).iter();
            rows.map(|row| Ok(Job { owner: row.get(0)?, name: row.get(1)?, state: row.get(2)? })).collect()
        }
        Err(error) => Err(error).context("read DBA_DATAPUMP_JOBS"),
    }
}

fn find(sqlplus: &Sqlplus, name: &str) -> anyhow::Result<Option<Job>> {
    Ok(ours(sqlplus)?.into_iter().find(|j| j.name == name))
}

/// Stops a job and returns when the database no longer knows it.
///
/// KILL_JOB through a client that attaches; a job that is not running any more leaves its master table, which is
/// dropped. Both are read back.
///
/// # Errors
/// The job is still there after `patience`; the message has what to do by hand.
pub fn stop(expdp: &Expdp, sqlplus: &Sqlplus, name: &str, patience: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    let mut attached = None;
    loop {
        let Some(job) = find(sqlplus, name)? else { return Ok(()) };
        if job.state == "NOT RUNNING" {
            drop_master(sqlplus, &job)?;
        } else if attached.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(30)) {
            // What the client says decides nothing: the database is asked again.
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
            expdp.kill(&job.owner, &job.name, left)?;
            attached = Some(Instant::now());
            continue;
        }
        if Instant::now() >= end {
            anyhow::bail!(
                "job {}.{} is still {} in the server: expdp attach={}.{}, then KILL_JOB",
                job.owner,
                job.name,
                job.state,
                job.owner,
                job.name
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn drop_master(sqlplus: &Sqlplus, job: &Job) -> anyhow::Result<()> {
    let mut script = Script::new();
    script.exec_tolerating(
        format!("DROP TABLE {}.{} PURGE", quoted(&job.owner)?, quoted(&job.name)?),
        // Gone already, or the job is ending this very moment and is looked at again.
        &["ORA-00942", "ORA-00054"],
    );
    sqlplus.run(&script).with_context(|| format!("drop the master table of job {}", job.name))?;
    Ok(())
}
