//! Workers that are killed and added, and a broker that restarts in the middle.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use mailbridge_sandbox::{Budgets, Sandbox};
use mailbridge_testkit::server::KafkaServer;

use super::rig::{Plan, Rig, Worker};
use crate::{
    bus::Place,
    rig::{LOAD, mailbox, request},
};

/// Requests of the storm; it holds with ten times as many, and takes as much longer.
const COUNT: usize = 3_000;
const MAILBOXES: usize = 40;
const PARTITIONS: i32 = 12;
const WORKERS: usize = 4;

/// Produces `count` requests, keyed by mailbox; where each stands.
async fn load(rig: &Rig, count: usize) -> Vec<Place> {
    let mut places = Vec::new();
    for first in (0..count).step_by(100) {
        let batch = (first..count.min(first + 100)).map(|n| async move {
            let from = mailbox(n % MAILBOXES);
            rig.produce(&from, request(n, &from).as_bytes()).await
        });
        places.extend(futures_util::future::join_all(batch).await);
    }
    places
}

/// Behind the last record of each partition.
fn ends(places: &[Place]) -> HashMap<i32, i64> {
    let mut ends = HashMap::new();
    for (partition, offset) in places {
        let end: &mut i64 = ends.entry(*partition).or_default();
        *end = (*end).max(offset + 1);
    }
    ends
}

/// What is committed says that it is done: then its mail was sent.
fn assert_nothing_unfinished_is_committed(rig: &Rig, places: &[Place]) {
    let committed = rig.committed();
    let sent = rig.copies();
    for (n, (partition, offset)) in places.iter().enumerate() {
        if committed.get(partition).is_some_and(|committed| committed > offset) {
            assert!(sent.contains_key(&format!("r{n}")), "r{n} is committed and not sent");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_and_added_and_a_broker_restarted_double_and_lose_nothing() {
    let mut server = KafkaServer::start().await.expect("a broker");
    let sandbox = Sandbox::builder().seed(11).budgets(Budgets::graph());
    let plan = Plan { partitions: PARTITIONS, sandbox, ..Plan::default() };
    let rig = Rig::over(&server.broker(), plan).await;
    let places = load(&rig, COUNT).await;
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| rig.start()).collect();
    for step in 1..=5u64 {
        rig.sent(COUNT as u64 * step / 7, LOAD).await;
        assert_nothing_unfinished_is_committed(&rig, &places);
        if step == 3 {
            server.stop().await.expect("it stops");
            server.start_again().await.expect("it starts again");
        } else {
            let which = usize::try_from(step).expect("small") % workers.len();
            workers.remove(which).kill().await;
            workers.push(rig.start());
        }
    }
    rig.drained(&ends(&places), LOAD).await;
    rig.assert_exactly_once(COUNT);
    for worker in workers {
        worker.stop().await;
    }
}

/// A group waits 45 s for a member that went without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_lets_its_partitions_go_and_the_next_has_them_at_once() {
    let rig = Rig::new(Plan::default()).await;
    for n in 0..3 {
        let worker = rig.start();
        rig.produce("a", request(n, &mailbox(n)).as_bytes()).await;
        let began = Instant::now();
        rig.sent(n as u64 + 1, LOAD).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        worker.stop().await;
    }
}

/// The control: the same, without looking in the mailbox first, does send mails twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_first_workers_that_are_killed_double_mails() {
    let rig = Rig::new(Plan::default()).await;
    let places = load(&rig, 400).await;
    for kill in 1..=4 {
        let worker = rig.start_with(&["--unsafe-never-look"]);
        rig.sent(kill * 60, LOAD).await;
        worker.kill().await;
    }
    let worker = rig.start_with(&["--unsafe-never-look"]);
    rig.drained(&ends(&places), LOAD).await;
    let doubled = rig.copies().into_values().filter(|copies| *copies > 1).count();
    assert!(doubled > 0, "some mail is sent twice");
    worker.stop().await;
}

/// The last word of a worker that was asked to stop is that its partitions are free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_leaves_nothing_to_look_for_and_nobody_waiting() {
    let rig = Rig::new(Plan::default()).await;
    let first = rig.start();
    let places = load(&rig, 200).await;
    rig.drained(&ends(&places), LOAD).await;
    first.stop().await;
    let second = rig.start();
    let since = std::time::Instant::now();
    let from = mailbox(0);
    let one_more = rig.produce(&from, request(200, &from).as_bytes()).await;
    rig.sent(201, LOAD).await;
    assert!(since.elapsed().as_secs() < 10, "{:?}", since.elapsed());
    rig.drained(&ends(&[one_more]), LOAD).await;
    rig.assert_exactly_once(201);
    second.stop().await;
}
