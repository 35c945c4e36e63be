//! What a worker that stops tells the others: which deliveries it gives back untouched.
//!
//! JetStream counts a delivery that is given back like any other. Whoever had the message next would
//! suppose that something was begun, and look in the mailbox before anything is sent, for as long as
//! that may take to show. So the deliveries are named first, over core NATS, to all who read from the
//! same consumer; the server hands the message on after that, so that who gets it has heard.
//!
//! A note is believed for a moment only. A consumer that has lost its memory counts from 1 again, so
//! that an old note could be about a delivery that came to something; within its time, no such
//! delivery can have come back. What is not heard, or heard too late, costs a look, as if nobody had
//! said anything. Does no I/O but to listen.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use mailbridge_core::SeenBefore;
use tokio::{task::unconstrained, time::Instant};

use crate::place::Place;

/// How long a note is believed. A delivery after it is kept from coming back for longer, by the
/// acknowledgement deadline or by the time that a mailbox may take to show it.
const BELIEVED: Duration = Duration::from_secs(2);
/// Messages of one that are noted at once. A worker that stops has some hundred.
const NOTED_MAX: usize = 65_536;

/// Where it is told who gives back what, of one consumer.
pub(crate) fn subject(stream: &str, consumer: &str) -> String {
    format!("mailbridge.untouched.{stream}.{consumer}")
}

/// The text of a note. `api` says whose streams these are.
pub(crate) fn note<'a>(api: &str, places: impl IntoIterator<Item = Place<'a>>) -> Bytes {
    let line = |Place { delivered, sequence, stored_ns, .. }: Place<'a>| {
        format!("\n{sequence} {stored_ns} {delivered}")
    };
    let lines: String = places.into_iter().map(line).collect();
    format!("{api}{lines}").into()
}

/// What others have told.
pub(crate) struct Heard {
    api: String,
    /// None, where it is not known how to listen, or nobody speaks any more.
    notes: Option<Subscriber>,
    /// Which deliveries of a message, by its sequence and when it was stored, were untouched, and
    /// when the last of them was told.
    untouched: HashMap<(u64, u64), (HashSet<u64>, Instant)>,
    /// When everything that had come was read.
    read_at: Instant,
}

impl Heard {
    pub fn new(api: &str, notes: Option<Subscriber>) -> Self {
        let api = api.to_owned();
        Self { api, notes, untouched: HashMap::new(), read_at: Instant::now() }
    }

    /// Waits until something is told. Cancel safe.
    pub async fn next(&mut self) {
        match &mut self.notes {
            Some(notes) => match notes.next().await {
                Some(Message { payload, .. }) => self.take(&payload, Instant::now()),
                None => self.notes = None,
            },
            None => std::future::pending().await,
        }
    }

    /// What a delivery is that was counted as this, now that everything is read that was told.
    pub fn judge(&mut self, place: &Place<'_>, counted: SeenBefore) -> SeenBefore {
        let now = Instant::now();
        self.read(now);
        let SeenBefore::Times(times) = counted else { return counted };
        match self.untouched.remove(&(place.sequence, place.stored_ns)) {
            Some((deliveries, at))
                if now.duration_since(at) <= BELIEVED
                    && (1..=times).all(|delivery| deliveries.contains(&delivery)) =>
            {
                SeenBefore::Untouched(times)
            }
            _ => counted,
        }
    }

    /// Reads what has come. Of what may have waited here for too long, nothing is believed.
    fn read(&mut self, now: Instant) {
        let recent = now.duration_since(self.read_at) <= BELIEVED;
        self.read_at = now;
        let next = |notes: &mut Subscriber| unconstrained(notes.next()).now_or_never().flatten();
        while let Some(Message { payload, .. }) = self.notes.as_mut().and_then(next) {
            if recent {
                self.take(&payload, now);
            }
        }
    }

    fn take(&mut self, text: &[u8], now: Instant) {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.lines();
        if lines.next() != Some(&self.api) {
            return;
        }
        self.untouched.retain(|_, (_, at)| now.duration_since(*at) <= BELIEVED);
        for line in lines.take(NOTED_MAX.saturating_sub(self.untouched.len())) {
            let mut numbers = line.split(' ').map(str::parse);
            if let (Some(Ok(sequence)), Some(Ok(stored_ns)), Some(Ok(delivered))) =
                (numbers.next(), numbers.next(), numbers.next())
            {
                let known = self.untouched.entry((sequence, stored_ns));
                let (deliveries, at) = known.or_insert_with(|| (HashSet::new(), now));
                deliveries.insert(delivered);
                *at = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64, delivered: u64) -> Place<'static> {
        Place { stream: "MAIL", delivered, sequence, stored_ns: sequence * 10 }
    }

    fn heard(api: &str, places: Vec<Place<'_>>) -> Heard {
        let mut heard = Heard::new("$JS.API", None);
        heard.take(&note(api, places), Instant::now());
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_was_untouched_each_time_is() {
        let mut heard = heard("$JS.API", vec![at(7, 1), at(7, 2), at(8, 2)]);
        let times = |sequence, times| (at(sequence, times + 1), SeenBefore::Times(times));
        for ((place, counted), judged) in [
            (times(7, 2), SeenBefore::Untouched(2)),
            (times(8, 2), SeenBefore::Times(2)),
            (times(9, 1), SeenBefore::Times(1)),
            ((at(9, 1), SeenBefore::Maybe), SeenBefore::Maybe),
        ] {
            assert_eq!(heard.judge(&place, counted), judged, "{place:?}");
        }
        let (place, counted) = times(7, 2);
        assert_eq!(heard.judge(&place, counted), counted, "a note is about one delivery");
    }

    #[tokio::test(start_paused = true)]
    async fn a_note_is_believed_for_a_moment_and_from_the_same_streams() {
        let counted = SeenBefore::Times(1);
        let mut old = heard("$JS.API", vec![at(7, 1)]);
        tokio::time::advance(BELIEVED + Duration::from_millis(1)).await;
        assert_eq!(old.judge(&at(7, 2), counted), counted);
        let mut others = heard("$JS.hub.API", vec![at(7, 1)]);
        assert_eq!(others.judge(&at(7, 2), counted), counted);
        let mut again = heard("$JS.API", vec![at(7, 1)]);
        let made_again = Place { stored_ns: 71, ..at(7, 2) };
        assert_eq!(again.judge(&made_again, counted), counted);
    }

    #[test]
    fn what_is_no_note_is_nothing() {
        let mut heard = heard("$JS.API", vec![]);
        for text in ["", "$JS.API\n7", "$JS.API\nx 70 1", "$JS.API\n7 70", "\u{fffd}"] {
            heard.take(text.as_bytes(), Instant::now());
        }
        assert!(heard.untouched.is_empty());
    }
}
