//! What happens to files: names, content, disks, logins.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::remote::{
    rsync, Class, Connection, Files, Mode, PublishMode, Published, RsyncEvent, RsyncJob, Script,
};
use rig::disk::SmallDisk;
use rig::host::HostOptions;
use rig::proxy::{Line, Proxy};

use super::{connect, connect_with, host, noise, one, sha, via, Dirs, IO, LIMIT};

#[test]
fn odd_names_go_through_every_step() {
    let host = host(&HostOptions::default());
    let conn = connect(&host);
    let dirs = Dirs::new();
    let names = [
        "a b",
        "it's \"x\"",
        "$(touch pwned)`touch pwned`;touch pwned",
        "new\nline\r",
        "-n",
        "#x",
        ";y",
        "\u{e7}\u{e3}o\\#101",
    ];
    let mut sources: Vec<PathBuf> = names
        .iter()
        .enumerate()
        .map(|(i, n)| dirs.src(&format!("2024_01_0{i}/{n}"), n.repeat(i + 1).as_bytes()))
        .collect();
    let raw = dirs.tmp.path().join("src").join(std::ffi::OsStr::from_bytes(b"latin\xe7"));
    std::fs::write(&raw, b"1").unwrap();
    sources.push(raw);
    let staging = dirs.dst(".orapipe-b 'c'");
    conn.make_dirs(std::slice::from_ref(&staging)).unwrap();

    let job =
        RsyncJob::new(Files::Flat { sources: sources.clone(), dest_dir: staging.clone() }, Mode::Whole, IO);
    let mut told = Vec::new();
    let outcome = rsync(&conn, &job, &mut |e| {
        if let RsyncEvent::Sent { source, .. } = e {
            told.push(source);
        }
    })
    .unwrap();
    assert_eq!(outcome.trouble, None);
    told.sort();
    let mut want = sources.clone();
    want.sort();
    assert_eq!(told, want);

    let tmp: Vec<PathBuf> = sources.iter().map(|s| staging.join(s.file_name().unwrap())).collect();
    let last: Vec<PathBuf> = sources.iter().map(|s| dirs.dst("").join(s.file_name().unwrap())).collect();
    let hashes = conn.sha256(&tmp, LIMIT).unwrap();
    for (source, hash) in sources.iter().zip(hashes) {
        assert_eq!(hash.unwrap(), sha(&std::fs::read(source).unwrap()));
    }
    let pairs: Vec<_> = tmp.iter().cloned().zip(last.iter().cloned()).collect();
    for published in conn.publish(&pairs, PublishMode::NoClobber, LIMIT).unwrap() {
        assert!(matches!(published, Published::Done(_)), "{published:?}");
    }
    for (source, last) in sources.iter().zip(&last) {
        assert_eq!(std::fs::read(source).unwrap(), std::fs::read(last).unwrap());
    }
    let again = conn.publish(&pairs[..1], PublishMode::NoClobber, LIMIT).unwrap();
    assert!(matches!(&again[0], Published::Failed(why) if why.contains("No such file")), "{again:?}");
    conn.remove_tree(&staging).unwrap();
    let single = one(&sources[2], &dirs.own("$(touch pwned) \n'"));
    assert_eq!(rsync(&conn, &single, &mut |_| {}).unwrap().sent.len(), 1);
    assert!(dirs.own("$(touch pwned) \n'").exists());
    for dir in [dirs.dst(""), std::env::current_dir().unwrap(), PathBuf::from("/root"), PathBuf::from("/")] {
        assert!(!dir.join("pwned").exists());
    }
    assert_eq!(host.connections().unwrap(), 1, "one connection for everything");
}

#[test]
fn a_noisy_login_is_harmless_for_scripts_and_explained_for_rsync() {
    let noise = "Welcome to dr1\nno newline at the end".to_owned();
    let host = host(&HostOptions { login_noise: Some(noise), ..HostOptions::default() });
    let conn = connect(&host);
    let dirs = Dirs::new();
    conn.put(b"x\0y", &dirs.dst("f"), 0o600).unwrap();
    assert_eq!(conn.get(&dirs.dst("f"), 9).unwrap().unwrap(), b"x\0y");
    let error = rsync(&conn, &one(&dirs.src("a", b"1"), &dirs.own("a")), &mut |_| {}).unwrap_err();
    assert_eq!(error.class, Class::Final, "{error}");
    assert!(error.hint.unwrap().contains("prints something"));
}

#[test]
fn any_login_shell_will_do() {
    let mut shells = vec!["/bin/dash", "/bin/bash"];
    shells.extend(
        ["/bin/ksh", "/bin/csh", "/bin/tcsh", "/usr/bin/fish"].iter().filter(|s| Path::new(s).exists()),
    );
    for shell in shells {
        let host = host(&HostOptions { login_shell: Some(shell.into()), ..HostOptions::default() });
        let out =
            connect(&host).run(&Script::new("printf '%s|' \"$@\"", LIMIT).arg("a'b!\n").arg("$x")).unwrap();
        assert_eq!(out, b"a'b!\n|$x|", "{shell}");
    }
}

