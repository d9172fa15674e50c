//! Which objects are wanted: from records, which are passed on first, and from arguments.

use std::collections::HashMap;
use std::io::BufReader;

use common::exit::Exit;
use common::record::{File as FileRecord, Input, Log, Object, ObjectStatus, Out};
use serde::Deserialize;

/// An object that is wanted, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    pub bucket: Option<String>,
    pub key: String,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    /// The record of the file that it was made from.
    pub file: Option<FileRecord>,
}

/// The input at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub wanted: Vec<Wanted>,
    pub worst: Exit,
    pub died: Vec<String>,
    pub bad_lines: u64,
}

impl Default for Told {
    fn default() -> Self {
        Self { wanted: Vec::new(), worst: Exit::Success, died: Vec::new(), bad_lines: 0 }
    }
}

/// A hand-made line may be as short as `{"key":"backups/x"}`.
#[derive(Deserialize)]
struct Short {
    key: Option<String>,
    /// What s3-put takes for a file; a manifest brings such lines back.
    path: Option<String>,
    bucket: Option<String>,
    sha256: Option<String>,
    bytes: Option<u64>,
}

/// Reads standard input to its end.
pub fn read(out: Out) -> anyhow::Result<Told> {
    let mut input = Input::new(BufReader::new(std::io::stdin()), Some(out.clone()));
    let mut told = Told::default();
    let mut join = Join::default();
    while let Some(line) = input.next_line()? {
        let taken = || -> anyhow::Result<()> {
            match line.kind()?.as_deref() {
                Some("object") => join.object(line.decode::<Object>()?),
                Some("file") => join.file(line.decode::<FileRecord>()?),
                None => {
                    let short: Short = line.as_payload()?;
                    let Short { key, path, bucket, sha256, bytes } = short;
                    match (key, path) {
                        (Some(key), _) => {
                            join.wanted(Wanted { bucket, key, bytes, sha256, file: None }, None);
                        }
                        (None, Some(_)) => {}
                        (None, None) => {
                            anyhow::bail!("line {} of the input: neither type nor key", line.number())
                        }
                    }
                }
                Some(_) => {}
            }
            Ok(())
        };
        let mut taken = taken;
        if let Err(error) = taken() {
            told.bad_lines += 1;
            out.emit(&Log::error(format!("{error:#}")))?;
        }
    }
    told.wanted = join.finish();
    told.worst = input.worst();
    told.died = input.died();
    Ok(told)
}

/// Brings objects and the records of their files together, in whatever order they come.
#[derive(Debug, Default)]
struct Join {
    order: Vec<(Wanted, Option<String>)>,
    by_key: HashMap<(Option<String>, String), usize>,
    by_sha256: HashMap<String, FileRecord>,
    by_path: HashMap<String, FileRecord>,
}

impl Join {
    fn file(&mut self, file: Option<FileRecord>) {
        let Some(file) = file else { return };
        if let Some(sha256) = &file.sha256 {
            self.by_sha256.insert(sha256.clone(), file.clone());
        }
        self.by_path.insert(file.path.clone(), file);
    }

    fn object(&mut self, object: Option<Object>) {
        let Some(object) = object else { return };
        if object.status == Some(ObjectStatus::Failed) {
            return;
        }
        let Object { bucket, key, path, bytes, sha256, .. } = object;
        self.wanted(Wanted { bucket: Some(bucket), key, bytes, sha256, file: None }, path);
    }

    fn wanted(&mut self, wanted: Wanted, path: Option<String>) {
        let entry = (wanted, path);
        let place = (entry.0.bucket.clone(), entry.0.key.clone());
        match self.by_key.get(&place) {
            // The same object again: a later run found it present.
            Some(at) => self.order[*at] = entry,
            None => {
                self.by_key.insert(place, self.order.len());
                self.order.push(entry);
            }
        }
    }

    fn finish(self) -> Vec<Wanted> {
        let Self { order, by_sha256, by_path, .. } = self;
        order
            .into_iter()
            .map(|(mut wanted, path)| {
                let same = |file: &&FileRecord| match (&file.sha256, &wanted.sha256) {
                    (Some(a), Some(b)) => a == b,
                    _ => file.bytes.is_none() || wanted.bytes.is_none() || file.bytes == wanted.bytes,
                };
                // Two backups may have used one path; the content decides.
                let by_content = wanted.sha256.as_ref().and_then(|s| by_sha256.get(s));
                let named = path.as_ref().and_then(|p| by_path.get(p)).filter(same);
                wanted.file = named.or(by_content).cloned();
                wanted
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, sha256: &str, tag: &str) -> Option<FileRecord> {
        Some(FileRecord {
            path: path.to_owned(),
            sha256: Some(sha256.to_owned()),
            tag: Some(tag.to_owned()),
            ..FileRecord::default()
        })
    }

    fn object(key: &str, path: &str, sha256: &str) -> Option<Object> {
        Some(Object {
            bucket: "b".to_owned(),
            key: key.to_owned(),
            path: Some(path.to_owned()),
            sha256: Some(sha256.to_owned()),
            ..Object::default()
        })
    }

    #[test]
    fn an_object_finds_the_record_of_its_file_by_path_and_content() {
        let mut join = Join::default();
        join.object(object("k1", "/p", "s1"));
        join.file(file("/p", "s1", "T1"));
        // The same path in a later backup.
        join.file(file("/p", "s2", "T2"));
        join.object(object("k2", "/p", "s2"));
        join.object(object("k3", "/p", "s3"));
        join.object(object("k1", "/p", "s1"));
        let tags: Vec<_> = join.finish().into_iter().map(|w| (w.key, w.file.and_then(|f| f.tag))).collect();
        let tag = |t: &str| Some(t.to_owned());
        assert_eq!(
            tags,
            [("k1".to_owned(), tag("T1")), ("k2".to_owned(), tag("T2")), ("k3".to_owned(), None)]
        );
    }

    #[test]
    fn an_upload_that_failed_is_no_object() {
        let mut join = Join::default();
        let mut failed = object("k", "/p", "s").unwrap();
        failed.status = Some(ObjectStatus::Failed);
        join.object(Some(failed));
        assert!(join.finish().is_empty());
    }
}
