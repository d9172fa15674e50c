//! Killed at every request, then run again: nothing twice, nothing lost, nothing left.

use std::time::Duration;

use s3server::proxy::{Fault, Rule};
use s3server::Operation;

use super::bench::{content, finish, Bench, MIB};

const SIZE: usize = 16 * MIB;

/// Uploads until the rule holds a request, and kills -9 there.
fn kill_at(bench: &Bench, rule: Rule) {
    let file = bench.file("x.bkp", SIZE, 1);
    bench.rules(vec![rule]);
    let mut child = bench.start_put(&file);
    bench.proxy.wait_held(Duration::from_secs(60)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    bench.server.settle().unwrap();
    bench.rules(Vec::new());
}

fn points() -> Vec<(Operation, usize, bool)> {
    let mut points = Vec::new();
    for executed in [false, true] {
        points.push((Operation::CreateMultipartUpload, 1, executed));
        for nth in 1..=4 {
            points.push((Operation::UploadPart, nth, executed));
        }
        points.push((Operation::CompleteMultipartUpload, 1, executed));
    }
    points
}

#[test]
fn killed_at_every_request_the_next_run_sends_no_finished_part_again() {
    for (operation, nth, executed) in points() {
        let bench = Bench::new();
        kill_at(&bench, Rule::on(operation, Fault::Hold { executed }).nth(nth));
        // Touching it would make it another file.
        let ran = bench.put_file(&bench.path("x.bkp"));
        assert_eq!(ran.status, 0, "{operation:?} {nth} {executed}: {}\n{}", ran.stdout, ran.stderr);
        assert!(bench.server.object_bytes("backups/x.bkp").unwrap() == content(SIZE, 1));
        bench.assert_nothing_twice();
    }
}

#[test]
fn another_host_goes_on_where_the_first_one_died() {
    let mut bench = Bench::new();
    kill_at(&bench, Rule::on(Operation::UploadPart, Fault::Hold { executed: false }).part(3));
    let before = bench.server.parts_stored().len();
    assert!(before >= 1);
    bench.state = bench.path("another-host");
    let ran = bench.put_file(&bench.path("x.bkp"));
    ran.expect(0);
    assert_eq!(ran.object()["status"], "resumed");
    assert_eq!(ran.object()["resent_parts"], 4 - before);
    assert!(bench.server.object_bytes("backups/x.bkp").unwrap() == content(SIZE, 1));
    bench.state = bench.path("state");
    bench.put(&["--cleanup"], "").expect(0);
    bench.assert_nothing_twice();
}

#[test]
fn a_source_that_changed_between_two_runs_begins_anew() {
    let bench = Bench::new();
    kill_at(&bench, Rule::on(Operation::UploadPart, Fault::Hold { executed: false }).part(4));
    let file = bench.file("x.bkp", SIZE, 2);
    let ran = bench.put_file(&file);
    ran.expect(0);
    assert!(bench.server.object_bytes("backups/x.bkp").unwrap() == content(SIZE, 2));
    assert!(ran.stdout.contains("the file changed since its upload was begun"), "{}", ran.stdout);
    bench.assert_nothing_twice();
}

#[test]
fn a_file_that_changes_under_the_upload_is_a_failure_and_leaves_nothing() {
    let bench = Bench::new();
    let file = bench.file("x.bkp", SIZE, 1);
    bench.rules(vec![Rule::on(Operation::UploadPart, Fault::Slow(4 << 20)).part(1)]);
    let child = bench.start_put(&file);
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while bench.proxy.count(Operation::UploadPart) == 0 {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    // Same size, and the time set back.
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    let writer = std::fs::File::options().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&writer, b"changed", 100).unwrap();
    writer.set_modified(modified).unwrap();
    let ran = finish(child, "");
    ran.expect(2);
    assert!(ran.object()["reason"].as_str().unwrap().contains("the file changed while it was uploaded"));
    assert!(bench.keys().is_empty());
    bench.assert_nothing_twice();
}

#[test]
fn interrupted_it_says_so_and_the_next_run_goes_on() {
    let bench = Bench::new();
    let file = bench.file("x.bkp", SIZE, 1);
    bench.rules(vec![Rule::on(Operation::CompleteMultipartUpload, Fault::Hold { executed: false })]);
    let child = bench.start_put(&file);
    bench.proxy.wait_held(Duration::from_secs(60)).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran = finish(child, "");
    ran.expect(130);
    assert_eq!(ran.of("run_end")[0]["status"], "interrupted");
    bench.rules(Vec::new());
    let ran = bench.put_file(&file);
    ran.expect(0);
    assert_eq!((&ran.object()["status"], &ran.object()["resent_parts"]), (&"resumed".into(), &0.into()));
    bench.assert_nothing_twice();
}

#[test]
fn an_upload_that_another_host_began_for_another_file_gives_no_object_that_cannot_be_fetched() {
    let mut bench = Bench::new();
    let theirs = content(SIZE, 1);
    let file = bench.file("x.bkp", SIZE, 1);
    let line = |hash: &str| format!("{{\"path\":\"{}\",\"sha256\":\"{hash}\"}}\n", file.display());
    let args = ["--no-manifest", "--key", "{prefix}{name}"];
    bench.rules(vec![Rule::on(Operation::CompleteMultipartUpload, Fault::Hold { executed: false })]);
    let mut child = bench.put_command(&args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, line(&super::bench::sha256(&theirs)).as_bytes()).unwrap();
    drop(stdin);
    bench.proxy.wait_held(Duration::from_secs(60)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    bench.server.settle().unwrap();
    bench.rules(Vec::new());
    // The same key and size, the same beginning, another end; its SHA-256 is not that of the metadata.
    bench.state = bench.path("another-host");
    let mut ours = theirs;
    *ours.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &ours).unwrap();
    let hash = super::bench::sha256(&ours);
    let ran = bench.put(&args, &line(&hash));
    ran.expect(2);
    assert!(ran.object()["reason"].as_str().unwrap().contains("its SHA-256 is"), "{}", ran.stdout);
    assert!(bench.keys().is_empty());
    bench.put(&args, &line(&hash)).expect(0);
    assert_eq!(bench.server.objects().unwrap()["backups/x.bkp"].metadata["sha256"], hash);
    bench.get(&["--verify", "backups/x.bkp"], "").expect(0);
}

#[test]
fn only_parts_with_the_content_of_the_file_are_taken_from_another_host() {
    let mut bench = Bench::new();
    kill_at(&bench, Rule::on(Operation::CompleteMultipartUpload, Fault::Hold { executed: false }));
    bench.state = bench.path("another-host");
    let mut ours = content(SIZE, 1);
    *ours.last_mut().unwrap() ^= 1;
    std::fs::write(bench.path("x.bkp"), &ours).unwrap();
    let ran = bench.put_file(&bench.path("x.bkp"));
    ran.expect(0);
    assert_eq!((&ran.object()["status"], &ran.object()["resent_parts"]), (&"resumed".into(), &1.into()));
    assert!(bench.server.object_bytes("backups/x.bkp").unwrap() == ours);
    assert_eq!(ran.object()["sha256"], super::bench::sha256(&ours).as_str());
}
