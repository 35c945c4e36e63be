//! The engine's promises under a crash at every step and seeded faults on every port, in virtual
//! time. A failure names its seed or its step, and the same again reproduces it.

mod at_least_once;
mod copies;
mod ends;
mod events;
mod expired;
mod maybe;

use std::{collections::HashMap, sync::Arc, time::Duration};

use mailbridge_core::{
    Disposition, Headers, Message,
    contract::{Outcome, Status, decode},
};
use mailbridge_engine::{Requests, Settings, health::Health};
use mailbridge_testkit::simulation::{Bus, Dice, Fault, Mailroom, Power, Sight};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

const PIPELINE: &str = "sim";
const LEASE: Duration = Duration::from_mins(1);
/// Shorter than the settle time, as the engine's promise presumes.
const HIDDEN: Duration = Duration::from_secs(30);

fn settings() -> Settings {
    Settings { allow_mailboxes: vec!["*".into()], in_flight: 8, ..Settings::default() }
}

fn worker(bus: &Bus, room: &Mailroom, power: &Power, health: &Health) -> Requests {
    worker_with(settings(), bus, room, power, health)
}

fn worker_with(
    settings: Settings,
    bus: &Bus,
    room: &Mailroom,
    power: &Power,
    health: &Health,
) -> Requests {
    Requests {
        name: PIPELINE.to_owned(),
        input: bus.input(power),
        decoder: Arc::new(mailbridge_core::AsRequests),
        mail: room.port(power),
        ledger: None,
        files: Arc::new(mailbridge_core::NoFiles),
        outcomes: Some(bus.output(power, "outcomes")),
        dead_letters: bus.output(power, "dead"),
        settings,
        health: health.register(PIPELINE),
        observer: None,
    }
}

fn request(n: u64, mailbox: &str) -> Message {
    let payload = format!(
        r#"{{"id":"r{n}","mailbox":"{mailbox}","to":"bob@example.org","subject":"s","text":"t"}}"#
    );
    Message { payload: payload.into(), ..Message::default() }
}

fn broken() -> Message {
    Message { payload: "{oops".into(), headers: Headers::new(), ..Message::default() }
}

/// Runs one worker until its power goes or everything is settled.
async fn shift(bus: &Bus, room: &Mailroom, power: &Power) {
    let stop = CancellationToken::new();
    let requests = worker(bus, room, power, &Health::new());
    tokio::select! {
        () = power.gone() => {}
        () = bus.all_settled() => {}
        ended = requests.run(stop) => ended.expect("a worker ends only when told to"),
    }
}

/// What must be true once everything is settled.
struct Verdict {
    duplicates: usize,
    lost: usize,
}

fn inspect(bus: &Bus, room: &Mailroom, good: usize, what: &str) -> Verdict {
    let copies = room.copies();
    let mut accepted = HashMap::<String, usize>::new();
    let mut dead = 0;
    for posted in bus.posted() {
        if posted.target == "dead" {
            dead += 1;
            continue;
        }
        let outcome: Outcome = decode::read(&posted.message.payload).expect("an outcome");
        if outcome.data.status == Status::Accepted {
            *accepted.entry(outcome.data.key.clone()).or_default() += 1;
        }
    }
    for (index, settled) in bus.settled().iter().enumerate() {
        assert!(settled.is_some(), "{what}: message {index} is still open");
    }
    let done = bus.settled().iter().filter(|s| **s == Some(Disposition::Done)).count();
    assert_eq!(done, accepted.len(), "{what}: F1, every `Done` has its outcome");
    let rejected = bus.settled().len() - done;
    assert_eq!(rejected, dead, "{what}: F4, every `Rejected` has its dead letter");
    Verdict {
        duplicates: copies.values().filter(|copies| **copies > 1).count(),
        lost: good.saturating_sub(copies.len()),
    }
}

