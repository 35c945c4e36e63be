//! One worker's membership, and the slices it holds.
//!
//! No two clocks are compared. A worker counts from *before* its last renewal that succeeded, and
//! stops after three fifths of the lease; the others count from when they first *saw* that revision,
//! which is later, though by no more than a tick. Whose record stayed the same for four fifths is
//! buried: the record is deleted at that revision. So a renewal that comes late finds no record, and
//! the worker begins anew under another name, with nothing; and what a dead one had is free when
//! the lease is over.
//!
//! A list of the names says who there is. Each worker looks after the next few in the order of names,
//! so that what one does per renewal does not grow with the workers.
//!
//! Who buries another takes all that it had, whoever is to have it: of those, one may have died since,
//! and nobody knows yet. It gives each slice to whom it is meant for once that one was seen to renew.
//! So nothing waits for two leases. Who is to stop says so in the list; it takes nothing any more, and
//! gives back what is not in hand.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mailbridge_core::{Error, Put, Result, Revision, StateStore};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    names::{Names, member_key},
    slices::{Plan, Slice},
};

/// Renewals of a lease, if nothing fails: what is left of it when a worker is buried is for those who
/// saw its last renewal late.
pub const TICKS: u32 = 5;
/// How much sooner a worker stops than it is buried: clocks do not run equally fast.
const MARGIN: u32 = 5;
/// How many of the next ones a worker looks after: so many may go at once without being missed.
const LOOKED_AFTER: usize = 8;
/// Slices that are taken, or given back, at the same time.
const AT_ONCE: usize = 32;

/// Another's record, as it was when last looked at.
#[derive(Clone, Copy)]
struct Seen {
    revision: Revision,
    /// Since when it was seen so.
    since: Instant,
    /// It was seen to change then; at first nobody knows how old it is.
    changed: bool,
}

/// A worker among others.
pub struct Member {
    store: Arc<dyn StateStore>,
    pool: String,
    lease: Duration,
    slices: Slice,
    /// Never used again once it is buried.
    name: String,
    revision: Option<Revision>,
    renewed: Option<Instant>,
    /// It is to have nothing any more.
    leaving: bool,
    /// Who there is, this one among them.
    names: Names,
    /// What the records of others were when last looked at.
    seen: HashMap<String, Seen>,
    /// Whose each slice is to be.
    plan: Plan,
    /// The slices that are to be its own.
    assigned: BTreeSet<Slice>,
    held: BTreeSet<Slice>,
    /// Those that were a dead one's and are to be another's, and since when they are held.
    inherited: BTreeMap<Slice, Instant>,
    /// Whose records may have this worker's name: those held, and those where the store failed.
    named: BTreeSet<Slice>,
}

impl Member {
    /// One that has not joined yet. `pool` is the name of what is shared, as a pipeline's; `slices`
    /// how finely, the same for all.
    pub fn new(store: Arc<dyn StateStore>, pool: &str, lease: Duration, slices: Slice) -> Self {
        Self {
            store,
            pool: pool.to_owned(),
            lease,
            slices,
            name: fresh(),
            revision: None,
            renewed: None,
            leaving: false,
            names: Names::default(),
            seen: HashMap::new(),
            plan: Plan::default(),
            assigned: BTreeSet::new(),
            held: BTreeSet::new(),
            inherited: BTreeMap::new(),
            named: BTreeSet::new(),
        }
    }

    /// Under which name it is known to the others, for now.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many there are, as far as it knows.
    pub fn workers(&self) -> usize {
        self.names.len()
    }

    /// From the next tick on it is to have nothing: what is not in hand is given back, and nothing
    /// is taken. What is in hand stays its own until [`Member::leave`].
    pub fn resign(&mut self) {
        self.leaving = true;
    }

    /// Until when what it holds is its own, if nothing renews it.
    pub fn until(&self) -> Option<Instant> {
        let lasts = self.silence().saturating_sub(self.lease / MARGIN);
        self.renewed.map(|at| at + lasts)
    }

    /// When it could bury another, if nobody does anything until then.
    pub fn due(&self) -> Option<Instant> {
        self.seen.values().map(|seen| seen.since + self.silence()).min()
    }

    /// How long the others see nothing of one that they bury.
    fn silence(&self) -> Duration {
        self.lease.saturating_sub(self.lease / TICKS)
    }

    /// Whether a slice is this worker's now. To be asked before anything is done that others see.
    pub fn holds(&self, slice: Slice) -> bool {
        self.held.contains(&slice) && self.until().is_some_and(|until| Instant::now() < until)
    }

