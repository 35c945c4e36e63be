//! One worker's membership, and the slices it holds.
//!
//! No two clocks are compared. A worker counts its own lease from *before* its last renewal that
//! succeeded; the others count from when they first *saw* that revision, which is later. Whose
//! record stayed the same for a whole lease is buried: the record is deleted at that revision. So a
//! renewal that comes late finds no record, and the worker begins anew under another name, with
//! nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use mailbridge_core::{Put, Result, Revision, StateStore};
use tokio::time::Instant;
use uuid::Uuid;

use super::slices::{SLICES, Slice, owner};

/// A worker stops so much of a lease before its end: clocks do not run equally fast.
const MARGIN: u32 = 5;

/// A worker among others.
pub struct Member {
    store: Arc<dyn StateStore>,
    pool: String,
    lease: Duration,
    /// Never used again once it is buried.
    name: String,
    revision: Option<Revision>,
    renewed: Option<Instant>,
    /// What the records of the others were, and since when this worker has seen them so.
    seen: HashMap<String, (Revision, Instant)>,
    held: BTreeSet<Slice>,
    /// Whose records may have this worker's name: those held, and those where the store failed.
    named: BTreeSet<Slice>,
}

impl Member {
    /// One that has not joined yet. `pool` is the name of what is shared, as a pipeline's.
    pub fn new(store: Arc<dyn StateStore>, pool: &str, lease: Duration) -> Self {
        let (pool, name) = (pool.to_owned(), fresh());
        let (revision, renewed) = (None, None);
        let (seen, held, named) = (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { store, pool, lease, name, revision, renewed, seen, held, named }
    }

    /// Whether a slice is this worker's now. To be asked before anything is done that others see.
    pub fn holds(&self, slice: Slice) -> bool {
        let lasts = self.lease.saturating_sub(self.lease / MARGIN);
        self.held.contains(&slice) && self.renewed.is_some_and(|at| at.elapsed() < lasts)
    }

    /// The slices it holds, while [`Member::holds`] says so.
    pub fn held(&self) -> &BTreeSet<Slice> {
        &self.held
    }

    /// Renews, buries who is gone, gives back what is to be another's and is not `busy`, and takes
    /// what is its own and free. To be called some times per lease, and more often while it has to
    /// wait for others. Returns how many slices it still waits for.
    ///
    /// # Errors
    /// The store's. What is held lasts as long as the lease does.
    pub async fn tick(&mut self, busy: impl Fn(Slice) -> bool) -> Result<usize> {
        self.renew().await?;
        let members = self.members().await?;
        let mut waits = 0;
        for slice in 0..SLICES {
            let mine = owner(slice, &members) == Some(&self.name);
            if mine && !self.held.contains(&slice) {
                waits += usize::from(!self.take(slice, &members).await?);
            } else if !mine && self.named.contains(&slice) && !busy(slice) {
                self.release(slice).await?;
            }
        }
        Ok(waits)
    }

    /// Gives everything back, for others to take at once. Nothing may be under way any more.
    ///
    /// # Errors
    /// The store's. What was not given back is free when the lease is over.
    pub async fn leave(&mut self) -> Result<()> {
        self.held.clear();
        self.named.clear();
        self.renewed = None;
        if let Some(revision) = self.revision.take() {
            // slices of a name that is no member's are free
            self.store.delete(&self.member_key(&self.name), revision).await?;
        }
        self.name = fresh();
        Ok(())
    }

    async fn renew(&mut self) -> Result<()> {
        let (started, key) = (Instant::now(), self.member_key(&self.name));
        let value = Bytes::from(Uuid::new_v4().to_string());
        if let Put::Stored(revision) = self.store.put(&key, value, self.revision).await? {
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
        Box::pin(self.renew()).await
    }

    /// Who is there. Whoever was not heard of for a lease is buried on the way.
    async fn members(&mut self) -> Result<Vec<String>> {
        let prefix = self.member_key("");
        let (mut members, mut seen) = (Vec::new(), HashMap::new());
        for key in self.store.list(&prefix).await? {
            let Some((_, revision)) = self.store.get(&key).await? else { continue };
            let name = key.strip_prefix(&prefix).unwrap_or(&key).to_owned();
            let since = match self.seen.get(&name) {
                Some((before, since)) if *before == revision => *since,
                _ => Instant::now(),
            };
            let over = name != self.name && since.elapsed() >= self.lease;
            if over && matches!(self.store.delete(&key, revision).await?, Put::Stored(_)) {
                continue;
            }
            seen.insert(name.clone(), (revision, since));
            members.push(name);
        }
        self.seen = seen;
        Ok(members)
    }

    /// Takes a slice, if it is nobody's.
    async fn take(&mut self, slice: Slice, members: &[String]) -> Result<bool> {
        let (key, mine) = (self.slice_key(slice), Bytes::from(self.name.clone()));
        let expected = match self.store.get(&key).await? {
            // a put that failed came through after all
            Some((value, _)) if value == mine => {
                self.held.insert(slice);
                return Ok(true);
            }
            Some((value, _)) if members.iter().any(|it| it.as_bytes() == value) => {
                return Ok(false);
            }
            Some((value, _)) if self.is_member(&value).await? => return Ok(false),
            Some((_, revision)) => Some(revision),
            None => None,
        };
        self.named.insert(slice);
        let taken = matches!(self.store.put(&key, mine, expected).await?, Put::Stored(_));
        if taken {
            self.held.insert(slice);
        }
        Ok(taken)
    }

    /// Whether it joined since the members were listed.
    async fn is_member(&self, name: &[u8]) -> Result<bool> {
        match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() => {
                Ok(self.store.get(&self.member_key(name)).await?.is_some())
            }
            _ => Ok(false),
        }
    }

    async fn release(&mut self, slice: Slice) -> Result<()> {
        // first, so that a failure leaves a slice that nobody works on and not one that two do
        self.held.remove(&slice);
        let key = self.slice_key(slice);
        if let Some((value, revision)) = self.store.get(&key).await?
            && value == self.name.as_bytes()
        {
            self.store.put(&key, Bytes::new(), Some(revision)).await?;
        }
        self.named.remove(&slice);
        Ok(())
    }

    fn member_key(&self, name: &str) -> String {
        format!("pool/{}/member/{name}", self.pool)
    }

    fn slice_key(&self, slice: Slice) -> String {
        format!("pool/{}/slice/{slice}", self.pool)
    }
}

fn fresh() -> String {
    Uuid::new_v4().simple().to_string()
}
