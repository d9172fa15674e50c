//! What happens to connections: cut, silent, killed, too many.

use std::path::Path;
use std::time::{Duration, Instant};

use common::remote::{
    retry, rsync, Class, Connections, Files, Mode, PublishMode, Published, RetryPolicy, RsyncEvent, Script,
    Target,
};
use rig::host::{alive, HostOptions};
use rig::proxy::{Line, Proxy};

use super::{connect, connect_with, host, limits, noise, one, sha, via, within, Dirs, LIMIT};

/// TRANSPORT 2: the remote receiver of a dead link lives on and writes for a while after the re-try has succeeded.
#[test]
fn the_orphan_of_a_dead_link_cannot_touch_the_published_file() {
    let host = host(&HostOptions::default());
    let proxy = Proxy::start(host.address(), Line::default()).unwrap();
    let conn = via(&host, &proxy);
    let dirs = Dirs::new();
    let content = noise(24 << 20, 11);
    let source = dirs.src("1_8_99.arc", &content);
    conn.open().unwrap();
    proxy.silence_after(6 << 20);
    let started = Instant::now();
    let policy =
        RetryPolicy { retries: 3, first: Duration::from_millis(100), longest: Duration::from_secs(1) };
    let mut failures = Vec::new();
    let mut orphans = Vec::new();
    let tmp = retry(
        &policy,
        &mut |error, n, _| {
            orphans.extend(host.remote_processes().into_iter().filter(|p| p.name == "rsync"));
            failures.push((n, error.clone()));
        },
        |n| {
            let dir = dirs.dst(&format!(".orapipe-try{n}"));
            conn.make_dirs(std::slice::from_ref(&dir))?;
            let mut job = one(&source, &dir.join("1_8_99.arc"));
            job.io_timeout = Duration::from_secs(4);
            rsync(&conn, &job, &mut |_| {})?;
            Ok(dir.join("1_8_99.arc"))
        },
    )
    .unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].1.class, Class::Retry);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(!orphans.is_empty(), "without an orphan this proves nothing");
    assert_eq!(conn.sha256(std::slice::from_ref(&tmp), LIMIT).unwrap()[0], Ok(sha(&content)));
    let last = dirs.dst("1_8_99.arc");
    let published = conn.publish(&[(tmp, last.clone())], PublishMode::NoClobber, LIMIT).unwrap();
    assert!(matches!(published[0], Published::Done(s) if s.bytes == 24 << 20));
    assert!(orphans.iter().any(|p| alive(p.pid)), "the orphan has to outlive the publication: {orphans:?}");
    let staging = dirs.dst(".orapipe-try1");
    let half = std::fs::read(staging.join("1_8_99.arc")).unwrap();
    assert!(!half.is_empty() && half.len() < content.len(), "{}", half.len());
    assert_eq!(half, content[..half.len()], "what it left can be resumed");
    conn.remove_tree(&staging).unwrap();
    assert!(within(Duration::from_secs(5), || orphans.iter().all(|p| !alive(p.pid))), "{orphans:?}");
    assert_eq!(sha(&std::fs::read(&last).unwrap()), sha(&content));
    assert!(!staging.exists());
    assert_eq!(conn.opened(), 2, "the dead connection was replaced");
}

/// The same when the orphan hears of the end by itself: it must not give its half file any other name.
#[test]
fn an_orphan_that_ends_later_renames_nothing() {
    let host = host(&HostOptions::default());
    let proxy = Proxy::start(host.address(), Line::default()).unwrap();
    let conn = via(&host, &proxy);
    let dirs = Dirs::new();
    let source = dirs.src("1_8_99.arc", &noise(16 << 20, 12));
    conn.open().unwrap();
    proxy.silence_after(6 << 20);
    let mut job = one(&source, &dirs.own("1_8_99.arc"));
    job.io_timeout = Duration::from_secs(3);
    assert_eq!(rsync(&conn, &job, &mut |_| {}).unwrap_err().class, Class::Retry);
    let orphans = host.remote_processes();
    assert!(orphans.iter().any(|p| p.name == "rsync"), "{orphans:?}");
    std::fs::write(dirs.dst("1_8_99.arc"), b"the good one").unwrap();
    proxy.cut_now();
    assert!(within(Duration::from_secs(20), || orphans.iter().all(|p| !alive(p.pid))), "{orphans:?}");
    assert_eq!(std::fs::read(dirs.dst("1_8_99.arc")).unwrap(), b"the good one");
    assert_eq!(std::fs::read_dir(dirs.dst("")).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(dirs.own("")).unwrap().count(), 1);
}

