//! Which messages of a folder were told: exactly, of the newest ones; of older ones only from when on
//! they are no longer known.
//!
//! Bounded, so that nothing grows with the folder. Of a message that is not here and was received
//! after the edge it is certain that it was never told; of one from before the edge nothing is.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use mailbridge_core::contract::MessageId;
use sha2::{Digest as _, Sha256};

/// How many are kept of a folder that has been read to its end.
pub(super) const STEADY_MAX: usize = 1_024;
/// How many are kept while a folder is read from its beginning, which gives messages in any order.
pub(super) const READING_MAX: usize = 16_384;

/// Messages that were told, the newest by when they were received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recent {
    /// By id: when it was received, in seconds since 1970, and a stamp of its version.
    known: HashMap<u64, (u32, u32)>,
    ages: BTreeSet<(u32, u64)>,
    /// The latest second of those that were forgotten before this reading began.
    edge: Option<u32>,
    /// The same of those that were forgotten in this reading. A reading gives messages in any order:
    /// if these moved the edge, what is new and yet to come would look like old.
    leaving: Option<u32>,
}

impl Recent {
    /// The stamp of the version that was told last, if the message is known.
    pub(super) fn stamp(&self, id: &MessageId) -> Option<u32> {
        self.known.get(&short(id.0.as_bytes())).map(|(_, stamp)| *stamp)
    }

    /// Whether a message that is not known was certainly never told, unless in this very reading.
    pub(super) fn is_past_edge(&self, received: Option<Timestamp>) -> bool {
        self.edge.is_none_or(|edge| received.is_some_and(|received| seconds(received) > edge))
    }

    /// Notes a message as told, in this version.
    pub(super) fn add(&mut self, id: &MessageId, received: Option<Timestamp>, stamp: u32) {
        let id = short(id.0.as_bytes());
        let received = match (self.known.get(&id), received) {
            (Some((before, _)), None) => *before,
            (_, received) => received.map_or(0, seconds),
        };
        if let Some((before, _)) = self.known.insert(id, (received, stamp)) {
            self.ages.remove(&(before, id));
        }
        self.ages.insert((received, id));
    }

    /// Forgets the oldest ones that are too many. `ended`: the folder has been read to its end, and
    /// what is read from now on belongs to another reading.
    pub(super) fn trim(&mut self, most: usize, ended: bool) {
        while self.ages.len() > most
            && let Some((received, id)) = self.ages.pop_first()
        {
            self.known.remove(&id);
            self.leaving = self.leaving.max(Some(received));
        }
        if ended {
            self.edge = self.edge.max(self.leaving.take());
        }
    }

    /// In bytes: the edges, 4 each, then 16 for each message.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.ages.len() * 16);
        for edge in [self.leaving, self.edge] {
            let edge = edge.map_or(0, |edge| edge.saturating_add(1));
            bytes.extend_from_slice(&edge.to_be_bytes());
        }
        for (received, id) in &self.ages {
            let stamp = self.known.get(id).map_or(0, |(_, stamp)| *stamp);
            bytes.extend_from_slice(&received.to_be_bytes());
            bytes.extend_from_slice(&stamp.to_be_bytes());
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        bytes
    }

    /// From bytes. Nothing, if they are not whole.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (leaving, rest) = bytes.split_first_chunk::<4>()?;
        let (edge, rest) = rest.split_first_chunk::<4>()?;
        let (entries, []) = rest.as_chunks::<16>() else { return None };
        let [leaving, edge] = [leaving, edge].map(|it| u32::from_be_bytes(*it).checked_sub(1));
        let mut recent = Self { edge, leaving, ..Self::default() };
        for entry in entries {
            let (received, entry) = entry.split_first_chunk::<4>()?;
            let (stamp, id) = entry.split_first_chunk::<4>()?;
            let received = u32::from_be_bytes(*received);
            let id = u64::from_be_bytes(*id.first_chunk::<8>()?);
            recent.known.insert(id, (received, u32::from_be_bytes(*stamp)));
            recent.ages.insert((received, id));
        }
        Some(recent)
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.ages.len()
    }
}

/// A stamp of a version, to see whether a message was told as it is now.
pub(super) fn stamp(version: Option<&str>, modified: Option<Timestamp>) -> u32 {
    let bytes = match (version, modified) {
        (Some(version), _) => short(version.as_bytes()),
        (None, Some(modified)) => short(&modified.as_nanosecond().to_be_bytes()),
        (None, None) => return 0,
    };
    u32::try_from(bytes >> 32).unwrap_or_default()
}

/// 64 bits of a digest: of a folder's thousands, no two are alike.
fn short(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// What is before 1970 or beyond 2106 counts as the very first or last second: odd dates occur.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> MessageId {
        MessageId(format!("AAMk{number}"))
    }

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_edge_says_so() {
        let mut recent = Recent::default();
        for number in [3, 1, 4, 2] {
            recent.add(&id(number), at(number.into()), number);
        }
        assert!(recent.is_past_edge(at(0)) && recent.is_past_edge(None), "all are known");
        recent.trim(2, true);
        assert_eq!(recent.len(), 2);
        assert_eq!([1, 2, 3, 4].map(|it| recent.stamp(&id(it))), [None, None, Some(3), Some(4)]);
        assert!(!recent.is_past_edge(at(2)) && recent.is_past_edge(at(3)));
        assert!(!recent.is_past_edge(None));
        recent.add(&id(9), at(1), 0);
        recent.trim(2, true);
        assert!(!recent.is_past_edge(at(2)), "the edge does not go back");
    }

    #[test]
    fn what_is_forgotten_while_reading_moves_the_edge_only_at_the_end() {
        let mut recent = Recent::default();
        for number in [1, 2, 9, 8] {
            recent.add(&id(number), at(number.into()), 0);
        }
        recent.trim(2, true);
        for number in [20, 19] {
            recent.add(&id(number), at(number.into()), 0);
        }
        recent.trim(2, false);
        assert!(recent.is_past_edge(at(3)), "what comes later in this reading may be as old");
        let mut recent = Recent::from_bytes(&recent.to_bytes()).unwrap();
        recent.trim(2, true);
        assert!(!recent.is_past_edge(at(9)) && recent.is_past_edge(at(10)));
    }

    #[test]
    fn survives_being_written_down() {
        let mut recent = Recent::default();
        for number in 0..100 {
            recent.add(&id(number), at(i64::from(number) * 7), number);
        }
        recent.trim(70, true);
        recent.trim(60, false);
        let bytes = recent.to_bytes();
        assert_eq!(bytes.len(), 8 + 60 * 16);
        assert_eq!(Recent::from_bytes(&bytes).unwrap(), recent);
        assert_eq!(Recent::from_bytes(&Recent::default().to_bytes()).unwrap(), Recent::default());
        assert_eq!(Recent::from_bytes(&bytes[1..]), None);
    }

    #[test]
    fn odd_dates_are_the_first_or_the_last() {
        let mut recent = Recent::default();
        recent.add(&id(1), Some(Timestamp::MIN), 0);
        recent.add(&id(2), Some(Timestamp::MAX), 0);
        recent.trim(1, true);
        assert!(recent.stamp(&id(1)).is_none() && recent.stamp(&id(2)).is_some());
    }
}
