//! Twelve weeks of nights, Monday to Friday, with everything that goes wrong in twelve weeks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use chrono::{Days, NaiveDate};
use orasim::datapump::{Config, Fault, Kind};
use rig::tool::Tool;
use sha2::{Digest, Sha256};

use crate::archives::{day, dumps, look, Archive};
use crate::stage::{names, verdict, Call, Ran, Stage, Truth};

const NIGHTS: u64 = 60;
const KEEP_MIN: usize = 2;
const KEEP_MAX: usize = 7;
const KEEP_DAYS: i64 = 10;

/// What happens in a night.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Nothing,
    /// FIN cannot be exported: its rows are not readable.
    FinFails,
    /// The disk of the server is full while GOLD is written.
    GoldHitsFullDisk,
    /// A table of GOLD is skipped.
    GoldSkipsATable,
    BothFail,
    NetworkAway,
    NetworkFull,
    /// Not even a dump fits.
    DiskFull,
    /// The dumps fit, the archive does not.
    DiskNearlyFull,
    MailDown,
    /// Days by which the clock is wrong.
    Clock(i64),
    /// kill -9 for everything at this part of a usual night, then once more.
    Killed(f64),
}

fn event(night: u64) -> Event {
    match night {
        3 => Event::Killed(0.15),
        7 => Event::Killed(0.9),
        9..=15 => Event::FinFails,
        16 => Event::Killed(0.5),
        18 => Event::MailDown,
        21 | 22 => Event::NetworkAway,
        24 => Event::Killed(0.7),
        26 => Event::GoldHitsFullDisk,
        28 => Event::DiskFull,
        29 => Event::DiskNearlyFull,
        31 => Event::NetworkFull,
        33 => Event::Clock(-1),
        35 => Event::Killed(0.8),
        37 => Event::Clock(-2),
        41 => Event::Clock(1),
        44 => Event::Killed(0.3),
        46 => Event::MailDown,
        48 => Event::Killed(0.95),
        50 => Event::GoldSkipsATable,
        52 => Event::BothFail,
        54 => Event::Killed(0.6),
        56 => Event::Killed(0.75),
        57 => Event::Killed(0.85),
        _ => Event::Nothing,
    }
}

impl Event {
    /// Status of the pipeline, and verdict of the mail.
    fn end(self) -> (i32, &'static str) {
        match self {
            Self::Nothing | Self::Clock(_) | Self::Killed(_) => (0, "SUCCESS"),
            // The mail tells of the backup, and the status of the mail too.
            Self::MailDown => (1, "SUCCESS"),
            Self::FinFails
            | Self::GoldHitsFullDisk
            | Self::GoldSkipsATable
            | Self::NetworkAway
            | Self::NetworkFull => (1, "PARTIAL"),
            Self::BothFail | Self::DiskFull => (2, "CRITICAL FAILURE"),
            Self::DiskNearlyFull => (4, "CRITICAL FAILURE"),
        }
    }

    fn faults(self, config: &mut Config) {
        let fatal =
            Kind::Fatal { code: 1578, text: "ORACLE data block corrupted (file # 7, block # 131)".into() };
        let skip = Kind::Skip { object: "\"GOLD\".\"NOTAS\"".into(), code: 1555 };
        let of = |schema: &str, kind: &Kind| Fault { schema: schema.into(), kind: kind.clone() };
        config.faults = match self {
            Self::FinFails => vec![of("FIN", &fatal)],
            Self::GoldHitsFullDisk => vec![of("GOLD", &Kind::DiskFull)],
            Self::GoldSkipsATable => vec![of("GOLD", &skip)],
            Self::BothFail => vec![of("GOLD", &fatal), of("FIN", &fatal)],
            _ => Vec::new(),
        };
    }

    /// Schemas that are exported in full.
    fn exported(self) -> &'static [&'static str] {
        match self {
            Self::FinFails => &["GOLD"],
            Self::GoldHitsFullDisk | Self::GoldSkipsATable => &["FIN"],
            Self::BothFail | Self::DiskFull => &[],
            _ => &["GOLD", "FIN"],
        }
    }
}

fn date(night: u64) -> Result<NaiveDate> {
    let monday = NaiveDate::from_ymd_opt(2027, 1, 4).context("a date")?;
    Ok(monday + Days::new(night / 5 * 7 + night % 5))
}

/// What is known of one side.
#[derive(Default)]
struct Side {
    /// Good archives that must be there.
    good: BTreeSet<String>,
    good_ever: BTreeSet<String>,
    /// Name and SHA-256 of the last good archive that was made.
    newest: Option<(String, String)>,
}