#[test]
fn a_cut_connection_and_a_killed_master_are_opened_again() {
    let host = host(&HostOptions::default());
    let proxy = Proxy::start(host.address(), Line::default()).unwrap();
    let conn = via(&host, &proxy);
    let dirs = Dirs::new();
    conn.open().unwrap();
    rig::host::kill(conn.master_pid().unwrap());
    assert!(conn.measure().unwrap() < Duration::from_secs(1));
    proxy.cut_now();
    // The master may not have noticed yet: then this one fails as "try again", and the next one works.
    let policy =
        RetryPolicy { retries: 2, first: Duration::from_millis(100), longest: Duration::from_secs(1) };
    retry(&policy, &mut |_, _, _| {}, |_| conn.put(b"1", &dirs.dst("x"), 0o600)).unwrap();
    assert!(host.kill_connections() > 0);
    retry(&policy, &mut |_, _, _| {}, |_| conn.put(b"2", &dirs.dst("x"), 0o600)).unwrap();
    assert_eq!(std::fs::read(dirs.dst("x")).unwrap(), b"2");
    assert_eq!(conn.opened(), 4);

    let source = dirs.src("big", &noise(32 << 20, 5));
    proxy.cut_after(8 << 20);
    let error = rsync(&conn, &one(&source, &dirs.own("big")), &mut |_| {}).unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    let mut job = one(&source, &dirs.own("big2"));
    job.mode = Mode::ResumeOwnTemporary;
    conn.copy_prefix(&dirs.own("big"), &dirs.own("big2"), None, LIMIT).unwrap();
    rsync(&conn, &job, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(dirs.own("big2")).unwrap(), std::fs::read(&source).unwrap());
}

/// Not a test of its own: what [`a_killed_tool_leaves_no_connection_behind`] kills.
#[test]
fn holder_of_a_connection() {
    let Ok(options) = std::env::var("ORAPIPE_TEST_HOLD") else { return };
    let conn = connect_with("127.0.0.1", &options);
    conn.open().unwrap();
    println!("open {}", conn.master_pid().unwrap());
    if let Ok(paths) = std::env::var("ORAPIPE_TEST_SEND") {
        let (source, dest) = paths.split_once(':').unwrap();
        let mut job = one(Path::new(source), Path::new(dest));
        job.bwlimit = Some(1 << 20);
        rsync(&conn, &job, &mut |_| {}).unwrap();
    }
    std::thread::sleep(Duration::from_secs(120));
}

