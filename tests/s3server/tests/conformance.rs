//! The server does what S3 documents, as the SDK of AWS sees it; and so does the distributed one.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, Delete,
    ObjectIdentifier,
};
use aws_sdk_s3::Client;
use s3server::garage::{self, Cluster};
use s3server::server::{Options, Server, ACCESS_KEY, BUCKET};
use s3server::store::Rules;
use tempfile::TempDir;

const MIB: usize = 1 << 20;
const KEY: &str = "a b+c%/ç/été &=?#~'(x).bkp";

fn client(endpoint: &str, access: &str, secret: &str, region: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::new(region.to_owned()))
        .credentials_provider(Credentials::new(access, secret, None, None, "test"))
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

fn crc64(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes);
    base64_simd::STANDARD.encode_to_string(sum.to_be_bytes())
}

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    match result {
        Ok(answer) => format!("no error: {answer:?}"),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}

/// What a whole upload and its continuation need. Garage answers a second completion in its own way;
/// S3 knows no such upload then, which is asked for when `strict`.
async fn multipart(s3: &Client, strict: bool) -> Result<()> {
    let part = 5 * MIB;
    let all = bytes(2 * part + 1);
    let created = s3
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(KEY)
        .metadata("sha256", "abc")
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .checksum_type(ChecksumType::FullObject)
        .send()
        .await?;
    let id = created.upload_id().context("no upload id")?;
    for (n, piece) in [(1, &all[..part]), (3, &all[2 * part..])] {
        let sent = s3
            .upload_part()
            .bucket(BUCKET)
            .key(KEY)
            .upload_id(id)
            .part_number(n)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .body(ByteStream::from(piece.to_vec()))
            .send()
            .await?;
        ensure!(sent.checksum_crc64_nvme() == Some(&crc64(piece)), "part {n}: {sent:?}");
    }
    let wrong = s3.upload_part().bucket(BUCKET).key(KEY).upload_id(id).part_number(2);
    let wrong =
        wrong.checksum_crc64_nvme(crc64(b"other")).body(ByteStream::from(all[part..2 * part].to_vec()));
    let refused = code(wrong.send().await);
    ensure!(
        ["BadDigest", "InvalidDigest"].contains(&refused.as_str()),
        "a part with a wrong checksum: {refused}"
    );

    let listed = s3.list_multipart_uploads().bucket(BUCKET).prefix("a b+").send().await?;
    ensure!(listed.uploads().iter().any(|u| u.upload_id() == Some(id) && u.key() == Some(KEY)), "{listed:?}");
    let mut parts = s3.list_parts().bucket(BUCKET).key(KEY).upload_id(id).send().await?;
    let numbers: Vec<_> = parts.parts().iter().map(|p| (p.part_number(), p.size())).collect();
    ensure!(numbers == [(Some(1), Some(part as i64)), (Some(3), Some(1))], "{numbers:?}");
    ensure!(parts.parts()[0].checksum_crc64_nvme() == Some(&crc64(&all[..part])), "{parts:?}");

    let second = s3.upload_part().bucket(BUCKET).key(KEY).upload_id(id).part_number(2);
    let second = second.checksum_crc64_nvme(crc64(&all[part..2 * part]));
    second.body(ByteStream::from(all[part..2 * part].to_vec())).send().await?;
    parts = s3.list_parts().bucket(BUCKET).key(KEY).upload_id(id).send().await?;
    let done = parts.parts().iter().map(|p| {
        CompletedPart::builder()
            .part_number(p.part_number().unwrap_or(0))
            .e_tag(p.e_tag().unwrap_or_default())
            .set_checksum_crc64_nvme(p.checksum_crc64_nvme().map(str::to_owned))
            .build()
    });
    let done = CompletedMultipartUpload::builder().set_parts(Some(done.collect())).build();
    let complete = || {
        s3.complete_multipart_upload()
            .bucket(BUCKET)
            .key(KEY)
            .upload_id(id)
            .checksum_type(ChecksumType::FullObject)
            .multipart_upload(done.clone())
    };
    let refused = code(complete().checksum_crc64_nvme(crc64(b"other")).send().await);
    ensure!(
        ["BadDigest", "InvalidDigest", "InvalidRequest"].contains(&refused.as_str()),
        "a wrong checksum of the whole: {refused}"
    );
    let finished = complete().checksum_crc64_nvme(crc64(&all)).send().await?;
    ensure!(finished.checksum_crc64_nvme().is_none_or(|c| c == crc64(&all)), "{finished:?}");

    let head = s3.head_object().bucket(BUCKET).key(KEY).checksum_mode(ChecksumMode::Enabled).send().await?;
    ensure!(head.content_length() == Some(all.len() as i64), "{head:?}");
    ensure!(head.checksum_crc64_nvme() == Some(&crc64(&all)), "{head:?}");
    ensure!(head.metadata().and_then(|m| m.get("sha256")).map(String::as_str) == Some("abc"), "{head:?}");
    let got = s3.get_object().bucket(BUCKET).key(KEY).checksum_mode(ChecksumMode::Enabled).send().await?;
    ensure!(got.body.collect().await?.to_vec() == all, "other bytes");
    let etag = head.e_tag().unwrap_or_default();
    let range = || s3.get_object().bucket(BUCKET).key(KEY).range(format!("bytes={}-{}", part - 3, part + 3));
    let got = range().if_match(etag).send().await?;
    ensure!(got.body.collect().await?.to_vec() == all[part - 3..part + 4], "other bytes in a range");
    let other = code(range().if_match("\"0123456789abcdef0123456789abcdef\"").send().await);
    // Garage answers 412 without a document.
    ensure!(["PreconditionFailed", "no code"].contains(&other.as_str()), "If-Match: {other}");
    let again = code(complete().send().await);
    ensure!(!strict || again == "NoSuchUpload", "a finished upload is known still: {again}");
    Ok(())
}