impl Side {
    fn check(&self, dir: &Path, there: &[Archive]) -> Result<()> {
        for archive in there {
            ensure!(archive.bad.is_none(), "{} in {}: {:?}", archive.name, dir.display(), archive.bad);
        }
        let good: BTreeSet<&String> = there.iter().filter(|a| a.good()).map(|a| &a.name).collect();
        ensure!(good.len() >= self.good_ever.len().min(KEEP_MIN), "{} has only {good:?}", dir.display());
        let lost: Vec<_> = self.good.iter().filter(|n| !good.contains(n)).collect();
        ensure!(lost.is_empty(), "{} has lost {lost:?}", dir.display());
        if let Some((name, sha256)) = &self.newest {
            let found = there.iter().find(|a| a.name == *name);
            ensure!(found.is_some_and(|a| a.sha256 == *sha256), "{name} in {} was changed", dir.display());
        }
        Ok(())
    }

    fn made(&mut self, made: Option<(String, String)>) {
        if let Some((name, sha256)) = made {
            self.good.insert(name.clone());
            self.good_ever.insert(name.clone());
            self.newest = Some((name, sha256));
        }
    }

    /// From now on only what the retention keeps must be there.
    fn rotated(&mut self, today: NaiveDate) -> Result<()> {
        let mut past = Vec::new();
        for name in &self.good {
            let day = day(name)?;
            if day <= today {
                past.push((day, name.clone()));
            }
        }
        past.sort();
        for (rank, (day, name)) in past.into_iter().rev().enumerate() {
            if rank >= KEEP_MIN && (rank >= KEEP_MAX || (today - day).num_days() > KEEP_DAYS) {
                self.good.remove(&name);
            }
        }
        Ok(())
    }
}

/// The retention has left what it should and no more.
fn check_retention(side: &Side, dir: &Path, there: &[Archive]) -> Result<()> {
    let good: BTreeSet<String> = there.iter().filter(|a| a.good()).map(|a| a.name.clone()).collect();
    ensure!(good == side.good, "{} has {good:?} instead of {:?}", dir.display(), side.good);
    let partial = there.iter().filter(|a| !a.good()).count();
    ensure!(partial <= KEEP_MAX, "{partial} archives of partial nights in {}", dir.display());
    Ok(())
}

/// The whole story and what is known of it.
struct Weeks {
    stage: Stage,
    local: Side,
    network: Side,
    /// What the database had when an archive of this SHA-256 was made.
    truths: BTreeMap<String, Truth>,
    /// SHA-256 of the last dump that was whole, by schema.
    last_good: BTreeMap<String, String>,
    /// Mails that were checked.
    read: usize,
    ids: BTreeMap<String, usize>,
    /// Verdicts of mails that wait for the server.
    waiting: Vec<&'static str>,
    usual: Duration,
    /// Runs that were killed before they had ended.
    kills: u32,
}

impl Weeks {
    fn cloud(&self) -> std::path::PathBuf {
        let there = self.stage.cloud();
        if there.is_dir() {
            there
        } else {
            self.stage.cloud_elsewhere()
        }
    }

    /// What must hold at any time, between nights and after a kill.
    fn check_safety(&self) -> Result<(Vec<Archive>, Vec<Archive>)> {
        let (dir, cloud) = (self.stage.local.path(), self.cloud());
        let (here, there) = look(dir, &cloud)?;
        self.local.check(dir, &here)?;
        self.network.check(&cloud, &there)?;
        let mut known: BTreeSet<String> = here.iter().flat_map(|a| a.members.values().cloned()).collect();
        for name in names(dir)?.iter().filter(|n| n.ends_with(".DMP")) {
            known.insert(hex(&std::fs::read(dir.join(name))?));
        }
        for (schema, sha256) in &self.last_good {
            ensure!(known.contains(sha256), "the last good dump of {schema} is lost");
        }
        Ok((here, there))
    }

    /// Mails since the last look: verdict and how often each Message-ID has come by now.
    fn new_mails(&mut self) -> Vec<(String, usize)> {
        let all = self.stage.server.received();
        let new = all[self.read..].iter().map(|mail| {
            let id = mail.header("Message-ID").unwrap_or_default();
            let count = self.ids.entry(id).or_default();
            *count += 1;
            (verdict(mail), *count)
        });
        let new = new.collect();
        self.read = all.len();
        new
    }