/// A small scenario with the power cut at one step, then a second worker that finishes.
async fn crash_at(step: u64, sight: Sight) -> (Verdict, bool) {
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(step, HIDDEN, sight, &[]);
    for n in 0..3 {
        bus.push(request(n, "a@x"));
    }
    bus.push(broken());
    let power = Power::until(step);
    shift(&bus, &room, &power).await;
    let crashed = !power.is_on();
    if crashed {
        shift(&bus, &room, &Power::forever()).await;
    }
    (inspect(&bus, &room, 3, &format!("crash at step {step}")), crashed)
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_step_neither_doubles_nor_loses() {
    let mut step = 0;
    loop {
        let (verdict, crashed) = crash_at(step, Sight::LooksFirst).await;
        assert_eq!(verdict.duplicates, 0, "F3: crash at step {step}");
        assert_eq!(verdict.lost, 0, "crash at step {step}");
        if !crashed {
            break;
        }
        step += 1;
    }
    assert!(step > 30, "the scenario has steps to crash at: {step}");
}

/// The control: without looking first, some crash does double a mail. If this fails, the test above
/// proves nothing.
#[tokio::test(start_paused = true)]
async fn without_looking_first_some_crash_doubles_a_mail() {
    let mut doubled = 0;
    for step in 0.. {
        let (verdict, crashed) = crash_at(step, Sight::Blind).await;
        doubled += verdict.duplicates;
        if !crashed {
            break;
        }
    }
    assert!(doubled > 0);
}

const FAULTS: &[(Fault, u64)] = &[
    (Fault::Refused, 8),
    (Fault::LostBefore, 5),
    (Fault::LostAfter, 8),
    (Fault::Hung, 3),
    (Fault::Blocked, 1),
];

/// Several workers, faults in a quarter of all attempts, power cut at random, replaced by others.
async fn storm(seed: u64, sight: Sight) -> Verdict {
    let mut dice = Dice::new(seed);
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(seed, HIDDEN, sight, FAULTS);
    let good = 30;
    for n in 0..good {
        bus.push(request(n, &format!("m{}@x", n % 5)));
        if n % 10 == 0 {
            bus.push(broken());
        }
    }
    let mut workers = JoinSet::new();
    for _ in 0..3 {
        let cuts: Vec<u64> = (0..4).map(|_| 5 + dice.below(60)).collect();
        let (bus, room) = (bus.clone(), room.clone());
        workers.spawn(async move {
            for cut in cuts {
                shift(&bus, &room, &Power::until(cut)).await;
            }
            shift(&bus, &room, &Power::forever()).await;
        });
    }
    while workers.join_next().await.is_some() {}
    assert!(room.most_performing() <= 8, "F7: seed {seed}");
    inspect(&bus, &room, usize::try_from(good).expect("small"), &format!("seed {seed}"))
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_faults_and_crashes_over_many_seeds_neither_doubles_nor_loses() {
    for seed in 0..200 {
        let verdict = storm(seed, Sight::LooksFirst).await;
        assert_eq!(verdict.duplicates, 0, "F3: seed {seed}");
        assert_eq!(verdict.lost, 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_storm_without_looking_first_doubles_mails() {
    let mut doubled = 0;
    for seed in 0..20 {
        doubled += storm(seed, Sight::Blind).await.duplicates;
    }
    assert!(doubled > 0);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_connection_dead_letters_nothing_and_resumes() {
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(7, HIDDEN, Sight::LooksFirst, &[(Fault::Blocked, 100)]);
    for n in 0..20 {
        bus.push(request(n, "a@x"));
    }
    let health = Health::new();
    let requests = worker(&bus, &room, &Power::forever(), &health);
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(requests.run(stop.clone()));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(health.snapshot()[0].state.as_str(), "held", "F5");
    assert!(bus.posted().is_empty(), "F5: nothing is dead-lettered");
    room.heal();
    bus.all_settled().await;
    stop.cancel();
    while running.join_next().await.is_some() {}
    let verdict = inspect(&bus, &room, 20, "blocked");
    assert_eq!((verdict.duplicates, verdict.lost), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_mailbox_does_not_slow_the_others() {
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(7, HIDDEN, Sight::LooksFirst, &[]);
    room.throttle("slow@x");
    for n in 0..200 {
        bus.push(request(n, if n % 2 == 0 { "slow@x" } else { "fast@x" }));
    }
    let requests = worker(&bus, &room, &Power::forever(), &Health::new());
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    let start = Instant::now();
    running.spawn(requests.run(stop.clone()));
    while room.copies().len() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // 100 mails, 8 at once, 20 ms each: a quarter of a second, were the other mailbox not there.
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    stop.cancel();
    while running.join_next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn after_a_soft_stop_nothing_new_is_taken_and_the_unsettled_comes_back() {
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(7, HIDDEN, Sight::LooksFirst, &[(Fault::Hung, 100)]);
    for n in 0..20 {
        bus.push(request(n, "a@x"));
    }
    let requests = worker(&bus, &room, &Power::forever(), &Health::new());
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(requests.run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = room.copies().len();
    assert_eq!(begun, 8, "F7: as many as may be in flight");
    stop.cancel();
    let stopping = Instant::now();
    while running.join_next().await.is_some() {}
    assert!(stopping.elapsed() <= settings().drain + Duration::from_secs(1), "F8");
    assert_eq!(bus.stops(), [stopping], "F8: the bus is told before anything is waited for");
    assert_eq!(room.copies().len(), begun, "F8: nothing new is taken");
    room.heal();
    shift(&bus, &room, &Power::forever()).await;
    let verdict = inspect(&bus, &room, 20, "soft stop");
    assert_eq!((verdict.duplicates, verdict.lost), (0, 0));
}
