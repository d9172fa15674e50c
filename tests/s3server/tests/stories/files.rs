//! Files and settings that are not as one would like them.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use anyhow::{ensure, Result};
use rig::disk::SmallDisk;
use s3server::proxy::{Fault, Rule};
use s3server::store::Rules;
use s3server::Operation;

use crate::stage::{bytes, Stage, MIB, PART};

#[test]
fn a_file_that_changes_while_it_is_uploaded_is_a_failure() -> Result<()> {
    let stage = Stage::new()?;
    let path = stage.file("a.bkp", &bytes(3 * PART, 1))?;
    // Each part takes a second, and the file changes where it was read already.
    stage.proxy.rules(vec![Rule::on(Operation::UploadPart, Fault::Slow(5 << 20))]);
    let mut run = stage.put()?.arg(&path).args(["--concurrency", "1"]).start()?;
    run.until(Duration::from_secs(20), "the first part", |_| {
        Ok(stage.proxy.count(Operation::UploadPart) > 0)
    })?;
    let mut file = std::fs::File::options().write(true).open(&path)?;
    file.seek(SeekFrom::Start(10))?;
    file.write_all(b"changed")?;
    drop(file);
    let outcome = run.wait()?;
    ensure!(matches!(outcome.status, Some(1 | 2)), "{:?}\n{}", outcome.status, outcome.stderr);
    ensure!(outcome.stderr.contains("chang"), "{}", outcome.stderr);
    stage.check_told(&outcome)?;
    ensure!(stage.server.objects()?.is_empty(), "an object of a file that changed is there");
    stage.proxy.rules(Vec::new());
    stage.put()?.arg(&path).run()?.expect(0)?;
    stage.check_object("p/a.bkp", &std::fs::read(&path)?)?;
    stage.check_no_uploads()
}

#[test]
fn sizes_around_a_part_and_names_that_need_escaping() -> Result<()> {
    let stage = Stage::new()?;
    let names = [
        "a b.bkp",
        "a+b.bkp",
        "ção.bkp",
        "100%.bkp",
        "%2F%20+.bkp",
        "q?x=1&y#z.bkp",
        "'\"<>.bkp",
        "日本.bkp",
    ];
    let sizes = [0, 1, PART - 1, PART, PART + 1, 2 * PART];
    let mut all = Vec::new();
    for (n, name) in names.iter().enumerate() {
        all.push((stage.file(name, &bytes(1000 + n, 7))?, (*name).to_owned(), bytes(1000 + n, 7)));
    }
    for size in sizes {
        let name = format!("size{size}.bkp");
        all.push((stage.file(&name, &bytes(size, 9))?, name, bytes(size, 9)));
    }
    let outcome = stage.put()?.args(all.iter().map(|a| &a.0)).run()?.expect(0)?;
    ensure!(outcome.of("object").len() == all.len(), "{} records", outcome.of("object").len());
    let keys: Vec<String> = stage.server.objects()?.into_keys().collect();
    ensure!(keys.len() == all.len(), "{keys:?}");
    for (_, name, content) in &all {
        stage.check_object(&format!("p/{name}"), content)?;
    }
    ensure!(
        stage.server.count(Operation::CreateMultipartUpload) <= 2,
        "a file of one part is a multipart upload"
    );
    let keys: Vec<String> = all.iter().map(|a| format!("p/{}", a.1)).collect();
    stage.get()?.args(&keys).run()?.expect(0)?;
    for (_, name, content) in &all {
        ensure!(std::fs::read(stage.got(name))? == *content, "{name}: other bytes");
    }
    // Once more: everything is there, and nothing is sent.
    let sent = stage.server.count(Operation::PutObject);
    let outcome = stage.put()?.args(all.iter().map(|a| &a.0)).run()?.expect(0)?;
    let present = outcome.of("object").iter().filter(|r| r.text("status") == Some("present")).count();
    ensure!(
        present == all.len() && stage.server.count(Operation::PutObject) == sent,
        "{present} were present"
    );
    // And other content under a name that is taken is refused.
    std::fs::write(&all[0].0, b"other")?;
    let outcome = stage.put()?.arg(&all[0].0).run()?;
    ensure!(matches!(outcome.status, Some(1 | 2 | 4)), "{:?}\n{}", outcome.status, outcome.stderr);
    stage.check_object(&format!("p/{}", all[0].1), &all[0].2)
}

#[test]
fn no_bucket_and_no_credentials_are_said_with_a_hint() -> Result<()> {
    let stage = Stage::new()?;
    let path = stage.file("a.bkp", b"content")?;
    let outcome = stage.put()?.args(["--bucket", "not-there"]).arg(&path).run()?.expect(64)?;
    ensure!(outcome.stderr.contains("not-there") && outcome.stderr.contains("hint"), "{}", outcome.stderr);
    let outcome = stage.get()?.args(["--bucket", "not-there"]).arg("p/a.bkp").run()?.expect(64)?;
    ensure!(outcome.stderr.contains("not-there") && outcome.stderr.contains("hint"), "{}", outcome.stderr);
    let bare =
        |tool: rig::tool::Tool| tool.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let outcome = bare(stage.put()?).arg(&path).run()?.expect(64)?;
    ensure!(outcome.stderr.contains("credential") && outcome.stderr.contains("hint"), "{}", outcome.stderr);
    let outcome = bare(stage.get()?).arg("p/a.bkp").run()?.expect(64)?;
    ensure!(outcome.stderr.contains("credential"), "{}", outcome.stderr);
    let outcome = stage.put()?.env("AWS_SECRET_ACCESS_KEY", "wrong-but-secret").arg(&path).run()?;
    ensure!(matches!(outcome.status, Some(1 | 2 | 4 | 64)), "{:?}\n{}", outcome.status, outcome.stderr);
    ensure!(!outcome.stderr.contains("wrong-but-secret"), "{}", outcome.stderr);
    ensure!(stage.server.objects()?.is_empty(), "something was stored");
    Ok(())
}

