//! What is committed with an offset.
//!
//! An offset says that everything below it is done, and nothing else. The note beside it (Kafka's
//! offset *metadata*, a line of text) says two things more, to whoever has the partition next:
//! which records above it are done too, so that one that waits for hours does not make a restart
//! repeat all that was sent after it; and from which offset on nothing can have been handed out,
//! so that a backlog need not be looked for in mailboxes.
//!
//! Written as `mb1 next=8 lease=1000 open=0,3,2`, all relative: to the committed offset, and in
//! `open` each to the one before. It is cut where it would be too long; a note that is missing, or
//! not ours, says nothing, and then everything that stands in the log may have been handed out.

use std::fmt::Write as _;

/// Brokers take 4096 bytes (`offset.metadata.max.bytes`).
const BYTES_MAX: usize = 3000;
const MARK: &str = "mb1";

/// What is known of the records at and above a committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Of the records below this, only those in `open` are not done.
    pub next: u64,
    /// In order.
    pub open: Vec<u64>,
    /// At and above this, nothing was handed out.
    pub lease: u64,
}

/// What is known of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Done,
    /// It may have been handed out.
    Maybe,
    New,
}

impl Note {
    /// The text to commit with `position`. `open` is in order.
    pub fn write(position: u64, next: u64, lease: u64, open: impl Iterator<Item = u64>) -> String {
        let mut text = String::new();
        let mut last = position;
        let mut end = next;
        for offset in open {
            if text.len() > BYTES_MAX {
                // from here on, what is done is not told
                end = offset;
                break;
            }
            let comma = if text.is_empty() { "" } else { "," };
            // writing to a String cannot fail
            write!(text, "{comma}{}", offset - last).ok();
            last = offset;
        }
        let (next, lease) = (end - position, lease.saturating_sub(position));
        format!("{MARK} next={next} lease={lease} open={text}")
    }

    /// Reads what was committed with `position`.
    pub fn read(position: u64, text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(MARK) {
            return None;
        }
        let mut value = |name: &str| words.next()?.strip_prefix(name);
        let next = position.checked_add(value("next=")?.parse().ok()?)?;
        let lease = position.checked_add(value("lease=")?.parse().ok()?)?;
        let list = value("open=")?;
        let mut at = position;
        let step = |step: &str| {
            at = at.checked_add(step.parse().ok()?)?;
            Some(at)
        };
        let open: Option<Vec<u64>> = match list {
            "" => Some(Vec::new()),
            list => list.split(',').map(step).collect(),
        };
        Some(Self { next, open: open?, lease: lease.max(next) })
    }

    /// How many records from the position on, and below `end`, are done.
    pub fn done_below(&self, position: u64, end: u64) -> u64 {
        let end = end.min(self.next);
        let open = self.open.partition_point(|offset| *offset < end);
        end.saturating_sub(position).saturating_sub(open as u64)
    }

    /// What it says about a record at or above the position.
    pub fn knows(&self, offset: u64) -> Known {
        if offset < self.next && self.open.binary_search(&offset).is_err() {
            return Known::Done;
        }
        if offset < self.lease { Known::Maybe } else { Known::New }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        Known::{Done, Maybe, New},
        *,
    };

    #[test]
    fn a_note_reads_as_it_was_written() {
        let text = Note::write(100, 108, 1100, [100, 103, 105].into_iter());
        assert_eq!(text, "mb1 next=8 lease=1000 open=0,3,2");
        let note = Note::read(100, &text).unwrap();
        assert_eq!(note, Note { next: 108, open: vec![100, 103, 105], lease: 1100 });
        let known = [100, 101, 103, 107, 108, 1099, 1100].map(|offset| note.knows(offset));
        assert_eq!(known, [Maybe, Done, Maybe, Done, Maybe, Maybe, New]);
        let done = [100, 103, 104, 108, 2000].map(|end| note.done_below(100, end));
        assert_eq!(done, [0, 2, 2, 5, 5]);
    }

    #[test]
    fn what_is_not_ours_says_nothing() {
        for text in ["", "mb1", "mb2 next=0 lease=0 open=", "mb1 next=x lease=0 open=", "{\"a\":1}"]
        {
            assert_eq!(Note::read(7, text), None, "{text}");
        }
        let all = format!("mb1 next={} lease=0 open=", u64::MAX);
        assert_eq!(Note::read(7, &all), None);
    }

    proptest! {
        #[test]
        fn a_note_never_calls_done_what_is_open_and_fits(
            position in 0u64..1_000_000,
            steps in prop::collection::vec(1u64..5000, 0..3000),
        ) {
            let open: Vec<u64> =
                steps.iter().scan(position, |at, step| { *at += step; Some(*at) }).collect();
            let next = open.last().map_or(position, |last| last + 1);
            let text = Note::write(position, next, next + 500, open.iter().copied());
            prop_assert!(text.len() < 4000, "{}", text.len());
            let note = Note::read(position, &text).unwrap();
            for offset in open {
                prop_assert_eq!(note.knows(offset), Maybe);
            }
            prop_assert_eq!(note.knows(next + 500), New);
        }
    }
}
