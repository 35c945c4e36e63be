//! A crash at every step: nothing is lost, the order is Graph's, and what follows an event is done.

use std::{collections::HashSet, pin::pin};

use mailbridge_core::contract::Change;
use mailbridge_engine::events::{Settings, Start, after::Steps};
use mailbridge_testkit::simulation::{Manners, Office, Power};

use super::{ALICE, World, settings};

/// Some mail that is there before, in two folders, and some that comes; one is moved from one to the
/// other, one is deleted, one is read.
struct Story {
    world: World,
    doomed: String,
}

impl Story {
    fn new() -> Self {
        let manners = Manners { shuffled: true, repeated: 30, ..Manners::default() };
        let office = Office::new(1, manners);
        let ids: Vec<_> = (0..7).map(|_| office.deliver(ALICE, "inbox")).collect();
        office.deliver(ALICE, "archive");
        let after = Steps { mark_read: true, ..Steps::default() };
        let changes = vec![Change::Received, Change::Moved, Change::Deleted];
        let settings = settings(&["inbox", "archive"], Start::All);
        let world = World::new(office, Settings { after, changes, ..settings });
        Self { world, doomed: ids[2].clone() }
    }

    async fn happens(&self) {
        let World { office, .. } = &self.world;
        self.done().await;
        let moved = office.ids(|folder| folder == "inbox")[0].clone();
        office.put(&moved, Some("archive"));
        office.put(&self.doomed, None);
        for _ in 0..4 {
            office.deliver(ALICE, "inbox");
        }
        self.done().await;
        self.world.wait("moved", |it| it.told_as(Change::Moved) == [moved.clone()]).await;
        let doomed = [self.doomed.clone()];
        self.world.wait("deleted", |it| it.told_as(Change::Deleted) == doomed).await;
    }

    /// Everything is told, and then read.
    async fn done(&self) {
        self.world.caught_up().await;
        let read = |world: &World| {
            let ids = world.office.ids(|_| true);
            ids.iter().all(|id| world.office.letter(id).is_some_and(|it| it.is_read))
        };
        self.world.wait("marked read", read).await;
    }

    /// Runs it with a crash at this step. Whether it came to that.
    async fn with_crash_at(&self, step: u64) -> bool {
        let power = Power::until(step);
        let mut happens = pin!(self.happens());
        tokio::select! {
            biased;
            () = &mut happens => return false,
            () = self.world.shift(&power) => {}
        }
        assert_eq!(self.world.lost(), 0, "F2: crash at step {step}");
        self.world.until(happens).await;
        true
    }

    /// The messages of a folder in the order in which Graph gave them.
    fn given(&self, folder: &str) -> Vec<String> {
        let record = self.world.records().into_iter().find(|it| it.folder.id == folder);
        let cursor = record.and_then(|it| it.cursor).expect("it was read");
        let mut seen = HashSet::new();
        let given = self.world.office.passed(&cursor).into_iter();
        given.filter(|id| seen.insert(id.clone())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_step_loses_nothing_doubles_nothing_and_keeps_the_order() {
    for step in 0.. {
        let story = Story::new();
        let crashed = story.with_crash_at(step).await;
        let world = &story.world;
        assert_eq!((world.lost(), world.doubled()), (0, 0), "crash at step {step}");
        assert_eq!(world.told_as(Change::Received).len(), 12, "crash at step {step}");
        assert!(world.bus.tries("dead") == 0, "crash at step {step}");
        for folder in ["inbox", "archive"] {
            let told = world.told().into_iter();
            let new = told.filter(|it| it.change == Change::Received && it.folder == folder);
            let new: Vec<_> = new.map(|it| it.id).collect();
            let mut given = story.given(folder);
            given.retain(|id| new.contains(id));
            assert_eq!(new, given, "F6: crash at step {step}");
        }
        if !crashed {
            assert!(step > 100, "the story has steps to crash at: {step}");
            break;
        }
    }
}
