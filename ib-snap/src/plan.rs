//! Which snapshots to take and what they are called: pure, from what is wished and what was found.

use std::collections::{BTreeMap, BTreeSet};

use common::exit::{Exit, Failure};
use common::infinibox::{Cg, Pool, SetKind, User, Volume};

use crate::cli::Cli;

/// Snapshots that a volume may have.
const SNAPSHOTS_MAX: u64 = 999;
/// Near that, it is said.
const SNAPSHOTS_MANY: u64 = 950;
/// Longer names may be too long for some arrays: nobody has documented the limit.
const NAME_SAFE: usize = 65;
/// Longer names are none.
const NAME_MAX: usize = 255;

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    pub prefix: String,
    /// `YYYY-MM-DD_HHMMSS`, one for the whole run.
    pub stamp: String,
    pub data: WishedHalf,
    pub archive: Option<WishedHalf>,
    /// One snapshot per volume instead of one of all.
    pub separate: bool,
}

/// Volumes and group of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WishedHalf {
    pub volumes: Vec<String>,
    pub cg: Option<String>,
}

impl Wish {
    /// # Errors
    /// Status 64: nothing to snapshot, or a volume named twice.
    pub fn new(cli: &Cli, stamp: &str) -> Result<Self, Failure> {
        let data = WishedHalf::new(&cli.data_volume, cli.data_cg.as_ref(), "data")?;
        let archive = WishedHalf::new(&cli.archive_volume, cli.archive_cg.as_ref(), "archive")?;
        let usage = |text: &str, hint: &str| Failure::new(Exit::Usage, text).hint(hint);
        if data.is_empty() && !cli.end_backup {
            return Err(usage(
                "no volume with datafiles is named",
                "set REPLICATED_DATA_VOLUMES, or give --data-volume or --data-cg",
            ));
        }
        if archive.is_empty() && !cli.no_archive && !cli.end_backup {
            return Err(usage(
                "no volume with archived logs is named",
                "set REPLICATED_ARCHIVE_VOLUMES, give --archive-volume or --archive-cg, or --no-archive if the archived \
                 logs are safe elsewhere",
            ));
        }
        Ok(Self {
            prefix: cli.prefix.clone(),
            stamp: stamp.to_owned(),
            data,
            archive: (!cli.no_archive && !archive.is_empty()).then_some(archive),
            separate: cli.separate_snapshots,
        })
    }
}

impl WishedHalf {
    fn new(volumes: &[String], cg: Option<&String>, kind: &str) -> Result<Self, Failure> {
        let volumes: Vec<String> =
            volumes.iter().map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect();
        let distinct: BTreeSet<&String> = volumes.iter().collect();
        if distinct.len() != volumes.len() {
            let text = format!("a {kind} volume is named twice: {}", volumes.join(", "));
            return Err(Failure::new(Exit::Usage, text).hint("name each volume once"));
        }
        Ok(Self { volumes, cg: cg.cloned() })
    }

    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.cg.is_none()
    }
}

/// What the array has of one half.
#[derive(Debug, Clone, Default)]
pub struct FoundHalf {
    /// By the wished name.
    pub volumes: BTreeMap<String, Option<Volume>>,
    /// The wished group and its members.
    pub cg: Option<(Option<Cg>, Vec<Volume>)>,
}

/// How the array is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// One volume.
    Single,
    /// All at one instant, by ids.
    Group,
    /// Each by itself, at the same time.
    Separate,
    /// All of a consistency group at one instant; `name` is that of the snapshot group.
    Cg { id: u64, cg: String, name: String },
}

/// One snapshot to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub volume_id: u64,
    pub volume: String,
    /// Of the snapshot.
    pub name: String,
}

/// The snapshots of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    pub kind: SetKind,
    pub how: How,
    /// `<prefix>_<kind>_<stamp>`.
    pub base: String,
    pub members: Vec<Member>,
}

