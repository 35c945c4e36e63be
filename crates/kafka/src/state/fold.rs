//! The rule by which a log of proposals becomes a store with compare-and-swap. Does no I/O; why it
//! holds is in `docs/adr`.
//!
//! A proposal says how much of the log its writer had seen, and which proposal it found to stand for
//! the key. It takes effect if none has since. All readers see one log, so they all decide alike.
//! Each proposal has a Kafka key of its own, so compaction removes only what somebody has struck out
//! with a tombstone: what was superseded, and what took no effect.

use std::collections::HashMap;

use bytes::Bytes;

/// One proposal, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    /// The Kafka key: the store's key, `#`, and what makes it different from all others.
    pub name: String,
    pub offset: u64,
    /// The log's own time.
    pub time_ms: i64,
    /// Its writer had seen everything below this offset.
    pub seen: u64,
    /// What stood for the key then, by its offset.
    pub expects: Option<u64>,
    /// The value; none deletes it.
    pub value: Option<Bytes>,
}

/// The proposal that stands for a key.
#[derive(Clone, Debug)]
struct Standing {
    name: String,
    offset: u64,
    seen: u64,
    time_ms: i64,
    value: Option<Bytes>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It stands. What stood before is to be struck out.
    Stands { before: Option<String> },
    /// Another was first. It is to be struck out itself.
    Void,
}

/// The store as of some offset.
#[derive(Debug, Default)]
pub(super) struct Fold {
    standing: HashMap<String, Standing>,
    /// What should have been struck out and is not yet, with its time.
    litter: HashMap<String, i64>,
    /// Everything below this is applied.
    next: u64,
    /// The latest time in the log.
    time_ms: i64,
}

/// The store's key in a Kafka key.
fn key_of(name: &str) -> Option<&str> {
    name.rsplit_once('#').map(|(key, _)| key).filter(|key| !key.is_empty())
}

impl Fold {
    /// Everything below this is applied.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The value of a key, and the offset that is its revision.
    pub fn value(&self, key: &str) -> Option<(Bytes, u64)> {
        let standing = self.standing.get(key)?;
        Some((standing.value.clone()?, standing.offset))
    }

    /// The keys that begin like this and have a value, in no order.
    pub fn keys(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let valued = self.standing.iter().filter(|(_, it)| it.value.is_some());
        valued.map(|(key, _)| key.as_str()).filter(move |key| key.starts_with(prefix))
    }

    /// What a proposal for this key expects: also a deletion stands.
    pub fn standing(&self, key: &str) -> Option<u64> {
        self.standing.get(key).map(|standing| standing.offset)
    }

    /// Everything below this was read.
    pub fn reach(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Passes over an offset at which there is nothing to apply.
    pub fn skip(&mut self, offset: u64, time_ms: i64) {
        self.next = self.next.max(offset + 1);
        self.time_ms = self.time_ms.max(time_ms);
    }

    /// Applies a proposal.
    pub fn apply(&mut self, proposal: Proposal) -> Effect {
        self.skip(proposal.offset, proposal.time_ms);
        let Proposal { name, offset, time_ms, seen, expects, value } = proposal;
        let Some(key) = key_of(&name) else { return Effect::Void };
        let before = self.standing.get(key);
        if before.is_some_and(|before| !before.yields_to(seen, expects)) {
            self.litter.insert(name, time_ms);
            return Effect::Void;
        }
        let key = key.to_owned();
        let standing = Standing { name, offset, seen, time_ms, value };
        let before = self.standing.insert(key, standing).map(|before| before.name);
        if let Some(before) = &before {
            self.litter.insert(before.clone(), time_ms);
        }
        Effect::Stands { before }
    }

    /// Applies a tombstone.
    pub fn strike(&mut self, name: &str, offset: u64, time_ms: i64) {
        self.skip(offset, time_ms);
        self.litter.remove(name);
        let Some(key) = key_of(name) else { return };
        if self.standing.get(key).is_some_and(|standing| standing.name == name) {
            self.standing.remove(key);
        }
    }

    /// What is to be struck out and was not, though there was time: whoever should have is gone. And
    /// deletions that have stood so long that nobody can be proposing anything from before them, once
    /// nothing of their key is left besides.
    pub fn sweep(&self, litter_ms: i64, deletions_ms: i64) -> Vec<String> {
        let old = |time_ms: i64, age_ms: i64| time_ms.saturating_add(age_ms) < self.time_ms;
        let litter: Vec<String> = self
            .litter
            .iter()
            .filter(|(_, time_ms)| old(**time_ms, litter_ms))
            .map(|(name, _)| name.clone())
            .collect();
        let littered = |key: &str| self.litter.keys().any(|name| key_of(name) == Some(key));
        let deletions = self.standing.iter().filter(|(key, it)| {
            it.value.is_none() && old(it.time_ms, deletions_ms) && !littered(key)
        });
        let deletions: Vec<String> = deletions.map(|(_, it)| it.name.clone()).collect();
        [litter, deletions].concat()
    }

    /// Forgets what was last put longer ago than this, by the log's own time. Whether a proposal
    /// takes effect does not depend on it.
    pub fn forget(&mut self, age_ms: i64) {
        let now = self.time_ms;
        self.standing.retain(|_, it| it.time_ms.saturating_add(age_ms) >= now);
        self.litter.retain(|_, time_ms| time_ms.saturating_add(age_ms) >= now);
    }
}

impl Standing {
    /// Whether a proposal that had seen this much, and found that to stand, takes effect over it.
    fn yields_to(&self, seen: u64, expects: Option<u64>) -> bool {
        // it knew of this one
        let knew = self.offset < seen;
        // what it found to stand came between this one's look at the log and this one itself: so
        // this one has never stood, and what showed that was removed by compaction
        let never_stood = expects.is_some_and(|it| self.seen <= it && it < self.offset);
        knew || never_stood
    }
}

#[cfg(test)]
mod tests;
