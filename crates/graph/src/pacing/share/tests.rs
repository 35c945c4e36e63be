//! Single steps, and workers that have a limit in common and never talk, in virtual time.

use std::{cmp::Reverse, collections::BinaryHeap};

use mailbridge_core::Budget;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_mins(10);

#[test]
fn a_worker_alone_has_all_slots_as_soon_as_it_needs_them() {
    let now = Instant::now();
    let mut slots = Slots::new(4, now);
    let had: Vec<_> = (0..5)
        .map(|_| {
            slots.passed();
            slots.mine()
        })
        .collect();
    assert_eq!(had, [2, 3, 4, 4, 4]);
    assert_eq!(Slots::new(1, now).mine(), 1);
}

#[test]
fn a_refusal_takes_a_slot_and_one_more_is_tried_when_many_have_passed() {
    let now = Instant::now();
    let mut slots = Slots::new(4, now);
    let pass = |slots: &mut Slots, many: u32| {
        (0..many).for_each(|_| slots.passed());
        slots.mine()
    };
    pass(&mut slots, 1);
    slots.refused(0.5, now);
    assert_eq!((slots.mine(), slots.away_until()), (1, now), "the other one goes on");
    assert_eq!(pass(&mut slots, PASSES - 1), 1);
    assert_eq!(pass(&mut slots, 1), 2);
    slots.refused(0.5, now);
    assert_eq!(pass(&mut slots, 2 * PASSES - 1), 1, "it was refused twice");
    assert_eq!(pass(&mut slots, 1), 2);
    assert_eq!(pass(&mut slots, PASSES), 3, "and then not");
    (0..9).for_each(|_| slots.refused(1.0, now));
    assert_eq!(slots.mine(), 1, "never none");
    assert_eq!(slots.away_until(), now + Duration::from_mins(3), "but away, for a while");
}

#[test]
fn a_refused_rate_is_what_the_worker_had_and_comes_back() {
    let start = Instant::now();
    let window = WINDOW;
    let mut rate = Rate::new(10_000, window, start);
    rate.refused(7_001, start);
    assert_eq!(rate.mine(start), 7_000);
    rate.refused(3, start);
    assert_eq!(rate.mine(start), 3_500, "a worker that has only begun has half");
    (0..20).for_each(|_| rate.refused(3, start));
    assert_eq!(rate.mine(start), 625);
    let had: Vec<_> = (0..8).map(|windows| rate.mine(start + window * windows)).collect();
    assert_eq!(had, [625, 1_250, 2_500, 5_000, 10_000, 10_000, 10_000, 10_000]);
}

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from(u32::try_from(self.0 >> 33).unwrap_or_default()) / f64::from(u32::MAX >> 1)
    }
}

/// What became of the requests of all workers, without the first fifth of the time.
#[derive(Debug, Default)]
struct Told {
    passed: Vec<u32>,
    refused: u32,
}

impl Told {
    fn all(&self) -> f64 {
        f64::from(self.passed.iter().sum::<u32>())
    }

    fn refused_percent(&self) -> f64 {
        f64::from(self.refused) * 100.0 / (self.all() + f64::from(self.refused))
    }
}

/// Graph's side of one mailbox.
struct Mailbox {
    at_once: u32,
    on_their_way: u32,
    requests: Budget,
}

impl Mailbox {
    fn ask(&mut self, now: Instant) -> Result<(), (Limit, Duration)> {
        if let Err(room) = self.requests.take(1, now) {
            return Err((Limit::Rate, room - now));
        }
        if self.on_their_way == self.at_once {
            return Err((Limit::AtOnce, Duration::from_millis(1_128)));
        }
        self.on_their_way += 1;
        Ok(())
    }
}

/// A worker with more work than it can do.
struct Worker {
    slots: Slots,
    rate: Rate,
    made: Budget,
    on_their_way: usize,
    gate: Instant,
}

impl Worker {
    /// When it makes a request, which may be now; never, while its slots are in use.
    fn asks_at(&mut self, now: Instant) -> Option<Instant> {
        if self.on_their_way >= self.slots.mine() {
            return None;
        }
        let closed = self.gate.max(self.slots.away_until());
        if closed > now {
            return Some(closed);
        }
        self.made.set_max(self.rate.mine(now));
        Some(self.made.take(1, now).err().unwrap_or(now))
    }

    fn answered(&mut self, now: Instant) {
        if self.on_their_way >= self.slots.mine() && self.made.room_for(1, now).is_ok() {
            self.slots.passed();
        }
        self.on_their_way -= 1;
    }