async fn whole_objects(s3: &Client) -> Result<()> {
    for n in 0..25 {
        let put = s3.put_object().bucket(BUCKET).key(format!("list/{n:02}")).body(ByteStream::from(bytes(n)));
        put.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await?;
    }
    let mut keys = Vec::new();
    let mut pages = s3.list_objects_v2().bucket(BUCKET).prefix("list/").max_keys(7).into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        keys.extend(page?.contents().iter().filter_map(|o| o.key().map(str::to_owned)));
        count += 1;
    }
    ensure!(
        count == 4 && keys == (0..25).map(|n| format!("list/{n:02}")).collect::<Vec<_>>(),
        "{count} {keys:?}"
    );
    let folded = s3.list_objects_v2().bucket(BUCKET).delimiter("/").prefix("l").send().await?;
    ensure!(folded.common_prefixes()[0].prefix() == Some("list/"), "{folded:?}");
    let again =
        s3.put_object().bucket(BUCKET).key("list/01").body(ByteStream::from(bytes(1))).if_none_match("*");
    ensure!(code(again.send().await) == "PreconditionFailed", "If-None-Match");
    let wrong = s3
        .put_object()
        .bucket(BUCKET)
        .key("wrong")
        .checksum_sha256(base64_simd::STANDARD.encode_to_string([1; 32]));
    let refused = code(wrong.body(ByteStream::from(bytes(9))).send().await);
    ensure!(["BadDigest", "InvalidDigest"].contains(&refused.as_str()), "a wrong SHA-256: {refused}");
    let absent = s3.head_object().bucket(BUCKET).key("wrong").send().await;
    ensure!(
        absent.is_err_and(|e| e.into_service_error().is_not_found()),
        "the object with a wrong checksum is there"
    );
    ensure!(code(s3.get_object().bucket(BUCKET).key("nothing").send().await) == "NoSuchKey", "NoSuchKey");
    ensure!(code(s3.list_objects_v2().bucket("not-there").send().await) == "NoSuchBucket", "NoSuchBucket");
    let doomed = ["list/03", "list/04"].map(|k| ObjectIdentifier::builder().key(k).build());
    let doomed = doomed.into_iter().collect::<Result<Vec<_>, _>>()?;
    s3.delete_objects()
        .bucket(BUCKET)
        .delete(Delete::builder().set_objects(Some(doomed)).build()?)
        .send()
        .await?;
    s3.delete_object().bucket(BUCKET).key("list/05").send().await?;
    ensure!(
        s3.list_objects_v2().bucket(BUCKET).prefix("list/").send().await?.key_count() == Some(22),
        "deleted"
    );
    Ok(())
}

async fn aborted(s3: &Client) -> Result<()> {
    let created = s3.create_multipart_upload().bucket(BUCKET).key("gone").send().await?;
    let id = created.upload_id().context("no upload id")?;
    s3.upload_part()
        .bucket(BUCKET)
        .key("gone")
        .upload_id(id)
        .part_number(1)
        .body(ByteStream::from(bytes(9)))
        .send()
        .await?;
    s3.abort_multipart_upload().bucket(BUCKET).key("gone").upload_id(id).send().await?;
    ensure!(
        code(s3.list_parts().bucket(BUCKET).key("gone").upload_id(id).send().await) == "NoSuchUpload",
        "aborted"
    );
    ensure!(
        s3.list_multipart_uploads().bucket(BUCKET).send().await?.uploads().is_empty(),
        "an upload is left"
    );
    Ok(())
}

