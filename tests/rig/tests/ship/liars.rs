//! A standby that says "received" and has something else: a bad disk, bad memory, an rsync that is broken.

use anyhow::{ensure, Result};
use rig::host::{write_program, HostOptions, SshHost};
use rig::proxy::{Line, Proxy};

use crate::logs::Incarnation;
use crate::pair::{files, said, with_status, Pair};

/// A pair whose standby runs `after` in the directory of each transfer that its rsync has received without a fault.
fn with_rsync(after: &str) -> Result<Pair> {
    let mut pair = Pair::new()?;
    let bin = pair.root.path().join("bin");
    std::fs::create_dir_all(&bin)?;
    let script = format!(
        "#!/bin/sh\n/usr/bin/rsync \"$@\" || exit\ncase \" $* \" in *' --server '*) ;; *) exit 0;; esac\n\
         for dir in '{0}'/.orapipe-ship-*; do cd \"$dir\" 2>/dev/null || continue\n{after}\ndone\nexit 0\n",
        pair.dst.display()
    );
    write_program(&bin.join("rsync"), &script)?;
    let env = vec![("PATH".to_owned(), format!("{}:/usr/bin:/bin", bin.display()))];
    pair.host = SshHost::start(&HostOptions { env, ..HostOptions::default() })?;
    pair.proxy = Proxy::start(pair.host.address(), Line::default())?;
    Ok(pair)
}

const FLIP: &str = "[ -f 1_2_1197657913.dbf ] && printf X | dd of=1_2_1197657913.dbf bs=1 seek=70000 conv=notrunc 2>/dev/null";

#[test]
fn what_arrived_with_another_content_gets_no_final_name() -> Result<()> {
    let pair = with_rsync(FLIP)?;
    for sequence in 1..=3 {
        pair.add(1, sequence, 256 << 10)?;
    }
    let watch = pair.watch(&[]);
    let outcome = pair.tool()?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(
        with_status(&outcome, "shipped") == 2 && with_status(&outcome, "failed") == 1,
        "{}",
        said(&outcome)
    );
    ensure!(said(&outcome).contains("arrived twice with another content"), "{}", said(&outcome));
    ensure!(!pair.dst.join(Incarnation::FIRST.name(1, 2)).exists(), "{:?}", files(&pair.dst)?);
    ensure!(pair.mark(1)? == Some(1), "{:?}", pair.mark(1)?);
    watch.end()?;
    Ok(())
}

#[test]
fn what_arrived_badly_once_is_sent_again() -> Result<()> {
    let once = format!("[ -e ../../once ] || {{ {FLIP}; touch ../../once; }}");
    let pair = with_rsync(&once)?;
    for sequence in 1..=3 {
        pair.add(1, sequence, 256 << 10)?;
    }
    let watch = pair.watch(&[]);
    let outcome = pair.run(0)?;
    ensure!(pair.root.path().join("once").exists(), "the lie was not told");
    ensure!(with_status(&outcome, "shipped") == 3, "{}", said(&outcome));
    ensure!(pair.mark(1)? == Some(3), "{:?}", pair.mark(1)?);
    pair.check_equal()?;
    watch.end()?;
    Ok(())
}

#[test]
fn a_file_that_rots_between_arrival_and_sync_is_cut_short_and_noticed() -> Result<()> {
    let pair = with_rsync("[ -f 1_1_1197657913.dbf ] && truncate -s 100000 1_1_1197657913.dbf")?;
    for sequence in 1..=2 {
        pair.add(1, sequence, 256 << 10)?;
    }
    let watch = pair.watch(&[]);
    let outcome = pair.tool()?.run()?;
    ensure!(matches!(outcome.status, Some(1 | 5)), "{:?}\n{}", outcome.status, said(&outcome));
    ensure!(!pair.dst.join(Incarnation::FIRST.name(1, 1)).exists(), "{:?}", files(&pair.dst)?);
    ensure!(pair.mark(1)?.is_none(), "{:?}", pair.mark(1)?);
    watch.end()?;
    Ok(())
}
