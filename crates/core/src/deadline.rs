//! Until when an attempt may go on: a time that moves while there is progress, and a limit that does
//! not move.
//!
//! A send of a few kilobytes that takes half a minute is hung; an upload of 150 MB that takes ten is
//! not, as long as its pieces arrive. So an attempt has a time without progress, and a longest time
//! over all. Whoever works notes its progress; whoever waits for it waits for the moved time.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// An attempt's deadline. Every wait of the attempt ends by [`Deadline::at`], and that never passes
/// the limit.
#[derive(Debug)]
pub struct Deadline {
    idle: Duration,
    limit: Instant,
    at: Mutex<Instant>,
}

impl Deadline {
    /// A deadline `idle` from now that progress can move up to `limit` from now.
    pub fn new(idle: Duration, limit: Duration) -> Self {
        let now = Instant::now();
        let limit = now + limit.max(idle);
        Self { idle, limit, at: Mutex::new(now + idle) }
    }

    /// A deadline that does not move.
    pub fn fixed(within: Duration) -> Self {
        Self::new(within, within)
    }

    /// When the attempt must be over, as things stand.
    pub fn at(&self) -> Instant {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step has been made that the next does not repeat: the time without progress begins anew. Not
    /// once it is over: whoever finds the answer to a step after it has slept may long be given up.
    pub fn progress(&self) {
        self.wait_until(Instant::now());
    }

    /// A pause up to this time is part of the work, such as one that the mailbox's own pace asks for:
    /// the time without progress begins at its end.
    ///
    /// Returns whether the pause, and a step after it, still end before the limit; never, once it is
    /// over.
    pub fn wait_until(&self, end: Instant) -> bool {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if *at < Instant::now() {
            return false;
        }
        *at = (*at).max(end + self.idle).min(self.limit);
        end < self.limit
    }

    /// Waits until the attempt should be over, wherever that moves meanwhile, and `grace` longer.
    pub async fn passed(&self, grace: Duration) {
        loop {
            let at = self.at();
            sleep_until(at + grace).await;
            if self.at() <= at {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn progress_moves_it_and_the_limit_does_not_move() {
        let start = Instant::now();
        let deadline = Deadline::new(IDLE, Duration::from_secs(70));
        assert_eq!(deadline.at(), start + IDLE);
        advance(Duration::from_secs(20)).await;
        deadline.progress();
        assert_eq!(deadline.at(), start + Duration::from_secs(50));
        advance(Duration::from_secs(25)).await;
        deadline.progress();
        assert_eq!(deadline.at(), start + Duration::from_secs(70));
        assert!(!deadline.wait_until(start + Duration::from_secs(90)));
        assert_eq!(deadline.at(), start + Duration::from_secs(70));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_it_waits_for_the_moved_time() {
        let start = Instant::now();
        let deadline = Deadline::new(IDLE, Duration::from_mins(10));
        let works = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            deadline.progress();
        };
        tokio::join!(deadline.passed(Duration::from_secs(1)), works);
        assert_eq!(start.elapsed(), Duration::from_secs(51));
    }

    /// As of a process that was stopped, whose answers came meanwhile.
    #[tokio::test(start_paused = true)]
    async fn once_it_is_over_no_progress_moves_it() {
        let start = Instant::now();
        let deadline = Deadline::new(IDLE, Duration::from_mins(10));
        advance(IDLE + Duration::from_secs(1)).await;
        deadline.progress();
        assert!(!deadline.wait_until(Instant::now()));
        assert_eq!(deadline.at(), start + IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_one_is_not_moved() {
        let deadline = Deadline::fixed(IDLE);
        let at = deadline.at();
        advance(Duration::from_secs(5)).await;
        deadline.progress();
        assert_eq!(deadline.at(), at);
    }
}
