//! Finding the upload to continue: by the journal, else by the key; else a new one.

use super::*;

/// An unfinished upload as the bucket lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub key: String,
    pub id: String,
    pub begun: Option<chrono::DateTime<Utc>>,
    /// Whether it was begun as ours are: CRC64NVME of the full object.
    pub ours: bool,
}

/// Where the sending starts.
pub(super) struct Start {
    pub id: String,
    pub layout: Layout,
    pub finished: BTreeMap<u64, Finished>,
    pub continued: bool,
    /// The journal's first line, when it has to be written.
    pub header: Option<Header>,
    /// Older unfinished uploads of the very key, to be aborted when the object is there.
    pub orphans: Vec<String>,
}

pub(super) async fn begin(
    session: &Session,
    source: &Source,
    key: &str,
    role: Option<&str>,
    expected: Option<&str>,
    journal: &Journal,
    path: Option<&Path>,
) -> Result<Start, Trouble> {
    let size = source.identity.bytes;
    let store = session.store.identity();
    let header = |id: &str, part_size: u64| Header {
        v: 1,
        store: store.clone(),
        key: key.to_owned(),
        upload_id: id.to_owned(),
        path: path.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default(),
        source: source.identity.clone(),
        part_size,
        begun: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    let mut others = unfinished(session, key).await?;
    match resume::past(journal.header(), &store, key, &source.identity) {
        Past::Continue { upload_id, part_size } => {
            let layout = Layout { size, part_size };
            others.retain(|u| u.id != upload_id);
            if let Some(parts) = parts_of(session, key, &upload_id).await?.filter(|_| layout.is_valid()) {
                let finished = resume::finished(layout, &parts, journal.entries());
                session.log.info(&format!(
                    "{key}: continue with {} of {} parts there",
                    finished.len(),
                    layout.count()
                ));
                let orphans = ids(&others);
                return Ok(Start { id: upload_id, layout, finished, continued: true, header: None, orphans });
            }
            session.log.info(&format!("{key}: the upload in the journal is gone; begin anew"));
        }
        Past::Changed { upload_id, change } => {
            let message =
                format!("{key}: the file changed since its upload was begun ({change}): begin anew");
            session.log.warning(&message);
            session.recorder.emit(&Log::warning(message)).map_err(|e| Trouble::local(&e))?;
            abort(session, key, &upload_id).await?;
            others.retain(|u| u.id != upload_id);
        }
        Past::Nothing => {}
    }
    // An upload of this key without a journal: begun on another host, or by a process that died before it could note it.
    for index in 0..others.len() {
        let other = &others[index];
        if other.ours != session.store.mode().checksums {
            continue;
        }
        let Some(parts) = parts_of(session, key, &other.id).await? else { continue };
        let Some(layout) = resume::layout_of(size, session.cli.part_size, &parts) else { continue };
        let finished = resume::finished(layout, &parts, &BTreeMap::new());
        if finished.is_empty() {
            // It saves nothing, and its metadata may be another file's.
            continue;
        }
        let id = others.swap_remove(index).id;
        session.log.info(&format!(
            "{key}: continue an upload that another host or a killed run has begun, {} of {} parts there",
            finished.len(),
            layout.count()
        ));
        let header = Some(header(&id, layout.part_size));
        return Ok(Start { id, layout, finished, continued: true, header, orphans: ids(&others) });
    }
    let layout = Layout::new(size, session.cli.part_size);
    if !layout.is_valid() {
        return Err(Trouble::new(Kind::Other, format!("{size} bytes are more than S3 takes in one object")));
    }
    let id = create(session, key, role, expected, source).await?;
    let header = Some(header(&id, layout.part_size));
    Ok(Start { id, layout, finished: BTreeMap::new(), continued: false, header, orphans: ids(&others) })
}

fn ids(uploads: &[Unfinished]) -> Vec<String> {
    // Foreign ones stay: they may be somebody's work. Those like ours have lost the race for the key.
    uploads.iter().filter(|u| u.ours).map(|u| u.id.clone()).collect()
}

/// Unfinished uploads like ours of a key that is stored now; what cannot be listed is left to --cleanup.
pub(super) async fn left_over(session: &Session, key: &str) -> Vec<String> {
    unfinished(session, key).await.map(|found| ids(&found)).unwrap_or_default()
}

async fn create(
    session: &Session,
    key: &str,
    role: Option<&str>,
    expected: Option<&str>,
    source: &Source,
) -> Result<String, Trouble> {
    let what = format!("begin the upload of s3://{}/{key}", session.store.bucket());
    let (lock_mode, lock_until) = session.lock();
    let metadata = session.metadata(role, &source.identity, expected);
    let answer = session
        .store
        .call(&what, Deed::Sends, Limit::Short, |client, mode, _| {
            client
                .create_multipart_upload()
                .bucket(session.store.bucket())
                .key(key)
                .set_metadata(Some(metadata.clone()))
                .set_storage_class(session.storage_class())
                .set_server_side_encryption(session.sse())
                .set_ssekms_key_id(session.cli.kms_key_id.clone())
                .set_object_lock_mode(lock_mode.clone())
                .set_object_lock_retain_until_date(lock_until)
                .set_checksum_algorithm(mode.checksums.then_some(ChecksumAlgorithm::Crc64Nvme))
                .set_checksum_type(mode.checksums.then_some(ChecksumType::FullObject))
                .send()
        })
        .await?;
    session.store.note_change();
    match answer.upload_id() {
        Some(id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(Trouble::new(Kind::Other, format!("{what}: the server gave no upload id"))),
    }
}

/// The unfinished uploads of exactly this key; none where the server or our rights do not let us look.
async fn unfinished(session: &Session, key: &str) -> Result<Vec<Unfinished>, Trouble> {
    match uploads_of(session, key).await {
        Ok(mut found) => {
            found.retain(|u| u.key == key);
            // The newest first: the one with the best chance to be wanted.
            found.sort_by_key(|u| std::cmp::Reverse(u.begun));
            Ok(found)
        }
        Err(trouble) if matches!(trouble.kind, Kind::Denied | Kind::Unsupported | Kind::Other) => {
            session.store.note_once(Log::info(format!(
                "unfinished uploads cannot be listed ({trouble}): only those in our own journals are continued"
            )));
            Ok(Vec::new())
        }
        Err(trouble) => Err(trouble),
    }
}

/// The unfinished uploads below a prefix, all pages.
pub async fn uploads_of(session: &Session, prefix: &str) -> Result<Vec<Unfinished>, Trouble> {
    let what = format!("list unfinished uploads of s3://{}/{prefix}", session.store.bucket());
    let (mut found, mut marker) = (Vec::new(), (None::<String>, None::<String>));
    loop {
        let page = session
            .store
            .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
                client
                    .list_multipart_uploads()
                    .bucket(session.store.bucket())
                    .prefix(prefix)
                    .set_key_marker(marker.0.clone())
                    .set_upload_id_marker(marker.1.clone())
                    .send()
            })
            .await?;
        found.extend(page.uploads().iter().filter_map(|upload| {
            Some(Unfinished {
                key: upload.key()?.to_owned(),
                id: upload.upload_id()?.to_owned(),
                begun: upload.initiated().and_then(crate::store::time),
                ours: upload.checksum_algorithm() == Some(&ChecksumAlgorithm::Crc64Nvme)
                    && upload.checksum_type() != Some(&ChecksumType::Composite),
            })
        }));
        let next =
            (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
        if page.is_truncated() != Some(true) || next == marker || next.0.is_none() {
            return Ok(found);
        }
        marker = next;
    }
}

/// The parts of an upload, all pages; `None` when there is no such upload any more.
async fn parts_of(session: &Session, key: &str, id: &str) -> Result<Option<Vec<resume::Stored>>, Trouble> {
    let what = format!("list the parts of s3://{}/{key}", session.store.bucket());
    let (mut found, mut marker) = (Vec::new(), None::<String>);
    loop {
        let page = session
            .store
            .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
                client
                    .list_parts()
                    .bucket(session.store.bucket())
                    .key(key)
                    .upload_id(id)
                    .set_part_number_marker(marker.clone())
                    .send()
            })
            .await;
        let page = match page {
            Ok(page) => page,
            Err(trouble) if trouble.kind == Kind::Missing => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        found.extend(page.parts().iter().map(|part| resume::Stored {
            number: part.part_number().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            bytes: part.size().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            etag: part.e_tag().map(str::to_owned),
            crc64: part.checksum_crc64_nvme().and_then(digest::from_base64),
        }));
        let next = page.next_part_number_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) || next.is_none() || next == marker {
            return Ok(Some(found));
        }
        marker = next;
    }
}

/// Gives an upload up; one that is gone already is fine.
pub async fn abort(session: &Session, key: &str, id: &str) -> Result<(), Trouble> {
    let what = format!("abort the upload of s3://{}/{key}", session.store.bucket());
    let answer = session
        .store
        .call(&what, Deed::Plain, Limit::Short, |client, _, _| {
            client.abort_multipart_upload().bucket(session.store.bucket()).key(key).upload_id(id).send()
        })
        .await;
    match answer {
        Ok(_) => {
            session.store.note_change();
            Ok(())
        }
        Err(trouble) if trouble.kind == Kind::Missing => Ok(()),
        Err(trouble) => Err(trouble),
    }
}
