//! The bytes of snapshots are those of their instant.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ibsim::bytes::Freezer;
use ibsim::{Array, Config, Fault, Lost, Rule};

use super::client::call;

/// Writes a number into a/n, then into b/n, as fast as it can; the two differ by one at most at any instant.
struct Writer(Child);

impl Writer {
    fn start(dir: &Path) -> Self {
        let program = "import os,sys\na=os.open('a/n',os.O_RDWR|os.O_CREAT)\nb=os.open('b/n',os.O_RDWR|os.O_CREAT)\nn=0\n\
            while True:\n n+=1\n t=b'%020d' % n\n os.pwrite(a,t,0)\n os.pwrite(b,t,0)\n if n==10: print(flush=True)\n";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn number(dir: &Path) -> u64 {
    std::fs::read_to_string(dir.join("n")).unwrap().parse().unwrap()
}

fn fill(dir: &Path) {
    // Something to copy, so that an instant and a copy are different things.
    let mut file = std::fs::File::create(dir.join("0-filling")).unwrap();
    file.write_all(&vec![7; 8 << 20]).unwrap();
}

#[test]
fn the_members_of_a_group_are_cut_at_one_instant_while_a_process_writes() {
    let dir = tempfile::tempdir().unwrap();
    for volume in ["a", "b"] {
        std::fs::create_dir(dir.path().join(volume)).unwrap();
        fill(&dir.path().join(volume));
    }
    let writer = Writer::start(dir.path());
    let pid = i32::try_from(writer.0.id()).unwrap();
    let freezer = Freezer::processes(move || Ok(vec![pid]));
    let array = Array::start(Config { freezer: Some(freezer), ..Config::default() }).unwrap();
    for volume in ["a", "b"] {
        array.add_volume(volume).unwrap();
        array.bind(volume, &dir.path().join(volume)).unwrap();
    }
    let group = array.add_group("DB", &["a", "b"]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..5 {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while number(&dir.path().join("b")) <= last + 1 {
            assert!(std::time::Instant::now() < end, "the writer does not go on");
            std::thread::sleep(Duration::from_millis(1));
        }
        let wish = format!(r#"{{"parent_id":{group},"name":"g{round}","snap_prefix":"r{round}_"}}"#);
        assert_eq!(call(&array, "POST", "/cgs", &wish).status, 201);
        let (one, two) = (out.path().join("a"), out.path().join("b"));
        array.restore_bytes(&format!("r{round}_a"), &one).unwrap();
        array.restore_bytes(&format!("r{round}_b"), &two).unwrap();
        let (first, second) = (number(&one), number(&two));
        assert!(first == second || first == second + 1, "{first} {second}");
        assert!(first > last, "the writer went on: {first} {last}");
        last = first;
        assert_eq!(std::fs::read(one.join("0-filling")).unwrap(), vec![7; 8 << 20]);
    }
}

#[test]
fn a_late_snapshot_has_the_bytes_of_its_late_instant() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "early").unwrap();
    let array = Array::start(Config::default()).unwrap();
    let id = array.add_volume("V").unwrap();
    array.bind("V", dir.path()).unwrap();
    array
        .faults(vec![Rule::on(
            "POST",
            "^/volumes",
            Fault::late(Duration::from_millis(1500), Lost::Status(503)),
        )])
        .unwrap();
    let answer = call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"s"}}"#));
    assert_eq!(answer.status, 503);
    std::fs::write(dir.path().join("f"), "late").unwrap();
    array.settle().unwrap();
    std::fs::write(dir.path().join("f"), "later").unwrap();
    let out = tempfile::tempdir().unwrap();
    array.restore_bytes("s", out.path()).unwrap();
    assert_eq!(std::fs::read_to_string(out.path().join("f")).unwrap(), "late");
}

#[test]
fn a_volume_is_restored_from_its_snapshot_and_deleted_bytes_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/f"), "one").unwrap();
    let array = Array::start(Config::default()).unwrap();
    let id = array.add_volume("V").unwrap();
    array.bind("V", dir.path()).unwrap();
    let made = call(&array, "POST", "/volumes", &format!(r#"{{"parent_id":{id},"name":"s"}}"#)).result();
    std::fs::write(dir.path().join("sub/f"), "two").unwrap();
    std::fs::write(dir.path().join("new"), "x").unwrap();
    let copy = array.object("s").unwrap().bytes.unwrap();
    assert!(copy.join("sub/f").exists());
    let path = format!("/volumes/{id}/restore?approved=true");
    assert_eq!(call(&array, "POST", &path, &made["id"].to_string()).result(), true);
    assert_eq!(std::fs::read_to_string(dir.path().join("sub/f")).unwrap(), "one");
    assert!(!dir.path().join("new").exists());
    call(&array, "DELETE", &format!("/volumes/{}?approved=true", made["id"]), "").result();
    assert!(!copy.exists() && dir.path().join("sub/f").exists());
}
