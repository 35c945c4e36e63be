//! A mailbox that is throttled for long, in a partition that others share.

use std::{future::ready, time::Duration};

use futures_util::{StreamExt as _, stream};
use mailbridge_sandbox::Fault;

use super::rig::{Plan, Rig};
use crate::rig::{LOAD, kib, mailbox, request};

/// Requests of the mailbox that is throttled.
const HELD: usize = 100;
/// Requests behind them, of others.
const OTHERS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_mailbox_holds_up_nobody_in_its_partition_and_a_restart_repeats_nothing() {
    let rig = Rig::new(Plan { partitions: 1, ..Plan::default() }).await;
    let blocked = mailbox(0);
    let mut fault = Fault::throttle(2.0);
    fault.matching.mailbox = Some(blocked.clone());
    rig.handle().add_fault(fault);
    // it stands at the very beginning, so that no offset behind it can be committed
    for n in 0..HELD {
        rig.produce(&blocked, request(n, &blocked).as_bytes()).await;
    }
    let producing = (HELD..HELD + OTHERS).map(|n| {
        let from = mailbox(1 + n % 300);
        let rig = &rig;
        async move { rig.produce(&from, request(n, &from).as_bytes()).await }
    });
    stream::iter(producing).buffered(500).for_each(|_| ready(())).await;
    let worker = rig.start();
    worker.ready(200, "").await;
    rig.sent(500, LOAD).await;
    let idle = kib(worker.program.id(), "VmRSS");
    rig.sent(OTHERS as u64, LOAD).await;
    let more = kib(worker.program.id(), "VmHWM").saturating_sub(idle);
    println!("{OTHERS} passed {HELD} that wait; {more} KiB more at most than after the first 500");
    assert!(more < 64 * 1024, "{more} KiB more");
    assert_eq!(rig.committed().get(&0), Some(&0), "the offset stays with what is open");
    // the last of them is noted a moment after it was sent
    tokio::time::sleep(Duration::from_secs(2)).await;
    worker.kill().await;

    let all = || rig.handle().requests().values().flat_map(|it| it.values()).sum::<u64>();
    let calls = all();
    let worker = rig.start();
    let last = HELD + OTHERS;
    rig.produce(&mailbox(1), request(last, &mailbox(1)).as_bytes()).await;
    rig.sent(OTHERS as u64 + 1, LOAD).await;
    let calls = all() - calls;
    assert!(calls < 200, "{calls} calls: what was done before the crash is not looked for");
    rig.handle().clear_faults(None);
    rig.drained(&[(0, 1 + i64::try_from(last).expect("a number"))].into(), LOAD).await;
    rig.assert_exactly_once(last + 1);
    worker.stop().await;
}
