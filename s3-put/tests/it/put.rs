//! What s3-put does when nothing breaks.

use std::time::Duration;

use s3server::Operation;

use super::bench::{content, sha256, Bench, MIB};

const PART: usize = 5 * MIB;

#[test]
fn every_size_and_name_arrives_with_its_hashes() {
    let bench = Bench::new();
    let files = [
        ("empty.bkp", 0),
        ("one_byte.bkp", 1),
        ("one_part.bkp", PART),
        ("one_part_and_a_byte.bkp", PART + 1),
        ("three parts+ç%2F.bkp", 2 * PART + 12_345),
    ];
    let mut input = String::new();
    for (seed, (name, size)) in files.iter().enumerate() {
        let path = bench.file(name, *size, seed as u64);
        let path = path.to_str().unwrap();
        input += &format!(
            "{{\"v\":1,\"type\":\"file\",\"path\":\"{path}\",\"role\":\"backup_piece\",\"tag\":\"T\"}}\n"
        );
    }
    input += "{\"type\":\"from_the_future\",  \"x\":1e400}\n";
    let ran = bench.put(&["--key", "{prefix}{tag}/{name}"], &input);
    ran.expect(0);
    assert!(ran.stdout.starts_with("{\"v\":1,\"type\":\"run_begin\""));
    for line in input.lines() {
        assert!(ran.stdout.contains(&format!("{line}\n")), "{line}");
    }
    let objects = bench.server.objects().unwrap();
    for (seed, (name, size)) in files.iter().enumerate() {
        let key = format!("backups/T/{name}");
        let wanted = content(*size, seed as u64);
        assert!(bench.server.object_bytes(&key).unwrap() == wanted, "{name}");
        let all = ran.of("object");
        let record = all.iter().find(|o| o["key"] == key.as_str()).unwrap();
        assert_eq!(record["status"], "uploaded");
        assert_eq!(record["sha256"], sha256(&wanted).as_str());
        assert_eq!(record["bytes"], *size);
        assert_eq!(record["parts"], size.div_ceil(PART).max(1));
        assert_eq!(record["checksum"]["algorithm"], "CRC64NVME");
        let metadata = &objects[&key].metadata;
        assert_eq!(metadata["role"], "backup_piece");
        if *size <= PART {
            assert_eq!(metadata["sha256"], sha256(&wanted));
        }
    }
    // The manifest has everything that went by, and is stored last.
    let manifest = ran.of("file").into_iter().find(|f| f["role"] == "manifest").unwrap();
    let key = manifest["path"].as_str().unwrap().strip_prefix("s3://backups/").unwrap().to_owned();
    assert!(key.starts_with("backups/manifests/"));
    let stored = bench.server.object_bytes(&key).unwrap();
    assert_eq!(manifest["sha256"], sha256(&stored).as_str());
    let stored = String::from_utf8(stored).unwrap();
    assert!(input.lines().all(|line| stored.contains(&format!("{line}\n"))));
    assert_eq!(stored.matches("\"type\":\"object\"").count(), files.len());
    let last =
        bench.server.requests().into_iter().rfind(|s| s.call.operation == Operation::PutObject).unwrap();
    assert_eq!(last.call.key, key);
    bench.assert_nothing_twice();
}

#[test]
fn the_hash_of_the_record_goes_into_the_metadata_and_is_held_against_the_file() {
    let bench = Bench::new();
    let path = bench.file("x.bkp", PART + 9, 1);
    let line = |hash: &str| format!("{{\"path\":\"{}\",\"sha256\":\"{hash}\"}}\n", path.display());
    let hash = sha256(&content(PART + 9, 1));
    let ran = bench.put(&["--key", "bad/{name}"], &line(&sha256(b"something else")));
    ran.expect(2);
    assert!(ran.object()["reason"].as_str().unwrap().contains("the record says SHA-256"));
    assert!(bench.keys().is_empty() && bench.server.uploads().unwrap().is_empty());
    bench.put(&["--key", "good/{name}"], &line(&hash)).expect(0);
    assert_eq!(bench.server.objects().unwrap()["good/x.bkp"].metadata["sha256"], hash);
}

