//! Who has to wait for a mailbox, and where.
//!
//! A mailbox takes four requests at once and asks to slow down when it likes. A delivery whose turn
//! is near waits here; one whose turn is far goes back to the bus, so that it does not take a slot
//! of the worker from another mailbox. Each one sent back gets its own time to return: a queue
//! that exists only as a clock. It goes faster than the mailbox, or the pipeline's own budget, lets
//! mails through: a time that nobody uses is lost, while one who comes too early only goes back again.
//!
//! The four at once and the budgets themselves are kept by `Mail`; this only learns from its answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mailbridge_core::Mailbox;
use tokio::time::Instant;

/// A turn that is further away than this is waited for on the bus.
const NEAR: Duration = Duration::from_secs(1);
/// This many may always wait here, however slow the mailbox.
const ALWAYS: u32 = 8;
/// The longest time a delivery is sent back for.
const FAR_MAX: Duration = Duration::from_mins(10);
/// The pace at which deliveries return to a mailbox of which nothing is known yet, as when a whole backlog
/// comes in before the first answer: faster than any mailbox, or all of it would keep a pace of chance.
const PACE_UNKNOWN: Duration = Duration::from_millis(10);
/// The same where other workers have all slots of a mailbox: fast enough that they get what they lack
/// from those who are about to send most of it back.
const PACE_AWAY: Duration = Duration::from_millis(20);
/// Mailboxes known at once; idle ones are forgotten beyond that.
const KNOWN_MAX: usize = 10_000;

/// All mailboxes of a pipeline.
#[derive(Clone, Default)]
pub struct Mailboxes {
    all: Arc<Mutex<HashMap<Mailbox, State>>>,
    /// At which deliveries return to a mailbox whose budget is spent.
    budget_pace: Option<Duration>,
}

#[derive(Default)]
struct State {
    /// Deliveries that are here for this mailbox.
    here: u32,
    /// How long recent attempts took, their own waiting included: what the next one will take.
    took: Duration,
    /// How long each of them took alone, or together with those it did not have to wait for, had this
    /// worker all that the mailbox takes at once.
    each: Option<Duration>,
    /// Closed until then, because the mailbox asked for it.
    closed_until: Option<Instant>,
    /// At which pace deliveries return to it then, if that is known.
    closed_pace: Option<Duration>,
    /// When the next one that is sent back may return.
    next_return: Option<Instant>,
}

/// Why a mailbox is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It asked for it.
    Asked,
    /// The pipeline's own budget is spent, whose pace is known.
    Budget,
    /// Other workers have all its slots.
    Away,
}

/// Whether a delivery may stay.
pub enum Turn {
    /// Yes, while this lives.
    Here(Here),
    /// Not now: send it back for this long.
    Back(Duration),
}

impl Mailboxes {
    /// Mailboxes of which each may send once in so long.
    pub fn paced(mail_each: Option<Duration>) -> Self {
        Self { budget_pace: mail_each.map(|each| each * 3 / 4), ..Self::default() }
    }

    /// Asks for a turn.
    pub fn enter(&self, mailbox: &Mailbox) -> Turn {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KNOWN_MAX && !all.contains_key(mailbox) {
            let now = Instant::now();
            all.retain(|_, state| state.here > 0 || state.closed_until.is_some_and(|at| at > now));
        }
        let state = all.entry(mailbox.clone()).or_default();
        let now = Instant::now();
        let closed = state.closed_until.filter(|until| *until > now);
        if closed.is_none() && (state.here < ALWAYS || state.took < NEAR) {
            state.here += 1;
            let place = state.here;
            return Turn::Here(Here { mailboxes: self.clone(), mailbox: mailbox.clone(), place });
        }
        let pace = closed.and(state.closed_pace).unwrap_or_else(|| state.pace());
        Turn::Back(state.send_back(now, closed.unwrap_or(now + state.took), pace))
    }

    /// Whether a mailbox has asked to be left alone.
    pub fn is_closed(&self, mailbox: &Mailbox) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let until = all.get(mailbox).and_then(|state| state.closed_until);
        until.is_some_and(|until| until > Instant::now())
    }
}

impl State {
    /// Twice as fast as the mailbox takes deliveries of all workers together: those that this one sends
    /// back may be another's, who has the larger part of the mailbox.
    fn pace(&self) -> Duration {
        let each = self.each.map_or(PACE_UNKNOWN, |each| each / 2);
        each.clamp(Duration::from_millis(1), NEAR)
    }

    fn send_back(&mut self, now: Instant, earliest: Instant, pace: Duration) -> Duration {
        let due = self.next_return.map_or(earliest, |next| next.max(earliest));
        // Beyond the farthest return the clock stands: those come back together and ask again.
        self.next_return = Some((due + pace).min(now + FAR_MAX));
        due.duration_since(now).min(FAR_MAX)
    }
}

/// A delivery that is here for a mailbox.
pub struct Here {
    mailboxes: Mailboxes,
    mailbox: Mailbox,
    /// So many were here when it came, itself counted.
    place: u32,
}

impl Here {
    /// Notes how long an attempt took, with such a share of what the mailbox takes at once.
    pub fn took(&self, took: Duration, share: f64) {
        // they all went in that time, however many went at once
        let each = (took / self.place.max(1)).mul_f64(share.clamp(0.0, 1.0));
        self.change(|state| {
            state.took = (state.took * 7 + took) / 8;
            state.each = Some(state.each.map_or(each, |known| (known * 7 + each) / 8));
        });
    }

