//! Whose turn it is when. Pure: it is told what time it is, and what became of a turn.
//!
//! One heap of times serves all mailboxes, so ten thousand idle ones cost what their entries do. A
//! mailbox where something happens is looked at more often; an idle one as often as the pipeline
//! says; one that was woken at once. Mailboxes that are new take their first turns one after the
//! other, so that their later ones are spread too.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    time::Duration,
};

use mailbridge_core::Mailbox;
use tokio::time::Instant;

use crate::backoff;

/// Between two turns of a mailbox where something happens.
const BUSY_MIN: Duration = Duration::from_secs(1);
/// A mailbox where something happens is looked at so many times as often.
const BUSY: u32 = 8;
/// Between the first turns of two mailboxes.
const SPACING: Duration = Duration::from_millis(5);

/// When each mailbox has its turn.
pub(super) struct Turns {
    every: Duration,
    entries: HashMap<Mailbox, Entry>,
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
    /// By what the heap has. An entry of the heap that is not here is an old one.
    serials: HashMap<u64, Mailbox>,
    serial: u64,
}

struct Entry {
    serial: u64,
    interval: Duration,
    /// Not before then, also when it is woken: it has asked to be left alone.
    closed: Option<Instant>,
    /// Its turn is under way.
    busy: bool,
    /// It was woken meanwhile: what it was told about may have come after it was read.
    again: bool,
    /// In a row.
    failures: u32,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Something was told, and there is more.
    More,
    /// Something was told, and that was all.
    Told,
    /// There was nothing.
    Idle,
    /// It is to be left alone for so long.
    After(Duration),
    /// It failed; between these bounds it comes again, later each time in a row.
    Failed(Duration, Duration),
}

impl Turns {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            entries: HashMap::new(),
            heap: BinaryHeap::new(),
            serials: HashMap::new(),
            serial: 0,
        }
    }

    /// These are the mailboxes now. Returns those that are not any more.
    pub(super) fn set(&mut self, all: &[Mailbox], now: Instant) -> Vec<Mailbox> {
        let wanted: HashSet<&Mailbox> = all.iter().collect();
        let gone: Vec<_> = self.entries.keys().filter(|it| !wanted.contains(it)).cloned().collect();
        for mailbox in &gone {
            if let Some(entry) = self.entries.remove(mailbox) {
                self.serials.remove(&entry.serial);
            }
        }
        let new: Vec<_> = all.iter().filter(|it| !self.entries.contains_key(*it)).collect();
        let count = u32::try_from(new.len().max(1)).unwrap_or(u32::MAX);
        let spacing = (self.every / count).min(SPACING);
        for (place, mailbox) in (0_u32..).zip(new) {
            let interval = self.every;
            let (serial, busy, again, failures) = (0, false, false, 0);
            let entry = Entry { serial, interval, closed: None, busy, again, failures };
            self.entries.insert(mailbox.clone(), entry);
            self.schedule(mailbox, now + spacing * place);
        }
        gone
    }

    /// The mailbox whose turn it is, if it is somebody's.
    pub(super) fn next(&mut self, now: Instant) -> Option<Mailbox> {
        while let Some(Reverse((due, serial))) = self.heap.peek().copied() {
            if due > now {
                return None;
            }
            self.heap.pop();
            let Some(mailbox) = self.serials.remove(&serial) else { continue };
            if let Some(entry) = self.entries.get_mut(&mailbox) {
                (entry.busy, entry.again) = (true, false);
                return Some(mailbox);
            }
        }
        None
    }

    /// When the next turn is.
    pub(super) fn due(&mut self) -> Option<Instant> {
        while let Some(Reverse((due, serial))) = self.heap.peek().copied() {
            if self.serials.contains_key(&serial) {
                return Some(due);
            }
            self.heap.pop();
        }
        None
    }

    /// Something happened there: its turn is now, or once more if it is under way.
    pub(super) fn wake(&mut self, mailbox: &Mailbox, now: Instant) {
        let Some(entry) = self.entries.get_mut(mailbox) else { return };
        if entry.busy {
            entry.again = true;
        } else if entry.failures == 0 {
            let due = entry.closed.map_or(now, |closed| closed.max(now));
            self.schedule(mailbox, due);
        }
    }

    /// A turn has ended. `idle_max`: the longest time that nobody looks. Returns when the next is.
    pub(super) fn ended(
        &mut self,
        mailbox: &Mailbox,
        ended: Ended,
        idle_max: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let every = self.every;
        let entry = self.entries.get_mut(mailbox)?;
        entry.busy = false;
        let quick = (every / BUSY).max(BUSY_MIN).min(every);
        let wait = match ended {
            Ended::More => Duration::ZERO,
            Ended::Told => {
                entry.interval = quick;
                quick
            }
            Ended::Idle => {
                entry.interval = (entry.interval * 2).clamp(quick, idle_max.max(quick));
                // they do not stay together that came together
                entry.interval.mul_f64(1.0 - backoff::unit() / 10.0)
            }
            Ended::After(wait) => wait,
            Ended::Failed(min, max) => {
                entry.failures = entry.failures.saturating_add(1);
                backoff::pause(entry.failures, min, max)
            }
        };
        entry.closed = matches!(ended, Ended::After(_)).then_some(now + wait);
        let passed = matches!(ended, Ended::More | Ended::Told | Ended::Idle);
        if passed {
            entry.failures = 0;
        }
        let due = if passed && entry.again { now } else { now + wait };
        self.schedule(mailbox, due);
        Some(due)
    }

    /// How often it has failed in a row.
    pub(super) fn failures(&self, mailbox: &Mailbox) -> u32 {
        self.entries.get(mailbox).map_or(0, |entry| entry.failures)
    }

    fn schedule(&mut self, mailbox: &Mailbox, due: Instant) {
        let Some(entry) = self.entries.get_mut(mailbox) else { return };
        self.serials.remove(&entry.serial);
        self.serial += 1;
        entry.serial = self.serial;
        self.serials.insert(self.serial, mailbox.clone());
        self.heap.push(Reverse((due, self.serial)));
    }
}

