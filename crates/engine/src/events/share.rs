//! Which mailboxes are this worker's, of those that it shares with the others of its pipeline.
//!
//! A worker begins a mailbox's turn only while its slice is to stay with it, and goes on with one
//! under way while its lease lasts. That keeps workers out of each other's way; that nothing counts
//! which a late one does is not up to the clock but to the compare-and-swap of each record.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::FusedFuture as _};
use jiff::Timestamp;
use mailbridge_core::{Code, Error, Mailbox, Result, Signals, StateStore};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff, metric,
    pool::{self, Member, SLICES, Slice, TICKS, slice_of},
};

/// Between two ticks at most, where nobody can be heard who gives something to another.
const UNHEARD: Duration = Duration::from_secs(1);
/// Until the next tick while somebody has yet to give a slice to another; longer each time.
const SOON: Duration = Duration::from_millis(100);
/// Between a tick and one that a signal asks for, for each worker there is.
const EACH: Duration = Duration::from_millis(10);
/// The pauses after a store that fails.
const FAILING: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How many commits of a pipeline can be under way at once, whatever the number of workers: each
/// takes a client of its own.
const COMMITTED: Slice = 32;
/// Whose slice this is in, as if it were a mailbox, asks the directory for all.
const DIRECTORY: &str = "directory";

/// Who has which mailboxes. Clones are one.
#[derive(Clone)]
pub(super) struct Share {
    /// Without it all is this worker's.
    pool: Option<Pool>,
    slices: Slice,
    view: Arc<Mutex<View>>,
    changed: Arc<Notify>,
    /// The same, for whoever finds out who the mailboxes are.
    asker: Arc<Notify>,
}

#[derive(Default)]
struct View {
    held: BTreeSet<Slice>,
    /// Of those held: to be another's, as soon as nothing is under way there.
    leaving: BTreeSet<Slice>,
    until: Option<Instant>,
    /// How many turns are under way.
    busy: HashMap<Slice, usize>,
}

/// The workers that share a pipeline, as one of them sees it. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where they meet: a store that keeps [`mailbridge_core::Keep::Leases`].
    pub store: Arc<dyn StateStore>,
    /// This one's host and process, for people.
    pub worker: String,
    /// Where it runs, for others of the same machine.
    pub place: Option<String>,
    /// Whether a worker at such a place is certainly there no more.
    pub is_gone: fn(&str) -> bool,
    /// How long one that falls silent keeps its share.
    pub lease: Duration,
}

impl Pool {
    /// All workers that there are now, as each was when it last renewed its lease.
    ///
    /// # Errors
    /// The store's.
    pub async fn workers(&self) -> Result<Vec<Worker>> {
        let cards = pool::cards(self.store.as_ref(), &self.pipeline).await?;
        // one of another version of the program says other things
        let workers = cards.iter().filter_map(|card| serde_json::from_slice::<Worker>(card).ok());
        // where exactly each runs is for workers alone
        Ok(workers.map(|worker| Worker { place: None, ..worker }).collect())
    }

    fn count(&self, slices: usize) {
        #[expect(clippy::cast_precision_loss, reason = "some hundred slices")]
        metrics::gauge!(metric::SLICES, "pipeline" => self.pipeline.clone()).set(slices as f64);
    }

    /// What workers tell each other under.
    fn topic(&self) -> String {
        format!("pool/{}", self.pipeline)
    }

    /// Tells the others to look at what has changed. Whoever misses it looks a little later.
    async fn signal(&self) {
        self.store.signal(&self.topic(), Bytes::new()).await.ok();
    }
}

/// One worker of a pool, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name in the pool, another after each start.
    pub name: String,
    /// Its host and process, for people.
    pub worker: String,
    /// The same for [`Pool::is_gone`], where that is of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Since when it is there.
    pub since: Timestamp,
    /// How many slices of the mailboxes it holds.
    pub slices: usize,
    /// How many mailboxes are in them, by their state.
    pub mailboxes: BTreeMap<String, u64>,
    /// Events that it has published since its start.
    pub published: u64,
}

