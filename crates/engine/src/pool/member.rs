//! One worker's membership, and the slices it holds.
//!
//! No two clocks are compared. A worker counts from *before* its last renewal that succeeded, and
//! stops after three fifths of the lease; the others count from when they first *saw* that revision,
//! which is later, though by no more than a tick. Whose record stayed the same for four fifths is
//! buried: the record is deleted at that revision. So a renewal that comes late finds no record, and
//! the worker begins anew under another name, with nothing; and what a dead one had is free when
//! the lease is over.
//!
//! A list of the names says who there is; it is written when somebody comes or goes. Each worker
//! looks after the next few in the order of names, so that what one does per renewal does not grow
//! with the workers.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mailbridge_core::{Code, Error, Put, Result, Revision, StateStore};
use tokio::time::Instant;
use uuid::Uuid;

use super::slices::{Slice, owners};

/// Renewals of a lease, if nothing fails: what is left of it when a worker is buried is for those who
/// saw its last renewal late.
pub const TICKS: u32 = 5;
/// How much sooner a worker stops than it is buried: clocks do not run equally fast.
const MARGIN: u32 = 5;
/// How many of the next ones a worker looks after: so many may go at once without being missed.
const LOOKED_AFTER: usize = 8;
/// Slices that are taken, or given back, at the same time.
const AT_ONCE: usize = 32;
/// How often the list is written again when others write it too.
const LIST_TRIES: usize = 20;

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
    /// Who there is, in the order of names, this one among them.
    names: Vec<String>,
    /// What the records of others were, and since when this worker has seen them so.
    seen: HashMap<String, (Revision, Instant)>,
    /// The slices that are to be its own, and among whom.
    assigned: BTreeSet<Slice>,
    among: (String, Vec<String>),
    held: BTreeSet<Slice>,
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
            names: Vec::new(),
            seen: HashMap::new(),
            assigned: BTreeSet::new(),
            among: (String::new(), Vec::new()),
            held: BTreeSet::new(),
            named: BTreeSet::new(),
        }
    }

    /// Under which name it is known to the others, for now.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who there is, as far as it knows.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Until when what it holds is its own, if nothing renews it.
    pub fn until(&self) -> Option<Instant> {
        let lasts = self.silence().saturating_sub(self.lease / MARGIN);
        self.renewed.map(|at| at + lasts)
    }

    /// When it could bury another, if nobody does anything until then.
    pub fn due(&self) -> Option<Instant> {
        self.seen.values().map(|(_, since)| *since + self.silence()).min()
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
        self.look_after(is_gone).await?;
        self.assign();
        let others = self.named.difference(&self.assigned).copied();
        let (later, give): (Vec<_>, Vec<_>) = others.partition(|it| busy(*it));
        self.release(give).await?;
        let want: Vec<_> = self.assigned.difference(&self.held).copied().collect();
        let wanted = want.len();
        Ok(wanted - self.take(want).await? + later.len())
    }

    /// Gives everything back, for others to take at once. Nothing may be under way any more.
    ///
    /// # Errors
    /// The store's. What was not given back is free when the lease is over.
    pub async fn leave(&mut self) -> Result<()> {
        self.held.clear();
        self.named.clear();
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
        self.change_list(|names| names.retain(|it| *it != name)).await
    }

    /// Whether a slice is to be this worker's.
    pub fn is_to_hold(&self, slice: Slice) -> bool {
        self.assigned.contains(&slice)
    }

    /// What all members of a pool say of themselves.
    ///
    /// # Errors
    /// The store's.
    pub async fn cards(store: &dyn StateStore, pool: &str) -> Result<Vec<Bytes>> {
        let (names, _) = list(store, pool).await?;
        let cards = stream::iter(names).map(|name| async move {
            Ok::<_, Error>(store.get(&member_key(pool, &name)).await?.map(|(card, _)| card))
        });
        let cards: Vec<_> = cards.buffered(AT_ONCE).try_collect().await?;
        Ok(cards.into_iter().flatten().collect())
    }

    /// Says which slices are to be its own, when somebody came or went.
    fn assign(&mut self) {
        let among = (self.name.clone(), self.names.clone());
        if self.among != among {
            let owners = owners(self.slices, &self.names);
            let mine = |slice: &Slice| {
                let owner = owners.get(usize::from(*slice)).and_then(|at| self.names.get(*at));
                owner == Some(&self.name)
            };
            self.assigned = (0..self.slices).filter(mine).collect();
            self.among = among;
        }
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
            self.held.clear();
            self.named.clear();
            (self.name, self.revision, self.renewed) = (fresh(), None, None);
        }
        Box::pin(self.renew(card)).await
    }

    /// Reads who there is, and sees to it that this one is among them.
    async fn join(&mut self) -> Result<()> {
        let (names, _) = list(self.store.as_ref(), &self.pool).await?;
        self.names = names;
        if self.names.binary_search(&self.name).is_err() {
            let name = self.name.clone();
            self.change_list(|names| names.push(name.clone())).await?;
        }
        Ok(())
    }

    /// Buries those of the next ones that were silent too long, or are certainly gone.
    async fn look_after(&mut self, is_gone: impl Fn(&Bytes) -> bool) -> Result<()> {
        let at = self.names.binary_search(&self.name).unwrap_or_default();
        let others = self.names.len().saturating_sub(1);
        let next = (1..=others.min(LOOKED_AFTER)).map(|it| (at + it) % self.names.len());
        let next: Vec<String> = next.filter_map(|it| self.names.get(it).cloned()).collect();
        let records = stream::iter(next).map(|name| async {
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
            let since = match self.seen.get(&name) {
                Some((before, since)) if *before == revision => *since,
                _ => Instant::now(),
            };
            if since.elapsed() >= self.silence() || is_gone(&card) {
                let key = self.member_key(&name);
                if matches!(self.store.delete(&key, revision).await?, Put::Stored(_)) {
                    gone.push(name);
                    continue;
                }
            }
            seen.insert(name, (revision, since));
        }
        self.seen = seen;
        if gone.is_empty() {
            return Ok(());
        }
        self.change_list(|names| names.retain(|it| !gone.contains(it))).await
    }

    async fn change_list(&mut self, change: impl Fn(&mut Vec<String>)) -> Result<()> {
        for _ in 0..LIST_TRIES {
            let (mut names, revision) = list(self.store.as_ref(), &self.pool).await?;
            change(&mut names);
            names.sort_unstable();
            names.dedup();
            let value = Bytes::from(names.join("\n"));
            if matches!(
                self.store.put(&list_key(&self.pool), value, revision).await?,
                Put::Stored(_)
            ) {
                self.names = names;
                return Ok(());
            }
        }
        let detail = "the list of workers is always written by another";
        Err(Error::transient(Code::StateFailed, detail).with("pool", &self.pool))
    }

    /// Takes those of these slices that are nobody's; how many.
    async fn take(&mut self, want: Vec<Slice>) -> Result<usize> {
        // first, so that none is forgotten whose store fails
        self.named.extend(&want);
        let this = &*self;
        let taken = stream::iter(want).map(|slice| async move {
            Ok::<_, Error>(this.take_one(slice).await?.then_some(slice))
        });
        let taken: Vec<_> = taken.buffer_unordered(AT_ONCE).collect().await;
        let mut count = 0;
        let mut failed = None;
        for taken in taken {
            match taken {
                Ok(slice) => {
                    count += usize::from(slice.is_some());
                    self.held.extend(slice);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(count), Err)
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

    async fn release(&mut self, give: Vec<Slice>) -> Result<()> {
        // first, so that a failure leaves slices that nobody works on and not some that two do
        self.held.retain(|slice| !give.contains(slice));
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

async fn list(store: &dyn StateStore, pool: &str) -> Result<(Vec<String>, Option<Revision>)> {
    let Some((value, revision)) = store.get(&list_key(pool)).await? else {
        return Ok((Vec::new(), None));
    };
    let names = String::from_utf8_lossy(&value).lines().map(str::to_owned).collect();
    Ok((names, Some(revision)))
}

fn list_key(pool: &str) -> String {
    format!("pool/{pool}/members")
}

fn member_key(pool: &str, name: &str) -> String {
    format!("pool/{pool}/member/{name}")
}

fn fresh() -> String {
    Uuid::new_v4().simple().to_string()
}
