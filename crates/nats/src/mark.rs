//! The highest message that each consumer has handed out in this process.
//!
//! A consumer hands out new messages in the order of the stream. So one that claims to be new and
//! stands below the mark can only come from a consumer that has lost its memory: a server that was
//! killed before it had written the last acknowledgements, or a consumer that was deleted and made
//! again. Such a delivery is *maybe seen before*, and the mailbox is looked at before anything is
//! sent. Kept over rebuilds of an input, not over restarts of the process.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mailbridge_core::SeenBefore;

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

/// The highest stream sequence that one consumer has handed out here.
#[derive(Debug, Default)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    /// Notes a delivery, and says what the server's own count and the mark together tell.
    pub fn note(&self, stream_sequence: u64, delivered: u64) -> SeenBefore {
        let highest = self.0.fetch_max(stream_sequence, Ordering::Relaxed);
        match delivered {
            0 | 1 if stream_sequence <= highest => SeenBefore::Maybe,
            0 | 1 => SeenBefore::No,
            more => SeenBefore::Times(more - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_message_below_the_mark_comes_from_a_server_that_forgot() {
        let marks = Marks::default();
        let mark = marks.of("MAIL", "a");
        assert_eq!(mark.note(7, 1), SeenBefore::No);
        assert_eq!(mark.note(9, 1), SeenBefore::No);
        assert_eq!(mark.note(7, 3), SeenBefore::Times(2));
        assert_eq!(marks.of("MAIL", "a").note(8, 1), SeenBefore::Maybe);
        assert_eq!(marks.of("MAIL", "b").note(8, 1), SeenBefore::No);
    }
}