/// A turn that is under way.
pub(super) struct Busy {
    view: Arc<Mutex<View>>,
    slice: Slice,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = view.busy.get_mut(&self.slice) {
            *count -= 1;
            if *count == 0 {
                view.busy.remove(&self.slice);
            }
        }
    }
}

impl Share {
    pub(super) fn new(pool: Option<Pool>, commits: bool) -> Self {
        Self {
            pool,
            slices: if commits { COMMITTED } else { SLICES },
            view: Arc::default(),
            changed: Arc::default(),
            asker: Arc::default(),
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which share of the work a mailbox is in.
    pub(super) fn slice(&self, mailbox: &Mailbox) -> Slice {
        slice_of(mailbox.as_str(), self.slices)
    }

    /// Begins a turn, if the mailbox is to stay with this worker.
    pub(super) fn begin(&self, mailbox: &Mailbox) -> Option<Busy> {
        let slice = self.slice(mailbox);
        let mut view = self.view();
        if self.pool.is_some() && !view.keeps(slice) {
            return None;
        }
        *view.busy.entry(slice).or_default() += 1;
        drop(view);
        Some(Busy { view: Arc::clone(&self.view), slice })
    }

    /// Whether a mailbox is to stay with this worker.
    pub(super) fn keeps(&self, mailbox: &Mailbox) -> bool {
        self.pool.is_none() || self.view().keeps(self.slice(mailbox))
    }

    /// Whether a mailbox is still this worker's.
    ///
    /// # Errors
    /// `cursor_taken`, when it is not, or when it is not sure.
    pub(super) fn check(&self, mailbox: &Mailbox) -> Result<()> {
        if self.pool.is_none() || self.view().holds(self.slice(mailbox)) {
            return Ok(());
        }
        let detail = "the lease on this mailbox is over; another worker may have it";
        Err(Error::transient(Code::CursorTaken, detail))
    }

    /// Those that are this worker's, also where its lease is late for now or they are to be another's:
    /// [`Share::begin`] looks at that, and [`Share::changed`] does not tell when it is over.
    pub(super) fn mine(&self, all: &[Mailbox]) -> Vec<Mailbox> {
        let view = self.view();
        let mine =
            |mailbox: &Mailbox| self.pool.is_none() || view.held.contains(&self.slice(mailbox));
        all.iter().filter(|mailbox| mine(mailbox)).cloned().collect()
    }

    /// Returns when other mailboxes are this worker's than before. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Where the workers meet; none, for one that is alone.
    pub(super) fn store(&self) -> Option<Arc<dyn StateStore>> {
        self.pool.as_ref().map(|pool| Arc::clone(&pool.store))
    }

    /// Whether it is this worker that asks, for all, who the mailboxes are.
    pub(super) fn asks(&self) -> bool {
        self.pool.is_none() || self.view().holds(slice_of(DIRECTORY, self.slices))
    }

    /// Whether this worker has any mailboxes, or may have.
    pub(super) fn has_some(&self) -> bool {
        self.pool.is_none() || !self.view().held.is_empty()
    }

    /// Returns when it may be another that asks, or has mailboxes. Cancel safe.
    pub(super) async fn asker_changed(&self) {
        self.asker.notified().await;
    }

    /// Holds this worker's share until it is to stop, gives to the others what is not in hand then,
    /// and the rest when it is to leave: nothing may be under way any more. `card` says how this
    /// worker is.
    pub(super) async fn hold(
        &self,
        stop: CancellationToken,
        leave: CancellationToken,
        card: impl Fn() -> Worker,
    ) {
        let Some(pool) = &self.pool else { return };
        let mut member =
            Member::new(Arc::clone(&pool.store), &pool.pipeline, pool.lease, self.slices);
        leave.run_until_cancelled(self.keep(pool, &mut member, stop, card)).await;
        *self.view() = View::default();
        pool.count(0);
        let left = member.leave().await;
        pool.signal().await;
        if let Err(error) = left {
            let (pipeline, code) = (&pool.pipeline, error.code());
            tracing::debug!(%pipeline, %code, %error, "the lease ends by itself");
        }
    }

    async fn keep(
        &self,
        pool: &Pool,
        member: &mut Member,
        stop: CancellationToken,
        card: impl Fn() -> Worker,
    ) {
        let Pool { pipeline, store, lease, .. } = pool;
        let (mut signals, mut failures, mut waits) = (None, 0, SOON);
        let mut stops = pin!(stop.cancelled().fuse());
        loop {
            if signals.is_none() {
                signals = store.signals(&pool.topic()).await.ok().flatten();
            }
            let often = *lease / TICKS;
            let often = if signals.is_some() { often } else { often.min(UNHEARD) };
            let ticked_at = Instant::now();
            let wait = match self.tick(pool, member, &card).await {
                Ok(left) => {
                    // others have yet to give what is to be ours or we to them, or to be told of it
                    let wait = if left > 0 { waits } else { often };
                    waits = if left > 0 { (waits * 2).min(often) } else { SOON };
                    failures = 0;
                    let due = member.due().map(|due| due.saturating_duration_since(ticked_at));
                    due.map_or(wait, |due| due.min(wait))
                }
                Err(error) => {
                    let (code, cure) = (error.code(), error.code().cure());
                    if failures == 0 {
                        tracing::warn!(%pipeline, %code, %error, cure, "the lease is not renewed");
                    }
                    failures += 1;
                    backoff::pause(failures, FAILING.0, FAILING.1).min(often)
                }
            };
            let next = ticked_at + wait;
            tokio::select! {
                () = heard(&mut signals) => {
                    // of many who tell of themselves at once
                    let workers = u32::try_from(member.workers()).unwrap_or(u32::MAX);
                    let gathered = ticked_at + EACH.saturating_mul(workers);
                    tokio::time::sleep_until(gathered.min(next)).await;
                }
                () = &mut stops, if !stops.is_terminated() => member.resign(),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    async fn tick(
        &self,
        pool: &Pool,
        member: &mut Member,
        card: impl Fn() -> Worker,
    ) -> Result<usize> {
        let mut told = card();
        (told.name, told.slices) = (member.name().to_owned(), member.held().len());
        let told = serde_json::to_vec(&told).map(Bytes::from).unwrap_or_default();
        let workers = member.workers();
        let busy = |slice| {
            let mut view = self.view();
            view.leaving.insert(slice);
            view.busy.contains_key(&slice)
        };
        let is_gone = |card: &Bytes| {
            let card = serde_json::from_slice::<Worker>(card).ok();
            card.and_then(|card| card.place).is_some_and(|place| (pool.is_gone)(&place))
        };
        let ticked = member.tick(told, busy, is_gone).await;
        let (gave, changed) = {
            let mut view = self.view();
            let gave = !view.held.is_subset(member.held());
            let changed = view.held != *member.held();
            view.held.clone_from(member.held());
            view.until = member.until();
            let goes = |slice: &Slice| member.held().contains(slice) && !member.is_to_hold(*slice);
            view.leaving.retain(goes);
            (gave, changed)
        };
        if changed {
            self.changed.notify_one();
            self.asker.notify_one();
            let (pipeline, workers, slices) =
                (&pool.pipeline, member.workers(), member.held().len());
            tracing::info!(%pipeline, workers, slices, "mailboxes are shared");
        }
        if gave || workers != member.workers() {
            // whoever waits for it need not wait for their own tick
            pool.signal().await;
        }
        pool.count(member.held().len());
        // with the next tick the others are told, too
        ticked.map(|left| left + usize::from(changed))
    }
}

/// Returns when something was told. Where nobody can be heard, never.
pub(super) async fn heard(signals: &mut Option<Box<dyn Signals>>) {
    match signals {
        Some(listening) => {
            if listening.next().await.is_none() {
                *signals = None;
            }
        }
        None => std::future::pending().await,
    }
}

impl View {
    fn holds(&self, slice: Slice) -> bool {
        self.held.contains(&slice) && self.until.is_some_and(|until| Instant::now() < until)
    }

    fn keeps(&self, slice: Slice) -> bool {
        self.holds(slice) && !self.leaving.contains(&slice)
    }
}

#[cfg(test)]
mod tests;
