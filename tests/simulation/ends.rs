//! How a request ends when what it ends in cannot be published at once: it ends once, in one way.

use std::{collections::HashSet, time::Duration};

use mailbridge_core::contract::{Outcome, Status, decode};
use mailbridge_engine::{Policy, Settings, health::Health};
use mailbridge_testkit::simulation::{Bus, Dice, Fault, Mailroom, Power, Sight, Trouble};
use tokio_util::sync::CancellationToken;

use super::{HIDDEN, LEASE, request, settings, worker_with};

/// Runs one worker until everything is settled.
async fn run(settings: Settings, bus: &Bus, room: &Mailroom) {
    let worker = worker_with(settings, bus, room, &Power::forever(), &Health::new());
    tokio::select! {
        () = bus.all_settled() => {}
        ended = worker.run(CancellationToken::new()) => ended.expect("it ends only when told to"),
    }
}

fn tries(attempts_max: u32) -> Settings {
    let policy = Policy { attempts_max, ..settings().policy };
    Settings { policy, ..settings() }
}

/// The keys of all outcomes, with how they ended.
fn outcomes(bus: &Bus) -> Vec<(String, Status)> {
    let posted = bus.posted().into_iter().filter(|posted| posted.target == "outcomes");
    let read = posted.map(|posted| -> Outcome { decode::read(&posted.message.payload).unwrap() });
    read.map(|outcome| (outcome.data.key, outcome.data.status)).collect()
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