    /// The slices it holds, while [`Member::until`] is not over.
    pub fn held(&self) -> &BTreeSet<Slice> {
        &self.held
    }

    /// Renews with what the others are to know of it, buries who has fallen silent, or is certainly
    /// gone as what they said of themselves shows, gives back what is to be
    /// another's and is not `busy`, and takes what is its own and free. To be called some times per
    /// lease, and more often while it has to wait for others. Returns how many slices it still waits
    /// for, or has yet to give.
    ///
    /// # Errors
    /// The store's. What is held lasts as long as the lease does.
    pub async fn tick(
        &mut self,
        card: Bytes,
        busy: impl Fn(Slice) -> bool,
        is_gone: impl Fn(&Bytes) -> bool,
    ) -> Result<usize> {
        self.renew(card).await?;
        self.join().await?;
        // who leaves has no use for what a dead one had
        let gone = if self.leaving { Vec::new() } else { self.look_after(is_gone).await? };
        self.inherit(&gone).await?;
        self.assign();
        let others = self.named.difference(&self.assigned).copied();
        let (later, give): (BTreeSet<_>, BTreeSet<_>) =
            others.partition(|it| !self.is_expected(*it) || busy(*it));
        self.release(give).await?;
        self.take(self.assigned.difference(&self.held).copied().collect()).await?;
        Ok(self.assigned.difference(&self.held).count() + later.len())
    }

    /// Whether whoever is to have a slice instead is there for it: what was a dead one's goes only to
    /// who was seen to renew since.
    fn is_expected(&self, slice: Slice) -> bool {
        let Some(since) = self.inherited.get(&slice).filter(|_| !self.leaving) else { return true };
        let owner = self.plan.owner(slice).and_then(|name| self.seen.get(name));
        owner.is_some_and(|seen| seen.changed && seen.since > *since)
    }

    /// Gives everything back, for others to take at once. Nothing may be under way any more.
    ///
    /// # Errors
    /// The store's. What was not given back is free when the lease is over.
    pub async fn leave(&mut self) -> Result<()> {
        self.forget();
        self.renewed = None;
        let name = std::mem::replace(&mut self.name, fresh());
        self.revision = None;
        let key = self.member_key(&name);
        // not the last revision that is known: a renewal may have been under way
        while let Some((_, revision)) = self.store.get(&key).await? {
            // slices of a name that is no member's are free
            if matches!(self.store.delete(&key, revision).await?, Put::Stored(_)) {
                break;
            }
        }
        self.change_list(|names| names.remove(|it| it == name)).await
    }

    /// It has nothing.
    fn forget(&mut self) {
        self.held.clear();
        self.named.clear();
        self.inherited.clear();
    }

    /// Whether a slice is to be this worker's.
    pub fn is_to_hold(&self, slice: Slice) -> bool {
        self.assigned.contains(&slice)
    }

    /// Says whose each slice is to be, when somebody came or went.
    fn assign(&mut self) {
        self.plan.change(self.slices, self.names.staying());
        self.assigned = self.plan.of(|owner| owner == self.name);
        self.inherited.retain(|slice, _| !self.assigned.contains(slice));
    }

    async fn renew(&mut self, card: Bytes) -> Result<()> {
        let (started, key) = (Instant::now(), self.member_key(&self.name));
        if self.until().is_some_and(|until| until < started) {
            // nor may the others have been able to renew: they are given another lease
            self.seen.clear();
        }
        if let Put::Stored(revision) = self.store.put(&key, card.clone(), self.revision).await? {
            (self.revision, self.renewed) = (Some(revision), Some(started));
            return Ok(());
        }
        // nobody else writes this key: an earlier renewal came through after all, or it is gone
        if let Some((_, revision)) = self.store.get(&key).await? {
            self.revision = Some(revision);
        } else {
            tracing::warn!(pool = %self.pool, "the lease was over; this worker joins anew");
            self.forget();
            (self.name, self.revision, self.renewed) = (fresh(), None, None);
        }
        Box::pin(self.renew(card)).await
    }

    /// Reads who there is, and sees to it that this one is among them.
    async fn join(&mut self) -> Result<()> {
        self.names = Names::read(self.store.as_ref(), &self.pool).await?.0;
        if !self.names.tells(&self.name, self.leaving) {
            let (name, leaving) = (self.name.clone(), self.leaving);
            self.change_list(|names| names.add(&name, leaving)).await?;
        }
        Ok(())
    }

