//! What must hold after a case, whatever happened: gathered from the array, the database and the records, and judged
//! without a look at how the tools came to it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, ensure, Context, Result};
use common::infinibox::{RedoMark, SetKind, SetMark, SetState, CREATED_BY, OWNER, REDO_KEY, SET_KEY};
use ibsim::state::Object;
use rig::tool::Outcome;

use crate::bench::{Bench, Cut, Place, FILES};
use crate::case::Shape;

/// A snapshot with one of our names.
#[derive(Debug, Clone)]
pub struct Member {
    pub object: Object,
    /// The name of its parent.
    pub volume: String,
    pub kind: SetKind,
    pub stamp: String,
    pub mark: Option<SetMark>,
    pub redo: Option<RedoMark>,
    /// What was true when the array took it.
    pub cut: Cut,
}

impl Member {
    fn is_marked_complete(&self) -> bool {
        self.mark.as_ref().is_some_and(|m| m.state == SetState::Complete)
    }
}

/// The snapshots of one run.
#[derive(Debug, Clone, Default)]
pub struct Set {
    pub members: Vec<Member>,
}

/// What a set is worth, by the facts alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worth {
    Good,
    /// Why a recovery from it would fail, or might.
    Bad(String),
}

impl Set {
    fn of(&self, kind: SetKind) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |m| m.kind == kind)
    }

    fn volumes(&self, kind: SetKind) -> BTreeSet<&str> {
        self.of(kind).map(|m| m.volume.as_str()).collect()
    }

    /// Whether all of it was taken at the right times.
    pub fn worth(&self, shape: &Shape) -> Worth {
        let bad = |why: String| Worth::Bad(why);
        for (kind, wanted) in [(SetKind::Data, &shape.data), (SetKind::Archive, &shape.archive)] {
            let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
            if self.volumes(kind) != wanted {
                return bad(format!("{kind:?} snapshots of {:?} and not of {wanted:?}", self.volumes(kind)));
            }
        }
        let begun: BTreeSet<u64> = self.of(SetKind::Data).map(|m| m.cut.begun).collect();
        if let Some(late) = self.of(SetKind::Data).find(|m| m.cut.active != Some(FILES)) {
            return bad(format!("{} was taken with {:?} files ACTIVE", late.object.name, late.cut.active));
        }
        if begun.len() != 1 {
            return bad(format!("the data snapshots are of several backup modes: {begun:?}"));
        }
        let end = self.members.iter().filter_map(|m| m.redo.as_ref()).map(|r| r.end).max().unwrap_or(0);
        if end == 0 {
            return bad("nobody knows the SCN of its END BACKUP".to_owned());
        }
        for archive in self.of(SetKind::Archive) {
            if archive.cut.active != Some(0) {
                return bad(format!("{} was taken in backup mode", archive.object.name));
            }
            if archive.cut.archived <= end {
                let (name, archived) = (&archive.object.name, archive.cut.archived);
                return bad(format!("{name} has redo below SCN {archived} only, END BACKUP was at {end}"));
            }
        }
        Worth::Good
    }

    pub fn is_marked_complete(&self) -> bool {
        !self.members.is_empty() && self.members.iter().all(Member::is_marked_complete)
    }
}

/// The sets on the array by their stamps.
pub fn sets(place: &Place) -> Result<BTreeMap<String, Set>> {
    let name = regex::Regex::new(r"^orasync_(data|archive)_(\d{4}-\d\d-\d\d_\d{6})(?:_.+)?$")?;
    let objects = place.array.objects();
    let names: BTreeMap<u64, String> = objects.iter().map(|o| (o.id, o.name.clone())).collect();
    let mut found: BTreeMap<String, Set> = BTreeMap::new();
    for object in objects.into_iter().filter(|o| o.is_snapshot) {
        let Some(parts) = name.captures(&object.name) else { continue };
        let bytes = object.bytes.as_ref().context("its volume is bound")?;
        let cut = std::fs::read(bytes.join("cut.json")).with_context(|| object.name.clone())?;
        let stamp = parts[2].to_owned();
        let member = Member {
            volume: names.get(&object.parent_id).cloned().context("a parent")?,
            kind: if &parts[1] == "data" { SetKind::Data } else { SetKind::Archive },
            stamp: stamp.clone(),
            mark: object.metadata.get(SET_KEY).and_then(|t| SetMark::parse(t)),
            redo: object.metadata.get(REDO_KEY).and_then(|t| RedoMark::parse(t)),
            cut: serde_json::from_slice(&cut).context("a cut")?,
            object,
        };
        found.entry(stamp).or_default().members.push(member);
    }
    Ok(found)
}

/// What counts for a set with one stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing of it is on the array.
    None,
    /// Marked as incomplete in every member.
    Incomplete,
    /// Marked as complete in every member, and good.
    Complete,
    /// Some members say complete and some incomplete, as a run leaves it that is killed between two marks. It counts as
    /// incomplete, and the next run has to settle it.
    Mixed,
    /// Something of it carries no mark.
    Unmarked,
}

