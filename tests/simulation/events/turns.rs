//! Many mailboxes: nobody holds up others, and everything ends when it is told to.

use std::time::Duration;

use mailbridge_core::{Mailbox, changes::Rule, contract::Change};
use mailbridge_engine::events::{Settings, Start, State, Whose};
use mailbridge_testkit::simulation::{Manners, Office, Power, Trouble};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{ALICE, World, settings};

fn all(count: usize) -> Vec<Mailbox> {
    let others = (1..count).map(|number| Mailbox::new(format!("m{number}@x")));
    std::iter::once(Mailbox::new(ALICE)).chain(others).collect()
}

fn many(office: Office, count: usize) -> World {
    let mailboxes = Whose::Listed(all(count));
    World::new(office, Settings { mailboxes, ..settings(&["inbox"], Start::All) })
}

fn told_of(world: &World, mailbox: &str) -> usize {
    world.told().iter().filter(|it| it.mailbox == mailbox).count()
}

#[tokio::test(start_paused = true)]
async fn a_long_backlog_of_one_mailbox_does_not_hold_up_the_others() {
    let office = Office::new(1, Manners::default());
    for _ in 0..5_000 {
        office.deliver(ALICE, "inbox");
    }
    for number in 1..20 {
        office.deliver(&format!("m{number}@x"), "inbox");
    }
    let world = many(office, 20);
    // even if only one may have its turn at a time
    let world = World { settings: Settings { at_once: 1, ..world.settings }, ..world };
    let begun = Instant::now();
    let others = |it: &World| (1..20).all(|number| told_of(it, &format!("m{number}@x")) == 1);
    world.until(world.wait("others", others)).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(told_of(&world, ALICE) < 5_000, "the backlog takes longer");
}

/// A backlog of one folder does not hold up the others of its mailbox either.
#[tokio::test(start_paused = true)]
async fn a_long_backlog_of_one_folder_does_not_hold_up_the_next() {
    let office = Office::new(1, Manners::default());
    for _ in 0..2_000 {
        office.deliver(ALICE, "archive");
    }
    let news = office.deliver(ALICE, "inbox");
    let world = World::new(office, settings(&["archive", "inbox"], Start::All));
    let told = |it: &World| it.told_as(Change::Received).contains(&news);
    world.until(world.wait("told", told)).await;
    assert!(world.told().len() < 200, "{}", world.told().len());
}

