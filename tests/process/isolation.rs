//! One mailbox that is throttled for good, among fifty.

use std::time::{Duration, Instant};

use mailbridge_sandbox::{Budgets, MailboxState, Sandbox};

use crate::{
    bus::On,
    rig::{LOAD, Plan, Rig, mailbox},
};

const COUNT: usize = 2_000;
const MAILBOXES: usize = 50;

/// How long the mailboxes other than the first take.
async fn others_take(throttled: bool) -> Duration {
    // A mailbox answers in 20 ms, so the budget of four at once is what limits, as with Graph.
    let sandbox = Sandbox::builder()
        .seed(7)
        .budgets(Budgets::graph())
        .latency(Duration::from_millis(20)..=Duration::from_millis(20));
    let rig = Rig::new(On::Nats, Plan { sandbox, ..Plan::default() }).await;
    if throttled {
        let state = MailboxState::Throttled;
        rig.handle().set_mailbox(&mailbox(0), state).expect("the mailbox");
    }
    rig.publish_load(0, COUNT, MAILBOXES).await;
    let start = Instant::now();
    let _program = rig.start();
    let own = COUNT / MAILBOXES;
    rig.sent(if throttled { COUNT - own } else { COUNT } as u64, LOAD).await;
    let took = start.elapsed();
    if throttled {
        assert_eq!(rig.handle().truth().sent_from(&mailbox(0)).len(), 0);
        let metrics = rig.metrics().await;
        let waiting = metrics.lines().find(|line| line.starts_with("mailbridge_requests_waiting{"));
        let waiting: usize =
            waiting.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number");
        assert!((1..=own).contains(&waiting), "the others of {own} are in the worker: {waiting}");
        rig.handle().set_mailbox(&mailbox(0), MailboxState::Ok).expect("the mailbox");
        rig.drained(LOAD).await;
        rig.assert_exactly_once(COUNT).await;
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_mailbox_slows_nobody_and_loses_nothing() {
    let without = others_take(false).await;
    let with = others_take(true).await;
    // Not a benchmark: a worker whose slots the throttled mailbox could take would need many times
    // as long (its Retry-After is over two seconds, again and again).
    let bound = without.mul_f64(1.5) + Duration::from_secs(2);
    assert!(with < bound, "{with:?} with, {without:?} without");
}