/// Returns at that time; never, without one.
pub(super) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(80);

    fn mailboxes(count: usize) -> Vec<Mailbox> {
        (0..count).map(|number| Mailbox::new(format!("m{number}@x.org"))).collect()
    }

    fn one() -> (Turns, Mailbox, Instant) {
        let (mut turns, now) = (Turns::new(EVERY), Instant::now());
        let all = mailboxes(1);
        turns.set(&all, now);
        assert_eq!(turns.next(now).as_ref(), Some(&all[0]));
        assert_eq!(turns.next(now), None, "it is busy");
        (turns, all[0].clone(), now)
    }

    #[test]
    fn first_turns_are_spread() {
        let (mut turns, now) = (Turns::new(Duration::from_secs(10)), Instant::now());
        let all = mailboxes(10_000);
        turns.set(&all, now);
        let mut counts = Vec::new();
        for second in 1..=10 {
            let now = now + Duration::from_secs(second) - Duration::from_millis(1);
            counts.push(std::iter::from_fn(|| turns.next(now)).count());
        }
        assert!(counts.iter().all(|count| *count == 1_000), "{counts:?}");
    }

    #[test]
    fn a_busy_mailbox_has_its_turn_sooner_and_an_idle_one_later() {
        let (mut turns, mailbox, now) = one();
        let quick = Duration::from_secs(10);
        let mut wait = |ended| turns.ended(&mailbox, ended, EVERY, now).unwrap() - now;
        assert_eq!(wait(Ended::More), Duration::ZERO);
        assert_eq!(wait(Ended::Told), quick);
        for whole in [20, 40, 80, 80] {
            let (whole, waited) = (Duration::from_secs(whole), wait(Ended::Idle));
            assert!(waited <= whole && waited >= whole.mul_f64(0.9), "{waited:?}");
        }
        let backstop = Duration::from_mins(10);
        let waited = turns.ended(&mailbox, Ended::Idle, backstop, now).unwrap() - now;
        assert!(waited > EVERY, "whoever is woken need not look: {waited:?}");
    }

    #[test]
    fn a_wake_is_never_lost() {
        let (mut turns, mailbox, now) = one();
        turns.wake(&mailbox, now);
        assert_eq!(turns.ended(&mailbox, Ended::Idle, EVERY, now), Some(now), "once more");
        assert_eq!(turns.next(now).as_ref(), Some(&mailbox));
        turns.ended(&mailbox, Ended::Idle, EVERY, now);
        assert_eq!(turns.next(now), None);
        turns.wake(&mailbox, now);
        turns.wake(&mailbox, now);
        assert_eq!(turns.next(now).as_ref(), Some(&mailbox));
        assert_eq!(turns.next(now + EVERY * 2), None, "two wakes are one turn");
    }

    #[test]
    fn a_mailbox_that_fails_is_not_asked_more_often_for_being_woken() {
        let (mut turns, mailbox, now) = one();
        let failed = Ended::Failed(Duration::from_secs(4), Duration::from_mins(1));
        let first = turns.ended(&mailbox, failed, EVERY, now).unwrap();
        turns.wake(&mailbox, now);
        assert_eq!(turns.due(), Some(first));
        assert_eq!(turns.next(first).as_ref(), Some(&mailbox));
        let second = turns.ended(&mailbox, failed, EVERY, first).unwrap();
        assert!(second - first > first - now, "later each time");
        assert_eq!(turns.failures(&mailbox), 2);
    }

    #[test]
    fn a_mailbox_that_is_to_be_left_alone_is_also_when_it_is_woken() {
        let (mut turns, mailbox, now) = one();
        let pause = Duration::from_mins(5);
        let due = turns.ended(&mailbox, Ended::After(pause), EVERY, now).unwrap();
        turns.wake(&mailbox, now);
        assert_eq!((due, turns.due()), (now + pause, Some(due)));
        assert_eq!(turns.next(due).as_ref(), Some(&mailbox));
        turns.ended(&mailbox, Ended::Idle, EVERY, due);
        turns.wake(&mailbox, due);
        assert_eq!(turns.due(), Some(due), "and no longer than that");
    }

    #[test]
    fn who_is_gone_has_no_turn() {
        let (mut turns, mailbox, now) = one();
        turns.ended(&mailbox, Ended::Told, EVERY, now);
        assert_eq!(turns.set(&[], now), std::slice::from_ref(&mailbox));
        assert_eq!((turns.next(now + EVERY), turns.due()), (None, None));
        assert_eq!(turns.ended(&mailbox, Ended::Told, EVERY, now), None);
    }
}
