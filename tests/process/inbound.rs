//! Mails become events: the built program between the sandbox's mailboxes and a real nats-server, or a
//! real Kafka broker.
//!
//! What the bus holds is compared with what is really in the folders, never with what the program
//! says of itself.

mod changes;
mod content;
mod cursor;
mod forms;
mod pool;
mod start;
mod storm;
mod wake;
pub mod world;

use mailbridge_sandbox::DeltaFaults;
use world::{Plan, World};

use crate::{
    bus::{DEAD, On, over_each_bus},
    rig::{LOAD, SOON, until},
};

over_each_bus!(
    mails_that_are_there_and_mails_that_arrive_become_events_in_their_order,
    a_restart_goes_on_where_it_was,
    a_forgotten_cursor_publishes_nothing_again,
    pages_that_are_empty_and_repeat_change_nothing,
    two_workers_share_a_pipeline_and_tell_each_mail_once,
    status_tells_how_far_each_folder_is,
);

async fn mails_that_are_there_and_mails_that_arrive_become_events_in_their_order(on: On) {
    let world = World::over(on, Plan::default()).await;
    for mailbox in 0..3 {
        world.arrive(mailbox, 150, "old");
    }
    let mut program = world.start();
    world.green().await;
    for round in ["a", "b", "c"] {
        for mailbox in 0..3 {
            world.arrive(mailbox, 20, round);
        }
    }
    world.assert_as_in_inboxes(3).await;
    program.sigterm().expect("it runs");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    assert!(world.messages(DEAD).await.is_empty(), "every mail can be read");
    // as many as there are mails: nothing was told twice in quiet times
    assert_eq!(world.publications() as u64, world.stored().await);
}

async fn a_restart_goes_on_where_it_was(on: On) {
    let world = World::over(on, Plan::default()).await;
    for mailbox in 0..3 {
        world.arrive(mailbox, 50, "old");
    }
    for round in ["a", "b"] {
        let mut program = world.start();
        world.assert_as_in_inboxes(3).await;
        program.sigterm().expect("it runs");
        assert!(program.wait_exit(SOON).await.expect("it stops").success());
        for mailbox in 0..3 {
            world.arrive(mailbox, 10, round);
        }
    }
    let _program = world.start();
    world.assert_as_in_inboxes(3).await;
    assert_eq!(world.publications(), 3 * 70, "what was told is not told again");
}

/// Over NATS, where the stream drops the repeats; over Kafka a transaction comes to nothing instead,
/// for which there is a test of twenty kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_it_loses_nothing_and_the_stream_has_each_once() {
    let plan = Plan { pipeline: "      start: all\n      page_size: 10", ..Plan::default() };
    let world = World::new(plan).await;
    for mailbox in 0..3 {
        world.arrive(mailbox, 300, "old");
    }
    for kill in 1..=8 {
        let mut program = world.start();
        world.arrive(kill % 3, 7, &format!("kill{kill}"));
        // not at the end of a page
        world.published(kill as u64 * 97, LOAD).await;
        program.kill9().expect("it runs");
        program.wait_exit(SOON).await.expect("it is gone");
    }
    let _program = world.start();
    world.assert_as_in_inboxes(3).await;
    let (published, stored) = (world.publications() as u64, world.stored().await);
    println!("killed in the middle: {published} published, {stored} in the stream");
    assert!(published > stored, "no kill fell between a publish and its commit");
}

/// Over NATS alone: the Kafka broker is shared, and nobody takes it away from the other tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_goes_away_and_comes_back_gets_every_event() {
    let plan = Plan { pipeline: "      start: all\n      page_size: 10", ..Plan::default() };
    let mut world = World::new(plan).await;
    for mailbox in 0..3 {
        world.arrive(mailbox, 200, "old");
    }
    let mut program = world.start();
    world.published(100, LOAD).await;
    world.bus.nats().stop().await.expect("it stops");
    until(SOON, "/readyz says that the bus is gone", async || {
        let answer = world.get("/readyz").await.unwrap_or_default();
        answer.contains("\"ready\":false") && answer.contains("bus_")
    })
    .await;
    world.arrive(0, 20, "meanwhile");
    world.bus.nats().start_again().await.expect("it starts again");
    world.published(250, LOAD).await;
    world.bus.nats().kill().await.expect("it is killed");
    world.bus.nats().start_again().await.expect("it starts again");
    world.assert_as_in_inboxes(3).await;
    world.green().await;
    program.sigterm().expect("the same process all the time");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
}

