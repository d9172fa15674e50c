//! `package.sh` itself: same bytes from the same programs, and what it refuses.

use std::path::{Path, PathBuf};

use crate::stage::{done, package, scratch, sources, stand_ins, tree, VERSION};

#[test]
fn two_packings_in_different_places_at_different_times_give_the_same_bytes() {
    let first = scratch("first");
    let second = scratch("second-and-longer");
    let mut sums = Vec::new();
    for dir in [first.path(), second.path()] {
        let bin = stand_ins(dir, VERSION);
        let out = dir.join("dist");
        let (status, said) = package(dir, &sources(), &bin, &["--out", out.to_str().unwrap()]);
        assert_eq!(status, 0, "{said}");
        sums.push(tree(&out));
        // A second later every time stamp of the tree on disk is another.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    assert_eq!(sums[0], sums[1]);
    assert_eq!(sums[0].len(), 8, "{:?}", sums[0].keys());
}

#[test]
fn what_is_wrong_with_a_program_stops_the_packing() {
    let dir = scratch("wrong");
    let bin = stand_ins(dir.path(), VERSION);
    let out = dir.path().join("dist");
    let pack =
        |bin: &Path| package(dir.path(), &sources(), bin, &["--only", "tar", "--out", out.to_str().unwrap()]);

    // A program of this system, whose C library is younger than that of Oracle Linux 7.
    let here = PathBuf::from("/usr/bin/sort");
    let symbols = done(std::process::Command::new("objdump").arg("-T").arg(&here));
    let young = (18..60).any(|minor| symbols.contains(&format!("GLIBC_2.{minor})")));
    std::fs::copy(&here, bin.join("ib-snap")).unwrap();
    let (status, said) = pack(&bin);
    if young {
        assert_eq!(status, 1, "{said}");
        assert!(
            said.contains("ib-snap needs GLIBC_2.") || said.contains("ib-snap needs the library"),
            "{said}"
        );
    }

    std::fs::write(bin.join("ib-snap"), "#!/bin/sh\nexit 3\n").unwrap();
    let (status, said) = pack(&bin);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("ib-snap --version ends with status 3"), "{said}");

    std::fs::remove_file(bin.join("ib-snap")).unwrap();
    let (status, said) = pack(&bin);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("there is no program") && said.contains("ib-snap"), "{said}");
    assert!(!out.join("SHA256SUMS").exists());
}
