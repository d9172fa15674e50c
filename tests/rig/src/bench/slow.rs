//! A slow link: a proxy in user space with delay, stalls, and a rate limit on each connection.

use std::time::Duration;

use super::contestants::{Arena, Way};
use super::data::Redo;
use super::measure::compare;
use super::table::Table;
use super::{Goal, Options};
use crate::host::{HostOptions, SshHost};
use crate::proxy::{Line, Proxy};

const COUNT: u32 = 60;
const BYTES: u64 = 4 << 20;
/// Logs of the originals when they are not to ship all.
const SUBSET: usize = 16;
const WAYS: [Way; 3] = [Way::ArchShip, Way::PlainZstd, Way::Shell];

/// 40 ms for a round trip, 1.4 MB/s for each connection as a TCP window makes it on a link that loses packets, and a
/// stall as a retransmission makes it. More connections carry more.
pub fn line() -> Line {
    Line {
        delay: Duration::from_millis(20),
        rate: 1_400_000,
        window: 64 << 10,
        stall_every: 2 << 20,
        stall: Duration::from_millis(200),
    }
}

pub fn run(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let dir = options.space(u64::from(COUNT) * BYTES * 2 + (256 << 20))?;
    let logs = Redo::new().logs(&dir.path().join("source"), COUNT, BYTES)?;
    let host = SshHost::start(&HostOptions::default())?;
    let proxy = Proxy::start(host.address(), line())?;
    let scratch = dir.path().join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let arena = Arena {
        ssh_options: host.ssh_options_via(proxy.address()),
        host: proxy.address().ip().to_string(),
        user: host.user().to_owned(),
        logs: &logs,
        dest: dir.path().join("standby"),
        scratch,
        arch_ship: options.program("arch-ship")?,
    };
    let found = compare("slow link 60 x 4 MiB", options, &arena, &host, &WAYS, SUBSET)?;
    found.rows(table);
    let ours = found.seconds(Way::ArchShip);
    let faster = |way: Way| {
        Goal::at_least(format!("slow link: {} to arch-ship", way.name()), found.seconds(way) / ours, 4.0, "x")
    };
    let measured = [Way::Shell, Way::PlainZstd].into_iter().filter(|w| !found.seconds(*w).is_nan());
    Ok(measured.map(faster).collect())
}