#[test]
fn what_is_there_is_present_or_refused_and_never_written_again() {
    let bench = Bench::new();
    let (small, large) = (bench.file("s.bkp", 1000, 1), bench.file("l.bkp", PART + 1, 2));
    bench.put_file(&small).expect(0);
    bench.put_file(&large).expect(0);
    bench.server.clear();
    for file in [&small, &large] {
        let ran = bench.put(&["--no-manifest", "--key", "{prefix}{name}", file.to_str().unwrap()], "");
        ran.expect(0);
        assert_eq!(ran.object()["status"], "present");
    }
    assert_eq!(bench.server.count(Operation::PutObject), 0);
    assert_eq!(bench.server.count(Operation::CreateMultipartUpload), 0);
    bench.file("s.bkp", 1000, 3);
    bench.file("l.bkp", PART + 2, 3);
    for file in [&small, &large] {
        let ran = bench.put_file(file);
        ran.expect(4);
        let reason = ran.object()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("is there with another content"), "{reason}");
    }
    assert!(bench.server.object_bytes("backups/s.bkp").unwrap() == content(1000, 1));
    assert!(bench.server.object_bytes("backups/l.bkp").unwrap() == content(PART + 1, 2));
}

#[test]
fn a_pipe_that_nobody_wrote_to_is_no_success() {
    let bench = Bench::new();
    let nobody = "standard input had no line at all: whatever should have written to it never started";
    for args in [&[][..], &["--dry-run"], &["--delete-source"]] {
        let ran = bench.put(args, "");
        ran.expect(2);
        assert!(ran.of("log").iter().any(|l| l["message"] == nobody), "{}", ran.stdout);
        assert!(ran.stderr.contains(&format!("s3-put: error: {nobody}")), "{}", ran.stderr);
    }
    // A run that had nothing to hand over has said so.
    let begin = "{\"v\":1,\"type\":\"run_begin\",\"tool\":\"rman-run\",\"run\":\"r\"}\n";
    bench.put(&[], &format!("{begin}{}", end(0))).expect(0);
    // Files that are named need nobody.
    bench.put_file(&bench.file("x.bkp", 10, 1)).expect(0);
    assert_eq!(bench.keys(), ["backups/x.bkp"]);
}

fn producer(end: &str) -> impl Fn(&str) -> String + '_ {
    move |path| {
        format!(
            "{{\"v\":1,\"type\":\"run_begin\",\"tool\":\"rman-run\",\"run\":\"r\"}}\n\
             {{\"v\":1,\"type\":\"file\",\"path\":\"{path}\",\"role\":\"backup_piece\"}}\n{end}"
        )
    }
}

fn end(exit: i64) -> String {
    format!(
        "{{\"v\":1,\"type\":\"run_end\",\"tool\":\"rman-run\",\"run\":\"r\",\"status\":\"success\",\"exit\":{exit},\
         \"seconds\":1,\"counts\":{{}}}}\n"
    )
}

#[test]
fn sources_are_deleted_after_everything_is_proven_and_never_else() {
    let bench = Bench::new();
    let file = bench.file("20261120_200000_run/x.bkp", 5000, 1);
    let path = file.to_str().unwrap();
    for (told, status) in [(String::new(), 2), (end(2), 2), (end(1), 1)] {
        bench.put(&["--delete-source"], &producer(&told)(path)).expect(status);
        assert!(file.exists());
    }
    // The manifest cannot be stored.
    let only_manifest =
        s3server::proxy::Rule::on(Operation::PutObject, s3server::proxy::Fault::error(403, "AccessDenied"))
            .key("manifests");
    bench.rules(vec![only_manifest]);
    bench.put(&["--delete-source"], &producer(&end(0))(path)).expect(1);
    assert!(file.exists());
    bench.rules(Vec::new());
    let ran = bench.put(&["--delete-source"], &producer(&end(0))(path));
    ran.expect(0);
    assert!(!file.exists() && !file.parent().unwrap().exists());
    assert_eq!(ran.of("removed").len(), 1);
}