/// What Garage is known to lack is left out; what remains is what the tools need.
#[test]
fn three_garage_nodes_speak_s3_and_one_of_them_may_die() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let s3 = client(&cluster.endpoint(0), garage::ACCESS_KEY, cluster.secret(), garage::REGION);
    runtime()?.block_on(async {
        multipart(&s3, false).await.context("multipart")?;
        aborted(&s3).await.context("abort")?;
        s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from(bytes(9))).send().await?;
        Ok::<_, anyhow::Error>(())
    })?;
    cluster.kill(2)?;
    let other = client(&cluster.endpoint(1), garage::ACCESS_KEY, cluster.secret(), garage::REGION);
    runtime()?.block_on(async {
        let got = other.get_object().bucket(BUCKET).key("k").send().await?;
        ensure!(got.body.collect().await?.to_vec() == bytes(9), "other bytes");
        other.put_object().bucket(BUCKET).key("k2").body(ByteStream::from(bytes(10))).send().await?;
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[test]
fn the_embedded_server_speaks_s3() -> Result<()> {
    let dir = TempDir::new()?;
    let server = Server::start(dir.path())?;
    let s3 = client(&server.endpoint(), ACCESS_KEY, server.secret(), "us-east-1");
    runtime()?.block_on(async {
        multipart(&s3, true).await.context("multipart")?;
        whole_objects(&s3).await.context("whole objects")?;
        aborted(&s3).await.context("abort")?;
        let stranger = client(&server.endpoint(), ACCESS_KEY, "wrong", "us-east-1");
        let refused =
            code(stranger.put_object().bucket(BUCKET).key("x").body(ByteStream::from(bytes(9))).send().await);
        ensure!(refused == "SignatureDoesNotMatch", "a wrong secret: {refused}");
        Ok(())
    })?;
    let parts = server.parts_stored();
    ensure!(parts.values().all(|n| *n == 1) && parts.len() == 4, "{parts:?}");

    drop(server);
    let again = Server::start(dir.path())?;
    ensure!(again.object_bytes(KEY)? == bytes(10 * MIB + 1), "the objects outlive the server");
    Ok(())
}

#[test]
fn a_small_part_is_refused_and_the_upload_is_still_there() -> Result<()> {
    let dir = TempDir::new()?;
    let server = Server::start(dir.path())?;
    let s3 = client(&server.endpoint(), ACCESS_KEY, server.secret(), "us-east-1");
    runtime()?.block_on(async {
        let id =
            s3.create_multipart_upload().bucket(BUCKET).key("k").send().await?.upload_id.context("no id")?;
        let mut done = Vec::new();
        for n in 1..=2 {
            let part = s3.upload_part().bucket(BUCKET).key("k").upload_id(&id).part_number(n);
            let sent = part.body(ByteStream::from(bytes(100))).send().await?;
            done.push(
                CompletedPart::builder().part_number(n).e_tag(sent.e_tag().unwrap_or_default()).build(),
            );
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(done)).build();
        let complete =
            s3.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id).multipart_upload(parts);
        ensure!(code(complete.send().await) == "EntityTooSmall", "two small parts");
        Ok(())
    })?;
    ensure!(server.uploads()?.first().is_some_and(|(_, parts)| parts.len() == 2), "{:?}", server.uploads()?);
    server.age_uploads(Duration::from_secs(86400))?;
    Ok(())
}

#[test]
fn pages_versions_and_a_sink_are_as_asked() -> Result<()> {
    let dir = TempDir::new()?;
    let rules = Rules { page: 3, versioned: true, ..Rules::default() };
    let server = Server::with(dir.path(), Options { rules, ..Options::default() })?;
    let s3 = client(&server.endpoint(), ACCESS_KEY, server.secret(), "us-east-1");
    runtime()?.block_on(async {
        let first =
            s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"one")).send().await?;
        let second =
            s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"two")).send().await?;
        ensure!(first.version_id().is_some() && first.version_id() != second.version_id(), "{first:?}");
        let old = s3
            .get_object()
            .bucket(BUCKET)
            .key("k")
            .version_id(first.version_id().unwrap_or_default())
            .send()
            .await?;
        ensure!(old.body.collect().await?.to_vec() == b"one", "the old version");
        for n in 0..7 {
            s3.put_object()
                .bucket(BUCKET)
                .key(format!("p{n}"))
                .body(ByteStream::from_static(b""))
                .send()
                .await?;
        }
        let page = s3.list_objects_v2().bucket(BUCKET).send().await?;
        ensure!(page.contents().len() == 3 && page.is_truncated() == Some(true), "{page:?}");
        Ok(())
    })?;
    drop(server);

    let dir = TempDir::new()?;
    let rules = Rules { sink: true, ..Rules::default() };
    let server = Server::with(dir.path(), Options { rules, ..Options::default() })?;
    let s3 = client(&server.endpoint(), ACCESS_KEY, server.secret(), "us-east-1");
    runtime()?.block_on(multipart_of_zeros(&s3))?;
    Ok(())
}

async fn multipart_of_zeros(s3: &Client) -> Result<()> {
    let put = s3.put_object().bucket(BUCKET).key("z").body(ByteStream::from(vec![0; 3000]));
    put.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await?;
    let got = s3.get_object().bucket(BUCKET).key("z").checksum_mode(ChecksumMode::Enabled).send().await?;
    ensure!(got.body.collect().await?.to_vec() == vec![0; 3000], "zeros");
    Ok(())
}