/// Ten thousand parts at most, whatever --part-size says: 10,001 parts' worth of holes, into a server that forgets them.
#[test]
fn ten_thousand_and_one_parts_worth_fit_into_ten_thousand_parts() -> Result<()> {
    let stage = Stage::with(Rules { sink: true, ..Rules::default() })?;
    let path = stage.dir.path().join("files/large.bkp");
    let size = 10_001 * PART as u64;
    std::fs::File::create(&path)?.set_len(size)?;
    // 49 GiB are not sent here: the plan is looked at, and the upload's first part.
    stage.proxy.rules(vec![Rule::on(Operation::UploadPart, Fault::Hold { executed: false })]);
    let run = stage.put()?.arg(&path).args(["--concurrency", "1"]).start()?;
    stage.proxy.wait_held(Duration::from_secs(20))?;
    let passed = stage.proxy.passed();
    let part = passed.iter().find(|p| p.call.operation == Operation::UploadPart);
    let first = part.map_or(0, |p| p.call.length);
    ensure!(first > PART as u64 && size.div_ceil(first) <= 10_000, "parts of {first} bytes");
    drop(run);
    Ok(())
}

#[test]
fn a_full_disk_and_a_read_only_one_leave_no_half_file() -> Result<()> {
    let stage = Stage::new()?;
    let content = bytes(2 * PART + 5, 4);
    let path = stage.file("a.bkp", &content)?;
    stage.put()?.arg(&path).run()?.expect(0)?;
    let disk = SmallDisk::mount(16)?;
    disk.fill(3 * MIB as u64)?;
    let get = |stage: &Stage| -> Result<rig::tool::Tool> {
        Ok(stage.at(stage.proxy.address(), "s3-get")?.arg("--dest").arg(disk.path()).arg("p/a.bkp"))
    };
    let outcome = get(&stage)?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 2 | 4)), "{:?}\n{}", outcome.status, outcome.stderr);
    ensure!(outcome.stderr.contains("space") || outcome.stderr.contains("room"), "{}", outcome.stderr);
    stage.check_told(&outcome)?;
    ensure!(!disk.path().join("a.bkp").exists(), "a half file has the final name");
    disk.empty()?;
    disk.read_only(true)?;
    let outcome = get(&stage)?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 2 | 4 | 64)), "{:?}\n{}", outcome.status, outcome.stderr);
    stage.check_told(&outcome)?;
    disk.read_only(false)?;
    get(&stage)?.run()?.expect(0)?;
    ensure!(std::fs::read(disk.path().join("a.bkp"))? == content, "other bytes");
    Ok(())
}

#[test]
fn a_byte_that_flips_in_the_bucket_is_found() -> Result<()> {
    let stage = Stage::new()?;
    for (name, size) in [("small.bkp", 1000), ("large.bkp", 2 * PART + 5)] {
        let path = stage.file(name, &bytes(size, 5))?;
        stage.put()?.arg(&path).run()?.expect(0)?;
        let key = format!("p/{name}");
        let data = stage.server.object_file(&key)?;
        let mut stored = std::fs::read(&data)?;
        stored[size / 2] ^= 1;
        std::fs::write(&data, stored)?;
        let verify = stage.at(stage.proxy.address(), "s3-get")?.args(["--verify", &key]).run()?.expect(5)?;
        ensure!(verify.stderr.contains(&key), "{}", verify.stderr);
        let outcome = stage.get()?.arg(&key).run()?;
        ensure!(matches!(outcome.status, Some(1 | 2 | 5)), "{:?}\n{}", outcome.status, outcome.stderr);
        ensure!(!stage.got(name).exists(), "a damaged file has the final name");
        stage.check_told(&outcome)?;
    }
    Ok(())
}

/// With the default settings, a large file in bounded memory. 2 GiB here; the bench takes 4.
#[test]
#[ignore = "sends 2 GiB; scripts/bench.sh s3 measures it in release builds"]
fn memory_is_bounded_with_the_default_settings() -> Result<()> {
    let stage = Stage::with(Rules { sink: true, ..Rules::default() })?;
    let path = stage.dir.path().join("files/large.bkp");
    std::fs::File::create(&path)?.set_len(2 << 30)?;
    let put = stage.at(stage.server.address(), "s3-put")?.arg("--no-manifest").arg(&path);
    let outcome = put.limit(Duration::from_secs(600)).run()?.expect(0)?;
    ensure!(outcome.max_rss < 200 << 20, "{} MiB", outcome.max_rss >> 20);
    eprintln!("2 GiB in {:.1?}, {} MiB", outcome.elapsed, outcome.max_rss >> 20);
    Ok(())
}
