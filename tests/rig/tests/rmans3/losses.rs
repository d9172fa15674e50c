//! Each object of the bucket is lost or damaged in turn: what is said, what is restored, what is never done.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{ensure, Context, Result};

use crate::lab::{Lab, Ran, PREFIX};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Removed,
    Flipped,
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn harm(lab: &Lab, key: &str, how: Harm) -> Result<()> {
    if how == Harm::Removed {
        return lab.server.remove(key);
    }
    let file = lab.server.object_file(key)?;
    let mut bytes = fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).context("damage the object")
}

/// What a piece holds, by its key, as the manifests tell.
fn contents(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let manifests = lab.tool("s3-get", &["--manifests"], b"")?.expect(&[0])?;
    let mut held = BTreeMap::new();
    for object in manifests.of("object") {
        let Some(key) = object["key"].as_str() else { continue };
        let file = manifests.of("file").into_iter().find(|f| f["path"] == object["path"]);
        let list = file.and_then(|f| f["contents"].as_array()).into_iter().flatten();
        let kinds: Vec<String> =
            list.map(|c| format!("{}{}", c["kind"].as_str().unwrap_or("?"), c["level"])).collect();
        held.insert(key.to_owned(), kinds.join(" "));
    }
    Ok(held)
}

/// The rest of the pipeline after a plan; the database is never wrong, and never touched by a failure that was foreseen.
fn carry_out(lab: &Lab, plan: &Ran, args: &[&str], wanted: Option<u64>) -> Result<Ran> {
    lab.lose_everything()?;
    let fetched = lab.fetch(plan)?;
    let ran = lab.restore(&fetched, args)?;
    if lab.state()? == "Mounted" && matches!(ran.status, Some(0 | 1)) {
        let reached = lab.check_truth()?;
        if let (Some(wanted), Some(0)) = (wanted, ran.status) {
            ensure!(reached >= wanted, "success at {reached} instead of {wanted}\n{}", ran.said());
        }
    } else {
        ensure!(ran.status != Some(0), "success, and the database is {}\n{}", lab.state()?, ran.said());
    }
    Ok(ran)
}

#[test]
fn any_one_object_lost_or_damaged() -> Result<()> {
    let (lab, _) = Lab::with_history()?;
    lab.lose_everything()?;
    copy(&lab.at("server"), &lab.at("server.whole"))?;
    let whole = lab.plan(&[])?.expect(&[0])?;
    let end = whole.scn("rman-run").context("the plan says where it ends")?;
    let held = contents(&lab)?;
    let fine = carry_out(&lab, &whole, &[], Some(end))?.expect(&[0])?;
    ensure!(!fine.of("datafile").is_empty());
    let all: Vec<String> = lab.server.objects()?.into_keys().collect();
    let mut tried = (0, 0, 0);
    for key in &all {
        for how in [Harm::Removed, Harm::Flipped] {
            let of = held.get(key).map_or("", String::as_str);
            one(&lab, key, how, &whole, end, of, &mut tried)
                .with_context(|| format!("{key} ({of}) {how:?}"))?;
            fs::remove_dir_all(lab.at("server"))?;
            copy(&lab.at("server.whole"), &lab.at("server"))?;
        }
    }
    let (planned, another, less) = tried;
    ensure!(planned > 0 && another > 0 && less > 0, "nothing was tried: {tried:?}");
    Ok(())
}

fn one(
    lab: &Lab,
    key: &str,
    how: Harm,
    whole: &Ran,
    end: u64,
    of: &str,
    tried: &mut (u32, u32, u32),
) -> Result<()> {
    harm(lab, key, how)?;
    if key.starts_with(&format!("{PREFIX}manifests/")) {
        return manifest(lab, key, how, end);
    }
    let plan = lab.plan(&[])?.expect(&[0])?;
    ensure!(plan.keys() == whole.keys(), "the plan is made from the manifests");
    verify(lab, key, how)?;
    // A record that was never of a piece has no content, so this says that the rest of the pipeline is as it was.
    if !plan.keys().contains(key) {
        return Ok(());
    }
    tried.0 += 1;
    lab.lose_everything()?;
    let fetched = lab.fetch(&plan)?.expect(&[1, 2])?;
    let failed = fetched.of("object").into_iter().find(|o| o["key"] == key && o["status"] == "failed");
    let failed = failed.with_context(|| format!("s3-get does not name it: {}", fetched.said()))?;
    let reason = failed["reason"].as_str().unwrap_or_default();
    let word = if how == Harm::Removed { "is not there" } else { "damaged" };
    ensure!(reason.contains(word), "{reason}");
    let name = key.rsplit('/').next().unwrap_or(key);
    ensure!(!lab.at("restore").join(name).exists(), "a damaged piece has got its name");
    // What came is not enough, or enough by another way: never a silent success.
    let ran = lab.restore(&fetched, &[])?;
    ensure!(ran.status != Some(0), "success without a piece of the plan: {}", ran.said());
    if ran.status == Some(5) {
        ensure!(lab.state()? == "Down", "status 5 has touched the database");
    } else if lab.state()? == "Mounted" && ran.status == Some(1) {
        lab.check_truth()?;
    }
    if how == Harm::Flipped {
        // What it says from here on was said when the object was missing.
        return Ok(());
    }
    without(lab, key, end, of, tried)
}

