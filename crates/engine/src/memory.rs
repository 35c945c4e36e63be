//! What this worker remembers of the deliveries it has had in hand.
//!
//! The bus knows how often it has handed a message out, but not what came of it. The worker knows,
//! as long as it lives: an earlier delivery that is known not to have happened leaves no doubt,
//! every other one does. What is not remembered counts as a doubt, so forgetting is safe: it costs
//! a look in the mailbox. Bounded.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailbridge_core::{
    Completion, Doubt, Position, SeenBefore,
    contract::{OutcomeData, Status},
};
use tokio::time::Instant;

use crate::decide::Tally;

/// Deliveries remembered at once: more than a bus is asked to let wait, since each that waits and
/// is forgotten costs a look when it returns. Some 350 bytes each.
const REMEMBERED_MAX: usize = 131_072;

/// A worker's memory. Clones are one.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<Inner>>);

struct Inner {
    records: HashMap<Position, Record>,
    /// In the order they were first seen, oldest first.
    order: VecDeque<Position>,
    settle_time: Duration,
}

#[derive(Default)]
struct Record {
    /// It is in hand now.
    busy: bool,
    /// Deliveries by the bus that ended here and left no doubt.
    harmless: u64,
    /// Attempts that failed of themselves.
    attempts: u32,
    /// Looks in a row that could not tell.
    looks: u32,
    /// Since when an attempt may have happened.
    doubt_since: Option<Instant>,
    /// That was an attempt made here, not only a hint of the bus.
    attempted: bool,
    /// How it ended; only its outcome or its settling failed.
    ended: Option<Ended>,
    /// How often that could not be published.
    unpublished: u32,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It was done.
    Completed(Completion),
    /// It was given up.
    GivenUp(GivenUp),
}

/// A request that was given up. That stands, also when its dead letter or its outcome cannot be
/// published now: a dead letter that is not confirmed may be stored all the same, so that a later
/// success would leave both.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// How it ended, and why.
    pub outcome: Arc<OutcomeData>,
    /// How much of that is durable.
    pub durable: Durable,
}

/// How far the publishing of a request's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durable {
    /// Maybe nothing.
    Nothing,
    /// The dead letter.
    DeadLetter,
    /// The dead letter and the outcome.
    All,
}

/// How a request stands.
#[derive(Debug)]
pub enum Standing {
    /// It happened.
    Completed(Completion),
    /// It may have happened, so long ago at the latest.
    InDoubt(Duration),
    /// Nothing has happened.
    Clear,
}

/// What the memory says to a delivery.
pub enum Recall {
    /// Go on, with what is known.
    Go(Known),
    /// The same message is in hand already (the bus thought it lost): leave it to that one.
    Busy,
}

/// What is known of a delivery, while it is in hand.
pub struct Known {
    memory: Memory,
    position: Position,
    /// How often the bus had handed it out, this time included.
    times: u64,
    /// Set by the end that was noted; without one, what happened is not known.
    noted: bool,
    /// Whether an earlier attempt may have happened.
    pub doubt: Doubt,
    /// For the decision.
    pub tally: Tally,
    /// It ended before: do not do it again.
    pub ended: Option<Ended>,
}

impl Memory {
    /// An empty memory.
    pub fn new(settle_time: Duration) -> Self {
        let inner = Inner { records: HashMap::new(), order: VecDeque::new(), settle_time };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a delivery in hand.
    pub fn recall(&self, position: &Position, seen_before: SeenBefore) -> Recall {
        let mut inner = self.inner();
        let settle_time = inner.settle_time;
        let record = inner.record(position);
        if record.busy {
            return Recall::Busy;
        }
        record.busy = true;
        let unknown = match seen_before {
            SeenBefore::No | SeenBefore::Untouched(_) => false,
            SeenBefore::Times(times) => times > record.harmless,
            // Also of what ended well here: since then the bus may have given it to others.
            SeenBefore::Maybe => true,
        };
        let times = match seen_before {
            SeenBefore::Times(times) | SeenBefore::Untouched(times) => times + 1,
            SeenBefore::No | SeenBefore::Maybe => 1,
        };
        if unknown && record.ended.is_none() {
            record.doubt_since.get_or_insert_with(Instant::now);
        }
        let doubt = match record.doubt_since {
            None => Doubt::None,
            Some(since) if since.elapsed() < settle_time => Doubt::Young,
            Some(_) => Doubt::Old,
        };
        let tally = Tally {
            attempts: record.attempts,
            looks: record.looks,
            doubtful: record.doubt_since.is_some(),
            attempted: record.attempted,
            settles_in: record
                .doubt_since
                .map_or(Duration::ZERO, |since| settle_time.saturating_sub(since.elapsed())),
        };
        let ended = record.ended.clone();
        let (memory, position) = (self.clone(), position.clone());
        Recall::Go(Known { memory, position, times, noted: false, doubt, tally, ended })
    }
}

impl Memory {
    /// How a request stands after its delivery was worked on.
    pub fn standing(&self, position: &Position) -> Standing {
        let inner = self.inner();
        let Some(record) = inner.records.get(position) else { return Standing::Clear };
        match &record.ended {
            Some(Ended::Completed(completion)) => Standing::Completed(completion.clone()),
            Some(Ended::GivenUp(given_up)) if given_up.outcome.status != Status::Unknown => {
                Standing::Clear
            }
            // what ended as unknown stays in doubt, for whoever takes it up again
            Some(Ended::GivenUp(_)) | None => {
                let since = record.doubt_since;
                let unknown = record.ended.as_ref().map(|_| Duration::ZERO);
                let ago = since.map(|since| since.elapsed()).or(unknown);
                ago.map_or(Standing::Clear, Standing::InDoubt)
            }
        }
    }

