//! What the program says of itself over HTTP.

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig},
};

over_each_bus!(
    metrics_count_what_happened_and_hold_no_recipient,
    at_least_once_sends_with_one_request_each,
);

async fn metrics_count_what_happened_and_hold_no_recipient(on: On) {
    let rig = Rig::new(on, Plan::default()).await;
    rig.publish_load(0, 25, 5).await;
    let _program = rig.start();
    rig.drained(LOAD).await;
    rig.green().await;
    let metrics = rig.metrics().await;
    let accepted = metrics
        .lines()
        .find(|line| line.starts_with("mailbridge_outcomes_total") && line.contains("accepted"));
    assert!(accepted.is_some_and(|line| line.ends_with(" 25")), "{metrics}");
    assert!(!metrics.contains("someone-"), "no recipient in a metric");
}

async fn at_least_once_sends_with_one_request_each(on: On) {
    let rig = Rig::new(on, Plan { guarantee: "at_least_once", ..Plan::default() }).await;
    rig.publish_load(0, 50, 5).await;
    let _program = rig.start();
    rig.drained(LOAD).await;
    rig.assert_exactly_once(50).await;
    assert_eq!(rig.handle().truth().drafts_left(), 0);
    let sent = rig.handle().truth().sent();
    assert!(sent.iter().all(|sent| sent.via == mailbridge_sandbox::Via::SendMail));
}