    fn night(&mut self, night: u64) -> Result<()> {
        let event = event(night);
        let real = date(night)?;
        let shown = match event {
            Event::Clock(days) => real + chrono::Duration::days(days),
            _ => real,
        };
        let truth = self.stage.database(night, |config| event.faults(config))?;
        let clock = shown.and_hms_opt(1, 15, 0).context("a time")?;
        let call = Call { clock: Some(clock), mail_is_down: event == Event::MailDown, ..Call::default() };
        self.before(event)?;
        if let Event::Killed(part) = event {
            self.killed(&call, part, &truth)?;
        }
        let ran = self.stage.run(&call)?;
        self.after(event, &ran, shown, &truth)?;
        if event == Event::Nothing {
            self.usual = ran.took;
        }
        Ok(())
    }

    fn before(&self, event: Event) -> Result<()> {
        match event {
            Event::NetworkAway => Ok(std::fs::rename(self.stage.cloud(), self.stage.cloud_elsewhere())?),
            Event::NetworkFull => self.stage.network.fill(0),
            Event::DiskFull => self.stage.local.fill(0),
            Event::DiskNearlyFull => self.stage.local.fill(1_500_000),
            _ => Ok(()),
        }
    }

    /// Kills everything, and checks that nothing was lost and nothing was claimed that is not true.
    fn killed(&mut self, call: &Call, part: f64, truth: &Truth) -> Result<()> {
        self.kills += u32::from(self.stage.start(call)?.kill_after(self.usual.mul_f64(part))?);
        // Whoever has a pipe or a connection of the dead has noticed.
        std::thread::sleep(Duration::from_millis(100));
        let today = call.clock.context("a clock")?.date();
        let (dir, cloud) = (self.stage.local.path().to_owned(), self.stage.cloud());
        let (here, there) = look(&dir, &cloud)?;
        let mut done = false;
        for (side, archives) in [(&mut self.local, here), (&mut self.network, there)] {
            let made = archives.into_iter().find(|a| a.good() && day(&a.name).is_ok_and(|d| d == today));
            done = made.is_some();
            if let Some(made) = made {
                self.truths.insert(made.sha256.clone(), truth.clone());
                side.made(Some((made.name, made.sha256)));
                // Whether it came to that or not.
                side.rotated(today)?;
            }
        }
        self.check_safety().context("after the kill")?;
        for (said, count) in self.new_mails() {
            ensure!(count == 1 && said == "SUCCESS", "a mail of the killed run says {said}, {count} times");
            ensure!(done, "there is a mail and no copy of the archive");
        }
        // Those are sent in the next run.
        self.waiting.extend(self.stage.spooled()?.iter().map(|_| "SUCCESS"));
        Ok(())
    }

    fn after(&mut self, event: Event, ran: &Ran, today: NaiveDate, truth: &Truth) -> Result<()> {
        let (status, said) = event.end();
        ran.expect(status)?;
        let success = said == "SUCCESS";
        // Exports.
        for schema in ["GOLD", "FIN"] {
            let exported = ran.export(schema)?["status"] == "success";
            ensure!(exported == event.exported().contains(&schema), "{schema}: {}", ran.said);
        }
        self.last_good.extend(ran.dumps());
        // Archives.
        let here = ran.archive(self.stage.local.path());
        let there = ran.archive(&self.stage.cloud());
        let none = matches!(event, Event::DiskFull | Event::DiskNearlyFull);
        let uncopied = matches!(event, Event::NetworkAway | Event::NetworkFull);
        ensure!(here.is_none() == none, "{}", ran.said);
        ensure!(there.is_none() == (none || uncopied), "{}", ran.said);
        let complete = success || uncopied;
        if let Some((name, sha256)) = &here {
            self.truths.insert(sha256.clone(), truth.clone());
            self.check_dumps(&self.stage.local.path().join(name), truth, complete)?;
        }
        if complete {
            self.local.made(here);
            self.network.made(there);
        }
        if success {
            self.local.rotated(today)?;
            self.network.rotated(today)?;
        }
        let (here, there) = self.check_safety()?;
        if success {
            check_retention(&self.local, self.stage.local.path(), &here)?;
            check_retention(&self.network, &self.stage.cloud(), &there)?;
        } else {
            ensure!(ran.of("removed").count() == 0, "something was removed: {}", ran.said);
        }
        self.check_mails(event, said)?;
        match event {
            Event::NetworkAway => std::fs::rename(self.stage.cloud_elsewhere(), self.stage.cloud())?,
            Event::NetworkFull => self.stage.network.empty()?,
            Event::DiskFull | Event::DiskNearlyFull => self.stage.local.empty()?,
            _ => {}
        }
        Ok(())
    }