#[test]
fn one_bad_file_or_line_keeps_the_others_and_all_sources() {
    let bench = Bench::new();
    let good = bench.file("good.bkp", 10, 1);
    let input = format!(
        "not json\n{{\"path\":\"{}\"}}\n{{\"path\":\"{}\"}}\n{{\"path\":\"/\"}}\n",
        good.display(),
        bench.path("gone.bkp").display()
    );
    let ran = bench.put(&["--delete-source", "--key", "{prefix}{name}"], &input);
    ran.expect(1);
    assert!(good.exists());
    assert_eq!(bench.keys(), ["backups/good.bkp"]);
    assert_eq!(ran.of("object").iter().filter(|o| o["status"] == "failed").count(), 2);
}

#[test]
fn a_dry_run_changes_nothing() {
    let bench = Bench::new();
    let file = bench.file("x.bkp", 10, 1);
    let ran = bench.put(&["--dry-run", "--key", "{prefix}{name}", file.to_str().unwrap()], "");
    ran.expect(0);
    assert_eq!(ran.of("planned")[0]["dest"], "s3://backups/backups/x.bkp");
    assert!(bench.server.objects().unwrap().is_empty() && !bench.state.exists());
}

#[test]
fn cleanup_aborts_what_is_old_below_the_prefix_only() {
    let bench = Bench::new();
    let file = bench.file("x.bkp", 2 * PART, 1);
    for prefix in ["backups/", "other/"] {
        let hold = s3server::proxy::Fault::Hold { executed: false };
        bench.rules(vec![s3server::proxy::Rule::on(Operation::CompleteMultipartUpload, hold)]);
        let mut child = bench.put_command(&["--prefix", prefix, file.to_str().unwrap()]).spawn().unwrap();
        bench.proxy.wait_held(Duration::from_secs(60)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    bench.rules(Vec::new());
    bench.put(&["--cleanup"], "").expect(0);
    assert_eq!(bench.server.uploads().unwrap().len(), 2);
    bench.server.age_uploads(Duration::from_secs(8 * 86_400)).unwrap();
    let planned = bench.put(&["--cleanup", "--dry-run"], "");
    assert_eq!(planned.of("planned").len(), 1);
    let ran = bench.put(&["--cleanup"], "");
    ran.expect(0);
    assert_eq!(ran.of("removed").len(), 1);
    let left = bench.server.uploads().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].0.key.starts_with("other/"));
    assert_eq!(bench.journals(), 1);
}

#[test]
fn logs_go_to_their_prefix_and_the_old_ones_leave_the_disk() {
    let bench = Bench::new();
    std::fs::create_dir_all(&bench.state).unwrap();
    let log = |name: &str, days: u64| {
        let path = bench.state.join(name);
        std::fs::write(&path, name).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(days * 86_400);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        path
    };
    let (full1, full2) = (log("rman_FULL_1.log", 9), log("rman_FULL_2.log", 2));
    let (incremental, foreign) = (log("rman_INCREMENTAL_1.log", 2), log("alert.log", 50));
    let file = bench.file("x.bkp", 10, 1);
    bench.put(&["--log-prefix", "logs", file.to_str().unwrap()], "").expect(0);
    assert!(!full1.exists() && !incremental.exists());
    assert!(full2.exists() && foreign.exists());
    assert_eq!(bench.server.object_bytes("logs/rman_FULL_1.log").unwrap(), b"rman_FULL_1.log");
    let keys = bench.server.objects().unwrap().into_keys();
    assert_eq!(keys.filter(|k| k.starts_with("logs/s3-put_")).count(), 1);
}
