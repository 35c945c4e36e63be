//! The ledger: who is at which request, and what came of it, over all workers and all copies of it.
//!
//! A bus knows messages; producers that publish a request twice make two messages of it, and no bus
//! keeps two workers from holding them at once. So each request has one entry, under its mark, that
//! is moved by compare-and-swap only:
//!
//! | entry | means | who may take it up |
//! |---|---|---|
//! | none | nobody is at it, and nothing has happened | anyone |
//! | claimed until T | a worker is at it | nobody before T; then anyone, in doubt since T |
//! | doubted since T | an attempt may have happened, at T at the latest | anyone, in doubt since T |
//! | done | it has happened | nobody: a copy is answered with what happened |
//!
//! A worker that dies keeps its claim until T, and the next one looks in the mailbox first. Times
//! are wall-clock times of different machines; [`SKEW_MAX`] is granted between them. What the
//! ledger does not do: read a verdict, or decide what follows.

mod entry;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mailbridge_core::{Code, Error, Put, Result, Revision, StateStore, contract::Mark};
use uuid::Uuid;

pub use self::entry::Done;
use self::entry::{Entry, age, later};

/// How far the clocks of two workers may be apart.
pub const SKEW_MAX: Duration = Duration::from_secs(5);

/// How often a lost swap is tried again before the delivery goes back to the bus.
const SWAPS_MAX: usize = 8;

/// What time it is. The simulation has a time of its own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The ledger of one pipeline, as one worker sees it.
pub struct Ledger {
    store: Arc<dyn StateStore>,
    worker: Uuid,
    lease: Duration,
    clock: Clock,
}

/// What the ledger says to somebody who wants to take up a request.
#[derive(Debug)]
pub enum Turn {
    /// It is yours.
    Mine(Claim),
    /// Another worker, or another copy, is at it: ask again after this.
    Wait(Duration),
    /// It has happened already.
    Done(Done),
}

/// The right to perform one request, until [`Claim::renew`] must have been called. Forgotten, it
/// runs out, and leaves a doubt.
#[derive(Debug)]
pub struct Claim {
    key: String,
    revision: Revision,
    /// How long ago an earlier attempt may have happened, if one may have.
    pub doubt: Option<Duration>,
}

impl Ledger {
    /// A worker's view of the ledger. `lease`: how long a claim lasts unless it is renewed; longer
    /// than any time between two renewals.
    pub fn new(store: Arc<dyn StateStore>, lease: Duration, clock: Clock) -> Self {
        Self { store, worker: Uuid::new_v4(), lease, clock }
    }

    /// How long a claim lasts unless it is renewed.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// Takes up a request, if it is free.
    ///
    /// # Errors
    /// `state_failed`, transient: nothing is known, and nothing was done.
    pub async fn claim(&self, mark: &Mark) -> Result<Turn> {
        let key = key(mark);
        for _ in 0..SWAPS_MAX {
            let now = (self.clock)();
            let found = self.read(&key).await?;
            let doubt = match &found {
                None => None,
                Some((Entry::Done(done), _)) => return Ok(Turn::Done(done.clone())),
                Some((Entry::Doubted { since }, _)) => Some(*since),
                Some((Entry::Claimed { until, .. }, _)) if now < later(*until, SKEW_MAX) => {
                    return Ok(Turn::Wait(age(later(*until, SKEW_MAX), now)));
                }
                Some((Entry::Claimed { until, .. }, _)) => Some(*until),
            };
            let revision = found.map(|(_, revision)| revision);
            if let Put::Stored(revision) = self.write(&key, &self.claimed(now), revision).await? {
                let doubt = doubt.map(|since| age(now, since));
                return Ok(Turn::Mine(Claim { key, revision, doubt }));
            }
        }
        Err(contended())
    }

    /// Makes a claim last from now on. `false`: it ran out, and another worker has taken it up.
    pub async fn renew(&self, claim: &mut Claim) -> Result<bool> {
        let entry = self.claimed((self.clock)());
        match self.write(&claim.key, &entry, Some(claim.revision)).await? {
            Put::Stored(revision) => claim.revision = revision,
            Put::Conflict => return Ok(false),
        }
        Ok(true)
    }

    /// What was tried did not happen: the request is free.
    pub async fn release(&self, claim: Claim) -> Result<()> {
        // lost to another worker: then it is that worker's to release
        self.store.delete(&claim.key, claim.revision).await.map(|_| ())
    }

    /// An attempt may have happened, `ago` before now at the latest.
    pub async fn doubt(&self, claim: Claim, ago: Duration) -> Result<()> {
        let since = (self.clock)().checked_sub(ago).unwrap_or(Timestamp::MIN);
        self.write(&claim.key, &Entry::Doubted { since }, Some(claim.revision)).await.map(|_| ())
    }

    /// It has happened. A fact needs no claim: whoever else is at the request is told so.
    pub async fn done(&self, mark: &Mark, done: &Done) -> Result<()> {
        let key = key(mark);
        for _ in 0..SWAPS_MAX {
            let revision = match self.read(&key).await? {
                Some((Entry::Done(_), _)) => return Ok(()),
                Some((_, revision)) => Some(revision),
                None => None,
            };
            let put = self.write(&key, &Entry::Done(done.clone()), revision).await?;
            if matches!(put, Put::Stored(_)) {
                return Ok(());
            }
        }
        Err(contended())
    }

    fn claimed(&self, now: Timestamp) -> Entry {
        Entry::Claimed { by: self.worker, until: later(now, self.lease) }
    }

    async fn read(&self, key: &str) -> Result<Option<(Entry, Revision)>> {
        let Some((bytes, revision)) = self.store.get(key).await? else { return Ok(None) };
        Ok(Some((Entry::read(&bytes)?, revision)))
    }

    async fn write(&self, key: &str, entry: &Entry, expected: Option<Revision>) -> Result<Put> {
        self.store.put(key, entry.write()?, expected).await
    }
}

fn key(mark: &Mark) -> String {
    format!("ledger/{}", mark.as_str())
}

fn contended() -> Error {
    Error::transient(Code::StateFailed, "too many workers want the same ledger entry at once")
}

#[cfg(test)]
mod tests;
