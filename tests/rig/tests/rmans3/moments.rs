//! Any moment between the first backup and the last log can be reached, from no more than is needed for it.

use std::collections::BTreeSet;

use anyhow::{ensure, Context, Result};
use s3server::Operation;

use crate::lab::{Lab, Ran};

const SEED: u64 = 20_261_120;

/// What GetObject was asked for and answered.
fn downloaded(lab: &Lab) -> Vec<String> {
    let seen = lab.server.requests();
    seen.into_iter()
        .filter(|s| s.call.operation == Operation::GetObject && s.done())
        .map(|s| s.call.key)
        .collect()
}

fn bytes(plan: &Ran) -> u64 {
    plan.of("run_end").last().and_then(|r| r["counts"]["bytes"].as_u64()).unwrap_or(u64::MAX)
}

/// Without any one of its pieces the moment is out of reach, or no cheaper.
fn check_minimal(lab: &Lab, plan: &Ran, until: &str) -> Result<()> {
    for key in plan.keys() {
        let other = lab.plan(&["--until-scn", until, "--without", &key])?.expect(&[0, 1, 5])?;
        if other.status == Some(5) {
            ensure!(other.of("object").is_empty(), "a plan that is impossible has pieces");
            continue;
        }
        ensure!(!other.keys().contains(&key), "{key} was to be left out");
        let cheaper = bytes(&other) < bytes(plan);
        // A control file that is newer may be preferred over one that is cheaper.
        let of_controlfile = plan.of("planned").first().and_then(|p| p["bytes"].as_u64()).unwrap_or(0);
        ensure!(
            !cheaper || bytes(plan) - bytes(&other) <= of_controlfile,
            "without {key} {} bytes are enough instead of {}",
            bytes(&other),
            bytes(plan)
        );
    }
    Ok(())
}

fn moments(rounds: u64, seed: u64) -> Result<()> {
    let (lab, scns) = Lab::with_history()?;
    let (low, high) = (scns[0], *scns.last().context("there were backups")?);
    let mut random = seed;
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let scn = low + (random >> 33) % (high - low);
        let until = scn.to_string();
        let told = || format!("round {round}, SCN {scn} of {scns:?}");
        lab.lose_everything()?;
        let plan = lab.plan(&["--until-scn", &until])?.expect(&[0]).with_context(told)?;
        lab.server.clear();
        let fetched = lab.fetch(&plan)?.expect(&[0]).with_context(told)?;
        let got = downloaded(&lab);
        let distinct: BTreeSet<String> = got.iter().cloned().collect();
        ensure!(distinct == plan.keys() && got.len() == distinct.len(), "{}: fetched {got:?}", told());
        lab.restore(&fetched, &["--until-scn", &until])?.expect(&[0]).with_context(told)?;
        let reached = lab.check_truth().with_context(told)?;
        ensure!(reached == scn, "{}: reached {reached}", told());
        if round % 8 == 0 {
            check_minimal(&lab, &plan, &until).with_context(told)?;
        }
    }
    Ok(())
}

#[test]
fn twenty_five_random_moments() -> Result<()> {
    moments(25, SEED)
}

#[test]
fn twenty_five_other_random_moments() -> Result<()> {
    moments(25, SEED + 1)
}
