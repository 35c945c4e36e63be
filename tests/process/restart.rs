//! The bus goes away and comes back.

use crate::{
    bus::On,
    rig::{LOAD, Plan, Rig, SOON},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_stopped_and_started_in_the_middle_loses_and_doubles_nothing() {
    let mut rig = Rig::new(On::Nats, Plan::default()).await;
    rig.publish_load(0, 2_000, 50).await;
    let mut program = rig.start();
    rig.sent(500, LOAD).await;
    rig.bus.nats().stop().await.expect("it stops");
    rig.bus.nats().start_again().await.expect("it starts again");
    rig.sent(1_200, LOAD).await;
    rig.bus.nats().kill().await.expect("it is killed");
    rig.bus.nats().start_again().await.expect("it starts again");
    rig.drained(LOAD).await;
    rig.assert_exactly_once(2_000).await;
    rig.green().await;
    program.sigterm().expect("the same process all the time");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn started_before_its_bus_it_waits_and_says_so() {
    let mut rig = Rig::new(On::Nats, Plan::default()).await;
    rig.publish_load(0, 10, 2).await;
    rig.bus.nats().stop().await.expect("it stops");
    let _program = rig.start();
    rig.red("bus_unreachable").await;
    rig.bus.nats().start_again().await.expect("it starts again");
    rig.drained(LOAD).await;
    rig.assert_exactly_once(10).await;
}
