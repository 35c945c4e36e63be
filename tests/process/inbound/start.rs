//! What of the mail that was there before is told.

use jiff::{SignedDuration, Timestamp};
use mailbridge_sandbox::Bulk;

use super::world::{Plan, World};
use crate::{
    bus::{On, over_each_bus},
    rig::{self, LOAD, SOON},
};

over_each_bus!(now_leaves_out_what_was_there, a_time_takes_all_that_is_newer_however_many,);

async fn subjects(world: &World) -> Vec<String> {
    let received = world.received().await.remove(&rig::mailbox(0)).unwrap_or_default();
    received.into_iter().filter_map(|mail| mail.content.subject).collect()
}

async fn now_leaves_out_what_was_there(on: On) {
    let plan = Plan { mailboxes: 1, pipeline: "      start: now", ..Plan::default() };
    let world = World::over(on, plan).await;
    let hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
    let old = Bulk { received: Some(hour_ago), ..Bulk::new(rig::mailbox(0), 40) };
    world.handle().receive_many(&old).expect("they arrive");
    let mut program = world.start();
    world.green().await;
    world.arrive(0, 3, "new");
    world.published(3, SOON).await;
    program.kill9().expect("it runs");
    program.wait_exit(SOON).await.expect("it is gone");
    world.arrive(0, 2, "while away");
    let _program = world.start();
    world.published(5, SOON).await;
    assert_eq!(subjects(&world).await, ["new 1", "new 2", "new 3", "while away 1", "while away 2"]);
}

/// More than Graph gives through a filter (5,000).
async fn a_time_takes_all_that_is_newer_however_many(on: On) {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: 2026-02-01T00:00:00Z\n      page_size: 500\n      body: none",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    for (from, count) in [("2026-01-01T00:00:00Z", 500), ("2026-02-01T00:00:00Z", 12_000)] {
        let received = Some(from.parse().expect("a time"));
        let seed = count;
        let bulk = Bulk { received, seed, step_seconds: 1.0, ..Bulk::new(rig::mailbox(0), count) };
        world.handle().receive_many(&bulk).expect("they arrive");
    }
    let _program = world.start();
    world.published(12_000, LOAD).await;
    world.arrive(0, 1, "new");
    world.published(12_001, SOON).await;
    let told = subjects(&world).await;
    assert_eq!(told.len(), 12_001);
    assert_eq!((told[0].as_str(), told[11_999].as_str()), ("Message 1", "Message 12000"));
}
