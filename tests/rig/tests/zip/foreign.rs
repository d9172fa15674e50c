//! Archives open with Info-ZIP, 7-Zip, Python, Java's jar and bsdtar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{ensure, Context, Result};

use crate::stage::{archive, other, said, tree, Stage};

/// 7-Zip has three names.
fn seven_zip() -> Result<&'static str> {
    let found = ["7zz", "7z", "7za"]
        .into_iter()
        .find(|p| other("sh", &["-c", &format!("command -v {p}")], Path::new("/")).is_ok());
    found.context("7-Zip is not installed; scripts/setup.sh installs it")
}

/// Extracts with each program into a directory of its own.
fn extracted(zip: &Path, scratch: &Path) -> Result<Vec<(&'static str, std::path::PathBuf)>> {
    let zip = zip.to_str().context("path")?;
    let python =
        "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nz.extractall('.')";
    let seven = seven_zip()?;
    let calls: [(&str, &str, Vec<&str>); 5] = [
        ("Info-ZIP", "unzip", vec!["-q", zip]),
        ("7-Zip", seven, vec!["x", "-y", zip]),
        ("Python", "python3", vec!["-c", python, zip]),
        ("bsdtar", "bsdtar", vec!["-xf", zip]),
        ("jar", "jar", vec!["xf", zip]),
    ];
    let mut dirs = Vec::new();
    for (who, program, args) in calls {
        let dir = scratch.join(who);
        std::fs::create_dir(&dir)?;
        other(program, &args, &dir)?;
        dirs.push((who, dir));
    }
    Ok(dirs)
}

#[test]
fn every_program_extracts_the_same_bytes() -> Result<()> {
    let stage = Stage::new()?;
    let mut want = BTreeMap::new();
    let mut paths = Vec::new();
    let other_dir = stage.dumps.join("outro");
    std::fs::create_dir(&other_dir)?;
    // One block, several blocks, exactly one block, nothing at all, names with ç and blanks, the same name twice.
    for (name, bytes) in [
        ("RH_segunda-feira.DMP", 5_400_321),
        ("FATURAÇÃO com espaço.DMP", 300_000),
        ("UM_BLOCO.DMP", 1 << 20),
        ("VAZIO.LOG", 0),
        ("UM.LOG", 1),
    ] {
        let path = stage.dump(name, bytes)?;
        want.insert(name.to_owned(), std::fs::read(&path)?);
        paths.push(path);
    }
    let twin = other_dir.join("rh_SEGUNDA-feira.dmp");
    std::fs::write(&twin, b"another file of that name")?;
    want.insert("outro/rh_SEGUNDA-feira.dmp".to_owned(), std::fs::read(&twin)?);
    paths.push(twin);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_604_001);
    File::open(&paths[0])?.set_modified(then)?;
    std::fs::set_permissions(&paths[0], std::fs::Permissions::from_mode(0o640))?;

    let outcome = stage.tool()?.args(&paths).run()?.expect(0)?;
    let zip = archive(&outcome)?;
    for (who, dir) in extracted(&zip, stage.root.path())? {
        let mut found = tree(&dir)?;
        ensure!(found.remove("zip-rotate.jsonl").is_some(), "{who}: the list of members is missing");
        let names: Vec<_> = found.keys().collect();
        ensure!(found == want, "{who} extracted other bytes: {names:?}");
        let meta = std::fs::metadata(dir.join("RH_segunda-feira.DMP"))?;
        if matches!(who, "Info-ZIP" | "bsdtar" | "7-Zip") {
            ensure!(meta.mtime() == 1_763_604_001, "{who}: time {}", meta.mtime());
        }
        if matches!(who, "Info-ZIP" | "bsdtar") {
            ensure!(meta.mode() & 0o777 == 0o640, "{who}: mode {:o}", meta.mode());
        }
    }
    let list = other("unzip", &["-Z", "-v", zip.to_str().unwrap()], stage.root.path())?;
    ensure!(list.contains("orapipe zip-rotate; complete"), "the comment: {list}");
    Ok(())
}

#[test]
fn a_member_over_four_gibibytes() -> Result<()> {
    let stage = Stage::new()?;
    let path = stage.dumps.join("GRANDE.DMP");
    let bytes = (4_u64 << 30) + 12_345;
    let file = File::create(&path)?;
    file.set_len(bytes)?;
    (&file).write_all(b"the beginning")?;
    std::os::unix::fs::FileExt::write_all_at(&file, b"the end", bytes - 7)?;
    let outcome = stage.tool()?.arg(&path).limit(Duration::from_secs(400)).run()?.expect(0)?;
    let zip = archive(&outcome)?;
    let zip = zip.to_str().context("path")?;
    ensure!(outcome.max_rss < 64 << 20, "{} MiB of memory", outcome.max_rss >> 20);
    let python = format!(
        "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\ni=z.getinfo('GRANDE.DMP')\nassert i.file_size=={bytes}, i\n"
    );
    let root = stage.root.path();
    let seven = seven_zip()?;
    let calls: [(&str, Vec<&str>); 5] = [
        ("unzip", vec!["-t", "-q", zip]),
        (seven, vec!["t", zip]),
        ("python3", vec!["-c", &python, zip]),
        ("jar", vec!["tf", zip]),
        ("sh", vec!["-c", "[ \"$(bsdtar -xOf \"$0\" GRANDE.DMP | tail -c 7)\" = 'the end' ]", zip]),
    ];
    std::thread::scope(|scope| {
        let all: Vec<_> = calls
            .iter()
            .map(|(program, args)| scope.spawn(|| other(program, args, root).map(|_| ())))
            .collect();
        all.into_iter().try_for_each(|t| t.join().unwrap())
    })
}

#[test]
fn more_members_than_an_old_archive_can_count() -> Result<()> {
    const MEMBERS: usize = 65_600;
    let stage = Stage::new()?;
    let mut input = String::new();
    for n in 0..MEMBERS {
        let path = stage.dumps.join(format!("p{n:05}.log"));
        std::fs::write(&path, n.to_string())?;
        input.push_str(&format!("{{\"path\":\"{}\"}}\n", path.display()));
    }
    let outcome = stage.tool()?.stdin(input).limit(Duration::from_secs(300)).run()?.expect(0)?;
    let zip = archive(&outcome)?;
    let zip = zip.to_str().context("path")?;
    let root = stage.root.path();
    let count = |text: String| text.lines().filter(|l| l.contains(".log")).count();
    let seven = seven_zip()?;
    ensure!(count(other("unzip", &["-Z1", zip], root)?) == MEMBERS, "Info-ZIP");
    ensure!(count(other("bsdtar", &["-tf", zip], root)?) == MEMBERS, "bsdtar");
    ensure!(count(other("jar", &["tf", zip], root)?) == MEMBERS, "jar");
    ensure!(count(other(seven, &["l", "-ba", zip], root)?) == MEMBERS, "7-Zip");
    let python = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nfor n in (0,65535,65536,65599):\n assert z.read('p%05d.log'%n)==str(n).encode()\nprint('\\n'.join(z.namelist()))";
    ensure!(count(other("python3", &["-c", python, zip], root)?) == MEMBERS, "Python");
    ensure!(outcome.max_rss < 200 << 20, "{} MiB: {}", outcome.max_rss >> 20, said(&outcome).len());
    Ok(())
}
