//! Whether a snapshot was taken inside backup mode, by the array's clock.

use common::infinibox::Clock;

/// Host times, epoch milliseconds: when BEGIN BACKUP was done, and right before END BACKUP was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub begin_done: i64,
    pub end_sent: i64,
}

/// What `created_at` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Whatever the array's clock really is within what we know of it: inside.
    Inside,
    Before,
    After,
    /// It may have been inside, and it may not.
    Unsure,
}

impl Window {
    /// Judges a snapshot that the array says was made at `created_at` (epoch milliseconds by its clock).
    ///
    /// The clock's uncertainty always counts against the snapshot.
    pub fn judge(&self, created_at: i64, clock: &Clock) -> Moment {
        // The array cuts off what is less than a millisecond.
        let earliest = created_at.saturating_sub(clock.latest);
        let latest = created_at.saturating_add(1).saturating_sub(clock.earliest);
        if earliest >= self.begin_done && latest <= self.end_sent {
            Moment::Inside
        } else if latest < self.begin_done {
            Moment::Before
        } else if earliest > self.end_sent {
            Moment::After
        } else {
            Moment::Unsure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock(earliest: i64, latest: i64) -> Clock {
        Clock { earliest, latest, best: earliest + (latest - earliest) / 2, contradictory: false }
    }

    const WINDOW: Window = Window { begin_done: 10_000, end_sent: 12_000 };

    #[test]
    fn a_clock_that_is_minutes_off_makes_no_difference_when_it_is_known() {
        let off = clock(-300_000, -299_990);
        assert_eq!(WINDOW.judge(11_000 - 300_000, &off), Moment::Inside);
        assert_eq!(WINDOW.judge(12_050 - 300_000, &off), Moment::After);
        // The array's own time, taken for ours, would have been inside.
        assert_eq!(WINDOW.judge(311_000 - 300_000, &off), Moment::After);
    }

    #[test]
    fn doubt_counts_against_the_snapshot() {
        let second = clock(-500, 500);
        assert_eq!(WINDOW.judge(11_000, &second), Moment::Inside);
        assert_eq!(WINDOW.judge(11_600, &second), Moment::Unsure);
        assert_eq!(WINDOW.judge(10_400, &second), Moment::Unsure);
        assert_eq!(WINDOW.judge(12_501, &second), Moment::After);
    }

    proptest! {
        #[test]
        fn what_was_taken_outside_is_never_inside(
            real in -5_000_i64..25_000,
            offset in -10_000_i64..10_000,
            below in 0_i64..2_000,
            above in 0_i64..2_000,
        ) {
            let outside = !(WINDOW.begin_done..=WINDOW.end_sent).contains(&real);
            let judged = WINDOW.judge(real + offset, &clock(offset - below, offset + above));
            prop_assert!(!(outside && judged == Moment::Inside));
            let well_inside = real - above >= WINDOW.begin_done && real + below < WINDOW.end_sent;
            prop_assert!(!well_inside || judged == Moment::Inside);
        }
    }
}