impl Half {
    /// What the names of several begin with.
    pub fn prefix(&self) -> String {
        format!("{}_", self.base)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub stamp: String,
    pub data: Half,
    pub archive: Option<Half>,
}

impl Plan {
    pub fn halves(&self) -> impl Iterator<Item = &Half> {
        std::iter::once(&self.data).chain(self.archive.as_ref())
    }
}

/// Makes the plan.
///
/// # Errors
/// Status 4, all that is wrong at once: a volume or group that is not there or of the wrong type, a name that is too long.
pub fn plan(wish: &Wish, data: &FoundHalf, archive: Option<&FoundHalf>) -> Result<Plan, Failure> {
    let mut wrong = Vec::new();
    let data = half(wish, SetKind::Data, &wish.data, data, &mut wrong);
    let archive = match (&wish.archive, archive) {
        (Some(wished), Some(found)) => Some(half(wish, SetKind::Archive, wished, found, &mut wrong)),
        _ => None,
    };
    if !wrong.is_empty() {
        return Err(Failure::new(Exit::Refused, wrong.join("; ")).hint(
            "look at REPLICATED_DATA_VOLUMES, REPLICATED_ARCHIVE_VOLUMES and the array; nothing was touched",
        ));
    }
    Ok(Plan { stamp: wish.stamp.clone(), data, archive })
}

fn half(wish: &Wish, kind: SetKind, wished: &WishedHalf, found: &FoundHalf, wrong: &mut Vec<String>) -> Half {
    let word = match kind {
        SetKind::Data => "data",
        SetKind::Archive => "archive",
    };
    let base = format!("{}_{word}_{}", wish.prefix, wish.stamp);
    let mut volumes: Vec<Volume> = Vec::new();
    let mut how = None;
    if let Some(name) = &wished.cg {
        match &found.cg {
            Some((Some(cg), members)) if !cg.is_snapshot() => {
                if members.is_empty() {
                    wrong.push(format!("consistency group {name} has no members"));
                }
                volumes.extend(members.iter().cloned());
                how = Some(How::Cg { id: cg.id, cg: cg.name.clone(), name: base.clone() });
            }
            Some((Some(_), _)) => wrong.push(format!("{name} is a group of snapshots, not of volumes")),
            Some((None, _)) | None => wrong.push(format!("the array has no consistency group {name}")),
        }
    }
    for name in &wished.volumes {
        match found.volumes.get(name).and_then(Option::as_ref) {
            None => wrong.push(format!("the array has no volume {name}")),
            Some(v) if wished.cg.is_some() && !volumes.iter().any(|m| m.id == v.id) => {
                wrong.push(format!("volume {name} is no member of the consistency group"));
            }
            Some(_) if wished.cg.is_some() => {}
            Some(v) => volumes.push(v.clone()),
        }
    }
    for volume in &volumes {
        if !volume.is_master() {
            wrong.push(format!(
                "{} is a {}, not a volume",
                volume.name,
                volume.kind.as_deref().unwrap_or("snapshot").to_lowercase()
            ));
        }
    }
    let alone = volumes.len() == 1 && wished.cg.is_none();
    let how = how.unwrap_or(match (alone, wish.separate) {
        (true, _) => How::Single,
        (false, true) => How::Separate,
        (false, false) => How::Group,
    });
    let members: Vec<Member> = volumes
        .iter()
        .map(|v| Member {
            volume_id: v.id,
            volume: v.name.clone(),
            name: if alone { base.clone() } else { format!("{base}_{}", v.name) },
        })
        .collect();
    for member in members.iter().filter(|m| m.name.len() > NAME_MAX) {
        wrong.push(format!("the name {} is too long", member.name));
    }
    Half { kind, how, base, members }
}

/// What is asked about a plan before it is carried out.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Names of snapshots and groups of the plan that exist already.
    pub taken: Vec<String>,
    /// Snapshots per volume, where the array can count them.
    pub snapshots: BTreeMap<u64, u64>,
    pub pools: Vec<Pool>,
    /// Our user, where he may be looked at.
    pub user: Option<User>,
}

