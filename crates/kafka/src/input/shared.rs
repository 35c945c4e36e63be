//! What the consumer's thread, the input and the receipts share: partitions, records that were read
//! and not handed out yet, and the commit that is on its way. No call to librdkafka is made here.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use mailbridge_core::{
    Code, Delivery, Error, Message, Position, Receipt, Result, SeenBefore, Settled,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    ahead::{Ahead, First},
    receipt::KafkaReceipt,
};
use crate::partition::{Commit, Found, Partition, Place, Turn};

/// How long the brokers may take to confirm a commit.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Shared {
    lot: Mutex<Lot>,
    /// Held by whoever commits.
    pub committing: Mutex<()>,
    /// There may be something to hand out.
    pub arrived: Notify,
    /// Changes with every commit that was confirmed, and every partition that went.
    news: watch::Sender<u64>,
    /// For the consumer's thread.
    wake: Condvar,
    /// For the committer's.
    due: Condvar,
    /// Records of a partition that may be open.
    open_max: usize,
    /// Brokers that take no notes get none.
    pub without_notes: AtomicBool,
}

/// What is still wanted of the consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Records,
    /// No more of them; what is out is still to be settled.
    Settling,
    Nothing,
}

/// What is under the lock.
#[derive(Default)]
pub(super) struct Lot {
    pub partitions: HashMap<Place, Partition>,
    /// Read, and not handed out yet.
    pub ahead: Ahead,
    /// Why the input ends.
    failed: Option<Error>,
    wanted: Wanted,
    /// The consumer's thread has something to do.
    woken: bool,
    /// There is something to commit.
    commit_due: bool,
    epochs: u64,
    /// Where reading ends, where it does.
    pub until: Option<HashMap<Place, u64>>,
    /// Up to where each partition was read, as far as it is to be read to some end.
    read: HashMap<Place, u64>,
}

/// A record that was read.
pub(super) struct Record {
    pub place: Place,
    pub epoch: u64,
    pub offset: u64,
    pub position: Position,
    pub bytes: usize,
    pub message: Message,
}

impl Shared {
    pub fn new(open_max: usize) -> Self {
        Self {
            lot: Mutex::default(),
            committing: Mutex::default(),
            arrived: Notify::new(),
            news: watch::Sender::default(),
            wake: Condvar::new(),
            due: Condvar::new(),
            open_max,
            without_notes: AtomicBool::new(false),
        }
    }

    pub fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer's thread has something to do.
    pub fn wake(&self) {
        self.lot().woken = true;
        self.wake.notify_all();
    }

    /// There is something to commit.
    pub fn commit(&self) {
        let mut lot = self.lot();
        lot.commit_due = true;
        lot.woken = true;
        drop(lot);
        self.due.notify_all();
        self.wake.notify_all();
    }

    /// Sleeps until there is something to commit, or for so long. For the committer's thread.
    pub fn wait_due(&self, at_most: Duration) {
        let wait = |lot: &mut Lot| !lot.commit_due && !lot.has_ended();
        let due = self.due.wait_timeout_while(self.lot(), at_most, wait);
        due.unwrap_or_else(PoisonError::into_inner).0.commit_due = false;
    }

    /// Sleeps until woken, or for so long. For the consumer's thread.
    pub fn sleep(&self, at_most: Duration) {
        let lot = self.lot();
        let woken = self.wake.wait_timeout_while(lot, at_most, |lot| !lot.woken);
        woken.unwrap_or_else(PoisonError::into_inner).0.woken = false;
    }

