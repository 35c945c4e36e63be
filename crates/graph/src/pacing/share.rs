//! What of a mailbox's limits is this worker's, when others work on the mailbox too.
//!
//! Workers do not talk about it: Graph's refusals tell each of them. A worker alone is never refused
//! and has everything. Those who are refused give way and stay away, and those who are not go on:
//! who has a slot keeps it busy, so that it is not to be had, and whoever has none asks seldom. It
//! does not matter who that is, since the bus hands a request to whoever has room for it.
//!
//! Nothing is measured or remembered here but what was refused and when. Who waits, and for how
//! long Graph wants to be left alone, is the lane's business.

use std::time::Duration;

use tokio::time::Instant;

/// After a refusal, one more slot is tried when so many requests have passed that used all slots: of
/// two hundred answers about one is then a refusal, however many workers there are and however fast
/// Graph answers.
const PASSES: u32 = 200;
/// Whoever has lost its last slot stays away for this long.
const AWAY: Duration = Duration::from_secs(30);
/// Both double with each refusal, up to so many times.
const CAUTION_MAX: u32 = 4;
/// Refusals leave a worker at least this part of a rate, so that it comes back from anything in a few
/// windows.
const PART_MIN: u64 = 16;
/// What is added to a rate after a window without a refusal, as a part of the whole; it doubles with
/// every further one.
const STEP_PART: u64 = 16;

/// What Graph said there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Requests at once.
    AtOnce,
    /// Requests in a window of time.
    Rate,
}

/// How many requests this worker may have on their way.
///
/// It begins with one and has one more for each that passes, as long as nothing was refused. The first
/// refusal takes half of them, each later one takes one, and one more is tried when many have
/// passed. Whoever loses the last one stays away for a while, and then has one again.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    mine: usize,
    /// How many must pass before one more is tried.
    until_next: u32,
    /// 0: nothing was refused yet.
    caution: u32,
    away_until: Instant,
}

impl Slots {
    pub(super) fn new(max: usize, now: Instant) -> Self {
        Self { max, mine: 1.min(max), until_next: 0, caution: 0, away_until: now }
    }

    /// How many there are; never none, but see [`Self::away_until`].
    pub(super) fn mine(&self) -> usize {
        self.mine
    }

    /// The same as a part of all.
    pub(super) fn share(&self) -> f64 {
        let of_all = |slots: usize| u32::try_from(slots).map_or(1.0, f64::from);
        of_all(self.mine) / of_all(self.max.max(1))
    }

    /// Nothing is to be asked before then: others have all slots.
    pub(super) fn away_until(&self) -> Instant {
        self.away_until
    }

    /// Notes that a request passed while all slots were in use.
    pub(super) fn passed(&mut self) {
        if self.mine == self.max {
            return;
        }
        self.until_next = self.until_next.saturating_sub(1);
        if self.until_next == 0 {
            self.mine += 1;
            self.caution = self.caution.div_ceil(2);
            self.until_next = PASSES * self.caution;
        }
    }

    /// Notes that there were too many. Answers to requests that were on their way together are one
    /// refusal. `chance`, 0 to 1, keeps workers apart.
    pub(super) fn refused(&mut self, chance: f64, now: Instant) {
        let first = self.caution == 0;
        self.caution = (self.caution * 2).clamp(1, CAUTION_MAX);
        self.until_next = PASSES * self.caution;
        if self.mine > 1 {
            // the first one ends a run to the top, which others begin at the same time
            self.mine = if first { self.mine.div_ceil(2) } else { self.mine - 1 };
        } else {
            // half of it to one and a half
            self.away_until = now + (AWAY * self.caution).mul_f64(0.5 + chance.clamp(0.0, 1.0));
        }
    }
}

/// How many requests this worker may make in a window.
///
/// When one is refused, the window is full: what each worker has in it is its part, and the parts
/// together are the limit. That is what it keeps to from then on, but no less than half of what it
/// had, since a worker that has only begun would have nothing; and a little more with each window
/// without a refusal, until it has all again.
#[derive(Debug)]
pub(super) struct Rate {
    max: u64,
    mine: u64,
    step: u64,
    window: Duration,
    calm_since: Instant,
}

impl Rate {
    pub(super) fn new(max: u64, window: Duration, now: Instant) -> Self {
        Self { max, mine: max, step: Self::first_step(max), window, calm_since: now }
    }

    /// How many there are in a window, as of now.
    pub(super) fn mine(&mut self, now: Instant) -> u64 {
        while self.mine < self.max && self.calm_since + self.window <= now {
            self.mine = self.mine.saturating_add(self.step).min(self.max);
            self.step = self.step.saturating_mul(2);
            self.calm_since += self.window;
        }
        self.mine
    }

    /// Notes that one was too many, of so many that this worker has made in the window.
    pub(super) fn refused(&mut self, made: u64, now: Instant) {
        let before = self.mine(now);
        let least = (before / 2).max(self.max / PART_MIN).max(1);
        self.mine = before.min(made.saturating_sub(1).max(least));
        self.step = Self::first_step(self.max);
        self.calm_since = now;
    }

    fn first_step(max: u64) -> u64 {
        (max / STEP_PART).max(1)
    }
}

#[cfg(test)]
mod tests;
