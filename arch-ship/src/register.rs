//! `--register`: catalogues shipped logs in the standby's control file and reads back that they are there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::Context;
use common::exit::Exit;
use common::oracle::rman::Rman;
use common::oracle::script::Script;
use common::record::Log;

use crate::facts::Key;
use crate::session::Session;
use crate::standby;
use crate::state::Entry;

/// Names in one command; RMAN's lines are bounded.
const AT_ONCE: usize = 50;
/// Calls in a row that took nothing: then it is not the logs.
const GIVE_UP: usize = 5;

/// Catalogues what is verified at the standby and was not catalogued yet.
///
/// # Errors
/// The state or the records cannot be written. What RMAN does not take is reported.
pub fn register(session: &Session, verified: &BTreeSet<Key>) -> anyhow::Result<()> {
    let Some(runner) = standby::runner(session) else { return Ok(()) };
    let mut open: Vec<Entry> = {
        let state = session.state();
        state.entries().filter(|e| !e.registered && verified.contains(&e.key)).cloned().collect()
    };
    if open.is_empty() {
        return Ok(());
    }
    open.sort_by_key(|e| e.key);
    let (odd, fit): (Vec<Entry>, Vec<Entry>) =
        open.into_iter().partition(|e| e.dest.contains(['\'', '"', '\n']));
    for entry in odd {
        refused(session, &entry, "its name has a quote, which RMAN does not take")?;
    }
    let log = session.cli.common.log_dir()?.join("arch-ship.rman.log");
    let rman = Rman {
        runner,
        limit: session.cli.io_timeout.max(std::time::Duration::from_secs(600)),
        log: Some(log),
    };
    let (said, refusals) = catalogue(session, &rman, &fit);
    let known = match known(session) {
        Ok(known) => known,
        Err(error) => {
            session.log.info(&format!(
                "V$ARCHIVED_LOG of the standby cannot be read, RMAN's own list counts: {error:#}"
            ));
            named_by_rman(&said)
        }
    };
    let (done, open): (Vec<Entry>, Vec<Entry>) = fit.into_iter().partition(|e| known.contains(&e.dest));
    session.count("registered", done.len() as u64);
    let done = done.into_iter().map(|e| Entry { registered: true, ..e }).collect();
    session.state().keep(done)?;
    for entry in open {
        let told = refusals.get(&entry.dest).map(String::as_str);
        refused(session, &entry, told.unwrap_or("RMAN ended well and the log is not catalogued"))?;
    }
    Ok(())
}

/// What RMAN printed, and why it did not take a log, by its path.
///
/// RMAN leaves a command file at its first error: a call ends with the first log that it does not take, and another one
/// goes on behind that.
fn catalogue(session: &Session, rman: &Rman, logs: &[Entry]) -> (String, HashMap<String, String>) {
    let mut said = String::new();
    let mut refusals = HashMap::new();
    let mut left = logs;
    let mut in_a_row = 0;
    while !left.is_empty() {
        session.progress();
        let some = &left[..left.len().min(AT_ONCE)];
        // One command each: of a list RMAN takes nothing when it does not take one of them.
        let commands: String = some.iter().map(|e| format!("CATALOG ARCHIVELOG '{}';\n", e.dest)).collect();
        let (reason, go_on) = match rman.run(&commands).context("catalogue at the standby") {
            Ok(done) if done.success() => {
                said.push_str(&done.output);
                left = &left[some.len()..];
                in_a_row = 0;
                continue;
            }
            Ok(done) => {
                let taken = named_by_rman(&done.output);
                let good = some.iter().take_while(|e| taken.contains(&e.dest)).count();
                said.push_str(&done.output);
                in_a_row = if good > 0 { 1 } else { in_a_row + 1 };
                left = &left[good..];
                if good == some.len() {
                    continue;
                }
                (done.done.describe(), in_a_row < GIVE_UP)
            }
            Err(error) => (format!("{error:#}"), false),
        };
        let given_up = if go_on { left.len().min(1) } else { left.len() };
        refusals.extend(left[..given_up].iter().map(|e| (e.dest.clone(), reason.clone())));
        left = &left[given_up..];
    }
    (said, refusals)
}

fn refused(session: &Session, entry: &Entry, reason: &str) -> anyhow::Result<()> {
    session.worse(Exit::Partial);
    session.count("not_registered", 1);
    let (thread, sequence) = (entry.key.thread, entry.key.sequence);
    let message =
        format!("catalogue thread {thread} sequence {sequence} ({}) at the standby: {reason}", entry.dest);
    session.say_once(&format!("register {}", entry.dest), Log::error(message))
}

/// The names that the standby's control file has.
fn known(session: &Session) -> anyhow::Result<HashSet<String>> {
    let sqlplus = standby::sqlplus(session).context("no standby")?;
    let mut script = Script::new();
    let step = script.query(&["name"], "FROM v$archived_log WHERE name IS NOT NULL AND deleted = 'NO'");
    let reply = sqlplus.run(&script)?;
    reply.rows(step).iter().map(|row| row.get(0)).collect()
}

/// `archived log file name=/u02/arch/1_42_99.dbf RECID=7 STAMP=99`
fn named_by_rman(output: &str) -> HashSet<String> {
    let name = |line: &str| {
        let rest = line.trim().strip_prefix("archived log file name=")?;
        let path = rest.split(" RECID=").next()?;
        Some(Path::new(path).to_string_lossy().into_owned())
    };
    output.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_output_of_rman() {
        let output =
            "cataloged archived log\narchived log file name=/u02/my arch/1_42_99.dbf RECID=7 STAMP=99\n\
                      List of Files Which Were Not Cataloged\nFile Name: /u02/x\n";
        assert_eq!(named_by_rman(output), HashSet::from(["/u02/my arch/1_42_99.dbf".to_owned()]));
    }
}
