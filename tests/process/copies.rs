//! A producer that publishes every request three times, and three workers that hold them at once.

use futures_util::{StreamExt as _, stream};
use mailbridge_core::contract::Status;
use mailbridge_sandbox::{Budgets, Sandbox};

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig, mailbox, plain, request},
};

over_each_bus!(every_copy_of_a_request_is_the_same_mail, without_a_ledger_copies_are_mails);

const REQUESTS: usize = 1000;

fn plan(dedupe: &str) -> Plan {
    Plan {
        pipeline: format!("      deadline: 5s\n      settle_time: 5s\n{dedupe}"),
        sandbox: Sandbox::builder().seed(7).budgets(Budgets::off()),
        ..Plan::default()
    }
}

/// Publishes every request three times, each with a message id of its own, and lets three workers
/// at them.
async fn sent_by_three(on: On, plan: Plan) -> Rig {
    let mut rig = Rig::new(on, plan).await;
    // each worker on a port of its own
    rig.launch = rig.launch.env("MAILBRIDGE_HTTP__LISTEN", "127.0.0.1:0");
    stream::iter((0..on.part_of(REQUESTS) * 3).map(|n| n / 3))
        .map(|n| rig.publish(plain(request(n, &mailbox(n % 50)))))
        .buffer_unordered(128)
        .collect::<Vec<()>>()
        .await;
    let workers: Vec<_> = (0..3).map(|_| rig.start()).collect();
    rig.drained(LOAD).await;
    drop(workers);
    rig
}

async fn every_copy_of_a_request_is_the_same_mail(on: On) {
    let dedupe = "      dedupe: { window: 1h }";
    let rig = sent_by_three(on, Plan { state: true, ..plan(dedupe) }).await;
    let copies = rig.copies();
    let doubled = copies.values().filter(|copies| **copies > 1).count();
    assert_eq!((copies.len(), doubled), (on.part_of(REQUESTS), 0), "each mail once");
    let outcomes = rig.outcomes().await;
    assert_eq!(outcomes.len(), on.part_of(REQUESTS));
    for (key, outcomes) in outcomes {
        assert!(outcomes.iter().all(|it| it.data.status == Status::Accepted), "{key}");
    }
    assert!(rig.dead().await.is_empty());
}

/// The control: without a ledger the same producer has mails sent more than once. How many depends on how
/// many copies are in hand at once: of others, the look before the send finds the mail.
async fn without_a_ledger_copies_are_mails(on: On) {
    let rig = sent_by_three(on, plan("")).await;
    let doubled = rig.copies().values().filter(|copies| **copies > 1).count();
    assert!(doubled > on.part_of(REQUESTS) / 10, "{doubled}");
}