    /// Every night has one mail, in order, with the truth in its subject.
    fn check_mails(&mut self, event: Event, said: &'static str) -> Result<()> {
        self.waiting.push(said);
        let mails = self.new_mails();
        if event == Event::MailDown {
            ensure!(mails.is_empty(), "{mails:?}");
            ensure!(self.stage.spooled()?.len() == self.waiting.len(), "{:?}", self.stage.spooled()?);
            return Ok(());
        }
        let expected: Vec<_> = self.waiting.drain(..).map(str::to_owned).collect();
        let verdicts: Vec<_> = mails.iter().map(|(v, _)| v.clone()).collect();
        ensure!(verdicts == expected, "mails say {verdicts:?} instead of {expected:?}");
        for (_, count) in &mails {
            // Killed after the server took it and before that was noted: the same mail again, by its Message-ID.
            let again = usize::from(matches!(event, Event::Killed(_)));
            ensure!(*count <= 1 + again, "a mail has come {count} times");
        }
        ensure!(self.stage.spooled()?.is_empty(), "{:?}", self.stage.spooled()?);
        Ok(())
    }

    /// The dumps in an archive are those of the database, row for row and object for object.
    fn check_dumps(&self, archive: &Path, truth: &Truth, complete: bool) -> Result<()> {
        let found = dumps(archive)?;
        for (name, contents) in &found {
            let schema = name.split('_').next().unwrap_or_default();
            let all = truth.get(schema).with_context(|| format!("a dump {name}"))?;
            if name.ends_with(".PARTIAL.DMP") {
                ensure!(
                    contents.len() < all.len() && contents.iter().all(|c| all.contains(c)),
                    "{name}: {contents:?}"
                );
            } else {
                ensure!(
                    contents == all,
                    "{name} in {}: {contents:?}, the database has {all:?}",
                    archive.display()
                );
            }
        }
        ensure!(!complete || found.len() == truth.len(), "{}: {:?}", archive.display(), found.keys());
        Ok(())
    }

    /// `zip-rotate --verify` and every dump of every archive.
    fn verify(&self) -> Result<()> {
        for dir in [self.stage.local.path().to_owned(), self.cloud()] {
            Tool::new("zip-rotate", &self.stage.at(""))?.arg("--verify").arg(&dir).run()?.expect(0)?;
            for name in names(&dir)?.iter().filter(|n| n.ends_with(".zip")) {
                let archive = dir.join(name);
                let truth = self.truths.get(&hex(&std::fs::read(&archive)?));
                self.check_dumps(&archive, truth.with_context(|| format!("who has made {name}?"))?, false)?;
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn sixty_nights() -> Result<()> {
    let stage = Stage::new()?;
    stage.one_clock()?;
    let mut weeks = Weeks {
        stage,
        local: Side::default(),
        network: Side::default(),
        truths: BTreeMap::new(),
        last_good: BTreeMap::new(),
        read: 0,
        ids: BTreeMap::new(),
        waiting: Vec::new(),
        usual: Duration::from_secs(1),
        kills: 0,
    };
    for night in 0..NIGHTS {
        weeks.night(night).with_context(|| {
            format!("night {night}, {}: {:?}", date(night).unwrap_or_default(), event(night))
        })?;
        if night % 15 == 14 {
            weeks.verify().with_context(|| format!("after night {night}"))?;
        }
    }
    ensure!(weeks.kills >= 5, "only {} runs were killed", weeks.kills);
    // The restore: what the database had when the last archive was made.
    let (name, sha256) = weeks.local.newest.clone().context("no archive")?;
    let newest = weeks.stage.cloud().join(&name);
    ensure!(hex(&std::fs::read(&newest)?) == sha256, "the copy is not the archive");
    weeks.check_dumps(&newest, &crate::stage::schemas(NIGHTS - 1).1, true)?;
    let left: Vec<_> = names(weeks.stage.local.path())?;
    let dumps: Vec<_> = left.iter().filter(|n| n.ends_with(".DMP") && !n.ends_with(".PARTIAL.DMP")).collect();
    ensure!(dumps == ["FIN_sexta-feira.DMP", "GOLD_sexta-feira.DMP"], "{left:?}");
    weeks.stage.check_clean()
}
