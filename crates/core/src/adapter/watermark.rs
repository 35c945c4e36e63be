//! Commits the contiguous prefix only.
//!
//! A log (a Kafka partition, a page of changes) can forget only from its beginning, while deliveries
//! are settled in any order. The watermark is the lowest offset that is still open. It keeps the open
//! offsets and no others, however many are settled above them; does no I/O.

use std::collections::BTreeSet;

use crate::Settled;

/// Tracks which offsets of one log are still open.
#[derive(Debug)]
pub struct Watermark {
    /// Above every offset that was handed out.
    next: u64,
    open: BTreeSet<u64>,
    revoked: bool,
}

impl Watermark {
    /// A log whose next offset to hand out is `start`.
    pub const fn new(start: u64) -> Self {
        Self { next: start, open: BTreeSet::new(), revoked: false }
    }

    /// Notes that an offset was handed out. Offsets rise; gaps (compaction, transaction markers) are
    /// fine and count as settled. An offset that does not rise is a repeat and is ignored.
    pub fn issue(&mut self, offset: u64) {
        if offset >= self.next {
            self.open.insert(offset);
            self.next = offset + 1;
        }
    }

    /// Notes that everything below an offset that is not open is settled.
    pub fn skip_to(&mut self, offset: u64) {
        self.next = self.next.max(offset);
    }

    /// Notes that an offset is done with. Stale after revocation, or for an offset that is not open.
    pub fn settle(&mut self, offset: u64) -> Settled {
        if !self.revoked && self.open.remove(&offset) { Settled::Yes } else { Settled::Stale }
    }

    /// The first offset that must be read again after a restart. Never passes an open one.
    pub fn position(&self) -> u64 {
        self.open.first().copied().unwrap_or(self.next)
    }

    /// Above every offset that was handed out.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The offsets that are handed out and not settled, in order. All others below [`Self::next`]
    /// are settled.
    pub fn open(&self) -> impl Iterator<Item = u64> {
        self.open.iter().copied()
    }

    /// How many offsets are handed out and not settled.
    pub fn held(&self) -> usize {
        self.open.len()
    }

    /// The log belongs to somebody else now: nothing settles, and the position stands still.
    pub const fn revoke(&mut self) {
        self.revoked = true;
    }

    /// Whether it belongs to somebody else.
    pub const fn is_revoked(&self) -> bool {
        self.revoked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_position_stops_at_the_lowest_open_offset() {
        let mut mark = Watermark::new(10);
        for offset in [10, 11, 15] {
            mark.issue(offset);
        }
        assert_eq!((mark.settle(11), mark.position()), (Settled::Yes, 10));
        assert_eq!((mark.open().collect::<Vec<_>>(), mark.next()), (vec![10, 15], 16));
        assert_eq!((mark.settle(10), mark.position()), (Settled::Yes, 15), "the gap counts");
        assert_eq!((mark.settle(15), mark.position()), (Settled::Yes, 16));
        assert_eq!((mark.settle(15), mark.held()), (Settled::Stale, 0));
    }

    #[test]
    fn nothing_settles_after_revocation() {
        let mut mark = Watermark::new(0);
        mark.issue(0);
        mark.revoke();
        assert_eq!((mark.settle(0), mark.position()), (Settled::Stale, 0));
    }

    proptest! {
        #[test]
        fn the_position_never_passes_an_open_offset(
            gaps in prop::collection::vec(1u64..4, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let mut mark = Watermark::new(0);
            let offsets: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            for offset in &offsets { mark.issue(*offset); }
            let mut open: std::collections::BTreeSet<u64> = offsets.iter().copied().collect();
            for index in order {
                let offset = *index.get(&offsets);
                let expected = if open.remove(&offset) { Settled::Yes } else { Settled::Stale };
                prop_assert_eq!(mark.settle(offset), expected);
                let lowest = open.first().copied().unwrap_or(u64::MAX);
                prop_assert!(mark.position() <= lowest);
            }
            for offset in open { mark.settle(offset); }
            prop_assert_eq!(mark.position(), offsets.last().map_or(0, |last| last + 1));
        }
    }
}
