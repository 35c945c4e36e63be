//! Workers that share the mailboxes of one pipeline: who has which, and what happens when they come,
//! go, sleep and die.

mod asleep;
mod rolling;
mod roster;
mod storm;
mod times;

use std::net::SocketAddr;

use mailbridge_testkit::program::Program;
use serde_json::Value;

use super::world::{Plan, World};
use crate::rig::{LOAD, SOON, http_client, until};

const MAILBOXES: usize = 60;
/// Into how many the mailboxes of a pipeline on NATS are hashed.
const SLICES: u64 = 256;

/// A worker of the pool.
struct Worker {
    program: Program,
    http: SocketAddr,
}

impl Worker {
    fn start(world: &World) -> Self {
        let (program, http) = world.another();
        Self { program, http }
    }

    /// What it says of its pipeline.
    async fn status(&self) -> Option<Value> {
        let answer = http_client().get(format!("http://{}/status", self.http)).send().await.ok()?;
        let status: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        status["pipelines"].get(0).cloned()
    }

    /// How many mailboxes it reads itself.
    async fn mailboxes(&self) -> u64 {
        let status = self.status().await.unwrap_or_default();
        let counts = status["counts"].as_object().cloned().unwrap_or_default();
        counts.values().filter_map(Value::as_u64).sum()
    }

    /// How many slices each worker has, as this one knows.
    async fn slices(&self) -> Vec<u64> {
        let status = self.status().await.unwrap_or_default();
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.iter().filter_map(|worker| worker["slices"].as_u64()).collect()
    }

    /// Waits until it knows so many workers, which have all there is between them.
    async fn shares_with(&self, workers: usize) {
        until(SOON, &format!("{workers} workers share the mailboxes"), async || {
            let slices = self.slices().await;
            slices.len() == workers && slices.iter().sum::<u64>() == SLICES
        })
        .await;
    }
}

fn plan(pipeline: &'static str) -> Plan {
    Plan { mailboxes: MAILBOXES, pipeline, ..Plan::default() }
}

async fn all_read_by(workers: &[&Worker]) {
    until(SOON, "each mailbox is one worker's, and each worker has some", async || {
        let mut each = Vec::new();
        for worker in workers {
            each.push(worker.mailboxes().await);
        }
        each.iter().sum::<u64>() == MAILBOXES as u64 && each.iter().all(|some| *some > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_the_mailboxes_and_one_that_leaves_hands_its_own_over() {
    // nothing here happens because a lease has ended
    let world = World::new(plan("      start: all\n      lease: 5m")).await;
    let mut one = Worker::start(&world);
    one.shares_with(1).await;
    let two = Worker::start(&world);
    two.shares_with(2).await;
    all_read_by(&[&one, &two]).await;
    for mailbox in 0..MAILBOXES {
        world.arrive(mailbox, 2, "shared");
    }
    world.assert_as_in_inboxes(MAILBOXES).await;
    assert_eq!(world.publications(), 2 * MAILBOXES, "nobody published what another did");
    one.program.sigterm().expect("asked to stop");
    assert!(one.program.wait_exit(SOON).await.expect("it stops").success());
    two.shares_with(1).await;
    all_read_by(&[&two]).await;
    world.arrive(0, 1, "after");
    world.assert_as_in_inboxes(MAILBOXES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_sleeps_beyond_its_lease_is_replaced_and_tells_nothing_twice() {
    let world = World::new(plan("      start: all\n      lease: 2s")).await;
    let (mut sleeper, other) = (Worker::start(&world), Worker::start(&world));
    other.shares_with(2).await;
    for mailbox in 0..MAILBOXES {
        world.arrive(mailbox, 20, "before");
    }
    world.published(5, LOAD).await;
    sleeper.program.suspend().expect("it runs");
    for mailbox in 0..MAILBOXES {
        world.arrive(mailbox, 1, "asleep");
    }
    // all of it, by the one that is awake
    world.assert_as_in_inboxes(MAILBOXES).await;
    let before = world.publications();
    sleeper.program.resume().expect("it is there");
    other.shares_with(2).await;
    for mailbox in 0..MAILBOXES {
        world.arrive(mailbox, 1, "awake");
    }
    world.assert_as_in_inboxes(MAILBOXES).await;
    // a page that it had in hand at most, which the stream dropped
    let repeated = world.publications() - before - MAILBOXES;
    assert!(repeated <= 16, "{repeated} were published again by the one that slept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_goes_sleeps_or_dies_each_mail_is_told_once_and_in_order() {
    let world = World::new(plan("      start: all\n      page_size: 5\n      lease: 2s")).await;
    let mut workers: Vec<Worker> = (0..4).map(|_| Worker::start(&world)).collect();
    let mut asleep = Vec::new();
    for round in 0..12 {
        for mailbox in 0..MAILBOXES {
            world.arrive(mailbox, 3, &format!("round{round}"));
        }
        let all = (round + 1) * 3 * MAILBOXES as u64;
        world.published(all - 3 * MAILBOXES as u64 / 2, LOAD).await;
        let mut worker = workers.remove(0);
        match round % 3 {
            0 => {
                worker.program.kill9().expect("it runs");
                workers.push(Worker::start(&world));
            }
            1 => {
                worker.program.suspend().expect("it runs");
                asleep.push(worker);
                workers.push(Worker::start(&world));
            }
            _ => {
                worker.program.sigterm().expect("asked to stop");
                assert!(worker.program.wait_exit(SOON).await.expect("it stops").success());
                let mut woken: Worker = asleep.remove(0);
                woken.program.resume().expect("it is there");
                workers.push(woken);
            }
        }
    }
    world.assert_as_in_inboxes(MAILBOXES).await;
    workers[0].shares_with(workers.len()).await;
    all_read_by(&workers.iter().collect::<Vec<_>>()).await;
}
