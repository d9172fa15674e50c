//! A fast network: the standby in a network namespace of its own, or on loopback where none may be made.

use super::contestants::{Arena, Way};
use super::data::Redo;
use super::measure::{compare, progress, Comparison};
use super::table::Table;
use super::{Goal, Options};
use crate::host::{netns_available, HostOptions, SshHost};

struct Case {
    name: &'static str,
    count: u32,
    bytes: u64,
    /// Logs of the originals when they are not to ship all: a few for each of their workers.
    subset: usize,
    /// At most so many times the best plain rsync.
    plain: f64,
    /// At least so many times faster than the Python original, it without its sleep, and the bash original.
    originals: [f64; 3],
}

const CASES: [Case; 3] = [
    Case {
        name: "200 x 4 MiB",
        count: 200,
        bytes: 4 << 20,
        subset: 40,
        plain: 1.5,
        originals: [25.0, 8.0, 8.0],
    },
    Case {
        name: "40 x 64 MiB",
        count: 40,
        bytes: 64 << 20,
        subset: 20,
        plain: 1.3,
        originals: [4.0, 4.0, 4.0],
    },
    Case { name: "4 x 1 GiB", count: 4, bytes: 1 << 30, subset: 4, plain: 1.3, originals: [3.0, 3.0, 3.0] },
];
const WAYS: [Way; 6] = [
    Way::ArchShip,
    Way::Plain(1),
    Way::Plain(2),
    Way::Shell,
    Way::Python { sleep: false },
    Way::Python { sleep: true },
];
/// MAXWORKERS.
const WORKERS: f64 = 5.0;

pub fn run(options: &Options, table: &mut Table) -> anyhow::Result<Vec<Goal>> {
    let mut goals = Vec::new();
    let wanted: Vec<&Case> = CASES.iter().filter(|c| options.wants(c.name)).collect();
    if wanted.is_empty() {
        return Ok(goals);
    }
    let arch_ship = options.program("arch-ship")?;
    let namespace = netns_available();
    let network = if namespace { "two network namespaces" } else { "loopback (no network namespaces here)" };
    progress(&format!("network: {network}"));
    let redo = Redo::new();
    for case in wanted {
        let dir = options.space(u64::from(case.count) * case.bytes * 2 + (512 << 20))?;
        let logs = redo.logs(&dir.path().join("source"), case.count, case.bytes)?;
        let host = SshHost::start(&HostOptions { namespace, ..HostOptions::default() })?;
        let scratch = dir.path().join("scratch");
        std::fs::create_dir_all(&scratch)?;
        let arena = Arena {
            ssh_options: host.ssh_options(),
            host: host.host(),
            user: host.user().to_owned(),
            logs: &logs,
            dest: dir.path().join("standby"),
            scratch,
            arch_ship: arch_ship.clone(),
        };
        let name = format!("LAN {}", case.name);
        let found = compare(&name, options, &arena, &host, &WAYS, case.subset)?;
        found.rows(table);
        goals.extend(judge(case, &found));
    }
    Ok(goals)
}

fn judge(case: &Case, found: &Comparison) -> Vec<Goal> {
    let ours = found.seconds(Way::ArchShip);
    let best = found.seconds(Way::Plain(1)).min(found.seconds(Way::Plain(2)));
    let name = case.name;
    let mut goals =
        vec![Goal::at_most(format!("{name}: arch-ship to best plain rsync"), ours / best, case.plain, "x")];
    let originals = [Way::Python { sleep: true }, Way::Python { sleep: false }, Way::Shell];
    let measured = originals.into_iter().zip(case.originals).filter(|(way, _)| !found.seconds(*way).is_nan());
    goals.extend(measured.map(|(way, limit)| {
        Goal::at_least(format!("{name}: {} to arch-ship", way.name()), found.seconds(way) / ours, limit, "x")
    }));
    let connections = found.connections(Way::ArchShip);
    goals.push(Goal::at_most(
        format!("{name}: ssh connections of arch-ship"),
        connections,
        WORKERS + 1.0,
        "",
    ));
    goals
}
