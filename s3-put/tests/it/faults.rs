//! Faults of the network and of the server: either the object is right, or the run says that it is not there.

use s3server::proxy::{Fault, Novelty, Rule};
use s3server::Operation::{self, *};

use super::bench::{content, Bench, MIB};

const SIZE: usize = 11 * MIB;

/// One fault each, that passes.
fn passing() -> Vec<(Operation, Fault)> {
    let mut all = Vec::new();
    for operation in [CreateMultipartUpload, UploadPart, CompleteMultipartUpload, PutObject, ListObjects] {
        for fault in [
            Fault::internal_error(),
            Fault::slow_down(),
            Fault::error_after(),
            Fault::error(502, "BadGateway"),
            Fault::ResetBefore,
            Fault::ResetAfter,
            Fault::CutAnswer,
        ] {
            all.push((operation, fault));
        }
    }
    for operation in [UploadPart, PutObject] {
        all.push((operation, Fault::CutRequest));
        all.push((operation, Fault::FlipRequest));
    }
    all.push((UploadPart, Fault::ErrorInside { executed: false }));
    all.push((PutObject, Fault::ErrorInside { executed: true }));
    all.push((CompleteMultipartUpload, Fault::ErrorInside { executed: false }));
    all.push((CompleteMultipartUpload, Fault::ErrorInside { executed: true }));
    all
}

#[test]
fn faults_that_pass_leave_the_right_objects_and_nothing_else() {
    let bench = Bench::new();
    for (index, (operation, fault)) in passing().into_iter().enumerate() {
        let large = bench.file(&format!("large{index}"), SIZE, index as u64);
        let small = bench.file(&format!("small{index}"), 100, index as u64);
        bench.rules(vec![Rule::on(operation, fault.clone()).first(1)]);
        let paths = [large.to_str().unwrap(), small.to_str().unwrap()];
        let ran = bench.put(&["--no-manifest", "--key", "{prefix}{name}", paths[0], paths[1]], "");
        assert_eq!(ran.status, 0, "{operation:?} {fault:?}: {}\n{}", ran.stdout, ran.stderr);
        for (path, size) in [(format!("large{index}"), SIZE), (format!("small{index}"), 100)] {
            let stored = bench.server.object_bytes(&format!("backups/{path}")).unwrap();
            assert!(stored == content(size, index as u64), "{operation:?} {fault:?}");
        }
        let left = bench.server.uploads().unwrap();
        assert!(left.is_empty(), "{operation:?} {fault:?}: {left:?}");
        assert_eq!(bench.journals(), 0);
        for path in [&large, &small] {
            std::fs::remove_file(path).unwrap();
        }
        bench.server.remove(&format!("backups/large{index}")).unwrap();
    }
}

#[test]
fn a_stalled_part_is_sent_again() {
    let bench = Bench::new();
    let file = bench.file("x", SIZE, 1);
    bench.rules(vec![Rule::on(UploadPart, Fault::Silence).part(2).first(1)]);
    bench.put_file(&file).expect(0);
    assert!(bench.server.object_bytes("backups/x").unwrap() == content(SIZE, 1));
}

#[test]
fn an_older_server_gets_what_it_knows_and_the_object_is_read_back() {
    for (rules, says) in [
        (
            vec![Rule::any(Fault::Refuse(Novelty::Checksum)), Rule::any(Fault::NoChecksum)],
            "CRC64NVME checksums",
        ),
        (vec![Rule::any(Fault::Refuse(Novelty::UnsignedPayload))], "unsigned bodies"),
        (vec![Rule::any(Fault::Refuse(Novelty::Condition))], "If-None-Match"),
        (Fault::old(), "keeps no checksum"),
    ] {
        let bench = Bench::new();
        let (large, small) = (bench.file("l", SIZE, 1), bench.file("s", 10, 2));
        bench.rules(rules);
        let paths = [large.to_str().unwrap(), small.to_str().unwrap()];
        let ran = bench.put(&["--no-manifest", "--key", "{prefix}{name}", paths[0], paths[1]], "");
        ran.expect(0);
        assert!(
            ran.of("log").iter().any(|l| l["message"].as_str().unwrap().contains(says)),
            "{}",
            ran.stdout
        );
        assert!(bench.server.object_bytes("backups/l").unwrap() == content(SIZE, 1));
        assert!(bench.server.object_bytes("backups/s").unwrap() == content(10, 2));
        bench.assert_nothing_twice();
    }
}

#[test]
fn damage_behind_a_server_without_checksums_is_found_by_reading_back() {
    let bench = Bench::new();
    let file = bench.file("s", 100_000, 2);
    bench.rules(vec![
        Rule::any(Fault::Refuse(Novelty::Checksum)),
        Rule::on(PutObject, Fault::FlipRequest).nth(2),
        Rule::any(Fault::NoChecksum),
    ]);
    let ran = bench.put_file(&file);
    assert_ne!(ran.status, 0);
    assert!(ran.object()["reason"].as_str().unwrap().contains("stored wrongly"), "{}", ran.stdout);
    assert!(bench.keys().is_empty());
}