    /// Closes the mailbox for a while; says how long this delivery, which met the closed door, goes
    /// back for.
    pub fn close(&self, after: Duration, why: Why) -> Duration {
        let known = match why {
            Why::Asked => None,
            Why::Budget => self.mailboxes.budget_pace,
            Why::Away => Some(PACE_AWAY),
        };
        self.change(|state| {
            let now = Instant::now();
            let until = now + after;
            if why == Why::Away && state.closed_pace != known {
                // those that were to keep this worker's own pace are not waited for
                state.next_return = None;
            }
            state.closed_until = state.closed_until.max(Some(until));
            state.closed_pace = known;
            let pace = known.unwrap_or_else(|| state.pace());
            state.send_back(now, until, pace)
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut all = self.mailboxes.all.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(self.mailbox.clone()).or_default())
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.change(|state| state.here = state.here.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(mailboxes: &Mailboxes, mailbox: &str) -> Here {
        match mailboxes.enter(&Mailbox::new(mailbox)) {
            Turn::Here(here) => here,
            Turn::Back(after) => panic!("sent back for {after:?}"),
        }
    }

    fn back(mailboxes: &Mailboxes, mailbox: &str) -> Duration {
        match mailboxes.enter(&Mailbox::new(mailbox)) {
            Turn::Here(_) => panic!("may stay"),
            Turn::Back(after) => after,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_mailbox_sends_back_and_the_others_go_on() {
        let mailboxes = Mailboxes::default();
        stay(&mailboxes, "a@x").close(Duration::from_secs(5), Why::Asked);
        let waits: Vec<_> = (0..3).map(|_| back(&mailboxes, "a@x")).collect();
        assert!(waits.is_sorted() && waits[0] >= Duration::from_secs(5), "{waits:?}");
        assert!(waits[2] > waits[0], "each has its own time: {waits:?}");
        stay(&mailboxes, "b@x");
        tokio::time::advance(Duration::from_secs(6)).await;
        stay(&mailboxes, "a@x");
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_budget_is_come_back_to_a_little_faster_than_it_lets_through() {
        let mailboxes = Mailboxes::paced(Some(Duration::from_secs(2)));
        let here = stay(&mailboxes, "a@x");
        here.close(Duration::from_secs(30), Why::Budget);
        let waits: Vec<_> = (0..41).map(|_| back(&mailboxes, "a@x").as_secs()).collect();
        assert_eq!((waits[0], waits[40]), (31, 30 + 41 * 3 / 2));
        let here = stay(&mailboxes, "b@x");
        here.close(Duration::from_secs(30), Why::Asked);
        drop(here);
        back(&mailboxes, "b@x");
        assert_eq!(back(&mailboxes, "b@x").as_secs(), 30, "what graph closes is not the budget's");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_have_slots_for_is_not_kept_from_them_by_a_slow_worker() {
        let mailboxes = Mailboxes::default();
        let here = stay(&mailboxes, "a@x");
        here.took(Duration::from_secs(2), 1.0);
        here.close(Duration::from_secs(1), Why::Asked);
        let slow: Vec<_> = (0..100).map(|_| back(&mailboxes, "a@x")).collect();
        assert!(slow[99] > Duration::from_secs(90), "{slow:?}");
        here.close(Duration::from_secs(1), Why::Away);
        let away: Vec<_> = (0..100).map(|_| back(&mailboxes, "a@x")).collect();
        assert!(away[99] < Duration::from_secs(4), "{away:?}");
        here.close(Duration::from_secs(1), Why::Away);
        let later = back(&mailboxes, "a@x");
        assert!(later > away[99], "the clock goes on: {later:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn those_sent_back_return_twice_as_fast_as_the_mailbox_takes_them() {
        let mailboxes = Mailboxes::default();
        let mut here: Vec<_> = (0..ALWAYS * 2).map(|_| stay(&mailboxes, "slow@x")).collect();
        // four at once, of 400 ms each: the last one waits for the others, one at the door does not
        for place in (0..here.len()).cycle().take(200) {
            here[place]
                .took(Duration::from_millis(400) * (u32::try_from(place).unwrap() / 4 + 1), 1.0);
        }
        here.truncate(3);
        here[0].close(Duration::from_secs(1), Why::Asked);
        let waits: Vec<_> = (0..100).map(|_| back(&mailboxes, "slow@x")).collect();
        let pace = waits[99].saturating_sub(waits[0]) / 99;
        assert!(pace > Duration::from_millis(45) && pace < Duration::from_millis(80), "{pace:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_back_returns_as_fast_as_all_workers_together_may_take_it() {
        let pace = |share: f64, took: Duration| {
            let mailboxes = Mailboxes::default();
            let here = stay(&mailboxes, "a@x");
            (0..50).for_each(|_| here.took(took, share));
            here.close(Duration::from_secs(1), Why::Asked);
            back(&mailboxes, "a@x");
            back(&mailboxes, "a@x")
        };
        // one of four slots takes four times as long as all
        let (all, part) =
            (pace(1.0, Duration::from_millis(50)), pace(0.25, Duration::from_millis(200)));
        assert_eq!(all, part);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_mailbox_keeps_a_few_and_a_fast_one_any_number() {
        let mailboxes = Mailboxes::default();
        let mut slow: Vec<_> = (0..ALWAYS).map(|_| stay(&mailboxes, "slow@x")).collect();
        (0..100).for_each(|_| slow[0].took(Duration::from_secs(4), 1.0));
        let fast: Vec<_> = (0..200).map(|_| stay(&mailboxes, "fast@x")).collect();
        assert_eq!(fast.len(), 200);
        assert!(back(&mailboxes, "slow@x") > Duration::from_secs(3));
        slow.pop();
        stay(&mailboxes, "slow@x");
    }
}
