//! How a request ends when what it ends in cannot be published at once: it ends once, in one way.

use std::{collections::HashSet, time::Duration};

use mailbridge_core::{
    Headers, Message,
    contract::{Outcome, OutcomeData, Status, decode},
};
use mailbridge_engine::{
    Policy, Settings,
    health::{Health, State},
};
use mailbridge_testkit::simulation::{Bus, Dice, Fault, Mailroom, Power, Sight, Trouble};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{HIDDEN, LEASE, request, settings, worker_with};

/// Runs one worker until everything is settled, a day at most.
pub async fn run(settings: Settings, bus: &Bus, room: &Mailroom) {
    run_seen(settings, bus, room, &Health::new()).await;
}

async fn run_seen(settings: Settings, bus: &Bus, room: &Mailroom, health: &Health) {
    let worker = worker_with(settings, bus, room, &Power::forever(), health);
    let settled = tokio::time::timeout(Duration::from_hours(24), bus.all_settled());
    tokio::select! {
        settled = settled => settled.expect("everything is settled within a day"),
        ended = worker.run(CancellationToken::new()) => ended.expect("it ends only when told to"),
    }
}

fn tries(attempts_max: u32) -> Settings {
    let policy = Policy { attempts_max, ..settings().policy };
    Settings { policy, ..settings() }
}

fn read(bus: &Bus) -> impl Iterator<Item = OutcomeData> {
    let posted = bus.posted().into_iter().filter(|posted| posted.target == "outcomes");
    posted.map(|posted| decode::read::<Outcome>(&posted.message.payload).unwrap().data)
}

/// The keys of all outcomes, with how they ended.
pub fn outcomes(bus: &Bus) -> Vec<(String, Status)> {
    read(bus).map(|outcome| (outcome.key, outcome.status)).collect()
}

/// How all requests ended, and why.
pub fn outcome_codes(bus: &Bus) -> Vec<(Status, Option<String>)> {
    read(bus).map(|outcome| (outcome.status, outcome.code)).collect()
}

/// The keys of all dead letters.
fn dead(bus: &Bus) -> Vec<String> {
    let posted = bus.posted().into_iter().filter(|posted| posted.target == "dead");
    posted.map(|dead| dead.message.headers.get("mailbridge-key").unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_stays_given_up_while_its_outcome_cannot_be_published() {
    for silent in ["outcomes", "dead"] {
        let bus = Bus::new(LEASE);
        let room = Mailroom::new(1, HIDDEN, Sight::LooksFirst, &[(Fault::Refused, 100)]);
        bus.push(request(0, "a@x"));
        // Stored or not, nothing is confirmed.
        bus.trouble(silent, Trouble::Unsure(100, Dice::new(1)));
        let mend = async {
            while bus.tries(silent) < 5 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            room.heal();
            bus.mend(silent);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = run(tries(1), &bus, &room) => {}
            () = mend => {}
        }
        assert_eq!(outcomes(&bus), [("r0".to_owned(), Status::Rejected)], "{silent}");
        assert_eq!((dead(&bus).len(), room.copies().len()), (1, 0), "F4: {silent}");
    }
}

/// A request that cannot be read, of 10,000 bytes, with a header.
fn large() -> Message {
    let headers = Headers::new().with("x-origin", "shop");
    Message { payload: vec![b'{'; 10_000].into(), headers, ..Message::default() }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_its_bus_does_not_take_is_stored_without_its_payload() {
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(1, HIDDEN, Sight::LooksFirst, &[]);
    bus.push(large());
    bus.trouble("dead", Trouble::Small(2_000));
    run(settings(), &bus, &room).await;
    let posted = bus.posted();
    let dead = posted.iter().find(|posted| posted.target == "dead").expect("a dead letter");
    assert!(dead.message.payload.is_empty());
    for (name, value) in [
        ("x-origin", "shop"),
        ("mailbridge-code", "request_not_json"),
        ("mailbridge-position", "sim:0"),
        ("mailbridge-payload-left-out", "bus_payload_too_large"),
        ("mailbridge-payload-bytes", "10000"),
    ] {
        assert_eq!(dead.message.headers.get(name), Some(value), "{name}");
    }
    assert_eq!(outcomes(&bus).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_never_taken_comes_back_ever_more_seldom_and_is_never_dropped() {
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(1, HIDDEN, Sight::LooksFirst, &[]);
    bus.push(large());
    bus.trouble("dead", Trouble::Small(1));
    let hour = Duration::from_hours(1);
    assert!(tokio::time::timeout(hour, run(settings(), &bus, &room)).await.is_err());
    // 1 s, 2 s, … 5 min: at most 22 deliveries, each with and without the payload.
    let tries = bus.tries("dead");
    assert!((20..50).contains(&tries), "{tries}");
    assert!(bus.settled()[0].is_none() && outcomes(&bus).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_outcomes_shows_and_after_hours_of_it_they_are_published_in_seconds() {
    let health = Health::new();
    let bus = Bus::new(LEASE);
    let room = Mailroom::new(1, HIDDEN, Sight::LooksFirst, &[]);
    bus.push(request(0, "a@x"));
    bus.trouble("outcomes", Trouble::Down);
    let mut outage = None;
    let mend = async {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_mins(3)).await;
            let State::Disconnected { reason, .. } = &health.snapshot()[0].state else {
                panic!("it is down: {:?}", health.snapshot());
            };
            assert!(reason.starts_with("outcomes cannot be published: "), "{reason}");
        }
        bus.mend("outcomes");
        outage = Some(Instant::now());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = run_seen(settings(), &bus, &room, &health) => {}
        () = mend => {}
    }
    assert_eq!(health.snapshot()[0].state, State::Ready);
    let waited = outage.expect("it was mended first").elapsed();
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    assert_eq!(outcomes(&bus), [("r0".to_owned(), Status::Accepted)]);
    assert_eq!(room.copies().values().copied().collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn on_a_bus_that_seldom_confirms_nothing_ends_in_two_ways() {
    let mut given_up = 0;
    for seed in 0..50 {
        let bus = Bus::new(LEASE);
        let faults = [(Fault::Refused, 40), (Fault::LostAfter, 10)];
        let room = Mailroom::new(seed, HIDDEN, Sight::LooksFirst, &faults);
        for target in ["outcomes", "dead"] {
            bus.trouble(target, Trouble::Unsure(40, Dice::new(seed)));
        }
        for n in 0..20 {
            bus.push(request(n, "a@x"));
        }
        run(tries(2), &bus, &room).await;
        let ends: HashSet<_> = outcomes(&bus).into_iter().collect();
        assert_eq!(ends.len(), 20, "F4, one end each: seed {seed}");
        for key in dead(&bus) {
            assert!(!ends.contains(&(key, Status::Accepted)), "F4: seed {seed}");
            given_up += 1;
        }
    }
    assert!(given_up > 50, "there is something to end in two ways: {given_up}");
}