    /// Tells all who wait for a commit to look again.
    pub fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
        self.arrived.notify_one();
    }

    /// Ends the input, with the first of its failures.
    pub fn fail(&self, error: Error) {
        self.lot().failed.get_or_insert(error);
        self.tell();
        self.wake();
        self.due.notify_all();
    }

    /// Nobody wants records any more.
    pub fn stop(&self) {
        self.lot().wanted = Wanted::Nothing;
        self.wake();
        self.due.notify_all();
    }

    /// Hands out nothing any more. What was not handed out is new to whoever comes next, and the
    /// group is left as soon as nothing is out.
    pub fn leave(&self) {
        let mut lot = self.lot();
        lot.wanted = Wanted::Settling;
        lot.ahead = Ahead::default();
        lot.partitions.values_mut().for_each(Partition::leave);
        drop(lot);
        self.commit();
    }

    /// Whether everything that was out is settled, after which nothing was to come.
    pub fn has_left(&self) -> bool {
        let lot = self.lot();
        lot.wanted == Wanted::Settling
            && lot.partitions.values().all(|partition| partition.out == 0)
    }

    pub fn has_ended(&self) -> bool {
        self.lot().has_ended()
    }

    /// The next record that may be handed out.
    pub fn take(self: &Arc<Self>) -> Result<Option<Delivery>> {
        let mut lot = self.lot();
        if let Some(error) = &lot.failed {
            return Err(error.clone());
        }
        let (taken, commit, wake) = lot.take(self.open_max);
        drop(lot);
        if commit {
            self.commit();
        } else if wake {
            self.wake();
        }
        Ok(taken.map(|(record, seen_before)| {
            let Record { place, epoch, offset, position, bytes, message } = record;
            let receipt = KafkaReceipt { shared: Arc::clone(self), place, epoch, offset, bytes };
            Delivery { message, position, seen_before, receipt: Receipt::new(receipt) }
        }))
    }

    /// Keeps a record for whoever comes next. Says whether enough of its partition is read now.
    pub fn put(&self, record: Record) -> bool {
        let mut lot = self.lot();
        let mut wanted = true;
        if let Some(until) = &lot.until {
            wanted = until.get(&record.place).is_some_and(|until| record.offset < *until);
            let (place, next) = (record.place.clone(), record.offset + 1);
            lot.read.insert(place, next);
        }
        let enough = wanted && (lot.is_leaving() || lot.ahead.put(record));
        drop(lot);
        self.arrived.notify_one();
        enough
    }

    /// Notes that a partition was read to its end, which is not before where reading ends.
    pub fn end_of(&self, number: i32) {
        let mut lot = self.lot();
        let of = |place: &&Place| place.number == number;
        let place = lot.until.as_ref().and_then(|until| until.keys().find(of).cloned());
        lot.read.extend(place.map(|place| (place, u64::MAX)));
        drop(lot);
        self.arrived.notify_one();
    }

    /// Whether everything was handed out that was to be read.
    pub fn is_read(&self) -> bool {
        let lot = self.lot();
        let Some(until) = &lot.until else { return false };
        lot.ahead.is_empty()
            && until.iter().all(|(place, until)| {
                let ours = lot.partitions.get(place).filter(|it| !it.is_revoked());
                let read = lot.read.get(place).copied().unwrap_or_default();
                ours.is_some_and(|it| read.max(it.begin()) >= *until)
            })
    }

    /// Whether a partition is not to be read for now.
    pub fn pauses(&self, lot: &Lot, place: &Place) -> bool {
        let full = lot.partitions.get(place).is_some_and(|it| it.is_full(self.open_max));
        lot.is_leaving() || full || lot.ahead.pauses(place)
    }

    /// Waits until the commit of a change is confirmed, or never will be.
    pub async fn confirmed(&self, place: &Place, epoch: u64, change: u64) -> Result<Settled> {
        let mut news = self.news.subscribe();
        let give_up = Instant::now() + CONFIRM_TIMEOUT;
        loop {
            news.borrow_and_update();
            let confirmed = self.lot().of(place, epoch).and_then(|it| it.is_confirmed(change));
            match confirmed {
                Some(true) => return Ok(Settled::Yes),
                Some(false) => {}
                None => return Ok(Settled::Stale),
            }
            let late = tokio::time::timeout_at(give_up, news.changed()).await;
            if !matches!(late, Ok(Ok(()))) {
                let detail = "the brokers did not confirm a commit in time";
                return Err(Error::transient(Code::BusLost, detail).with("partition", place));
            }
        }
    }
}

impl Lot {
    fn has_ended(&self) -> bool {
        self.wanted == Wanted::Nothing || self.failed.is_some()
    }

    fn is_leaving(&self) -> bool {
        self.wanted != Wanted::Records
    }

    /// Notes a partition that is ours from now on.
    pub fn add(&mut self, place: Place, found: Found) {
        self.epochs += 1;
        let mut partition = Partition::new(self.epochs, found);
        if self.is_leaving() {
            partition.leave();
        }
        self.partitions.insert(place, partition);
    }

    /// The partition, if it is still of this assignment.
    pub fn of(&mut self, place: &Place, epoch: u64) -> Option<&mut Partition> {
        self.partitions.get_mut(place).filter(|it| it.epoch == epoch)
    }

    /// The first record whose turn it is, whether there is something new to commit, and whether a
    /// partition may be read on.
    fn take(&mut self, open_max: usize) -> (Option<(Record, SeenBefore)>, bool, bool) {
        let (mut commit, mut seen) = (false, SeenBefore::No);
        let Self { partitions, ahead, .. } = self;
        let taken = ahead.take(|record| {
            let partition = partitions.get_mut(&record.place);
            let Some(partition) = partition.filter(|it| it.epoch == record.epoch) else {
                return First::Skip;
            };
            if partition.is_full(open_max) {
                return First::Pass;
            }
            let turn = partition.take(record.offset, record.bytes);
            if turn == Turn::Wait {
                partition.reach(record.offset);
            }
            commit |= partition.is_changed();
            match turn {
                Turn::Wait => First::Pass,
                Turn::Skip => First::Skip,
                Turn::Now(seen_before) => {
                    seen = seen_before;
                    First::Take
                }
            }
        });
        let wake = taken.as_ref().is_some_and(|(_, low)| *low);
        (taken.map(|(record, _)| (record, seen)), commit, wake)
    }

    /// What is to be committed, of all partitions or of these.
    pub fn commits(&self, of: Option<&[Place]>) -> HashMap<Place, (u64, Commit)> {
        let wanted = |place: &Place| of.is_none_or(|of| of.contains(place));
        let partitions = self.partitions.iter().filter(|(place, _)| wanted(place));
        let commit =
            |(place, it): (&Place, &Partition)| Some((place.clone(), (it.epoch, it.commit()?)));
        partitions.filter_map(commit).collect()
    }

    /// Notes that these were confirmed.
    pub fn confirm<'a>(
        &mut self,
        commits: impl IntoIterator<Item = (&'a Place, &'a (u64, Commit))>,
    ) {
        for (place, (epoch, commit)) in commits {
            if let Some(partition) = self.of(place, *epoch) {
                partition.confirm(commit);
            }
        }
    }
}
