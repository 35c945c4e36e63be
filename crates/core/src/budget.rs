//! A budget in any window of time, of requests or of bytes, counted in buckets of a twentieth of the
//! window.
//!
//! A bucket counts until all of it is out of the window, so the budget errs by being a little
//! tight, never loose.

use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: u32 = 20;
/// The window's buckets and the one that is being filled.
const SLOTS: usize = 21;

/// So much in any window.
#[derive(Debug)]
pub struct Budget {
    max: u64,
    bucket: Duration,
    start: Instant,
    /// The current bucket, counted from `start`.
    current: u64,
    counts: [u64; SLOTS],
    sum: u64,
}

impl Budget {
    /// A budget of which nothing is spent.
    pub fn new(max: u64, window: Duration, now: Instant) -> Self {
        let bucket = window / BUCKETS;
        Self { max, bucket, start: now, current: 0, counts: [0; SLOTS], sum: 0 }
    }

    /// Counts so many, or says when there is room again.
    pub fn take(&mut self, amount: u64, now: Instant) -> Result<(), Instant> {
        self.room_for(amount, now)?;
        self.counts[slot(self.current)] += amount;
        self.sum += amount;
        Ok(())
    }

    /// Counts no more what was counted then: it was not used after all.
    pub fn give_back(&mut self, amount: u64, then: Instant, now: Instant) {
        self.roll(now);
        let bucket = self.bucket_at(then);
        // what has left the window is not counted any more
        if bucket + u64::from(BUCKETS) >= self.current {
            let counted = &mut self.counts[slot(bucket)];
            let back = amount.min(*counted);
            *counted -= back;
            self.sum -= back;
        }
    }

    /// Counts now what was counted then: it was used later than it was asked for. There is room for
    /// it, or it is too late to ask.
    pub fn count_later(&mut self, amount: u64, then: Instant, now: Instant) {
        self.give_back(amount, then, now);
        self.counts[slot(self.current)] += amount;
        self.sum += amount;
    }

    /// Whether there is room for so many, or when there will be. More than the whole budget finds
    /// room when nothing else is counted: it could never be had otherwise.
    pub fn room_for(&mut self, amount: u64, now: Instant) -> Result<(), Instant> {
        self.roll(now);
        if amount == 0 || self.sum == 0 || self.sum.saturating_add(amount) <= self.max {
            return Ok(());
        }
        Err(self.room_at(self.sum.saturating_add(amount) - self.max))
    }

    /// Lets no more than so many into a window from now on; what is counted stays.
    pub fn set_max(&mut self, max: u64) {
        self.max = max;
    }

    /// How many are counted in the window that ends now.
    pub fn counted(&mut self, now: Instant) -> u64 {
        self.roll(now);
        self.sum
    }

    /// Whether nothing is counted, so that forgetting it would change nothing.
    pub fn is_untouched(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.sum == 0
    }

    /// Empties the buckets that have left the window.
    fn roll(&mut self, now: Instant) {
        // two threads may come here in the other order than they read the clock
        let current = self.bucket_at(now).max(self.current);
        let steps = (current - self.current).min(u64::from(BUCKETS) + 1);
        for step in 1..=steps {
            // the bucket after the newest is the oldest: it is the one to be used next
            let oldest = slot(self.current + step);
            self.sum -= self.counts[oldest];
            self.counts[oldest] = 0;
        }
        self.current = current;
    }

    /// The bucket of a moment, counted from `start`.
    fn bucket_at(&self, moment: Instant) -> u64 {
        let elapsed = moment.saturating_duration_since(self.start);
        u64::try_from(elapsed.as_nanos() / self.bucket.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    /// When enough of the oldest buckets have left the window to make room for so many more.
    fn room_at(&self, missing: u64) -> Instant {
        let first = self.current.saturating_sub(BUCKETS.into());
        let mut freed = 0;
        let last = (first..=self.current).find(|bucket| {
            freed += self.counts[slot(*bucket)];
            freed >= missing.min(self.sum)
        });
        let leaves = last.unwrap_or(self.current) + u64::from(BUCKETS) + 1;
        self.start + self.bucket * u32::try_from(leaves).unwrap_or(u32::MAX)
    }
}

fn slot(bucket: u64) -> usize {
    usize::try_from(bucket % (u64::from(BUCKETS) + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_mins(10);
    const BUCKET: Duration = Duration::from_secs(30);

    #[test]
    fn a_spent_budget_says_when_there_is_room() {
        let start = Instant::now();
        let mut budget = Budget::new(3, WINDOW, start);
        for second in [0, 1, 40] {
            assert!(budget.take(1, start + Duration::from_secs(second)).is_ok());
        }
        let now = start + Duration::from_secs(50);
        let room = budget.take(1, now).unwrap_err();
        assert!(room >= start + WINDOW && room <= start + WINDOW + BUCKET);
        assert!(budget.take(1, room).is_ok());
        assert!(budget.take(1, room).is_ok());
        assert!(budget.take(1, room).is_err(), "the request of second 40 still counts");
        assert!(budget.is_untouched(room + WINDOW * 2));
    }

    #[test]
    fn what_is_given_back_makes_room_unless_it_had_left() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut budget = Budget::new(2, WINDOW, start);
        budget.take(1, at(0)).unwrap();
        budget.take(1, at(70)).unwrap();
        budget.give_back(1, at(0), at(80));
        assert!(budget.take(1, at(90)).is_ok());
        assert!(budget.take(1, at(91)).is_err());
        budget.give_back(1, at(0), at(100));
        assert!(budget.take(1, at(101)).is_err(), "nothing of then is counted any more");
        budget.give_back(1, at(70), at(70) + WINDOW * 2);
        assert!(budget.is_untouched(at(70) + WINDOW * 2));
    }

    #[test]
    fn what_was_used_late_counts_for_a_window_from_then() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut budget = Budget::new(1, WINDOW, start);
        budget.take(1, at(0)).unwrap();
        budget.count_later(1, at(0), at(300));
        assert_eq!(budget.take(1, at(640)).unwrap_err(), at(930));
        // later than a window after it was asked for
        budget.take(1, at(930)).unwrap();
        budget.count_later(1, at(930), at(2_000));
        assert!(budget.take(1, at(2_599)).is_err());
    }

    #[test]
    fn what_is_large_waits_for_as_much_room_as_it_needs() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut budget = Budget::new(100, WINDOW, start);
        budget.take(40, at(0)).unwrap();
        budget.take(40, at(60)).unwrap();
        assert_eq!(budget.take(30, at(61)).unwrap_err(), at(630), "the first 40 must leave");
        assert_eq!(budget.take(90, at(61)).unwrap_err(), at(690), "all must leave");
        // more than the whole budget goes alone
        assert_eq!(budget.room_for(500, at(61)).unwrap_err(), at(690));
        assert!(budget.take(500, at(690)).is_ok());
        assert!(budget.take(1, at(691)).is_err());
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more(gaps in prop::collection::vec(0_u64..90, 1..200)) {
            let start = Instant::now();
            let mut budget = Budget::new(10, WINDOW, start);
            let (mut now, mut taken) = (start, Vec::new());
            for gap in gaps {
                now += Duration::from_secs(gap);
                match budget.take(1, now) {
                    Ok(()) => taken.push(now),
                    Err(room) => prop_assert!(room > now && room <= now + WINDOW + BUCKET),
                }
                let recent = taken.iter().filter(|at| now - **at < WINDOW).count();
                prop_assert!(recent <= 10);
            }
        }
    }
}
