//! How many deliveries wait on the bus because this worker has sent them back: for a mailbox's
//! turn, for a back-off, for a doubt to settle.
//!
//! A bus lets so many wait and then hands out nothing new, whoever it is for; this is the number to
//! watch against that bound. Each is counted until its time to return has come, by the worker that
//! sent it back, so that the sum over a pool is what the pool has waiting. Holds one time each.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::Gauge;
use tokio::time::Instant;

/// How often those whose time has come are taken off, if nothing else happens.
const EVERY: Duration = Duration::from_secs(1);

/// The deliveries of one pipeline that wait on the bus.
pub struct Waiting {
    due: Mutex<BinaryHeap<Reverse<Instant>>>,
    gauge: Gauge,
}

impl Waiting {
    /// None yet.
    pub fn new(gauge: Gauge) -> Self {
        Self { due: Mutex::default(), gauge }
    }

    /// One was sent back until then.
    pub fn add(&self, until: Instant) {
        self.update(|due| due.push(Reverse(until)));
    }

    /// Takes those off whose time has come. Never ends.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.update(|_| {});
        }
    }

    fn update(&self, change: impl FnOnce(&mut BinaryHeap<Reverse<Instant>>)) {
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut due);
        while due.peek().is_some_and(|Reverse(first)| *first <= now) {
            due.pop();
        }
        self.gauge.set(u32::try_from(due.len()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_is_counted_until_its_time_has_come_also_when_nothing_else_happens() {
        let bits = Arc::new(AtomicU64::new(0));
        let gauge = || f64::from_bits(bits.load(Ordering::SeqCst));
        let waiting = Waiting::new(Gauge::from_arc(Arc::clone(&bits)));
        let seconds = Duration::from_secs;
        for after in [5, 90, 5, 600] {
            waiting.add(Instant::now() + seconds(after));
        }
        for (pause, left) in [(3, 4.0), (3, 2.0), (90, 1.0), (600, 0.0)] {
            tokio::time::timeout(seconds(pause), waiting.watch()).await.expect_err("it never ends");
            assert!((gauge() - left).abs() < 0.1, "{} of {left}", gauge());
        }
    }
}
