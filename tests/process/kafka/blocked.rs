//! A mailbox that is throttled for long, in a partition that others share.

use std::time::Duration;

use mailbridge_sandbox::Fault;

use super::rig::{Plan, Rig};
use crate::rig::{LOAD, mailbox, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_mailbox_holds_up_nobody_in_its_partition_and_a_restart_repeats_nothing() {
    let rig = Rig::new(Plan { partitions: 1, ..Plan::default() }).await;
    let blocked = mailbox(0);
    let mut fault = Fault::throttle(2.0);
    fault.matching.mailbox = Some(blocked.clone());
    rig.handle().add_fault(fault);
    // it stands at the very beginning, so that no offset behind it can be committed
    for n in 0..20 {
        rig.produce(&blocked, request(n, &blocked).as_bytes()).await;
    }
    for n in 20..1_020 {
        let from = mailbox(1 + n % 30);
        rig.produce(&from, request(n, &from).as_bytes()).await;
    }
    let worker = rig.start();
    rig.sent(1_000, LOAD).await;
    assert_eq!(rig.committed().get(&0), Some(&0), "the offset stays with what is open");
    // the last of them is noted a moment after it was sent
    tokio::time::sleep(Duration::from_secs(2)).await;
    worker.kill().await;

    let all = || rig.handle().requests().values().flat_map(|it| it.values()).sum::<u64>();
    let calls = all();
    let worker = rig.start();
    rig.produce(&mailbox(1), request(1_020, &mailbox(1)).as_bytes()).await;
    rig.sent(1_001, LOAD).await;
    let calls = all() - calls;
    assert!(calls < 200, "{calls} calls: what was done before the crash is not looked for");
    rig.handle().clear_faults(None);
    rig.drained(&[(0, 1_021)].into(), LOAD).await;
    rig.assert_exactly_once(1_021);
    worker.stop().await;
}