#[test]
fn a_killed_tool_leaves_no_connection_behind() {
    let host = host(&HostOptions::default());
    let dirs = Dirs::new();
    let source = dirs.src("big", &noise(64 << 20, 5));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lines::holder_of_a_connection", "--nocapture"])
        .env("ORAPIPE_TEST_HOLD", host.ssh_options())
        .env("ORAPIPE_TEST_SEND", format!("{}:{}", source.display(), dirs.own("big").display()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let busy = || host.remote_processes().iter().any(|p| p.name == "rsync") && dirs.own("big").exists();
    assert!(within(Duration::from_secs(20), busy));
    let remote = host.remote_processes();
    assert!(remote.iter().any(|p| p.name == "cat"), "{remote:?}");
    let local = rig::host::descendants(child.id());
    assert!(local.iter().any(|p| p.name == "ssh") && local.iter().any(|p| p.name == "rsync"), "{local:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = || local.iter().chain(&remote).all(|p| !alive(p.pid));
    assert!(within(Duration::from_secs(10), gone), "local {local:?} remote {remote:?}");
}

#[test]
fn a_black_hole_ends_within_its_limit() {
    let host = host(&HostOptions::default());
    let proxy = Proxy::start(host.address(), Line::default()).unwrap();
    proxy.black_hole(true);
    let conn = via(&host, &proxy);
    let started = Instant::now();
    let error = conn.open().unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());

    proxy.black_hole(false);
    conn.open().unwrap();
    proxy.silence_open_ones();
    let started = Instant::now();
    let error = conn.run(&Script::new("echo hello", Duration::from_secs(3))).unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(conn.run(&Script::new("echo hello", LIMIT)).unwrap(), b"hello\n");
}

#[test]
fn rsync_that_hangs_is_stopped_by_our_own_watch() {
    let dirs = Dirs::new();
    let bin = dirs.tmp.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    rig::host::write_program(&bin.join("rsync"), "#!/bin/sh\nexec sleep 100\n").unwrap();
    let mut path = bin.into_os_string();
    path.push(":/usr/bin:/bin");
    let host = host(&HostOptions {
        env: vec![("PATH".into(), path.into_string().unwrap())],
        ..HostOptions::default()
    });
    let conn = connect(&host);
    let mut job = one(&dirs.src("a", b"1"), &dirs.own("a"));
    job.io_timeout = Duration::from_secs(2);
    let started = Instant::now();
    let error = rsync(&conn, &job, &mut |_| {}).unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(started.elapsed() < Duration::from_secs(22), "{:?}", started.elapsed());
}

#[test]
fn the_round_trip_is_that_of_the_line_and_not_of_the_login() {
    let host = host(&HostOptions::default());
    // bash reads it at every login over ssh, and so does a DBA with an old profile.
    std::fs::write(host.home().join(".bashrc"), "sleep 0.3\n").unwrap();
    let near = connect(&host).measure().unwrap();
    assert!(near < Duration::from_millis(5), "{near:?}");
    let line = Line { delay: Duration::from_millis(40), ..Line::default() };
    let proxy = Proxy::start(host.address(), line).unwrap();
    let far = via(&host, &proxy).measure().unwrap();
    assert!(far >= Duration::from_millis(80) && far < Duration::from_millis(160), "{far:?}");
}

#[test]
fn workers_have_a_master_each_and_no_more() {
    let host = host(&HostOptions::default());
    let target = Target::new(Some("127.0.0.1"), None, &[host.ssh_options()]).unwrap();
    let all = Connections::new(&target, limits(), 4);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let conn = all.of(n);
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(conn.run(&Script::new("echo $1", LIMIT).arg("x")).unwrap(), b"x\n");
                }
            });
        }
    });
    assert_eq!(host.connections().unwrap(), 4);
    drop(all);
    assert!(within(Duration::from_secs(5), || host.remote_processes().is_empty()));
    assert_eq!(Connections::new(&target, limits(), 500).len(), 10);
}

#[test]
fn a_link_that_goes_down_is_noticed_and_comes_back() {
    let host = host(&HostOptions { namespace: true, ..HostOptions::default() });
    let conn = connect(&host);
    let dirs = Dirs::new();
    let source = dirs.src("big", &noise(24 << 20, 4));
    conn.open().unwrap();
    let mut job = one(&source, &dirs.own("big"));
    job.io_timeout = Duration::from_secs(3);
    job.bwlimit = Some(8 << 20);
    let mut down = false;
    let started = Instant::now();
    let error = rsync(&conn, &job, &mut |e| {
        if !down && matches!(e, RsyncEvent::Progress { bytes } if bytes > 4 << 20) {
            host.link_down().unwrap();
            down = true;
        }
    })
    .unwrap_err();
    assert!(down && error.class == Class::Retry, "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(conn.open().unwrap_err().class, Class::Retry);
    host.link_up().unwrap();
    let policy =
        RetryPolicy { retries: 4, first: Duration::from_millis(500), longest: Duration::from_secs(2) };
    job.bwlimit = None;
    job.files = Files::One { source: source.clone(), dest: dirs.own("big2") };
    retry(&policy, &mut |_, _, _| {}, |_| rsync(&conn, &job, &mut |_| {})).unwrap();
    assert_eq!(std::fs::read(dirs.own("big2")).unwrap(), std::fs::read(source).unwrap());
}