/// Refuses what the array would refuse in backup mode; returns warnings.
pub fn check(plan: &Plan, survey: &Survey) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    let mut warnings = Vec::new();
    if !survey.taken.is_empty() {
        wrong.push(format!("the array has already: {}", survey.taken.join(", ")));
    }
    let members: BTreeMap<u64, &Member> =
        plan.halves().flat_map(|h| &h.members).map(|m| (m.volume_id, m)).collect();
    for (id, member) in &members {
        let more = plan.halves().flat_map(|h| &h.members).filter(|m| m.volume_id == *id).count() as u64;
        match survey.snapshots.get(id) {
            Some(n) if n + more > SNAPSHOTS_MAX => {
                wrong.push(format!(
                    "volume {} has {n} snapshots, and {SNAPSHOTS_MAX} is the most an array keeps",
                    member.volume
                ));
            }
            Some(n) if *n >= SNAPSHOTS_MANY => {
                warnings
                    .push(format!("volume {} has {n} of at most {SNAPSHOTS_MAX} snapshots", member.volume));
            }
            _ => {}
        }
    }
    for pool in &survey.pools {
        match pool.state.as_deref() {
            Some(state) if state.eq_ignore_ascii_case("locked") => {
                wrong.push(format!("pool {} is locked", pool.name))
            }
            Some(state) if !state.eq_ignore_ascii_case("normal") => {
                warnings.push(format!("pool {} is {state}", pool.name));
            }
            _ => {}
        }
    }
    if let Some(user) = &survey.user {
        let roles: Vec<&String> = user.role.iter().chain(user.roles.iter().flatten()).collect();
        let reads = |r: &&String| r.to_uppercase().replace('-', "_").contains("READ_ONLY");
        if !roles.is_empty() && roles.iter().all(reads) {
            wrong.push(format!("user {} may only read", user.name));
        }
    }
    for member in plan.halves().flat_map(|h| &h.members).filter(|m| m.name.chars().count() > NAME_SAFE) {
        warnings.push(format!(
            "the name {} has {} characters; an array may refuse more than {NAME_SAFE}",
            member.name,
            member.name.chars().count()
        ));
    }
    if wrong.is_empty() {
        return Ok(warnings);
    }
    Err(Failure::new(Exit::Refused, wrong.join("; ")).hint("nothing was touched; mend it and run again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn volume(id: u64, name: &str) -> Volume {
        Volume {
            id,
            name: name.to_owned(),
            kind: Some("MASTER".to_owned()),
            parent_id: Some(0),
            ..Volume::default()
        }
    }

    fn wish(data: &[&str], archive: &[&str]) -> Wish {
        let half = |names: &[&str]| WishedHalf {
            volumes: names.iter().map(|n| (*n).to_owned()).collect(),
            cg: None,
        };
        Wish {
            prefix: "orasync".to_owned(),
            stamp: "2026-11-20_153000".to_owned(),
            data: half(data),
            archive: (!archive.is_empty()).then(|| half(archive)),
            separate: false,
        }
    }

    fn found(names: &[&str]) -> FoundHalf {
        let volumes = names.iter().enumerate();
        FoundHalf {
            volumes: volumes.map(|(i, n)| ((*n).to_owned(), Some(volume(100 + i as u64, n)))).collect(),
            cg: None,
        }
    }

    fn names(half: &Half) -> Vec<&str> {
        half.members.iter().map(|m| m.name.as_str()).collect()
    }

    #[test]
    fn one_volume_has_the_names_of_the_original() {
        let plan = plan(&wish(&["d1"], &["a1"]), &found(&["d1"]), Some(&found(&["a1"]))).unwrap();
        assert_eq!(names(&plan.data), ["orasync_data_2026-11-20_153000"]);
        assert_eq!(names(plan.archive.as_ref().unwrap()), ["orasync_archive_2026-11-20_153000"]);
        assert_eq!(plan.data.how, How::Single);
    }

    #[test]
    fn several_volumes_are_one_group_with_the_volume_in_the_name() {
        let plan = plan(&wish(&["d1", "d2"], &[]), &found(&["d1", "d2"]), None).unwrap();
        assert_eq!(
            names(&plan.data),
            ["orasync_data_2026-11-20_153000_d1", "orasync_data_2026-11-20_153000_d2"]
        );
        assert_eq!(plan.data.how, How::Group);
        assert!(plan.data.members.iter().all(|m| m.name == format!("{}{}", plan.data.prefix(), m.volume)));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut data = found(&["d1", "d2"]);
        data.volumes.insert("d2".to_owned(), None);
        let snapshot = Volume { parent_id: Some(5), kind: Some("SNAPSHOT".to_owned()), ..volume(7, "d1") };
        data.volumes.insert("d1".to_owned(), Some(snapshot));
        let error = plan(&wish(&["d1", "d2"], &[]), &data, None).unwrap_err();
        assert_eq!(error.exit, Exit::Refused);
        assert!(
            error.message.contains("no volume d2") && error.message.contains("d1 is a snapshot"),
            "{error}"
        );
    }

    #[test]
    fn a_group_brings_its_members_and_no_others_are_let_in() {
        let mut wish = wish(&["d9"], &[]);
        wish.data.cg = Some("cg1".to_owned());
        let cg = Cg { id: 5, name: "cg1".to_owned(), ..Cg::default() };
        let mut data = found(&["d9"]);
        data.cg = Some((Some(cg), vec![volume(1, "d1")]));
        assert!(plan(&wish, &data, None).unwrap_err().message.contains("no member"));
        wish.data.volumes = Vec::new();
        let plan = plan(&wish, &data, None).unwrap();
        assert_eq!(names(&plan.data), ["orasync_data_2026-11-20_153000_d1"]);
        assert!(
            matches!(&plan.data.how, How::Cg { id: 5, name, .. } if name == "orasync_data_2026-11-20_153000")
        );
    }

    #[test]
    fn what_the_array_would_refuse_is_refused_before() {
        let plan = plan(&wish(&["d1"], &[]), &found(&["d1"]), None).unwrap();
        let refused = |survey: Survey| check(&plan, &survey).unwrap_err().message;
        let with = |n| Survey { snapshots: BTreeMap::from([(100, n)]), ..Survey::default() };
        assert!(check(&plan, &with(949)).unwrap().is_empty());
        assert_eq!(check(&plan, &with(998)).unwrap().len(), 1);
        assert!(refused(with(999)).contains("999"));
        let taken = Survey { taken: vec!["x".to_owned()], ..Survey::default() };
        assert!(refused(taken).contains("already"));
        let pool = Pool { id: 1, name: "p".to_owned(), state: Some("LOCKED".to_owned()), owners: None };
        assert!(refused(Survey { pools: vec![pool], ..Survey::default() }).contains("pool p is locked"));
        let user = User { id: 1, name: "u".to_owned(), role: Some("READ_ONLY".to_owned()), roles: None };
        assert!(refused(Survey { user: Some(user), ..Survey::default() }).contains("may only read"));
    }

    proptest! {
        #[test]
        fn names_are_distinct_carry_one_stamp_and_sort_by_time(
            data in proptest::collection::btree_set("[a-z]{1,8}", 1..6),
            archive in proptest::collection::btree_set("[a-z]{1,8}", 0..4),
            separate: bool,
        ) {
            let (data, archive): (Vec<&str>, Vec<&str>) =
                (data.iter().map(String::as_str).collect(), archive.iter().map(String::as_str).collect());
            let mut wish = wish(&data, &archive);
            wish.separate = separate;
            let (d, a) = (found(&data), found(&archive));
            let plan = plan(&wish, &d, Some(&a)).unwrap();
            let all: Vec<&Member> = plan.halves().flat_map(|h| &h.members).collect();
            let distinct: BTreeSet<&str> = all.iter().map(|m| m.name.as_str()).collect();
            prop_assert_eq!(distinct.len(), all.len());
            prop_assert_eq!(all.len(), data.len() + archive.len());
            prop_assert!(all.iter().all(|m| m.name.contains("2026-11-20_153000")));
            for half in plan.halves() {
                // What the array makes of a prefix and a volume's name is what we expect to find.
                let grouped = matches!(half.how, How::Group | How::Separate);
                let named = |m: &Member| m.name == half.prefix() + &m.volume;
                prop_assert!(!grouped || half.members.iter().all(named));
                prop_assert_eq!(grouped, half.members.len() > 1);
            }
        }
    }
}
