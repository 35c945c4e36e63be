//! Faults on every port, several workers that die, and mailboxes in which things happen meanwhile.

use std::time::Duration;

use mailbridge_core::{Mailbox, contract::Change};
use mailbridge_engine::events::{Settings, Start, Whose};
use mailbridge_testkit::simulation::{Dice, Manners, Office, Power, Trouble};
use tokio::task::JoinSet;

use super::{World, settings};

const MAILBOXES: [&str; 3] = ["alice@x", "bob@x", "carol@x"];
const FOLDERS: [&str; 3] = ["inbox", "archive", "private"];
const MANNERS: Manners = Manners {
    unavailable: 8,
    throttled: 3,
    expired: 5,
    empty: 10,
    repeated: 20,
    partial: 60,
    shuffled: true,
};

/// Things happen in the mailboxes, for about half an hour.
async fn life(office: &Office, seed: u64) {
    let mut dice = Dice::new(seed);
    for _ in 0..150 {
        tokio::time::sleep(Duration::from_millis(dice.below(25_000))).await;
        let mut pick = |count: usize| usize::try_from(dice.below(count as u64)).expect("small");
        let (mailbox, folder) = (MAILBOXES[pick(3)], FOLDERS[pick(3)]);
        let all = office.ids(|_| true);
        let some = all.get(pick(all.len().max(1)));
        match (pick(10), some) {
            (0..4, _) | (_, None) => {
                for _ in 0..=pick(5) {
                    office.deliver(mailbox, folder);
                }
            }
            (4, _) => {
                office.deliver_late(mailbox, folder, Duration::from_mins(1));
            }
            (5 | 6, Some(id)) => office.put(id, Some(folder)),
            (7, Some(id)) => office.put(id, None),
            (_, Some(id)) => office.read(id, pick(2) == 0),
        }
    }
}

fn world(seed: u64) -> World {
    let office = Office::new(seed, MANNERS);
    for mailbox in MAILBOXES {
        for folder in FOLDERS {
            office.deliver(mailbox, folder);
        }
    }
    let changes = match seed % 2 {
        0 => vec![Change::Received],
        _ => vec![Change::Received, Change::Updated, Change::Moved, Change::Deleted],
    };
    let mailboxes = Whose::Listed(MAILBOXES.map(Mailbox::new).to_vec());
    let settings = settings(&["inbox", "archive"], Start::All);
    let every = Duration::from_mins(2);
    let world = World::new(office, Settings { mailboxes, changes, every, ..settings });
    world.bus.trouble("events", Trouble::Unsure(10, Dice::new(seed)));
    world.desk.trouble(5, Dice::new(seed + 1));
    world
}

/// Two workers at once, each of which dies and is replaced six times.
async fn storm(seed: u64) -> World {
    let world = world(seed);
    let mut dice = Dice::new(seed);
    let mut workers = JoinSet::new();
    for _ in 0..2 {
        let cuts: Vec<_> = (0..6).map(|_| 5 + dice.below(400)).collect();
        let world = world.clone();
        workers.spawn(async move {
            for cut in cuts {
                world.shift(&Power::until(cut)).await;
                assert_eq!(world.lost(), 0, "F2: seed {seed}, power for {cut} steps");
            }
            world.shift(&Power::forever()).await;
        });
    }
    life(&world.office, seed).await;
    world.caught_up().await;
    // and it stays so
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(workers.try_join_next().is_none(), "seed {seed}: a worker has ended");
    world
}

#[tokio::test(start_paused = true)]
async fn a_storm_over_many_seeds_loses_nothing_and_doubles_nothing() {
    for seed in 0..40 {
        let world = storm(seed).await;
        assert_eq!((world.lost(), world.doubled()), (0, 0), "seed {seed}");
        assert_eq!(world.bus.tries("dead"), 0, "seed {seed}");
        let told = world.told();
        let strange = told.iter().find(|it| it.folder == "private");
        assert_eq!(strange, None, "seed {seed}");
    }
}