    /// The bus has confirmed that it will not deliver this again: nothing to remember.
    pub fn forget(&self, position: &Position) {
        let mut inner = self.inner();
        inner.records.remove(position);
        // The order keeps the names of those that were forgotten until they are the most of it.
        if inner.order.len() > 1024 + 2 * inner.records.len() {
            let Inner { records, order, .. } = &mut *inner;
            order.retain(|position| records.contains_key(position));
        }
    }
}

impl Inner {
    fn record(&mut self, position: &Position) -> &mut Record {
        if !self.records.contains_key(position) {
            self.make_room();
            self.order.push_back(position.clone());
        }
        self.records.entry(position.clone()).or_default()
    }

    /// Forgets the oldest that are not in hand.
    fn make_room(&mut self) {
        for _ in 0..self.order.len() {
            if self.records.len() < REMEMBERED_MAX {
                return;
            }
            let Some(oldest) = self.order.pop_front() else { return };
            if self.records.get(&oldest).is_some_and(|record| record.busy) {
                self.order.push_back(oldest);
            } else {
                self.records.remove(&oldest);
            }
        }
    }
}

impl Record {
    /// An attempt made just now may have happened.
    fn in_doubt(&mut self) {
        self.attempts += 1;
        self.attempted = true;
        self.doubt_since = Some(Instant::now());
    }
}

impl Known {
    /// Somebody else says that an attempt may have happened, so long ago at the latest. The youngest
    /// doubt counts.
    pub fn doubted(&mut self, ago: Duration) {
        let now = Instant::now();
        let mut inner = self.memory.inner();
        let settle_time = inner.settle_time;
        let record = inner.record(&self.position);
        if record.ended.is_some() {
            return;
        }
        let told = now.checked_sub(ago).unwrap_or(now);
        let since = record.doubt_since.map_or(told, |known| known.max(told));
        record.doubt_since = Some(since);
        drop(inner);
        let age = now.saturating_duration_since(since);
        self.doubt = if age < settle_time { Doubt::Young } else { Doubt::Old };
        self.tally.doubtful = true;
        self.tally.settles_in = settle_time.saturating_sub(age);
    }

    /// Nothing was done, or what was tried did not happen.
    pub fn harmless(self, charged: bool) {
        let times = self.times;
        self.end(|record| {
            // Without an older doubt, all deliveries up to this one are known to be harmless.
            record.harmless = if record.doubt_since.is_none() { times } else { record.harmless };
            record.attempts += u32::from(charged);
        });
    }

    /// It may have happened: the doubt is as young as this.
    pub fn doubtful(self) {
        self.end(|record| {
            record.looks = 0;
            record.in_doubt();
        });
    }

    /// A look has shown that no earlier attempt happened; this one goes on.
    pub fn cleared(&mut self) {
        self.doubt = Doubt::None;
        (self.tally.doubtful, self.tally.attempted) = (false, false);
        let mut inner = self.memory.inner();
        let record = inner.record(&self.position);
        (record.doubt_since, record.attempted) = (None, false);
    }

    /// A look could not tell.
    pub fn unsettled(self) {
        self.end(|record| record.looks += 1);
    }

    /// It ended; should the delivery come again all the same, nothing is done twice. Noted at once,
    /// whatever becomes of what is still to be published; it stays in hand meanwhile.
    pub fn ended(&mut self, ended: Ended) {
        self.note(|record| record.ended = Some(ended));
    }

    /// What it ended in cannot be published; says how often that was so by now.
    pub fn unpublished(mut self) -> u32 {
        self.note(|record| {
            record.unpublished = record.unpublished.saturating_add(1);
            record.unpublished
        })
    }

    fn end(mut self, change: impl FnOnce(&mut Record)) {
        self.note(change);
    }

    fn note<T>(&mut self, change: impl FnOnce(&mut Record) -> T) -> T {
        self.noted = true;
        change(self.memory.inner().record(&self.position))
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut inner = self.memory.inner();
        let record = inner.record(&self.position);
        record.busy = false;
        if !self.noted {
            // Gone without a word (a panic, a stop in the middle of an attempt): it may have
            // happened.
            record.in_doubt();
        }
    }
}

#[cfg(test)]
mod tests;
