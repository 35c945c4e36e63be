//! Workers that share the mailboxes of a pipeline over Kafka alone: whoever had a mailbox before is fenced,
//! however late it wakes up.

use std::collections::VecDeque;

use mailbridge_testkit::program::Program;

use super::{EACH, Inbound, MAILBOXES};
use crate::rig::SOON;

const ROUND: u64 = EACH * MAILBOXES as u64;
const ROUNDS: u64 = 6;

/// Starts a worker and waits until some of the mailboxes are its own.
async fn join(inbound: &Inbound) -> Program {
    let worker = inbound.start("      lease: 3s");
    let shares = |line: &str| line.contains("mailboxes are shared");
    worker.wait_for(shares, SOON).await.expect("it has a share");
    worker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_come_go_sleep_and_die_commit_each_mail_once() {
    let inbound = Inbound::new(3).await;
    let mut awake = VecDeque::new();
    for _ in 0..3 {
        awake.push_back(join(&inbound).await);
    }
    let mut asleep: Option<Program> = None;
    for round in 0..ROUNDS {
        inbound.arrive(&format!("round{round}"));
        // in the middle of its transactions
        inbound.committed(round * ROUND + ROUND / 3).await;
        let mut worker = awake.pop_front().expect("a worker");
        match round % 3 {
            0 => {
                worker.suspend().expect("it runs");
                asleep = Some(worker);
            }
            1 => {
                worker.kill9().expect("it runs");
                awake.push_back(join(&inbound).await);
            }
            _ => {
                worker.sigterm().expect("it runs");
                assert!(worker.wait_exit(SOON).await.expect("it stops").success());
            }
        }
        inbound.committed((round + 1) * ROUND).await;
        if round % 3 == 2 {
            // others have had its mailboxes for two rounds
            let mut woken = asleep.take().expect("one sleeps");
            woken.resume().expect("it is there");
            awake.push_back(woken);
            awake.push_back(join(&inbound).await);
        }
    }
    inbound.arrive("last");
    inbound.committed((ROUNDS + 1) * ROUND).await;
    let committed = inbound.read("read_committed");
    assert_eq!(committed.len() as u64, (ROUNDS + 1) * ROUND);
    inbound.assert_as_in_inboxes(&committed);
}
