//! The highest message that each consumer has handed out in this process.
//!
//! A consumer hands out new messages in the order of the stream. So one that claims to be new and
//! stands below the mark can only come from a consumer that has lost its memory: a server that was
//! killed before it had written the last acknowledgements, or a consumer that was deleted and made
//! again. Such a delivery is *maybe seen before*, and the mailbox is looked at before anything is
//! sent. A stream that was deleted and made again counts from 1 too, but what it holds was stored
//! later than anything that was handed out before: that is new, and the mark begins anew with it.
//! Kept over rebuilds of an input, not over restarts of the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use mailbridge_core::SeenBefore;

use crate::place::Place;

/// One mark a consumer.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<HashMap<(String, String), Arc<Mark>>>);

impl Marks {
    /// The mark of a consumer, the same one each time.
    pub fn of(&self, stream: &str, consumer: &str) -> Arc<Mark> {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(marks.entry((stream.to_owned(), consumer.to_owned())).or_default())
    }
}

/// How far one consumer has come here.
#[derive(Debug, Default)]
pub(crate) struct Mark(Mutex<Reached>);

#[derive(Debug, Default)]
struct Reached {
    /// The highest stream sequence.
    sequence: u64,
    /// The latest time at which anything was stored. Not always that of the highest sequence: the
    /// servers of a cluster, each with a clock of its own, take turns in storing.
    stored_ns: u64,
}

impl Mark {
    /// Notes a delivery, and says what the server's own count and the mark together tell.
    pub fn note(&self, place: &Place<'_>) -> SeenBefore {
        let Place { delivered, sequence, stored_ns, .. } = *place;
        let mut reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let below = sequence <= reached.sequence;
        let of_a_new_stream = below && stored_ns > reached.stored_ns;
        if !below || of_a_new_stream {
            reached.sequence = sequence;
        }
        reached.stored_ns = reached.stored_ns.max(stored_ns);
        match delivered {
            0 | 1 if below && !of_a_new_stream => SeenBefore::Maybe,
            0 | 1 => SeenBefore::No,
            more => SeenBefore::Times(more - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64, stored_ns: u64, delivered: u64) -> Place<'static> {
        Place { stream: "MAIL", delivered, sequence, stored_ns }
    }

    #[test]
    fn a_new_message_below_the_mark_comes_from_a_server_that_forgot() {
        let marks = Marks::default();
        let mark = marks.of("MAIL", "a");
        assert_eq!(mark.note(&at(7, 70, 1)), SeenBefore::No);
        assert_eq!(mark.note(&at(9, 90, 1)), SeenBefore::No);
        assert_eq!(mark.note(&at(7, 70, 3)), SeenBefore::Times(2));
        assert_eq!(marks.of("MAIL", "a").note(&at(8, 80, 1)), SeenBefore::Maybe);
        assert_eq!(marks.of("MAIL", "b").note(&at(8, 80, 1)), SeenBefore::No);
    }

    #[test]
    fn a_stream_that_was_made_again_has_new_messages_from_its_first_on() {
        let mark = Mark::default();
        assert_eq!(mark.note(&at(9, 90, 1)), SeenBefore::No);
        assert_eq!(mark.note(&at(1, 91, 1)), SeenBefore::No);
        assert_eq!(mark.note(&at(2, 92, 1)), SeenBefore::No);
        // The new stream's consumer forgets too.
        assert_eq!(mark.note(&at(1, 91, 1)), SeenBefore::Maybe);
    }

    #[test]
    fn a_clock_that_went_back_between_two_servers_makes_no_new_stream() {
        let mark = Mark::default();
        assert_eq!(mark.note(&at(7, 71, 1)), SeenBefore::No);
        assert_eq!(mark.note(&at(8, 70, 1)), SeenBefore::No);
        assert_eq!(mark.note(&at(7, 71, 1)), SeenBefore::Maybe);
    }
}
