//! Copies of requests, over workers that share nothing but the broker.

use super::rig::{Plan, Rig};
use crate::rig::{LOAD, mailbox, request};

const COUNT: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_request_are_one_mail_with_state_on_kafka_alone() {
    let pipeline = "      deadline: 5s\n      settle_time: 5s\n      dedupe: { window: 1h }";
    let rig = Rig::new(Plan { state: true, pipeline, ..Plan::default() }).await;
    let workers = [rig.start(), rig.start()];
    let mut ends = std::collections::HashMap::new();
    for copy in 0..3 {
        for n in 0..COUNT {
            // the copies of a request are in different partitions, and so at different workers
            let key = format!("{copy}-{n}");
            let request = request(n, &mailbox(n % 10));
            let (partition, offset) = rig.produce(&key, request.as_bytes()).await;
            ends.insert(partition, offset + 1);
        }
    }
    rig.drained(&ends, LOAD).await;
    // each copy has an outcome of its own; of mails there is one
    let sent = rig.copies();
    assert_eq!(sent.len(), COUNT, "{sent:?}");
    assert!(sent.values().all(|copies| *copies == 1), "{sent:?}");
    assert_eq!(rig.records("outcome").len(), 3 * COUNT);
    assert!(rig.records("dead").is_empty());
    for worker in workers {
        worker.stop().await;
    }
}