/// A page without anything moves the cursor too, or a turn of such pages would come again and again.
#[tokio::test(start_paused = true)]
async fn many_pages_without_anything_are_passed() {
    let office = Office::new(1, Manners { empty: 93, ..Manners::default() });
    for _ in 0..20 {
        office.deliver(ALICE, "inbox");
    }
    let world = World::new(office, settings(&["inbox"], Start::All));
    world.until(world.caught_up()).await;
    for _ in 0..20 {
        world.office.deliver(ALICE, "inbox");
    }
    world.until(world.caught_up()).await;
    assert_eq!(world.doubled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_denied_is_parked_and_comes_back_and_others_go_on() {
    let office = Office::new(1, Manners::default());
    office.deny(ALICE, true);
    let world = many(office, 2);
    let power = Power::forever();
    let happens = async {
        for _ in 0..100 {
            world.office.deliver("m1@x", "inbox");
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        assert_eq!(told_of(&world, "m1@x"), 100);
        let status = world.board.get(&Mailbox::new(ALICE)).expect("a status");
        assert_eq!(status.state, State::Parked);
        assert_eq!(status.error.map(|it| it.code), Some("mailbox_denied"));
        let asked = world.office.asked(ALICE);
        assert!((3..12).contains(&asked), "ever more seldom: {asked}");
        world.office.deny(ALICE, false);
        world.office.deliver(ALICE, "inbox");
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(told_of(&world, ALICE), 1);
        let status = world.board.get(&Mailbox::new(ALICE)).expect("a status");
        assert_eq!((status.state, status.error), (State::Steady, None));
    };
    tokio::select! {
        () = happens => {}
        () = world.shift(&power) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_mailbox_is_left_alone_for_as_long_as_it_asks_for_and_others_go_on() {
    let office = Office::new(1, Manners::default());
    office.throttle(ALICE, Duration::from_mins(20));
    for mailbox in [ALICE, "m1@x"] {
        office.deliver(mailbox, "inbox");
    }
    let world = many(office, 2);
    let begun = Instant::now();
    world.until(world.wait("m1", |it| told_of(it, "m1@x") == 1)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    world.until(world.caught_up()).await;
    assert!(begun.elapsed() < Duration::from_mins(21), "{:?}", begun.elapsed());
    assert!(world.office.asked(ALICE) < 5, "{}", world.office.asked(ALICE));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_connection_holds_everything_and_resumes() {
    let office = Office::new(1, Manners::default());
    let world = many(office, 10);
    let happens = async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.office.block(true);
        for mailbox in all(10) {
            world.office.deliver(mailbox.as_str(), "inbox");
        }
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(world.health.snapshot()[0].state.as_str(), "held");
        let asked = |world: &World| all(10).iter().map(|it| world.office.asked(it.as_str())).sum();
        let before: usize = asked(&world);
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(asked(&world), before, "nobody is asked meanwhile");
        assert!(world.told().is_empty());
        world.office.block(false);
        world.caught_up().await;
        assert_ne!(world.health.snapshot()[0].state.as_str(), "held");
    };
    world.until(happens).await;
}

#[tokio::test(start_paused = true)]
async fn a_soft_stop_ends_within_the_drain_time_and_nothing_is_lost_by_it() {
    for down in [false, true] {
        let office = Office::new(1, Manners::default());
        for mailbox in all(30) {
            for _ in 0..60 {
                office.deliver(mailbox.as_str(), "inbox");
            }
        }
        let world = many(office, 30);
        if down {
            world.bus.trouble("events", Trouble::Down);
        }
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(world.worker(&Power::forever()).run(stop.clone()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
        let begun = Instant::now();
        while running.join_next().await.is_some() {}
        assert!(begun.elapsed() <= world.settings.drain, "{:?}", begun.elapsed());
        assert_eq!(world.lost(), 0);
        let told = world.told().len();
        assert!(told < 1_800 && (told > 0) != down, "{told}");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(world.told().len(), told, "it has ended");
        world.bus.mend("events");
        world.until(world.caught_up()).await;
        assert_eq!((world.lost(), world.doubled()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_takes_long_is_waited_for_however_much_happens_meanwhile() {
    let office = Office::new(1, Manners::default());
    office.staff(&[ALICE], Duration::from_mins(1));
    let (rule, every) = (Rule::Users("true".to_owned()), Duration::from_mins(10));
    let mailboxes = Whose::Rule { rule, every };
    let settings = Settings { mailboxes, ..settings(&["inbox"], Start::All) };
    let world = World::new(office, settings);
    let happens = async {
        world.office.deliver(ALICE, "inbox");
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(told_of(&world, ALICE), 1);
        world.office.staff(&["m1@x"], Duration::from_mins(1));
        for _ in 0..240 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.office.deliver(ALICE, "inbox");
            world.office.deliver("m1@x", "inbox");
        }
        world.wait("read who is new", |it| told_of(it, "m1@x") == 240).await;
        assert!(told_of(&world, ALICE) < 200, "and who is gone is not");
        let known: Vec<_> = world.board.snapshot().into_iter().map(|it| it.mailbox).collect();
        assert_eq!(known, [Mailbox::new("m1@x")]);
    };
    world.until(happens).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_workers_on_one_store_nothing_is_told_twice() {
    let office = Office::new(1, Manners { shuffled: true, ..Manners::default() });
    for _ in 0..200 {
        office.deliver(ALICE, "inbox");
    }
    let world = World::new(office, settings(&["inbox"], Start::All));
    let power = Power::forever();
    let happens = async {
        world.caught_up().await;
        for _ in 0..50 {
            world.office.deliver(ALICE, "inbox");
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        world.caught_up().await;
    };
    tokio::select! {
        () = happens => {}
        () = world.shift(&power) => {}
        () = world.shift(&power) => {}
    }
    assert_eq!((world.told().len(), world.lost(), world.doubled()), (250, 0, 0));
}