#[test]
fn a_half_file_is_adopted_and_only_the_rest_is_sent() {
    let host = host(&HostOptions::default());
    let proxy = Proxy::start(host.address(), Line::default()).unwrap();
    let conn = via(&host, &proxy);
    let dirs = Dirs::new();
    let content = noise(8 << 20, 7);
    let source = dirs.src("1_7_99.arc", &content);
    std::fs::write(dirs.dst("1_7_99.arc"), &content[..7 << 20]).unwrap();
    let n = conn.copy_prefix(&dirs.dst("1_7_99.arc"), &dirs.own("1_7_99.arc"), None, LIMIT).unwrap();
    assert_eq!(n, 7 << 20);
    let prefix = conn.prefix_sha256(&[(dirs.own("1_7_99.arc"), n)], LIMIT).unwrap();
    assert_eq!(prefix[0], Ok(sha(&content[..7 << 20])));
    let before = proxy.bytes().0;
    let mut job = one(&source, &dirs.own("1_7_99.arc"));
    job.mode = Mode::ResumeOwnTemporary;
    rsync(&conn, &job, &mut |_| {}).unwrap();
    assert!(proxy.bytes().0 - before < 2 << 20, "{}", proxy.bytes().0 - before);
    assert_eq!(std::fs::read(dirs.own("1_7_99.arc")).unwrap(), content);
    assert_eq!(
        std::fs::read(dirs.dst("1_7_99.arc")).unwrap().len(),
        7 << 20,
        "the half file itself is untouched"
    );
}

#[test]
fn a_delta_sends_what_differs_and_leaves_the_old_file_alone() {
    let host = host(&HostOptions::default());
    let proxy = Proxy::start(host.address(), Line::default()).unwrap();
    let conn = via(&host, &proxy);
    let dirs = Dirs::new();
    let old = noise(16 << 20, 3);
    let mut new = old.clone();
    for block in (0..new.len() / 8192).step_by(20) {
        new[block * 8192 + 5] ^= 1;
    }
    let source = dirs.src("users01.dbf", &new);
    std::fs::write(dirs.dst("users01.dbf"), &old).unwrap();
    // Same size and time as the source: what the quick check of rsync would take for equal.
    let time = std::fs::metadata(&source).unwrap().modified().unwrap();
    std::fs::File::options().write(true).open(dirs.dst("users01.dbf")).unwrap().set_modified(time).unwrap();
    let mut job = one(&source, &dirs.own("users01.dbf"));
    job.mode = Mode::Delta { basis_dir: Some(dirs.dst("")), block_size: Some(8192) };
    rsync(&conn, &job, &mut |_| {}).unwrap();
    assert!(proxy.bytes().0 < 3 << 20, "{}", proxy.bytes().0);
    assert_eq!(std::fs::read(dirs.own("users01.dbf")).unwrap(), new);
    assert_eq!(std::fs::read(dirs.dst("users01.dbf")).unwrap(), old);
    // In place in a temporary copy of our own.
    conn.copy_prefix(&dirs.dst("users01.dbf"), &dirs.own("again"), None, LIMIT).unwrap();
    let mut job = one(&source, &dirs.own("again"));
    job.mode = Mode::Delta { basis_dir: None, block_size: None };
    rsync(&conn, &job, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(dirs.own("again")).unwrap(), new);
}

#[test]
fn what_a_person_has_to_mend_is_final_and_explained() {
    let mut host = host(&HostOptions::default());
    connect(&host).open().unwrap();
    let expect = |conn: &Connection, class: Class, words: &str| {
        let started = Instant::now();
        let error = conn.open().unwrap_err();
        assert_eq!(error.class, class, "{error:?}");
        let text = format!("{} {}", error.what, error.hint.clone().unwrap_or_default());
        assert!(text.contains(words), "{words}: {text}");
        assert!(started.elapsed() < Duration::from_secs(12));
    };
    host.change_host_key().unwrap();
    host.stop();
    expect(&connect(&host), Class::Retry, "Connection refused");
    host.start_again().unwrap();
    expect(&connect(&host), Class::Final, "ssh-keygen -R 127.0.0.1");
    std::fs::remove_file(host.dir().join("known_hosts")).unwrap();
    let strict = host.ssh_options().replace("accept-new", "yes");
    expect(&connect_with("127.0.0.1", &strict), Class::Final, "log in once by hand");
    host.revoke_key().unwrap();
    expect(&connect(&host), Class::Final, "BatchMode=yes 127.0.0.1 true");
    expect(&connect_with("no-such-host.invalid", "-F /dev/null"), Class::Final, "no-such-host.invalid");
    expect(&connect_with("127.0.0.1", "-F /dev/null -o NoSuchOption=1"), Class::Final, "--ssh-option");
}

#[test]
fn one_session_per_connection_is_too_few_and_said_so() {
    let host = host(&HostOptions { config: vec!["MaxSessions 1".into()], ..HostOptions::default() });
    let error = connect(&host).run(&Script::new("echo x", LIMIT)).unwrap_err();
    assert_eq!(error.class, Class::Final, "{error}");
    assert!(error.hint.unwrap().contains("MaxSessions"));
}

