//! Records that were read and not handed out yet, each partition's by itself: one that may hand out
//! nothing for now takes no room from the others.
//!
//! A partition is paused when enough of it is here, and read on when half of that is gone, so that the
//! pause is over before the rest is: what a paused partition had fetched is fetched again.

use std::collections::{HashMap, VecDeque};

use super::shared::Record;
use crate::partition::Place;

/// Records read ahead, of all partitions together, and of one at least.
const RECORDS: usize = 4096;
const RECORDS_MIN: usize = 32;
/// The same in bytes.
const BYTES: usize = 16 << 20;
const BYTES_MIN: usize = 256 << 10;

/// See the module.
#[derive(Default)]
pub(super) struct Ahead {
    of: HashMap<Place, Queue>,
    /// Whose turn it is, one after the other. Everyone who has a queue stands here once.
    turns: VecDeque<Place>,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Record>,
    bytes: usize,
    /// Enough was here, and half of that is not gone yet.
    paused: bool,
}

/// What is to become of a partition's first record.
pub(super) enum First {
    Take,
    /// It is nobody's any more, or done: look at the next.
    Skip,
    /// This partition's turn passes.
    Pass,
}

impl Ahead {
    /// Keeps a record behind those of its partition. Says whether enough of it is here now.
    pub fn put(&mut self, record: Record) -> bool {
        let place = record.place.clone();
        if !self.of.contains_key(&place) {
            self.turns.push_back(place.clone());
        }
        let share = self.turns.len();
        let queue = self.of.entry(place).or_default();
        queue.bytes += record.bytes;
        queue.records.push_back(record);
        queue.paused |= queue.is_over(share, 1);
        queue.paused
    }

    /// The first record that may be taken, of one partition after the other. Says too whether its
    /// partition may be read on from now on.
    pub fn take(&mut self, mut may: impl FnMut(&Record) -> First) -> Option<(Record, bool)> {
        let share = self.turns.len();
        for _ in 0..share {
            let place = self.turns.pop_front()?;
            let Some(queue) = self.of.get_mut(&place) else { continue };
            let mut taken = None;
            while let Some(record) = queue.records.front() {
                let what = may(record);
                if matches!(what, First::Pass) {
                    break;
                }
                let Some(record) = queue.records.pop_front() else { break };
                queue.bytes -= record.bytes;
                if matches!(what, First::Take) {
                    taken = Some(record);
                    break;
                }
            }
            let low = queue.paused && !queue.is_over(share, 2);
            queue.paused &= !low;
            if queue.records.is_empty() {
                self.of.remove(&place);
            } else {
                self.turns.push_back(place);
            }
            if let Some(record) = taken {
                return Some((record, low));
            }
        }
        None
    }

    /// Whether a partition is not to be read for now.
    pub fn pauses(&self, place: &Place) -> bool {
        self.of.get(place).is_some_and(|queue| queue.paused)
    }

    /// Forgets what was read ahead of these partitions.
    pub fn forget(&mut self, places: &[Place]) {
        self.of.retain(|place, _| !places.contains(place));
        self.turns.retain(|place| !places.contains(place));
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

impl Queue {
    /// Whether this part of what may be here is, of so many partitions.
    fn is_over(&self, share: usize, part: usize) -> bool {
        let share = share.max(1) * part;
        self.records.len() >= (RECORDS / share).max(RECORDS_MIN / part)
            || self.bytes >= (BYTES / share).max(BYTES_MIN / part)
    }
}

#[cfg(test)]
mod tests {
    use mailbridge_core::{Message, Position};

    use super::*;

    fn place(number: i32) -> Place {
        Place { topic: "t".into(), number }
    }

    fn record(number: i32, offset: u64, bytes: usize) -> Record {
        let (position, message) = (Position::new("kafka:t"), Message::default());
        Record { place: place(number), epoch: 1, offset, position, bytes, message }
    }

    fn taken(ahead: &mut Ahead, blocked: i32) -> Option<(i32, u64)> {
        let may = |it: &Record| if it.place.number == blocked { First::Pass } else { First::Take };
        ahead.take(may).map(|(record, _)| (record.place.number, record.offset))
    }

    #[test]
    fn partitions_take_turns_and_keep_their_order() {
        let mut ahead = Ahead::default();
        for (number, offset) in [(0, 1), (0, 2), (0, 3), (1, 7), (2, 5)] {
            ahead.put(record(number, offset, 1));
        }
        let all: Vec<_> = std::iter::from_fn(|| taken(&mut ahead, 2)).collect();
        assert_eq!(all, [(0, 1), (1, 7), (0, 2), (0, 3)]);
        assert_eq!(taken(&mut ahead, -1), Some((2, 5)));
        assert!(ahead.is_empty());
    }

    #[test]
    fn what_is_done_is_passed_by_at_once() {
        let mut ahead = Ahead::default();
        for offset in 0..5 {
            ahead.put(record(0, offset, 1));
        }
        let (record, _) =
            ahead.take(|it| if it.offset < 3 { First::Skip } else { First::Take }).unwrap();
        assert_eq!(record.offset, 3);
    }

    #[test]
    fn one_that_is_full_is_paused_until_half_of_it_is_gone_and_the_others_are_not() {
        let mut ahead = Ahead::default();
        ahead.put(record(1, 0, 1));
        let mut count = 0;
        while !ahead.put(record(0, count, 1)) {
            count += 1;
        }
        assert_eq!(count + 1, RECORDS as u64 / 2, "there are two of them");
        assert!(ahead.pauses(&place(0)) && !ahead.pauses(&place(1)));
        let mut gone = 0;
        while ahead.pauses(&place(0)) {
            assert!(taken(&mut ahead, 1).is_some());
            gone += 1;
        }
        assert_eq!(gone, RECORDS / 4 + 1);
        assert!(ahead.put(record(0, 0, BYTES)), "and by their size");
        ahead.forget(&[place(0)]);
        assert!(!ahead.pauses(&place(0)));
    }
}
