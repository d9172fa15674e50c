//! `--manifests`: the records of the stored manifests, each proven before a line of it is printed.

use chrono::{DateTime, NaiveDate, Utc};
use common::app::{Frame, Report};
use common::exit::{Exit, Failure};
use common::record::{Line, Log};
use futures_util::stream::{self, StreamExt};

use super::judge::{judge, Read, Verdict};
use crate::store::{stopped, Kind, Listed, Store, Trouble};

/// Manifests that are read ahead of the one that is printed.
const AHEAD: usize = 8;

/// From when on.
pub fn since(text: &str, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|t| t.and_utc());
    let time = || DateTime::parse_from_rfc3339(text).ok().map(|t| t.with_timezone(&Utc));
    let age = || {
        let age = chrono::Duration::from_std(humantime::parse_duration(text).ok()?).ok()?;
        now.checked_sub_signed(age)
    };
    date().or_else(time).or_else(age).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("--since {text}: no duration and no time"))
            .hint("write 35days, 2026-11-01 or 2026-11-01T00:00:00Z")
            .into()
    })
}

/// The manifests among the objects, oldest first.
///
/// Pure. By the server's time of storing: the day in the key is for people.
pub fn select(found: Vec<Listed>, since: Option<DateTime<Utc>>) -> Vec<Listed> {
    let mut chosen: Vec<Listed> = found
        .into_iter()
        .filter(|l| l.key.ends_with(".jsonl"))
        .filter(|l| match (since, l.modified) {
            // Listings have whole seconds.
            (Some(since), Some(modified)) => modified.timestamp() >= since.timestamp(),
            _ => true,
        })
        .collect();
    chosen.sort_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key)));
    chosen
}

/// Prints them.
pub async fn run(
    store: &Store,
    frame: &Frame,
    prefix: &str,
    since: Option<DateTime<Utc>>,
) -> anyhow::Result<Report> {
    let (found, _) = store.list(&format!("{prefix}manifests/"), usize::MAX).await.map_err(|t| t.failure())?;
    let mut report = Report::new(Exit::Success);
    let chosen = select(found, since);
    if chosen.is_empty() {
        let message = format!("there is no manifest below s3://{}/{prefix}manifests/", store.bucket());
        frame.out.emit(&Log::warning(message))?;
    }
    let mut contents = Box::pin(
        stream::iter(chosen)
            .map(|manifest| async move {
                let content = content(store, &manifest.key).await;
                (manifest.key, content)
            })
            .buffered(AHEAD),
    );
    loop {
        let next = tokio::select! {
            next = contents.next() => next,
            () = stopped() => None,
        };
        let Some((key, content)) = next else { break };
        match content.and_then(|bytes| records(&bytes).map_err(|why| damaged(store, &key, &why))) {
            Ok(lines) => {
                report.count("manifests", 1);
                report.count("records", lines.len() as u64);
                for line in lines {
                    frame.out.forward(&Line::new(line, 0))?;
                }
            }
            Err(trouble) if trouble.kind == Kind::Stopped => break,
            Err(trouble) => {
                report.count("failed", 1);
                report.exit = Some(Exit::Partial);
                frame.out.emit(&Log::error(trouble.reason()))?;
                common::app::report_error(frame.tool, &trouble.failure().into());
            }
        }
    }
    Ok(report)
}

fn damaged(store: &Store, key: &str, why: &str) -> Trouble {
    Trouble::new(
        Kind::Corrupt,
        format!("manifest s3://{}/{key} is damaged: {why}; none of its records is printed", store.bucket()),
    )
    .hint("the objects of that run can still be fetched by their keys")
}

async fn content(store: &Store, key: &str) -> Result<Vec<u8>, Trouble> {
    let seen = store.head(key).await?;
    let seen = seen.ok_or_else(|| Trouble::new(Kind::Missing, format!("manifest {key} is gone")))?;
    let (content, hashes) = store.fetch(key, &seen.etag).await?;
    match judge(None, &seen, &Read { hashes, others: Vec::new() }) {
        Verdict::Wrong(why) => Err(damaged(store, key, &why)),
        Verdict::Proven(_) | Verdict::Unproven => Ok(content),
    }
}

/// The lines of a manifest without the brackets of the runs in it: those ended long ago, and a status of then must not
/// become the status of this pipeline.
fn records(content: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut lines = Vec::new();
    if !content.is_empty() && !content.ends_with(b"\n") {
        return Err("its last line has no end".to_owned());
    }
    for (index, raw) in content.split_inclusive(|b| *b == b'\n').enumerate() {
        let line = Line::new(raw, index + 1);
        if line.is_blank() {
            continue;
        }
        match line.kind() {
            Ok(Some(kind)) if kind == "run_begin" || kind == "run_end" => {}
            Ok(_) => lines.push(raw.to_vec()),
            // A bad line that the run had passed on; the manifest itself is proven.
            Err(_) => {}
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    #[test]
    fn times_of_since() {
        let now = at("2026-11-20T12:00:00Z");
        assert_eq!(since("2026-11-01", now).unwrap(), at("2026-11-01T00:00:00Z"));
        assert_eq!(since("2days", now).unwrap(), at("2026-11-18T12:00:00Z"));
        assert_eq!(since("2026-11-01T10:00:00-03:00", now).unwrap(), at("2026-11-01T13:00:00Z"));
        assert!(since("yesterday", now).is_err());
    }

    #[test]
    fn oldest_first_and_from_the_time_on() {
        let listed =
            |key: &str, time: &str| Listed { key: key.to_owned(), bytes: 1, modified: Some(at(time)) };
        let found = vec![
            listed("m/2026/11/20/b.jsonl", "2026-11-20T10:00:00Z"),
            listed("m/2026/11/20/a.jsonl", "2026-11-20T10:00:00Z"),
            listed("m/2026/11/01/c.jsonl", "2026-11-01T10:00:00Z"),
            listed("m/readme.txt", "2026-11-20T10:00:00Z"),
        ];
        let names = |since: Option<&str>| -> Vec<String> {
            select(found.clone(), since.map(at))
                .into_iter()
                .map(|l| l.key[l.key.len() - 7..].to_owned())
                .collect()
        };
        assert_eq!(names(None), ["c.jsonl", "a.jsonl", "b.jsonl"]);
        assert_eq!(names(Some("2026-11-20T10:00:00.5Z")), ["a.jsonl", "b.jsonl"]);
    }

    #[test]
    fn brackets_are_left_out_and_everything_else_is_byte_for_byte() {
        let text = "{\"type\":\"run_begin\",\"run\":\"r\"}\n{\"type\":\"future\", \"x\":1e400}\n\nbad\n{\"path\":\"/a\"}\n\
                    {\"type\":\"run_end\",\"exit\":2}\n";
        let lines = records(text.as_bytes()).unwrap().concat();
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "{\"type\":\"future\", \"x\":1e400}\n{\"path\":\"/a\"}\n"
        );
        assert!(records(b"{\"path\":\"/a\"").is_err());
    }
}