/// `--verify` reads the whole bucket and names this object and no other.
fn verify(lab: &Lab, key: &str, how: Harm) -> Result<()> {
    let manifests = lab.tool("s3-get", &["--manifests"], b"")?.expect(&[0])?;
    if !manifests.keys().contains(key) {
        // The log of the upload itself is stored after the manifest.
        let ran = lab.tool("s3-get", &["--verify", key], b"")?;
        ensure!(ran.status != Some(0), "--verify {key}: {}", ran.said());
        return Ok(());
    }
    let ran = lab.tool("s3-get", &["--verify"], &manifests.stdout)?;
    ensure!(matches!(ran.status, Some(1 | 5)), "--verify ends with {:?}\n{}", ran.status, ran.said());
    let failed: Vec<_> = ran.of("object").into_iter().filter(|o| o["status"] == "failed").collect();
    ensure!(failed.len() == 1 && failed[0]["key"] == key, "{failed:?}");
    let reason = failed[0]["reason"].as_str().unwrap_or_default();
    let word = if how == Harm::Removed { "is not there" } else { "damaged" };
    ensure!(reason.contains(word), "{reason}");
    Ok(())
}

/// With the object given up, the plan takes another way or says how far it reaches, and both are true.
fn without(lab: &Lab, key: &str, end: u64, of: &str, tried: &mut (u32, u32, u32)) -> Result<()> {
    let plan = lab.plan(&["--without", key])?.expect(&[0, 1, 5])?;
    ensure!(!plan.keys().contains(key), "it is in the plan without it");
    match plan.status {
        Some(0) => {
            tried.1 += 1;
            carry_out(lab, &plan, &["--without", key], Some(end))?.expect(&[0])?;
        }
        Some(1) => {
            tried.2 += 1;
            let reached = plan.scn("rman-run").context("where it ends")?;
            ensure!(reached < end && plan.said().contains("missing"), "{}", plan.said());
            // Without the hint in mind: whatever it does, it is no success.
            let ran = carry_out(lab, &plan, &["--without", key], Some(end))?;
            ensure!(ran.status != Some(0), "{}", ran.said());
            let until = reached.to_string();
            let args = ["--without", key, "--until-scn", &until];
            let plan = lab.plan(&args)?.expect(&[0])?;
            carry_out(lab, &plan, &args, Some(reached))?.expect(&[0])?;
        }
        _ => {
            tried.2 += 1;
            ensure!(plan.stderr.contains("cannot be reached"), "{}", plan.said());
        }
    }
    if of.contains("datafile1") {
        ensure!(plan.status == Some(0), "a level 1 is lost, level 0 and redo are there: {}", plan.said());
    }
    Ok(())
}

fn manifest(lab: &Lab, key: &str, how: Harm, end: u64) -> Result<()> {
    let manifests = lab.tool("s3-get", &["--manifests"], b"")?;
    if how == Harm::Flipped {
        ensure!(manifests.status == Some(1) && manifests.stderr.contains(key), "{}", manifests.said());
    }
    let plan = lab.plan(&[])?.expect(&[0, 1, 5])?;
    ensure!(how == Harm::Removed || plan.status != Some(0), "a damaged manifest is no success");
    if plan.status == Some(5) {
        ensure!(plan.stderr.contains("cannot be reached"), "{}", plan.said());
        return Ok(());
    }
    let reached = plan.scn("rman-run").context("where it ends")?;
    ensure!(reached <= end);
    if how == Harm::Removed {
        carry_out(lab, &plan, &[], (plan.status == Some(0)).then_some(reached))?;
    }
    Ok(())
}