/// Judges a set.
///
/// # Errors
/// A mark that lies: a set is called complete and is not good, or a member says what it is not.
pub fn judge(set: &Set, shape: &Shape) -> Result<State> {
    if set.members.is_empty() {
        return Ok(State::None);
    }
    let shown = || set.members.iter().map(describe).collect::<Vec<_>>().join("\n");
    for member in &set.members {
        let Some(mark) = &member.mark else { continue };
        let owner = member.object.metadata.get(CREATED_BY).map(String::as_str);
        ensure!(owner == Some(OWNER), "{} is created by {owner:?}", member.object.name);
        ensure!(
            (mark.kind, &mark.stamp) == (member.kind, &member.stamp),
            "a wrong mark: {}",
            describe(member)
        );
        let wanted = if member.kind == SetKind::Data { &shape.data } else { &shape.archive };
        ensure!(mark.n == wanted.len() as u64, "a wrong mark: {}", describe(member));
        ensure!(mark.archive != shape.archive.is_empty(), "a wrong mark: {}", describe(member));
    }
    if set.is_marked_complete() {
        if let Worth::Bad(why) = set.worth(shape) {
            bail!("marked as complete: {why}\n{}", shown());
        }
        return Ok(State::Complete);
    }
    let unmarked = set.members.iter().any(|m| m.mark.is_none());
    let mixed = set.members.iter().any(Member::is_marked_complete);
    Ok(match (unmarked, mixed) {
        (true, _) => State::Unmarked,
        (false, true) => State::Mixed,
        (false, false) => State::Incomplete,
    })
}

pub fn describe(member: &Member) -> String {
    format!("{} {:?} {:?} {:?}", member.object.name, member.mark, member.redo, member.cut)
}

/// Everything on the array that is none of ours.
pub fn foreign(place: &Place) -> Vec<Object> {
    let mut found = place.array.objects();
    let ours = regex::Regex::new(r"^orasync_(data|archive)_\d{4}-\d\d-\d\d_\d{6}").ok();
    found.retain(|o| !(o.is_snapshot && ours.as_ref().is_some_and(|r| r.is_match(&o.name))));
    for object in &mut found {
        // That a volume of ours has snapshots is our doing.
        object.has_children = false;
        object.bytes = None;
    }
    found
}

/// The receipts of a run against what is on the array.
pub fn receipts(place: &Place, outcome: &Outcome, shape: &Shape) -> Result<()> {
    let sets = sets(place)?;
    let members: BTreeMap<u64, &Member> =
        sets.values().flat_map(|s| &s.members).map(|m| (m.object.id, m)).collect();
    for record in outcome.of("snapshot") {
        let told: common::record::Snapshot = record.decode()?;
        let member =
            members.get(&told.id).with_context(|| format!("a receipt for nothing: {}", record.line))?;
        ensure!(member.object.name == told.name, "{} is called {}", record.line, member.object.name);
        ensure!(told.volume.as_deref() == Some(member.volume.as_str()), "{}", record.line);
        let set = sets.get(&member.stamp).context("its set")?;
        match told.state {
            Some(common::record::SnapshotState::Complete) => {
                ensure!(
                    judge(set, shape)? == State::Complete,
                    "a receipt of a set that is none: {}",
                    record.line
                );
            }
            _ => {
                let late = member.kind == SetKind::Data && member.cut.active != Some(FILES);
                ensure!(!late, "a receipt for what was taken outside of backup mode: {}", record.line);
            }
        }
    }
    let complete = outcome.of("snapshot").iter().filter(|r| r.text("state") == Some("complete")).count();
    ensure!(
        complete == 0 || complete == shape.data.len() + shape.archive.len(),
        "{complete} receipts of a complete set"
    );
    Ok(())
}

/// ib-prune, a month later: what it takes for complete is what is; nothing foreign is chosen.
pub fn prune_agrees(bench: &Bench, place: &Place, shape: &Shape) -> Result<()> {
    place.array.faults(Vec::new())?;
    let month = std::time::Duration::from_secs(30 * 86_400);
    place.array.advance(month);
    let before = place.array.objects();
    let reads = place.array.log().len();
    let args = ["--dry-run", "--keep-last", "100", "--ignore-clock-difference", "--force"];
    let outcome = bench.tool("ib-prune", place)?.args(args).run()?.expect(0)?;
    ensure!(place.array.log()[reads..].iter().all(|r| r.method == "GET"), "a dry run of ib-prune writes");
    ensure!(place.array.objects() == before, "a dry run of ib-prune changes something");
    let mut complete = BTreeSet::new();
    for record in outcome.of("kept") {
        let name = record.text("snapshot").context("a name")?;
        if record.text("reason").is_some_and(|r| r.contains("newest complete set")) {
            complete.insert(name.to_owned());
        }
    }
    let mut wanted = BTreeSet::new();
    let mut ours = BTreeSet::new();
    for set in sets(place)?.values() {
        let names = set.members.iter().map(|m| m.object.name.clone());
        if judge(set, shape)? == State::Complete {
            wanted.extend(names.clone());
        }
        ours.extend(names);
    }
    ensure!(complete == wanted, "ib-prune takes {complete:?} for complete, and {wanted:?} are");
    for record in outcome.of("planned") {
        let name = record.text("snapshot").context("a name")?;
        ensure!(ours.contains(name), "ib-prune would delete {name}");
        ensure!(!wanted.contains(name), "ib-prune would delete {name} of a complete set");
    }
    place.array.with(|state| state.offset_ms -= 30 * 86_400_000);
    Ok(())
}
