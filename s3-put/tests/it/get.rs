//! s3-get: what comes back is what was stored, or it does not come back.

use std::time::Duration;

use s3server::proxy::{Fault, Rule};
use s3server::Operation;

use super::bench::{content, finish, Bench, MIB};

const SIZE: usize = 9 * MIB + 77;

/// Stores two files with records, and gives the dest directory.
fn stored(bench: &Bench) -> String {
    let (a, b) = (bench.file("a b+ç%.bkp", SIZE, 1), bench.file("c.bkp", 10, 2));
    let line = |path: &std::path::Path, tag: &str| {
        format!(
            "{{\"v\":1,\"type\":\"file\",\"path\":\"{}\",\"role\":\"backup_piece\",\"tag\":\"{tag}\",\"set_stamp\":7,\
             \"contents\":[{{\"kind\":\"spfile\"}}]}}\n",
            path.display()
        )
    };
    let input = line(&a, "A") + &line(&b, "B");
    bench.put(&["--key", "{prefix}{tag}/{name}"], &input).expect(0);
    bench.path("restore").to_str().unwrap().to_owned()
}

#[test]
fn the_manifests_lead_to_the_files_and_their_records() {
    let bench = Bench::new();
    let dest = stored(&bench);
    let manifests = bench.get(&["--manifests", "--since", "1day"], "");
    manifests.expect(0);
    assert_eq!(manifests.of("object").len(), 2);
    let ran = bench.get(&["--dest", &dest], &manifests.stdout);
    ran.expect(0);
    let restored = bench.path("restore/a b+ç%.bkp");
    assert!(std::fs::read(&restored).unwrap() == content(SIZE, 1));
    let ours: Vec<_> = ran.of("file").into_iter().filter(|f| f["tool"] == "s3-get").collect();
    assert_eq!(ours.len(), 2);
    let a = ours.iter().find(|f| f["path"] == restored.to_str().unwrap()).unwrap();
    assert_eq!((&a["tag"], &a["role"], &a["set_stamp"]), (&"A".into(), &"backup_piece".into(), &7.into()));
    assert_eq!(a["contents"][0]["kind"], "spfile");
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 2);
    // Again: nothing is fetched.
    bench.server.clear();
    let ran = bench.get(&["--dest", &dest], &manifests.stdout);
    ran.expect(0);
    assert_eq!(ran.of("run_end").last().unwrap()["counts"]["present"], 2);
    assert_eq!(bench.server.count(Operation::GetObject), 0);
    // Another content is never overwritten.
    std::fs::write(&restored, b"mine").unwrap();
    bench.get(&["--dest", &dest], &manifests.stdout).expect(1);
    assert_eq!(std::fs::read(&restored).unwrap(), b"mine");
}

#[test]
fn faults_of_a_download_pass() {
    let bench = Bench::new();
    stored(&bench);
    for (index, fault) in [
        Fault::internal_error(),
        Fault::slow_down(),
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::CutAnswer,
        Fault::Stall,
    ]
    .into_iter()
    .enumerate()
    {
        bench.rules(vec![Rule::on(Operation::GetObject, fault.clone()).first(2)]);
        let dest = bench.path(&format!("r{index}"));
        let ran = bench.get(&["--dest", dest.to_str().unwrap(), "backups/A/a b+ç%.bkp"], "");
        assert_eq!(ran.status, 0, "{fault:?}: {}\n{}", ran.stdout, ran.stderr);
        assert!(std::fs::read(dest.join("a b+ç%.bkp")).unwrap() == content(SIZE, 1), "{fault:?}");
    }
}

#[test]
fn a_byte_that_differs_is_never_kept() {
    let bench = Bench::new();
    let dest = stored(&bench);
    bench.rules(vec![Rule::on(Operation::GetObject, Fault::FlipAnswer).first(1)]);
    let ran = bench.get(&["--dest", &dest, "backups/A/a b+ç%.bkp"], "");
    ran.expect(2);
    assert!(ran.object()["reason"].as_str().unwrap().contains("is not what was stored"));
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 0);
    bench.rules(Vec::new());
    bench.get(&["--verify", "backups/A/a b+ç%.bkp"], "").expect(0);
    let file = bench.server.object_file("backups/A/a b+ç%.bkp").unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5 * MIB] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let manifests = bench.get(&["--manifests"], "");
    bench.get(&["--verify"], &manifests.stdout).expect(5);
    bench.get(&["--verify", "backups/gone"], "").expect(5);
}

#[test]
fn a_killed_download_fetches_no_range_twice() {
    let bench = Bench::new();
    let dest = stored(&bench);
    let key = "backups/A/a b+ç%.bkp";
    bench.rules(vec![Rule::on(Operation::GetObject, Fault::Hold { executed: false }).nth(9)]);
    let args = ["--dest", &dest, "--concurrency", "1", key];
    let mut child = bench.get_command(&args).spawn().unwrap();
    bench.proxy.wait_held(Duration::from_secs(60)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!bench.path("restore/a b+ç%.bkp").exists());
    bench.rules(Vec::new());
    bench.server.clear();
    let ran = bench.get(&args, "");
    ran.expect(0);
    assert_eq!(bench.server.count(Operation::GetObject), 2, "10 ranges, 8 were there");
    assert!(std::fs::read(bench.path("restore/a b+ç%.bkp")).unwrap() == content(SIZE, 1));
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 1);
}