#[test]
fn a_standby_without_rsync_is_named() {
    let dirs = Dirs::new();
    let path = rig::host::bin_without(&dirs.tmp.path().join("bin"), &["rsync"]).unwrap();
    let env = vec![("PATH".to_owned(), path.into_string().unwrap())];
    for shell in ["/bin/dash", "/bin/bash"] {
        let options =
            HostOptions { env: env.clone(), login_shell: Some(shell.into()), ..HostOptions::default() };
        let host = host(&options);
        let conn = connect(&host);
        assert_eq!(conn.tools().unwrap().rsync, None);
        let error = rsync(&conn, &one(&dirs.src("a", b"1"), &dirs.own("a")), &mut |_| {}).unwrap_err();
        assert_eq!(error.class, Class::Final, "{error}");
        assert_eq!(
            error.hint.unwrap(),
            "install rsync on 127.0.0.1, or put it into the PATH of a non-interactive login"
        );
    }
}

#[test]
fn a_full_and_a_read_only_disk_are_final_and_the_final_name_stays_free() {
    let disk = SmallDisk::mount(16).unwrap();
    let host = host(&HostOptions::default());
    let conn = connect(&host);
    let dirs = Dirs::new();
    let source = dirs.src("1_9_99.arc", &noise(8 << 20, 9));
    let own = disk.path().join(".orapipe-1");
    conn.make_dirs(std::slice::from_ref(&own)).unwrap();
    disk.fill(2 << 20).unwrap();
    assert!(conn.free_space(disk.path()).unwrap().bytes <= 3 << 20);
    let error = rsync(&conn, &one(&source, &own.join("x")), &mut |_| {}).unwrap_err();
    assert_eq!(
        (error.class, error.hint.unwrap().as_str()),
        (Class::Final, "a disk on 127.0.0.1 is full: make space and run again")
    );
    let error = conn.put(&noise(4 << 20, 1), &disk.path().join("state"), 0o600).unwrap_err();
    assert_eq!(error.class, Class::Final, "{error}");
    assert!(!disk.path().join("state").exists());
    assert_eq!(
        std::fs::read_dir(disk.path()).unwrap().count(),
        2,
        "nothing is left but the ballast and our directory"
    );

    disk.empty().unwrap();
    disk.read_only(true).unwrap();
    for job in [
        one(&source, &own.join("y")),
        RsyncJob::new(Files::Flat { sources: vec![source.clone()], dest_dir: own.clone() }, Mode::Whole, IO),
    ] {
        let error = rsync(&conn, &job, &mut |_| {}).unwrap_err();
        assert_eq!(error.class, Class::Final, "{error}");
        assert!(error.hint.unwrap().contains("read-only"));
    }
    let pairs = [(own.join("x"), disk.path().join("1_9_99.arc"))];
    let published = conn.publish(&pairs, PublishMode::NoClobber, LIMIT).unwrap();
    assert!(matches!(&published[0], Published::Failed(why) if why.contains("Read-only")), "{published:?}");
    disk.read_only(false).unwrap();
    rsync(&conn, &one(&source, &own.join("y")), &mut |_| {}).unwrap();
}

#[test]
fn a_source_that_vanished_is_its_own_failure() {
    let host = host(&HostOptions::default());
    let conn = connect(&host);
    let dirs = Dirs::new();
    let good = dirs.src("good", b"12345");
    let gone = dirs.tmp.path().join("src/gone");
    let sources = vec![gone, good.clone()];
    let job = RsyncJob::new(Files::Flat { sources, dest_dir: dirs.own("") }, Mode::Whole, IO);
    let outcome = rsync(&conn, &job, &mut |_| {}).unwrap();
    let trouble = outcome.trouble.unwrap();
    assert_eq!((trouble.class, trouble.rsync_status), (Class::PerFile, Some(23)));
    assert!(trouble.what.contains("gone"), "{trouble}");
    assert_eq!(outcome.sent, [(good, 5)]);
    assert_eq!(std::fs::read(dirs.own("good")).unwrap(), b"12345");
}

#[test]
fn progress_is_told_while_a_file_is_sent() {
    let host = host(&HostOptions::default());
    let conn = connect(&host);
    let dirs = Dirs::new();
    let source = dirs.src("big", &noise(6 << 20, 2));
    let mut job = one(&source, &dirs.own("big"));
    job.bwlimit = Some(2 << 20);
    let mut seen = Vec::new();
    rsync(&conn, &job, &mut |e| {
        if let RsyncEvent::Progress { bytes } = e {
            seen.push((Instant::now(), bytes));
        }
    })
    .unwrap();
    assert!(seen.len() >= 3 && seen.windows(2).all(|w| w[0].1 <= w[1].1), "{seen:?}");
    assert!(seen[seen.len() - 1].0 - seen[0].0 > Duration::from_millis(1000), "{seen:?}");
    assert_eq!(seen.last().unwrap().1, 6 << 20);
}
