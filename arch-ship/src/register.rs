//! `--register`: catalogues shipped logs in the standby's control file and reads back that they are there.

use std::collections::{BTreeSet, HashSet};
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
    let mut said = String::new();
    let mut trouble = None;
    for some in fit.chunks(AT_ONCE) {
        session.progress();
        let names: Vec<String> = some.iter().map(|e| format!("'{}'", e.dest)).collect();
        // One command each: RMAN gives up a whole list at the first file that it does not take.
        let commands: String = names.iter().map(|n| format!("CATALOG ARCHIVELOG {n};\n")).collect();
        match rman.run(&commands).context("catalogue at the standby") {
            Ok(done) => {
                if !done.success() {
                    trouble.get_or_insert_with(|| done.done.describe());
                }
                said.push_str(&done.output);
            }
            Err(error) => {
                trouble.get_or_insert(format!("{error:#}"));
                break;
            }
        }
    }
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
        let reason =
            trouble.clone().unwrap_or_else(|| "RMAN ended well and the log is not catalogued".to_owned());
        refused(session, &entry, &reason)?;
    }
    Ok(())
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
