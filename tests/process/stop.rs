//! Soft and hard stops.

use std::time::Duration;

use mailbridge_sandbox::{Budgets, Sandbox};

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig, SOON, until},
};

over_each_bus!(
    a_soft_stop_finishes_what_is_in_flight_and_exits_well,
    a_second_signal_ends_at_once_and_nothing_is_lost,
);

fn slow() -> Plan {
    let latency = Duration::from_millis(200);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).latency(latency..=latency);
    Plan { sandbox, ..Plan::default() }
}

async fn a_soft_stop_finishes_what_is_in_flight_and_exits_well(on: On) {
    let rig = Rig::new(on, slow()).await;
    rig.publish_load(0, 400, 20).await;
    let mut program = rig.start();
    rig.sent(20, LOAD).await;
    program.sigint().expect("asked to stop");
    let status = program.wait_exit(SOON).await.expect("it stops");
    assert_eq!(status.code(), Some(0));
    let sent = rig.handle().truth().sent_total();
    assert!(sent < 400, "it did not send everything first: {sent}");
    assert_eq!(rig.outcomes().await.len() as u64, sent, "each mail that was sent has its outcome");
    let _next = rig.start();
    rig.drained(LOAD).await;
    rig.assert_exactly_once(400).await;
}

async fn a_second_signal_ends_at_once_and_nothing_is_lost(on: On) {
    let latency = Duration::from_secs(3);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).latency(latency..=latency);
    let rig = Rig::new(on, Plan { sandbox, ..Plan::default() }).await;
    rig.publish_load(0, 8, 8).await;
    let mut program = rig.start();
    rig.green().await;
    let (requests, taken) = ("mailbridge_requests_received_total", "8");
    until(SOON, "all are in flight", async || {
        rig.metrics().await.lines().any(|line| line.starts_with(requests) && line.ends_with(taken))
    })
    .await;
    program.sigterm().expect("asked to stop");
    program.wait_for(|line| line.contains("stopping"), SOON).await.expect("it says so");
    program.sigterm().expect("asked again");
    let status = program.wait_exit(Duration::from_secs(2)).await.expect("it ends at once");
    assert!(!status.success(), "{status}");
    let _next = rig.start();
    rig.drained(LOAD).await;
    rig.assert_exactly_once(8).await;
}
