//! Where a pipeline begins, and what is new in a folder.

use std::time::Duration;

use mailbridge_core::contract::Change;
use mailbridge_engine::events::{Record, Settings, Start};
use mailbridge_testkit::simulation::{Manners, Office, Power};

use super::{ALICE, World, settings};

/// A world where the store knows the mailbox already, and nothing was read.
async fn first_look(world: &World) {
    world.office.throttle(ALICE, Duration::from_secs(30));
    let known = world.wait("known", |it| !it.desk.values("cursor/").is_empty());
    world.until(known).await;
}

async fn settled(world: &World) {
    tokio::time::sleep(Duration::from_mins(5)).await;
    world.wait("steady", |it| it.records().iter().all(Record::is_steady)).await;
}

#[tokio::test(start_paused = true)]
async fn from_now_on_nothing_is_told_that_was_there_and_everything_that_comes() {
    let office = Office::new(1, Manners { shuffled: true, ..Manners::default() });
    for minutes in 1..60 {
        office.deliver_of(ALICE, "inbox", office.now() - Duration::from_mins(minutes));
    }
    let world = World::new(office, settings(&["inbox"], Start::Now));
    first_look(&world).await;
    // after the first look, and before anything is read
    let mut wanted = vec![world.office.deliver(ALICE, "inbox")];
    world.until(settled(&world)).await;
    for _ in 0..10 {
        wanted.push(world.office.deliver(ALICE, "inbox"));
    }
    world.until(settled(&world)).await;
    let mut told = world.told_as(Change::Received);
    told.sort();
    assert_eq!(told, wanted);
}

/// More than Graph gives through a cursor that has a time to begin with.
#[tokio::test(start_paused = true)]
async fn from_now_on_is_kept_also_where_thousands_come_before_the_first_page() {
    let office = Office::new(1, Manners { shuffled: true, ..Manners::default() });
    office.deliver(ALICE, "inbox");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let world = World::new(office, Settings { page_size: 500, ..settings(&["inbox"], Start::Now) });
    first_look(&world).await;
    for _ in 0..4_500 {
        world.office.deliver(ALICE, "inbox");
    }
    let all = |it: &World| it.bus.tries("events") >= 4_500;
    world
        .until(async {
            world.wait("told", all).await;
            settled(&world).await;
        })
        .await;
    assert_eq!((world.told_as(Change::Received).len(), world.doubled()), (4_500, 0));
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_step_of_a_beginning_from_now_on_misses_nothing() {
    for step in 0.. {
        let office = Office::new(1, Manners::default());
        office.deliver_of(ALICE, "inbox", office.now() - Duration::from_mins(1));
        office.make_folder(ALICE, "inbox/Orders");
        let world = World::new(office, settings(&["inbox/**"], Start::Now));
        let power = Power::until(step);
        let mut wanted = Vec::new();
        let crashed = tokio::select! {
            biased;
            () = settled(&world) => false,
            () = world.shift(&power) => true,
        };
        if !world.desk.values("folders/").is_empty() {
            wanted.push(world.office.deliver(ALICE, "inbox"));
            wanted.push(world.office.deliver(ALICE, "inbox/Orders"));
            wanted.push(world.office.deliver(ALICE, "inbox/New"));
        }
        tokio::time::sleep(Duration::from_hours(1)).await;
        world.until(settled(&world)).await;
        let mut told = world.told_as(Change::Received);
        told.sort();
        wanted.sort();
        assert_eq!(told, wanted, "crash at step {step}");
        if !crashed {
            assert!(step > 15, "there are steps to crash at: {step}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_moves_between_two_folders_that_are_read_is_not_new_and_into_one_is() {
    let office = Office::new(1, Manners::default());
    let ids: Vec<_> = ["inbox", "inbox/A", "junk"].map(|it| office.deliver(ALICE, it)).into();
    let world = World::new(office, settings(&["inbox/**"], Start::All));
    world.until(settled(&world)).await;
    // repeats are seen as such by the record alone
    world.bus.forget_ids();
    world.office.put(&ids[0], Some("inbox/A"));
    world.office.put(&ids[1], Some("inbox/Fresh"));
    world.office.put(&ids[2], Some("inbox"));
    world.until(settled(&world)).await;
    world.office.put(&ids[0], Some("inbox"));
    world.until(settled(&world)).await;
    assert_eq!((world.told_as(Change::Received).len(), world.doubled()), (3, 0));
}