    fn refused(&mut self, limit: Limit, gives_way: bool, chance: f64, now: Instant) {
        // answers to requests that were on their way together are one refusal
        if self.gate > now || !gives_way {
            return;
        }
        match limit {
            Limit::AtOnce => self.slots.refused(chance, now),
            Limit::Rate => self.rate.refused(self.made.counted(now), now),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Answer,
    Ask,
}

/// Workers on one mailbox.
#[derive(Clone, Copy)]
struct Case {
    workers: usize,
    in_10_minutes: u64,
    latency: Duration,
    time: Duration,
    gives_way: bool,
}

impl Case {
    /// It is the slots that are short.
    fn of_slots(workers: usize) -> Self {
        let (latency, time) = (SECOND / 5, Duration::from_mins(30));
        Self { workers, in_10_minutes: u64::MAX, latency, time, gives_way: true }
    }

    /// It is the rate that is short.
    fn of_rate(workers: usize) -> Self {
        let (latency, time) = (SECOND / 10, Duration::from_mins(150));
        Self { workers, in_10_minutes: 10_000, latency, time, gives_way: true }
    }

    fn workers(self, now: Instant) -> Vec<Worker> {
        let worker = |_| Worker {
            slots: Slots::new(4, now),
            rate: Rate::new(self.in_10_minutes, WINDOW, now),
            made: Budget::new(self.in_10_minutes, WINDOW, now),
            on_their_way: 0,
            gate: now,
        };
        (0..self.workers).map(worker).collect()
    }

    fn simulate(self, seed: u64) -> Told {
        let (start, mut dice) = (Instant::now(), Dice(seed));
        let mut mailbox = Mailbox {
            at_once: 4,
            on_their_way: 0,
            requests: Budget::new(self.in_10_minutes, WINDOW, start),
        };
        let mut workers = self.workers(start);
        let mut told = Told { passed: vec![0; self.workers], refused: 0 };
        let mut steps: BinaryHeap<_> = (0..self.workers)
            .map(|who| Reverse((start + self.latency.mul_f64(dice.roll()), Step::Ask, who)))
            .collect();
        while let Some(Reverse((now, step, who))) = steps.pop() {
            if now > start + self.time {
                break;
            }
            let counts = u32::from(now > start + self.time / 5);
            let worker = &mut workers[who];
            if step == Step::Answer {
                worker.answered(now);
                mailbox.on_their_way -= 1;
                told.passed[who] += counts;
            }
            let Some(at) = worker.asks_at(now) else { continue };
            // a moment until the next one is ready
            let mut again = now + self.latency.mul_f64(0.02 * dice.roll());
            if at > now {
                again = at;
            } else if let Err((limit, wait)) = mailbox.ask(now) {
                told.refused += counts;
                worker.refused(limit, self.gives_way, dice.roll(), now);
                worker.gate = worker.gate.max(now + wait);
                again = worker.gate;
            } else {
                worker.on_their_way += 1;
                let answer = now + self.latency.mul_f64(1.0 + 0.05 * dice.roll());
                steps.push(Reverse((answer, Step::Answer, who)));
            }
            steps.push(Reverse((again, Step::Ask, who)));
        }
        told
    }
}

/// What several seeds say together, of the share of what one worker has and of refusals: one seed by
/// itself is luck, since a worker that was refused late in the time counted has not come back.
fn on_the_whole(case: impl Fn(usize) -> Case, workers: usize) -> (f64, f64) {
    let seeds = (1..=4).map(|seed: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (mut share, mut refused) = (0.0, 0.0);
    for seed in seeds {
        let (alone, told) = (case(1).simulate(seed), case(workers).simulate(seed));
        assert_eq!(alone.refused, 0);
        share += told.all() / alone.all();
        refused += told.refused_percent();
    }
    (share / 4.0, refused / 4.0)
}

#[test]
fn four_slots_are_shared_without_a_word() {
    for workers in [2, 4, 8] {
        let (share, refused) = on_the_whole(Case::of_slots, workers);
        assert!(share > 0.95 && refused < 2.0, "{workers}: {share} of all, {refused} % refused");
    }
}

#[test]
fn ten_thousand_requests_are_shared_without_a_word() {
    for workers in [2, 4, 8] {
        let (share, refused) = on_the_whole(Case::of_rate, workers);
        assert!(share > 0.93 && refused < 1.0, "{workers}: {share} of all, {refused} % refused");
    }
}

#[test]
fn workers_that_know_of_no_others_and_give_no_way_are_refused_time_and_again() {
    let deaf = Case { gives_way: false, ..Case::of_slots(8) };
    let told = deaf.simulate(1);
    assert!(told.refused_percent() > 10.0, "{told:?}");
}
