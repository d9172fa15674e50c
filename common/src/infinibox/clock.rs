//! How far the array's clock is from this host's, and how sure we are.

use super::objects::NtpNode;

/// Array time minus host time, in milliseconds, as an interval that surely holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    pub earliest: i64,
    pub latest: i64,
    /// The best single guess, for messages and limits of minutes.
    pub best: i64,
    /// The array's own statements contradict each other: [`Clock::earliest`] and [`Clock::latest`] span both.
    pub contradictory: bool,
}

impl Clock {
    /// The interval of the array's clock at a moment of the host's clock (epoch milliseconds).
    pub fn array_time(&self, host: i64) -> (i64, i64) {
        (host.saturating_add(self.earliest), host.saturating_add(self.latest))
    }

    /// Narrows it by an event on the array with time `at`, that happened between two moments of the host's clock. What
    /// contradicts is no reason to believe one side: the interval then spans both.
    #[must_use]
    pub fn with_event(self, at: i64, sent: i64, answered: i64) -> Self {
        let event = (at - answered, at - sent + 1);
        match intersect((self.earliest, self.latest), event) {
            Some((earliest, latest)) => Self { earliest, latest, best: middle(earliest, latest), ..self },
            None => Self {
                earliest: self.earliest.min(event.0),
                latest: self.latest.max(event.1),
                contradictory: true,
                ..self
            },
        }
    }
}

/// One look at the clock; all in epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub sent: i64,
    pub answered: i64,
    /// The newest `last_probe_timestamp`. It may be now, or minutes old: nobody knows when an array fills it in.
    pub probe: Option<i64>,
    /// The Date header, full seconds.
    pub date: Option<i64>,
}

impl Sample {
    pub fn probe_of(nodes: &[NtpNode]) -> Option<i64> {
        nodes.iter().filter_map(|n| n.last_probe_timestamp).max()
    }
}

/// Collects looks at the clock; the longer between the first and the last, the better the judgement.
#[derive(Debug, Clone, Default)]
pub struct ClockProbe {
    samples: Vec<Sample>,
}

impl ClockProbe {
    pub(super) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// The verdict; `None` when the array has not told its time in any way.
    ///
    /// `last_probe_timestamp` counts as a clock only when it went on between two looks as the host's clock did.
    /// Otherwise it is the time of some probe: if it agrees with the Date header that one is taken, and if it does not,
    /// both are possible.
    pub fn clock(&self) -> Option<Clock> {
        let dates: Vec<(i64, i64)> =
            self.samples.iter().filter_map(|s| s.date.map(|d| (d - s.answered, d + 1000 - s.sent))).collect();
        let probes: Vec<(i64, i64)> = self
            .samples
            .iter()
            .filter_map(|s| s.probe.map(|p| (p - s.answered - 1, p + 1 - s.sent)))
            .collect();
        let date = meet(&dates);
        let probe = meet(&probes);
        let found = |(earliest, latest): (i64, i64), contradictory| {
            Some(Clock { earliest, latest, best: middle(earliest, latest), contradictory })
        };
        match (probe, date) {
            (None, None) => None,
            (None, Some(date)) => found(date, false),
            // A second of doubt where nothing says how old the probe is.
            (Some(probe), None) => found(if self.ticks() { probe } else { (probe.0, probe.1 + 1000) }, false),
            (Some(probe), Some(date)) => match (self.ticks(), intersect(probe, date)) {
                (true, Some(both)) => found(both, false),
                (true, None) => found(probe, false),
                (false, Some(_)) => found(date, false),
                (false, None) => {
                    let hull = (probe.0.min(date.0), probe.1.max(date.1));
                    found(hull, true).map(|c| Clock { best: middle(date.0, date.1), ..c })
                }
            },
        }
    }

    /// Whether the probe's time went on with ours, within the time that the requests took.
    fn ticks(&self) -> bool {
        let seen: Vec<(Sample, i64)> = self.samples.iter().filter_map(|s| Some((*s, s.probe?))).collect();
        let (Some((first, p1)), Some((last, p2))) = (seen.first(), seen.last()) else { return false };
        let least = last.sent - first.answered;
        let most = last.answered - first.sent;
        let went = p2 - p1;
        went > 0 && went >= least - 2 && went <= most + 2
    }
}

fn middle(a: i64, b: i64) -> i64 {
    a + (b - a) / 2
}

fn intersect(a: (i64, i64), b: (i64, i64)) -> Option<(i64, i64)> {
    let both = (a.0.max(b.0), a.1.min(b.1));
    (both.0 <= both.1).then_some(both)
}

/// What all intervals have in common, or all of them together when they have nothing.
fn meet(intervals: &[(i64, i64)]) -> Option<(i64, i64)> {
    let first = *intervals.first()?;
    let common = intervals.iter().try_fold(first, |met, i| intersect(met, *i));
    common.or_else(|| intervals.iter().copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))))
}