#[test]
fn a_wrong_checksum_in_the_answer_is_no_success() {
    for operation in [PutObject, CompleteMultipartUpload] {
        let bench = Bench::new();
        let file = bench.file("x", if operation == PutObject { 100 } else { SIZE }, 1);
        bench.rules(vec![Rule::on(operation, Fault::WrongChecksum)]);
        let ran = bench.put_file(&file);
        ran.expect(2);
        assert_eq!(ran.object()["status"], "failed");
        assert!(bench.keys().is_empty(), "what cannot be trusted is removed");
    }
}

fn failing(rules: Vec<Rule>, change: impl Fn(&mut std::process::Command)) -> super::bench::Ran {
    let bench = Bench::new();
    let file = bench.file("x", 100, 1);
    bench.rules(rules);
    let mut command = bench.put_command(&["--key", "{prefix}{name}"]);
    change(&mut command);
    let input = format!("{{\"path\":\"{}\"}}\n{{\"type\":\"future\"}}\n", file.display());
    let ran = super::bench::finish(command.spawn().unwrap(), &input);
    assert!(bench.keys().is_empty());
    // What came in went out all the same.
    assert!(ran.stdout.contains(&input), "{}", ran.stdout);
    ran
}

#[test]
fn what_will_not_pass_ends_with_its_status_and_a_hint() {
    let ran = failing(Vec::new(), |c| {
        c.env("S3_BUCKET_NAME", "no-such-bucket");
    });
    assert!(ran.expect(64).stderr.contains("NoSuchBucket") && ran.stderr.contains("hint: make the bucket"));
    let ran = failing(Vec::new(), |c| {
        c.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    });
    assert!(ran.expect(64).stderr.contains("no credentials; tried the environment"), "{}", ran.stderr);
    let ran = failing(Vec::new(), |c| {
        c.env("AWS_SECRET_ACCESS_KEY", "wr0ng-s3cr3t");
    });
    assert!(ran.expect(4).stderr.contains("SignatureDoesNotMatch") && !ran.stderr.contains("wr0ng-s3cr3t"));
    let ran = failing(Vec::new(), |c| {
        c.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1");
    });
    assert!(ran.expect(75).stderr.contains("gave up after"), "{}", ran.stderr);
    let ran = failing(vec![Rule::any(Fault::Skewed(30))], |_| ());
    assert!(ran.expect(4).stderr.contains("behind the server's"), "{}", ran.stderr);
    let ran = failing(vec![Rule::any(Fault::error(403, "AccessDenied"))], |_| ());
    assert!(ran.expect(4).stdout.contains("AccessDenied"));
    let ran = failing(vec![Rule::any(Fault::error(400, "ExpiredToken"))], |_| ());
    assert!(ran.expect(4).stderr.contains("the credentials have expired"), "{}", ran.stderr);
}

#[test]
fn expired_credentials_are_read_again_and_a_redirect_is_followed() {
    let bench = Bench::new();
    let file = bench.file("x", SIZE, 1);
    bench.rules(vec![Rule::on(UploadPart, Fault::error(400, "ExpiredToken")).first(1)]);
    bench.put_file(&file).expect(0);
    let bench = Bench::new();
    let file = bench.file("x", SIZE, 1);
    bench.rules(vec![Rule::any(Fault::Redirect("sa-east-1"))]);
    let ran = bench.put_file(&file);
    ran.expect(0);
    assert!(ran.stdout.contains("is at sa-east-1"), "{}", ran.stdout);
}

#[test]
fn an_end_that_is_never_answered_is_looked_at() {
    for executed in [true, false] {
        let bench = Bench::new();
        let file = bench.file("x", SIZE, 1);
        bench.rules(vec![Rule::on(CompleteMultipartUpload, Fault::Hold { executed })]);
        let begun = std::time::Instant::now();
        let ran = bench.put_file(&file);
        assert!(begun.elapsed().as_secs() < 60, "not the 15 minutes of the default");
        if executed {
            ran.expect(0);
            assert!(bench.server.object_bytes("backups/x").unwrap() == content(SIZE, 1));
        } else {
            ran.expect(2);
            assert_eq!(ran.object()["status"], "failed");
            bench.rules(Vec::new());
            let again = bench.put_file(&file);
            assert_eq!(again.expect(0).object()["resent_parts"], 0);
        }
        bench.assert_nothing_twice();
    }
}

#[test]
fn without_if_none_match_an_object_that_came_meanwhile_is_not_replaced() {
    let bench = Bench::new();
    let (ours, theirs) = (bench.file("x", SIZE, 1), bench.file("other/x", 100, 2));
    bench.rules(vec![
        Rule::any(Fault::Refuse(Novelty::Condition)),
        Rule::on(UploadPart, Fault::Slow(2 << 20)).part(1),
    ]);
    let child = bench.start_put(&ours);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while bench.proxy.count(UploadPart) == 0 {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let direct = bench.server.endpoint();
    let mut command =
        bench.put_command(&["--no-manifest", "--key", "{prefix}{name}", theirs.to_str().unwrap()]);
    super::bench::finish(command.env("AWS_ENDPOINT_URL_S3", direct).spawn().unwrap(), "").expect(0);
    let ran = super::bench::finish(child, "");
    ran.expect(2);
    assert!(ran.object()["reason"].as_str().unwrap().contains("is there with another content"));
    assert_eq!(bench.server.object_bytes("backups/x").unwrap(), content(100, 2));
    bench.assert_nothing_twice();
}
