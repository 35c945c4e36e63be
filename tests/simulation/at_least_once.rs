//! `at_least_once`, with `in_doubt: dead_letter`: an attempt without an answer is given up by the
//! worker that made it, and by nobody who has only heard of it from the bus.

use mailbridge_core::{Guarantee, contract::Status};
use mailbridge_engine::{InDoubt, Policy, Settings, health::Health};
use mailbridge_testkit::simulation::{Bus, Fault, Mailroom, Power, Sight};
use tokio_util::sync::CancellationToken;

use super::{HIDDEN, LEASE, ends::outcomes, request, settings, worker_with};

fn gives_up() -> Settings {
    let policy = Policy { in_doubt: InDoubt::DeadLetter, ..settings().policy };
    Settings { guarantee: Guarantee::AtLeastOnce, policy, ..settings() }
}

/// Runs one worker until its power goes or everything is settled.
async fn shift(bus: &Bus, room: &Mailroom, power: &Power) {
    let worker = worker_with(gives_up(), bus, room, power, &Health::new());
    tokio::select! {
        () = power.gone() => {}
        () = bus.all_settled() => {}
        ended = worker.run(CancellationToken::new()) => ended.expect("it ends only when told to"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_answer_is_given_up_whether_or_not_it_was_sent() {
    for (fault, copies) in [(Fault::LostBefore, 0), (Fault::LostAfter, 1), (Fault::Hung, 1)] {
        let bus = Bus::new(LEASE);
        let room = Mailroom::new(1, HIDDEN, Sight::LooksFirst, &[(fault, 100)]);
        bus.push(request(0, "a@x"));
        shift(&bus, &room, &Power::forever()).await;
        assert_eq!(outcomes(&bus), [("r0".to_owned(), Status::Unknown)], "{fault:?}");
        assert_eq!(room.copies().values().sum::<usize>(), copies, "{fault:?}");
    }
}

/// What the option cannot promise is shown as well: a worker that crashes in the middle of an
/// attempt takes its knowledge with it, and the next one sends again.
#[tokio::test(start_paused = true)]
async fn after_a_crash_at_any_step_all_is_accepted_none_is_lost_and_some_arrive_twice() {
    let mut doubled = 0;
    for step in 0.. {
        let bus = Bus::new(LEASE);
        let room = Mailroom::new(step, HIDDEN, Sight::LooksFirst, &[]);
        for n in 0..3 {
            bus.push(request(n, "a@x"));
        }
        let power = Power::until(step);
        shift(&bus, &room, &power).await;
        let crashed = !power.is_on();
        if crashed {
            shift(&bus, &room, &Power::forever()).await;
        }
        let outcomes = outcomes(&bus);
        let accepted = outcomes.iter().filter(|(_, status)| *status == Status::Accepted).count();
        assert_eq!((accepted, outcomes.len()), (3, 3), "crash at step {step}: {outcomes:?}");
        assert_eq!(room.copies().len(), 3, "crash at step {step}");
        doubled += room.copies().values().filter(|copies| **copies > 1).count();
        if !crashed {
            break;
        }
    }
    assert!(doubled > 0);
}