async fn a_forgotten_cursor_publishes_nothing_again(on: On) {
    let world = World::over(on, Plan::default()).await;
    for mailbox in 0..3 {
        world.arrive(mailbox, 120, "old");
    }
    let _program = world.start();
    world.assert_as_in_inboxes(3).await;
    for round in ["a", "b", "c"] {
        assert!(world.handle().evict_delta(None, None).expect("all mailboxes") > 0);
        for mailbox in 0..3 {
            world.arrive(mailbox, 5, round);
        }
        world.assert_as_in_inboxes(3).await;
    }
    assert_eq!(world.publications(), 3 * 135, "not even to a stream that would drop it");
    let expired = world.get("/metrics").await.expect("metrics");
    assert!(expired.contains("mailbridge_"), "{expired}");
}

async fn pages_that_are_empty_and_repeat_change_nothing(on: On) {
    let plan = Plan { pipeline: "      start: all\n      page_size: 20", ..Plan::default() };
    let world = World::over(on, plan).await;
    world.handle().set_delta_faults(DeltaFaults {
        empty: 0.3,
        repeat: 0.2,
        repeat_later: 0.2,
        ..DeltaFaults::default()
    });
    for mailbox in 0..3 {
        world.arrive(mailbox, 200, "old");
    }
    let _program = world.start();
    world.assert_as_in_inboxes(3).await;
    world.arrive(0, 30, "new");
    world.assert_as_in_inboxes(3).await;
    assert_eq!(world.publications(), 630);
}

async fn two_workers_share_a_pipeline_and_tell_each_mail_once(on: On) {
    let world = World::over(on, Plan::default()).await;
    let (_one, _other) = (world.start(), world.start());
    for mailbox in 0..3 {
        world.arrive(mailbox, 100, "old");
    }
    world.assert_as_in_inboxes(3).await;
    world.arrive(1, 20, "new");
    world.assert_as_in_inboxes(3).await;
}

async fn status_tells_how_far_each_folder_is(on: On) {
    let world = World::over(on, Plan::default()).await;
    world.arrive(0, 3, "old");
    let _program = world.start();
    world.published(3, SOON).await;
    let status = async |query: &str| {
        let text = world.get(&format!("/status{query}")).await.expect("an answer");
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or(text.into())
    };
    until(SOON, "every mailbox is caught up", async || {
        status("").await["pipelines"][0]["counts"]["steady"] == 3
    })
    .await;
    let one = status("?pipeline=support&mailbox=M0@contoso.example").await;
    let (pipeline, mailbox) = (&one["pipelines"][0], &one["pipelines"][0]["mailboxes"][0]);
    assert_eq!((&pipeline["published"], &pipeline["state"]), (&3.into(), &"ready".into()), "{one}");
    assert_eq!(mailbox["mailbox"], "m0@contoso.example", "{one}");
    for key in ["cursor_at", "up_to_date_at", "next_at", "lag_seconds"] {
        assert!(!mailbox[key].is_null(), "{key}: {one}");
    }
    let few = status("?limit=1").await;
    let pipeline = &few["pipelines"][0];
    let told = pipeline["mailboxes"].as_array().map(Vec::len);
    assert_eq!((told, &pipeline["left_off"]), (Some(1), &2.into()), "{few}");
    let nobody = status("?pipeline=suport").await;
    assert!(nobody.as_str().is_some_and(|text| text.contains("`support`")), "{nobody}");
}