    /// Buries those of the next ones that were silent too long, or are certainly gone. Returns whose
    /// records are not there any more.
    async fn look_after(&mut self, is_gone: impl Fn(&Bytes) -> bool) -> Result<Vec<String>> {
        let heirs = self.inherited.keys().filter_map(|slice| self.plan.owner(*slice));
        let heirs = heirs.filter(|name| *name != self.name).map(str::to_owned);
        let next = self.names.after(&self.name, LOOKED_AFTER).into_iter();
        let look_at: BTreeSet<String> = next.chain(heirs).collect();
        let records = stream::iter(look_at).map(|name| async {
            let record = self.store.get(&self.member_key(&name)).await?;
            Ok::<_, Error>((name, record))
        });
        let records: Vec<_> = records.buffered(LOOKED_AFTER).try_collect().await?;
        let (mut gone, mut seen) = (Vec::new(), HashMap::new());
        for (name, record) in records {
            let Some((card, revision)) = record else {
                gone.push(name);
                continue;
            };
            let sight = self.see(&name, revision);
            if sight.since.elapsed() >= self.silence() || is_gone(&card) {
                let key = self.member_key(&name);
                if matches!(self.store.delete(&key, revision).await?, Put::Stored(_)) {
                    gone.push(name);
                    continue;
                }
            }
            seen.insert(name, sight);
        }
        self.seen = seen;
        Ok(gone)
    }

    /// Takes what was to be theirs who are gone, and then only lets the list forget them: should this
    /// one die in the middle of it, another does the same.
    async fn inherit(&mut self, gone: &[String]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let is_gone = |name: &str| gone.iter().any(|gone| gone == name);
        let left = self.plan.of(is_gone);
        self.take(left.difference(&self.held).copied().collect()).await?;
        let now = Instant::now();
        self.inherited.extend(left.intersection(&self.held).map(|slice| (*slice, now)));
        self.change_list(|names| names.remove(is_gone)).await
    }

    /// What a record is now, compared with what it was.
    fn see(&self, name: &str, revision: Revision) -> Seen {
        match self.seen.get(name) {
            Some(before) if before.revision == revision => *before,
            before => Seen { revision, since: Instant::now(), changed: before.is_some() },
        }
    }

    async fn change_list(&mut self, change: impl Fn(&mut Names)) -> Result<()> {
        self.names = Names::change(self.store.as_ref(), &self.pool, change).await?;
        Ok(())
    }

    /// Takes those of these slices that are nobody's.
    async fn take(&mut self, want: Vec<Slice>) -> Result<()> {
        // first, so that none is forgotten whose store fails
        self.named.extend(&want);
        let this = &*self;
        let taken = stream::iter(want).map(|slice| async move {
            Ok::<_, Error>(this.take_one(slice).await?.then_some(slice))
        });
        let taken: Vec<_> = taken.buffer_unordered(AT_ONCE).collect().await;
        let mut failed = None;
        for taken in taken {
            match taken {
                Ok(slice) => self.held.extend(slice),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn take_one(&self, slice: Slice) -> Result<bool> {
        let (key, mine) = (self.slice_key(slice), Bytes::from(self.name.clone()));
        let expected = match self.store.get(&key).await? {
            // a put that failed came through after all
            Some((value, _)) if value == mine => return Ok(true),
            Some((value, _)) if self.is_member(&value).await? => return Ok(false),
            Some((_, revision)) => Some(revision),
            None => None,
        };
        Ok(matches!(self.store.put(&key, mine, expected).await?, Put::Stored(_)))
    }

    async fn is_member(&self, name: &[u8]) -> Result<bool> {
        match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() => {
                Ok(self.store.get(&self.member_key(name)).await?.is_some())
            }
            _ => Ok(false),
        }
    }

    async fn release(&mut self, give: BTreeSet<Slice>) -> Result<()> {
        // first, so that a failure leaves slices that nobody works on and not some that two do
        self.held.retain(|slice| !give.contains(slice));
        self.inherited.retain(|slice, _| !give.contains(slice));
        let this = &*self;
        let given = stream::iter(give).map(|slice| async move {
            let key = this.slice_key(slice);
            if let Some((value, revision)) = this.store.get(&key).await?
                && value == this.name.as_bytes()
            {
                this.store.put(&key, Bytes::new(), Some(revision)).await?;
            }
            Ok::<_, Error>(slice)
        });
        let given: Vec<_> = given.buffer_unordered(AT_ONCE).collect().await;
        let mut failed = None;
        for given in given {
            match given {
                Ok(slice) => {
                    self.named.remove(&slice);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn member_key(&self, name: &str) -> String {
        member_key(&self.pool, name)
    }

    fn slice_key(&self, slice: Slice) -> String {
        format!("pool/{}/slice/{slice}", self.pool)
    }
}

fn fresh() -> String {
    Uuid::new_v4().simple().to_string()
}
