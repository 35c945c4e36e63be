//! Asking a consumer for messages, and keeping count of what was asked for.
//!
//! A pull asks for a number of messages. The server sends them as it has them, says every few
//! seconds that the pull still stands, and when its time is over, how many it did not bring. Does
//! no I/O.

use std::{collections::VecDeque, time::Duration};

use async_nats::{Message, StatusCode, Subject};
use mailbridge_core::{Code, Error, Result};
use tokio::time::Instant;

use crate::setup::Ready;

/// How long the server keeps a pull that cannot be filled.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it says that the pull still stands.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The pulls of one input.
pub(crate) struct Pulls {
    stream: String,
    consumer: String,
    subject: Subject,
    batch_max: usize,
    expires: Duration,
    heartbeat: Duration,
    /// Those that still stand, oldest first: how many messages each may still bring, and since
    /// when.
    standing: VecDeque<(usize, Instant)>,
    /// The sum of those.
    asked: usize,
    /// When to give them up, if nothing at all has come by then.
    silent_at: Instant,
}

impl Pulls {
    /// Nothing is asked for yet. `api` is the prefix of JetStream's API.
    pub fn new(api: &str, ready: &Ready) -> Self {
        let Ready { stream, consumer, pull_max, expires_max, .. } = ready;
        let expires = expires_max.unwrap_or(EXPIRES).min(EXPIRES);
        Self {
            subject: format!("{api}.CONSUMER.MSG.NEXT.{stream}.{consumer}").into(),
            stream: stream.clone(),
            consumer: consumer.clone(),
            batch_max: pull_max.unwrap_or(usize::MAX),
            expires,
            // The server takes at most half of the pull's time.
            heartbeat: HEARTBEAT.min(expires / 2),
            standing: VecDeque::new(),
            asked: 0,
            silent_at: Instant::now(),
        }
    }

    /// Where a pull is sent to.
    pub fn subject(&self) -> Subject {
        self.subject.clone()
    }

    /// How many to ask for now, if there is room for this many in all. Waits until a good part of
    /// the room is free, or nothing is asked for at all: under load a pull then brings many
    /// messages, and an idle input has one pull standing.
    pub fn due(&self, room: usize) -> usize {
        let free = room.saturating_sub(self.asked);
        let worth = self.asked == 0 || free >= room.div_ceil(4);
        if worth { free.min(self.batch_max) } else { 0 }
    }

    /// The text of a pull (docs.nats.io, `$JS.API.CONSUMER.MSG.NEXT`). Times in nanoseconds.
    pub fn request(&self, batch: usize) -> String {
        let (expires, heartbeat) = (self.expires.as_nanos(), self.heartbeat.as_nanos());
        format!(r#"{{"batch":{batch},"expires":{expires},"idle_heartbeat":{heartbeat}}}"#)
    }

    /// Notes that a pull was sent.
    pub fn sent(&mut self, batch: usize, at: Instant) {
        self.standing.push_back((batch, at));
        self.asked += batch;
        self.heard(at);
    }

    /// When to give up, if something is asked for.
    pub fn silent_at(&self) -> Option<Instant> {
        (self.asked > 0).then_some(self.silent_at)
    }

    /// Notes that the server has said something.
    pub fn heard(&mut self, at: Instant) {
        self.silent_at = at + 2 * self.heartbeat;
    }

    /// Notes that a message was read, and says since when it can have been on its way at the
    /// earliest: before a pull was sent, at most what was asked for until then has come.
    pub fn took_one(&mut self) -> Option<Instant> {
        let since = self.standing.front().map(|(_, since)| *since);
        self.settle(1);
        since
    }

    /// A pull has ended before it was filled. Anything but an ordinary end is the end of the input.
    ///
    /// # Errors
    /// `bus_consumer_missing` when the consumer was deleted; `bus_lost` for all that is unexpected.
    pub fn ended(&mut self, status: StatusCode, message: &Message) -> Result<()> {
        let says = message.description.as_deref().unwrap_or_default();
        if says == "Consumer Deleted" || status == StatusCode::NO_RESPONDERS {
            let gone = "the consumer is gone, or its server is";
            return Err(self.named(Error::blocked(Code::BusConsumerMissing, gone)));
        }
        let pending = message.headers.as_ref().and_then(|map| map.get("Nats-Pending-Messages"));
        let Some(unfilled) = pending.and_then(|count| count.as_str().parse().ok()) else {
            let error = self.lost("the server ended a pull");
            return Err(error.with("status", status).with("says", says));
        };
        self.settle(unfilled);
        Ok(())
    }

    fn settle(&mut self, mut count: usize) {
        self.asked = self.asked.saturating_sub(count);
        while let Some((left, _)) = self.standing.front_mut() {
            if *left > count {
                *left -= count;
                return;
            }
            count -= *left;
            self.standing.pop_front();
        }
    }

    /// The pulls are worth nothing any more.
    pub fn lost(&self, detail: &'static str) -> Error {
        self.named(Error::transient(Code::BusLost, detail))
    }

    fn named(&self, error: Error) -> Error {
        error.with("consumer", format_args!("{}/{}", self.stream, self.consumer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulls() -> Pulls {
        let ready = Ready {
            stream: "MAIL".to_owned(),
            consumer: "worker".to_owned(),
            ack_wait: Duration::from_mins(1),
            pull_max: Some(50),
            expires_max: Some(Duration::from_secs(4)),
        };
        Pulls::new("$JS.API", &ready)
    }

    #[test]
    fn a_pull_keeps_within_what_the_consumer_allows() {
        let pulls = pulls();
        assert_eq!(pulls.subject().as_str(), "$JS.API.CONSUMER.MSG.NEXT.MAIL.worker");
        assert_eq!(
            pulls.request(7),
            r#"{"batch":7,"expires":4000000000,"idle_heartbeat":2000000000}"#
        );
        assert_eq!((pulls.due(64), pulls.due(3), pulls.due(0)), (50, 3, 0));
    }

    #[test]
    fn more_is_asked_for_when_it_is_worth_a_pull() {
        let mut pulls = pulls();
        pulls.sent(40, Instant::now());
        assert_eq!((pulls.due(53), pulls.due(54)), (0, 14));
        pulls.settle(40);
        assert_eq!((pulls.due(1), pulls.silent_at()), (1, None));
    }

    #[test]
    fn a_message_is_no_older_than_the_pull_that_can_have_brought_it() {
        let mut pulls = pulls();
        let first = Instant::now();
        let second = first + Duration::from_secs(1);
        pulls.sent(2, first);
        pulls.sent(3, second);
        let since: Vec<_> = (0..3).map(|_| pulls.took_one()).collect();
        assert_eq!(since, [Some(first), Some(first), Some(second)]);
        assert_eq!((pulls.asked, pulls.silent_at()), (2, Some(second + 2 * pulls.heartbeat)));
        pulls.settle(9);
        assert_eq!((pulls.asked, pulls.took_one()), (0, None));
    }
}
