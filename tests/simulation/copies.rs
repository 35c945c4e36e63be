//! Several copies of each request on the bus, three workers that hold them at once, and a ledger
//! between them: one mail for all copies, whoever dies at whatever step.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mailbridge_core::{
    Disposition,
    contract::{Outcome, Status, decode},
};
use mailbridge_engine::{Requests, health::Health, ledger::Ledger};
use mailbridge_testkit::simulation::{Bus, Desk, Dice, Mailroom, Posted, Power, Sight};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{FAULTS, HIDDEN, LEASE, request, settings, worker};

const WORKERS: usize = 3;
const COPIES: usize = 3;
/// As the program has it: one and a half times the deadline, and no longer than the bus's lease.
const CLAIM: Duration = Duration::from_secs(45);

#[derive(Clone)]
struct World {
    bus: Bus,
    room: Mailroom,
    /// None: the control.
    desk: Option<Desk>,
    begun: Instant,
}

impl World {
    /// A world with copies of so many requests, those of one not always in a row.
    fn new(requests: u64, seed: u64, room: Mailroom, desk: Option<Desk>) -> Self {
        assert!(settings().deadline < CLAIM && CLAIM <= LEASE);
        let bus = Bus::new(LEASE);
        let mut left: Vec<u64> = (0..requests).flat_map(|n| [n; COPIES]).collect();
        let mut dice = Dice::new(seed);
        while !left.is_empty() {
            let next = dice.below(left.len() as u64);
            let n = left.swap_remove(usize::try_from(next).expect("small"));
            bus.push(request(n, &format!("m{}@x", n % 5)));
        }
        Self { bus, room, desk, begun: Instant::now() }
    }

    fn worker(&self, power: &Power) -> Requests {
        let begun = self.begun;
        let clock = move || Timestamp::UNIX_EPOCH + begun.elapsed();
        let ledger = |desk: &Desk| Ledger::new(desk.port(power), CLAIM, Arc::new(clock));
        let ledger = self.desk.as_ref().map(ledger);
        Requests { ledger, ..worker(&self.bus, &self.room, power, &Health::new()) }
    }

    /// Runs one worker until its power goes or everything is settled.
    async fn shift(&self, power: &Power) {
        let requests = self.worker(power);
        tokio::select! {
            () = power.gone() => {}
            () = self.bus.all_settled() => {}
            ended = requests.run(CancellationToken::new()) => ended.expect("only when told to"),
        }
    }

    /// Runs three workers at once; the power of each goes at these steps, one after the other, and
    /// then stays. Whether it went at all.
    async fn work(&self, cuts: [Vec<u64>; WORKERS]) -> bool {
        let mut workers = JoinSet::new();
        for cuts in cuts {
            let world = self.clone();
            workers.spawn(async move {
                let mut died = false;
                for cut in cuts {
                    let power = Power::until(cut);
                    world.shift(&power).await;
                    died |= !power.is_on();
                }
                world.shift(&Power::forever()).await;
                died
            });
        }
        let mut died = false;
        while let Some(worker) = workers.join_next().await {
            died |= worker.expect("a worker does not panic");
        }
        died
    }

    /// How many requests were sent more than once. None is lost, and every copy has its outcome.
    fn doubled(&self, requests: u64, what: &str) -> usize {
        let copies = self.room.copies();
        assert_eq!(copies.len() as u64, requests, "{what}: none is lost");
        let settled = self.bus.settled();
        assert!(settled.iter().all(|it| *it == Some(Disposition::Done)), "{what}: {settled:?}");
        let mut told: Vec<_> =
            self.bus.posted().iter().map(|posted| accepted(posted, what)).collect();
        told.sort();
        told.dedup();
        assert_eq!(told.len() as u64, requests, "{what}: every request's producer is told");
        copies.values().filter(|copies| **copies > 1).count()
    }
}

/// The key of an outcome, which says `accepted`.
fn accepted(posted: &Posted, what: &str) -> String {
    assert_eq!(posted.target, "outcomes", "{what}: nothing is dead-lettered");
    let outcome: Outcome = decode::read(&posted.message.payload).expect("an outcome");
    assert_eq!(outcome.data.status, Status::Accepted, "{what}");
    outcome.data.key
}

/// Two requests with their copies; one of the three workers dies at this step.
async fn death_at(step: u64, sight: Sight, desk: Option<Desk>) -> (usize, bool) {
    let world = World::new(2, step, Mailroom::new(step, HIDDEN, sight, &[]), desk);
    let died = world.work([vec![step], vec![], vec![]]).await;
    (world.doubled(2, &format!("death at step {step}")), died)
}

#[tokio::test(start_paused = true)]
async fn a_death_at_every_step_leaves_one_mail_for_all_copies() {
    for step in 0.. {
        let (doubled, died) = death_at(step, Sight::LooksFirst, Some(Desk::default())).await;
        assert_eq!(doubled, 0, "death at step {step}");
        if !died {
            assert!(step > 10, "there are steps to die at: {step}");
            break;
        }
    }
}

/// The controls: without a ledger copies are mails, and with one that leads to no look some death
/// doubles a mail.
#[tokio::test(start_paused = true)]
async fn without_a_ledger_or_without_looking_copies_are_mails() {
    let (doubled, _) = death_at(u64::MAX, Sight::LooksFirst, None).await;
    assert_eq!(doubled, 2, "without a ledger, although nobody dies");
    let mut doubled = 0;
    for step in 0.. {
        let (more, died) = death_at(step, Sight::Blind, Some(Desk::default())).await;
        doubled += more;
        if !died {
            break;
        }
    }
    assert!(doubled > 0, "without looking first");
}

/// Faults in a quarter of all attempts; each worker dies four times.
async fn storm(seed: u64, sight: Sight) -> usize {
    let mut dice = Dice::new(seed);
    let room = Mailroom::new(seed, HIDDEN, sight, FAULTS);
    let world = World::new(10, seed, room, Some(Desk::default()));
    let cuts = [(); WORKERS].map(|()| (0..4).map(|_| 5 + dice.below(90)).collect());
    world.work(cuts).await;
    world.doubled(10, &format!("seed {seed}"))
}

#[tokio::test(start_paused = true)]
async fn a_storm_over_many_seeds_leaves_one_mail_for_all_copies() {
    for seed in 0..40 {
        assert_eq!(storm(seed, Sight::LooksFirst).await, 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_storm_without_looking_first_doubles_mails() {
    let mut doubled = 0;
    for seed in 0..20 {
        doubled += storm(seed, Sight::Blind).await;
    }
    assert!(doubled > 0);
}
