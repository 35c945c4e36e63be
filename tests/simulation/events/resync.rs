//! Reading a folder once more because Graph has forgotten where we were.

use std::time::Duration;

use mailbridge_core::contract::Change;
use mailbridge_engine::events::{Record, Settings, Start};
use mailbridge_testkit::simulation::{Manners, Office};

use super::{ALICE, World, settings};

const MANY: usize = 20_000;

fn world(changes: Vec<Change>) -> World {
    let office = Office::new(1, Manners { shuffled: true, ..Manners::default() });
    let begun = office.now() - Duration::from_hours(24 * 300);
    for number in 0..MANY {
        let received = begun + Duration::from_mins(number as u64);
        office.deliver_of(ALICE, "inbox", received);
    }
    let settings = Settings { page_size: 1_000, changes, ..settings(&["inbox"], Start::All) };
    World::new(office, settings)
}

async fn steady(world: &World) {
    let steady = |it: &World| it.records().iter().any(Record::is_steady);
    world.wait("steady", steady).await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_of_twenty_thousand_is_told_once_and_a_second_reading_tells_nothing_again() {
    let changes = vec![Change::Received, Change::Updated];
    let world = world(changes);
    world.until(steady(&world)).await;
    assert_eq!(world.bus.tries("events"), MANY, "each once, at the first reading");
    assert_eq!(world.doubled(), 0);
    let known = world.records()[0].known();
    assert!(known < 3_000, "what is kept is bounded: {known}");
    tokio::time::sleep(Duration::from_hours(1)).await;
    world.until(tokio::time::sleep(Duration::from_mins(5))).await;
    // what happens while nobody reads
    world.bus.forget_ids();
    world.office.forget_cursors();
    tokio::time::sleep(Duration::from_hours(1)).await;
    let new = world.office.deliver(ALICE, "inbox");
    let old = world.office.ids(|_| true)[5].clone();
    world.office.read(&old, true);
    let again = async {
        world.wait("told", |it| it.bus.tries("events") > MANY).await;
        tokio::time::sleep(Duration::from_mins(30)).await;
        steady(&world).await;
    };
    world.until(again).await;
    let told = world.told();
    let mut more: Vec<_> = told[MANY..].iter().map(|it| (it.change, it.id.clone())).collect();
    more.sort();
    assert_eq!(more, [(Change::Received, new), (Change::Updated, old)]);
}

/// More than is remembered, in pages of any order, and then another reading.
#[tokio::test(start_paused = true)]
async fn a_backlog_in_any_order_is_new_mail_all_of_it() {
    let office = Office::new(1, Manners { shuffled: true, ..Manners::default() });
    for minutes in 0..3_000 {
        office.deliver_of(ALICE, "inbox", office.now() - Duration::from_mins(10_000 + minutes));
    }
    let changes = vec![Change::Received, Change::Deleted];
    let page_size = 100;
    let settings = Settings { page_size, changes, ..settings(&["inbox"], Start::All) };
    let world = World::new(office, settings);
    world.until(steady(&world)).await;
    // the newest first
    for minutes in 0..3_000 {
        let received = world.office.now() - Duration::from_mins(minutes);
        world.office.deliver_of(ALICE, "inbox", received);
    }
    world.until(world.caught_up()).await;
    assert_eq!((world.bus.tries("events"), world.doubled()), (6_000, 0));
}
