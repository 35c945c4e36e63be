//! The events flow against mailboxes that do what Graph may do, a bus, and a store that several
//! workers share: what is promised of it, under a crash at every step.

mod controls;
mod crash;
mod resync;
mod start;
mod storm;
mod turns;

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use mailbridge_core::{
    Mailbox, Output, StateStore,
    contract::{Change, MailCloudEvent, decode},
    plugin::Build,
};
use mailbridge_engine::{
    events::{Board, Events, Record, Settings, Start, Whose, callback::Callbacks},
    health::Health,
};
use mailbridge_testkit::simulation::{Bus, Desk, Office, Power};
use tokio_util::sync::CancellationToken;

use super::PIPELINE;

/// A mailbox; most worlds have no other.
const ALICE: &str = "alice@x";

/// Everything that is there whichever worker runs.
#[derive(Clone)]
struct World {
    office: Office,
    bus: Bus,
    desk: Desk,
    settings: Settings,
    board: Board,
    health: Health,
}

/// An event as it stands on the bus.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Told {
    mailbox: String,
    folder: String,
    change: Change,
    id: String,
}

impl World {
    fn new(office: Office, settings: Settings) -> Self {
        Self {
            office,
            bus: Bus::new(Duration::from_mins(1)),
            desk: Desk::default(),
            settings,
            board: Board::new(),
            health: Health::new(),
        }
    }

    /// A worker, as the program makes it.
    fn worker(&self, power: &Power) -> Events {
        let (store, to) = (self.desk.port(power), self.bus.output(power, "events"));
        self.worker_with(power, store, to)
    }

    fn worker_with(
        &self,
        power: &Power,
        store: Arc<dyn StateStore>,
        to: Arc<dyn Build<dyn Output>>,
    ) -> Events {
        let office = self.office.clone();
        Events {
            name: PIPELINE.to_owned(),
            mail: self.office.mail(power),
            changes: self.office.changes(power),
            store,
            clock: Arc::new(move || office.now()),
            to,
            commits: false,
            pool: None,
            dead_letters: Some(self.bus.output(power, "dead")),
            files: None,
            filter: None,
            callbacks: Callbacks::new(),
            hub: None,
            settings: self.settings.clone(),
            health: self.health.register(PIPELINE),
            board: self.board.clone(),
        }
    }

    /// Runs one worker until its power goes.
    async fn shift(&self, power: &Power) {
        tokio::select! {
            () = power.gone() => {}
            ended = self.worker(power).run(CancellationToken::new()) => ended.expect("never"),
        }
    }

    /// Runs one worker until something has happened.
    async fn until<T>(&self, happened: impl Future<Output = T>) -> T {
        let power = Power::forever();
        tokio::select! {
            happened = happened => happened,
            () = self.shift(&power) => unreachable!("it has power"),
        }
    }

    /// What is on the bus, in its order, without repeats.
    fn told(&self) -> Vec<Told> {
        let posted = self.bus.posted().into_iter().filter(|it| it.target == "events");
        posted
            .map(|it| {
                let event: MailCloudEvent = decode::read(&it.message.payload).expect("an event");
                let data = event.event.data;
                let (folder, change) = (data.folder, data.change);
                Told { mailbox: event.mailbox, folder, change, id: data.message_id.0 }
            })
            .collect()
    }

    fn told_as(&self, change: Change) -> Vec<String> {
        self.told().into_iter().filter(|it| it.change == change).map(|it| it.id).collect()
    }

    /// Waits until something is true, two days at most.
    async fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..200_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("after two days: not {what}; told {:?}, {:?}", self.told(), self.board.snapshot());
    }

    /// Waits until everything that is in these folders is told.
    async fn caught_up(&self) {
        let watched = |folder: &str| self.settings.folders.iter().any(|it| it == folder);
        let mut before = None;
        for _ in 0..200_000 {
            let now = (self.bus.count(), self.office.ids(watched));
            if before.as_ref() != Some(&now) {
                let told: HashSet<_> = self.told_as(Change::Received).into_iter().collect();
                if now.1.iter().all(|id| told.contains(id)) {
                    return;
                }
                before = Some(now);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("not caught up after two days: {before:?}, {:?}", self.board.snapshot());
    }

    /// The records of all folders, as they are stored.
    fn records(&self) -> Vec<Record> {
        let values = self.desk.values("cursor/");
        values.iter().map(|it| Record::from_bytes(it).expect("a record")).collect()
    }

    /// How many messages a stored cursor has passed that are not on the bus: F2.
    fn lost(&self) -> usize {
        let told: HashSet<_> = self.told_as(Change::Received).into_iter().collect();
        let cursors = self.records().into_iter().filter_map(|it| it.cursor);
        let passed = cursors.flat_map(|cursor| self.office.passed(&cursor));
        passed.filter(|id| !told.contains(id)).count()
    }

    /// How many messages were told as new more than once.
    fn doubled(&self) -> usize {
        let mut times = BTreeMap::<_, usize>::new();
        for id in self.told_as(Change::Received) {
            *times.entry(id).or_default() += 1;
        }
        times.values().filter(|times| **times > 1).count()
    }
}

fn settings(folders: &[&str], start: Start) -> Settings {
    Settings {
        mailboxes: Whose::Listed(vec![Mailbox::new(ALICE)]),
        folders: folders.iter().map(|it| (*it).to_owned()).collect(),
        start,
        page_size: 3,
        ..Settings::default()
    }
}
