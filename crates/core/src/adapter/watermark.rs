//! Commits the contiguous prefix only.
//!
//! A log (a Kafka partition, a file, a page of changes) can forget only from its beginning, while
//! deliveries are settled in any order. The watermark is the lowest offset that is still open.
//! Holds one entry an open offset; does no I/O.

use std::collections::VecDeque;

use crate::Settled;

/// Tracks which offsets of one log are still open.
#[derive(Debug)]
pub struct Watermark {
    /// Everything below is settled.
    committed: u64,
    /// Offsets handed out at or above `committed`, in order, with whether they are settled.
    issued: VecDeque<(u64, bool)>,
    revoked: bool,
}

impl Watermark {
    /// A log whose next offset to hand out is `start`.
    pub const fn new(start: u64) -> Self {
        Self { committed: start, issued: VecDeque::new(), revoked: false }
    }

    /// Notes that an offset was handed out. Offsets rise; gaps (compaction, transaction markers) are
    /// fine and count as settled. An offset that does not rise is a repeat and is ignored.
    pub fn issue(&mut self, offset: u64) {
        let last = self.issued.back().map_or(self.committed, |(last, _)| last + 1);
        if offset >= last {
            self.issued.push_back((offset, false));
        }
    }

    /// Notes that an offset is done with. Stale after revocation, or for an offset that is not open.
    pub fn settle(&mut self, offset: u64) -> Settled {
        if self.revoked {
            return Settled::Stale;
        }
        let Ok(index) = self.issued.binary_search_by_key(&offset, |(issued, _)| *issued) else {
            return Settled::Stale;
        };
        if std::mem::replace(&mut self.issued[index].1, true) {
            return Settled::Stale;
        }
        while let Some((offset, true)) = self.issued.front() {
            self.committed = offset + 1;
            self.issued.pop_front();
        }
        Settled::Yes
    }

    /// The first offset that must be read again after a restart. Never passes an open one.
    pub fn position(&self) -> u64 {
        self.committed
    }

    /// How many offsets are handed out and not yet below the position.
    pub fn held(&self) -> usize {
        self.issued.len()
    }

    /// The log belongs to somebody else now: nothing settles, and the position stands still.
    pub fn revoke(&mut self) {
        self.revoked = true;
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
        assert_eq!((mark.settle(10), mark.position()), (Settled::Yes, 12));
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