#[test]
fn an_object_that_is_replaced_while_it_is_fetched_is_a_failure() {
    let bench = Bench::new();
    let dest = stored(&bench);
    let key = "backups/A/a b+ç%.bkp";
    bench.rules(vec![Rule::on(Operation::GetObject, Fault::Slow(500_000)).first(1)]);
    let child = bench.get_command(&["--dest", &dest, "--concurrency", "1", key]).spawn().unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while bench.proxy.count(Operation::GetObject) == 0 {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    bench.server.remove(key).unwrap();
    let other = bench.file("other/a b+ç%.bkp", SIZE, 9);
    let put = bench.put(&["--no-manifest", "--key", "{prefix}A/{name}", other.to_str().unwrap()], "");
    put.expect(0);
    let ran = finish(child, "");
    assert_ne!(ran.status, 0, "{}", ran.stdout);
    assert!(!bench.path("restore/a b+ç%.bkp").exists());
}

#[test]
fn a_damaged_manifest_is_one_failed_item() {
    let bench = Bench::new();
    stored(&bench);
    let keys: Vec<_> = bench.server.objects().unwrap().into_keys().collect();
    let manifest = keys.iter().find(|k| k.contains("/manifests/")).unwrap();
    let good = bench.file("more.bkp", 10, 5);
    bench.put_file(&good).expect(0);
    let file = bench.server.object_file(manifest).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let ran = bench.get(&["--manifests"], "");
    ran.expect(1);
    assert_eq!(ran.of("object").len(), 1);
    assert!(ran.of("log")[0]["message"].as_str().unwrap().contains("is damaged"));
}

#[test]
fn keys_with_one_name_and_keys_without_a_name_are_refused() {
    let bench = Bench::new();
    let dest = stored(&bench);
    let c = bench.file("again/c.bkp", 20, 6);
    bench.put(&["--no-manifest", "--key", "{prefix}C/{name}", c.to_str().unwrap()], "").expect(0);
    let ran = bench
        .get(&["--dest", &dest, "backups/B/c.bkp", "backups/C/c.bkp", "x/..", "backups/A/a b+ç%.bkp"], "");
    ran.expect(1);
    assert_eq!(ran.of("object").iter().filter(|o| o["status"] == "failed").count(), 3);
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 1);
}

#[test]
fn a_bucket_that_does_not_exist_is_said_with_a_hint() {
    let bench = Bench::new();
    let dest = bench.path("restore");
    let dest = dest.to_str().unwrap();
    let ran = bench.get(&["--bucket", "not-there", "--dest", dest, "a/x.bkp", "a/y.bkp"], "");
    ran.expect(64);
    assert!(
        ran.stderr.contains("bucket not-there does not exist")
            && ran.stderr.contains("hint: make the bucket")
    );
    let ran = bench.get(&["--dest", dest, "a/x.bkp"], "");
    ran.expect(2);
    assert!(ran.object()["reason"].as_str().unwrap().contains("a/x.bkp is not there"));
}

#[test]
fn short_lines_of_a_manifest_are_none_of_our_business() {
    let bench = Bench::new();
    let file = bench.file("x.bkp", 10, 1);
    bench.put(&[], &format!("{{\"path\":\"{}\"}}\n", file.display())).expect(0);
    let manifests = bench.get(&["--manifests"], "");
    let dest = bench.path("restore");
    bench.get(&["--dest", dest.to_str().unwrap()], &manifests.expect(0).stdout).expect(0);
    assert_eq!(std::fs::read(dest.join("x.bkp")).unwrap(), content(10, 1));
    bench.get(&["--dest", dest.to_str().unwrap()], "{\"other\":1}\n").expect(1);
}

#[test]
fn an_answer_without_an_etag_is_no_object() {
    let bench = Bench::new();
    let dest = stored(&bench);
    bench.rules(vec![Rule::on(Operation::HeadObject, Fault::ErrorInside { executed: false })]);
    let ran = bench.get(&["--dest", &dest, "backups/B/c.bkp"], "");
    assert_ne!(ran.status, 0);
    assert!(ran.of("file").is_empty() && !bench.path("restore/c.bkp").exists());
    bench.rules(vec![Rule::on(Operation::HeadObject, Fault::ErrorInside { executed: false }).first(2)]);
    bench.get(&["--dest", &dest, "backups/B/c.bkp"], "").expect(0);
    assert_eq!(std::fs::read(bench.path("restore/c.bkp")).unwrap(), content(10, 2));
}

#[test]
fn a_content_that_is_not_that_of_its_record_is_not_kept_even_if_the_server_is_content() {
    let bench = Bench::new();
    let dest = stored(&bench);
    let wrong = super::bench::sha256(b"something else");
    let ran =
        bench.get(&["--dest", &dest], &format!("{{\"key\":\"backups/B/c.bkp\",\"sha256\":\"{wrong}\"}}\n"));
    ran.expect(2);
    assert!(ran.object()["reason"].as_str().unwrap().contains("the SHA-256 of its record"), "{}", ran.stdout);
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 0);
}
