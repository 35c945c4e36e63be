//! A budget of requests in any ten minutes, counted in buckets of half a minute.
//!
//! A bucket counts until all of it is out of the window, so the budget errs by being a little
//! tight, never loose.

use std::time::Duration;

use tokio::time::Instant;

/// The window of Graph's own budget (learn.microsoft.com, graph throttling-limits, Outlook).
pub(super) const WINDOW: Duration = Duration::from_mins(10);
const BUCKETS: u64 = 20;
const BUCKET: Duration = Duration::from_secs(WINDOW.as_secs() / BUCKETS);
/// The window's buckets and the one that is being filled.
const SLOTS: usize = 21;

pub(super) struct Budget {
    max: u32,
    start: Instant,
    /// The current bucket, counted from `start`.
    current: u64,
    counts: [u32; SLOTS],
    sum: u32,
}

impl Budget {
    pub(super) fn new(max: u32, now: Instant) -> Self {
        Self { max, start: now, current: 0, counts: [0; SLOTS], sum: 0 }
    }

    /// Counts one request, or says when there is room again.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.roll(now);
        if self.sum >= self.max {
            return Err(self.room_at());
        }
        self.counts[slot(self.current)] += 1;
        self.sum += 1;
        Ok(())
    }

    pub(super) fn is_untouched(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.sum == 0
    }

    /// Empties the buckets that have left the window.
    fn roll(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start);
        // two threads may come here in the other order than they read the clock
        let current = (elapsed.as_secs() / BUCKET.as_secs()).max(self.current);
        let steps = (current - self.current).min(BUCKETS + 1);
        for step in 1..=steps {
            // the bucket after the newest is the oldest: it is the one to be used next
            let oldest = slot(self.current + step);
            self.sum -= self.counts[oldest];
            self.counts[oldest] = 0;
        }
        self.current = current;
    }

    /// When the oldest bucket that holds anything leaves the window.
    fn room_at(&self) -> Instant {
        let held = (self.current.saturating_sub(BUCKETS)..=self.current)
            .find(|bucket| self.counts[slot(*bucket)] > 0);
        let leaves = held.unwrap_or(self.current) + BUCKETS + 1;
        self.start + Duration::from_secs(leaves * BUCKET.as_secs())
    }
}

fn slot(bucket: u64) -> usize {
    (bucket % (BUCKETS + 1)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_spent_budget_says_when_there_is_room() {
        let start = Instant::now();
        let mut budget = Budget::new(3, start);
        for second in [0, 1, 40] {
            assert!(budget.take(start + Duration::from_secs(second)).is_ok());
        }
        let now = start + Duration::from_secs(50);
        let room = budget.take(now).unwrap_err();
        assert!(room >= start + WINDOW && room <= start + WINDOW + BUCKET);
        assert!(budget.take(room).is_ok());
        assert!(budget.take(room).is_ok());
        assert!(budget.take(room).is_err(), "the request of second 40 still counts");
        assert!(budget.is_untouched(room + WINDOW * 2));
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more(gaps in prop::collection::vec(0_u64..90, 1..200)) {
            let start = Instant::now();
            let mut budget = Budget::new(10, start);
            let (mut now, mut taken) = (start, Vec::new());
            for gap in gaps {
                now += Duration::from_secs(gap);
                match budget.take(now) {
                    Ok(()) => taken.push(now),
                    Err(room) => prop_assert!(room > now && room <= now + WINDOW + BUCKET),
                }
                let recent = taken.iter().filter(|at| now - **at < WINDOW).count();
                prop_assert!(recent <= 10);
            }
        }
    }
}
