//! What lies in a directory of archives, and what each is worth.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Local, NaiveDate, TimeZone};
use serde::{Deserialize, Serialize};

use crate::archive;
use crate::days::Names;
use crate::plan::{Backup, State};
use crate::prove;
use crate::store::Mark;

/// One file of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub bytes: u64,
    pub mtime: (i64, i64),
    pub worth: Worth,
    /// RFC 3339: what the archive says of itself.
    pub time: Option<String>,
    /// Size of its members, unpacked.
    pub content: Option<u64>,
}

/// As [`State`], with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Worth {
    Good,
    Partial,
    Damaged(String),
    Foreign,
}

/// A look at a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    pub seen: Vec<Seen>,
    /// The archives of which a proof is known, old and new.
    pub marks: BTreeMap<String, Mark>,
}

/// What [`survey`] is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub template: String,
    pub db: String,
    /// So many of the newest good ones are read in full where no proof is known.
    pub prove: usize,
    pub known: BTreeMap<String, Mark>,
    pub today: NaiveDate,
    /// Seconds since 1970.
    pub now: i64,
}

/// Lists the archives of a directory and looks at each.
pub fn survey(
    dir: &Path,
    question: &Question,
    tick: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Survey> {
    let names = Names::new(&question.template, common::weekday::Language::Pt, &question.db)?;
    let mut survey = Survey::default();
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| is_archive(n)) else { continue };
        // What somebody removes meanwhile is not there.
        let Ok(meta) = std::fs::symlink_metadata(entry.path()) else { continue };
        tick(0)?;
        let seen = look(&entry.path(), name, &meta, &names, &question.db);
        if let Some(mark) = question.known.get(name).filter(|m| m.fits(&meta)) {
            survey.marks.insert(name.to_owned(), mark.clone());
        }
        survey.seen.push(seen);
    }
    let mut order: Vec<usize> = (0..survey.seen.len()).collect();
    order.sort_by_key(|n| {
        let backup = survey.seen[*n].backup(&names);
        std::cmp::Reverse((backup.day, backup.made, backup.name))
    });
    let mut proven = 0;
    for n in order {
        let seen = &mut survey.seen[n];
        let backup = seen.backup(&names);
        if proven >= question.prove || seen.worth != Worth::Good || backup.day > question.today {
            continue;
        }
        // The one that all others may be removed for is read anew from time to time.
        let holds = |mark: &Mark| proven > 0 || !mark.is_old(question.now);
        if survey.marks.get(&seen.name).is_some_and(holds) {
            proven += 1;
            continue;
        }
        survey.marks.remove(&seen.name);
        match prove_it(&dir.join(&seen.name), tick) {
            Ok(mark) => {
                proven += 1;
                survey.marks.insert(seen.name.clone(), mark);
            }
            Err(error) => {
                crate::job::stopped()?;
                seen.worth = Worth::Damaged(format!("{error:#}"));
            }
        }
    }
    survey.seen.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(survey)
}

/// Whether a file is looked at: a ZIP that is not hidden.
pub fn is_archive(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".zip") && !name.starts_with('.')
}

fn prove_it(path: &Path, tick: &mut dyn FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<Mark> {
    let before = std::fs::metadata(path)?;
    let proof = prove::prove(path, None, tick)?;
    let mark = Mark::new(&before, &proof.sha256);
    anyhow::ensure!(mark.fits(&std::fs::metadata(path)?), "it changed while it was read");
    Ok(mark)
}

fn look(path: &Path, name: &str, meta: &Metadata, names: &Names, db: &str) -> Seen {
    let mut seen = Seen {
        name: name.to_owned(),
        bytes: meta.len(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        worth: Worth::Foreign,
        time: None,
        content: None,
    };
    if !names.is_ours(name) || !meta.is_file() {
        return seen;
    }
    match archive::look(path) {
        Err(error) => seen.worth = Worth::Damaged(format!("{error:#}")),
        Ok(look) => {
            seen.content = Some(look.content);
            seen.worth = match look.head {
                // An archive of the original script tells nothing of its night.
                None => Worth::Good,
                Some(head) => {
                    seen.time = Some(head.backup_time.to_rfc3339());
                    match (head.is_of(db), head.complete) {
                        (false, _) => Worth::Foreign,
                        (true, true) => Worth::Good,
                        (true, false) => Worth::Partial,
                    }
                }
            };
        }
    }
    seen
}

impl Seen {
    /// As the plan sees it.
    pub fn backup(&self, names: &Names) -> Backup {
        let own = self.time.as_ref().and_then(|t| DateTime::parse_from_rfc3339(t).ok());
        let made = own.map_or(self.mtime.0, |t| t.timestamp());
        let local = Local.timestamp_opt(made, 0).single().map(|t| t.date_naive());
        let day = names.day(&self.name).or(own.map(|t| t.date_naive())).or(local);
        Backup {
            name: self.name.clone(),
            day: day.unwrap_or(NaiveDate::MIN),
            made,
            bytes: self.bytes,
            state: match self.worth {
                Worth::Good => State::Good,
                Worth::Partial => State::Partial,
                Worth::Damaged(_) => State::Damaged,
                Worth::Foreign => State::Foreign,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::store::PROOF_LASTS;

    #[test]
    fn the_newest_good_archive_is_read_anew_when_its_proof_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup_2026-11-20.zip");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file("GOLD.DMP", stored).unwrap();
        zip.write_all(&[b'x'; 1000]).unwrap();
        zip.finish().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[500] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let mark = Mark::new(&std::fs::metadata(&path).unwrap(), "as it was proven once");
        let worth = |now: i64| {
            let question = Question {
                template: "backup_{date}.zip".to_owned(),
                db: String::new(),
                prove: 1,
                known: BTreeMap::from([("backup_2026-11-20.zip".to_owned(), mark.clone())]),
                today: NaiveDate::from_ymd_opt(2026, 11, 20).unwrap(),
                now,
            };
            let survey = survey(dir.path(), &question, &mut |_| Ok(())).unwrap();
            (survey.seen[0].worth.clone(), survey.marks.len())
        };
        for now in [mark.proven + PROOF_LASTS, mark.proven - 60] {
            assert_eq!(worth(now), (Worth::Good, 1), "{now}");
        }
        for now in [mark.proven + PROOF_LASTS + 1, mark.proven - 86_401] {
            assert!(matches!(worth(now), (Worth::Damaged(_), 0)), "{now}");
        }
    }
}
