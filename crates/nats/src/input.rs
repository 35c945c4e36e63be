//! Deliveries from a durable pull consumer.
//!
//! An input asks the server for as many messages as there is room for, and never for more: those that
//! are handed out, those that wait in the client's buffer and those that are still asked for are
//! together at most `in_flight`. So nothing waits here while its acknowledgement deadline runs,
//! except when the engine stops calling `next`; what has waited too long by then is let go unread.
//!
//! Any doubt about the pulls themselves (a lost connection, missed heartbeats, a consumer that is
//! gone) ends the instance. There is no recovery here; the host builds another.

use std::{sync::Arc, time::Duration};

use async_nats::{Message as NatsMessage, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use mailbridge_core::{Code, Delivery, Error, Input, Message, Needs, Position, Receipt, Result};
use tokio::{
    sync::watch,
    task::unconstrained,
    time::{Instant, sleep_until},
};

use crate::{
    client::{Link, Status},
    error, headers,
    mark::Mark,
    receipt::{NatsReceipt, Shared},
    setup::Ready,
};

/// How long the server keeps a pull that cannot be filled.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it says that the pull still stands.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The input. Dropping it gives back what it has buffered.
pub(crate) struct NatsInput {
    shared: Arc<Shared>,
    subscriber: Subscriber,
    inbox: Subject,
    pulls: Pulls,
    in_flight: usize,
    /// Messages that were asked for and have not been read from the buffer yet.
    asked: usize,
    /// When to give the pulls up, if nothing at all has come by then.
    silent_at: Instant,
    /// The last time the buffer was known to be empty: nothing in it is older.
    empty_at: Instant,
    /// How long a message may have waited in the buffer and still leave time for one attempt.
    wait_max: Duration,
    status: watch::Receiver<Status>,
    losses: u64,
    mark: Arc<Mark>,
}

/// How this consumer is asked for messages.
struct Pulls {
    stream: String,
    consumer: String,
    subject: Subject,
    max: usize,
    expires: Duration,
    heartbeat: Duration,
}

impl NatsInput {
    /// Subscribes; asks for nothing yet.
    pub async fn start(link: Link, ready: Ready, needs: Needs, mark: Arc<Mark>) -> Result<Self> {
        let mut status = link.status.clone();
        let losses = status.borrow_and_update().losses;
        let inbox = Subject::from(link.client.new_inbox());
        let subscriber = link.client.subscribe(inbox.clone()).await;
        let subscriber =
            subscriber.map_err(|failure| error::failed("no inbox for messages", &failure))?;
        let now = Instant::now();
        Ok(Self {
            pulls: Pulls::new(&link, &ready),
            wait_max: ready.ack_wait.saturating_sub(needs.deadline),
            shared: Arc::new(Shared::new(link, ready.ack_wait)),
            subscriber,
            inbox,
            in_flight: needs.in_flight,
            asked: 0,
            silent_at: now,
            empty_at: now,
            status,
            losses,
            mark,
        })
    }

    /// Asks for more when a good part of the room is free, or nothing is asked for at all: under
    /// load a pull then brings many messages, and an idle input has one pull standing.
    async fn ask(&mut self) -> Result<()> {
        let taken = self.shared.out() + self.asked;
        let room = self.in_flight.saturating_sub(taken).min(self.pulls.max);
        if room == 0 || (self.asked > 0 && room < self.in_flight.div_ceil(4)) {
            return Ok(());
        }
        let client = &self.shared.link.client;
        let request = self.pulls.request(room);
        let sent = client
            .publish_with_reply(self.pulls.subject.clone(), self.inbox.clone(), request.into())
            .await;
        sent.map_err(|failure| error::failed("messages could not be asked for", &failure))?;
        // No await since: a call that is dropped has asked for nothing, or it is counted.
        self.asked += room;
        self.silent_at = Instant::now() + 2 * self.pulls.heartbeat;
        Ok(())
    }

    /// Takes something from the buffer. `received_at` is the earliest that it can have come.
    fn read(&mut self, message: NatsMessage, received_at: Instant) -> Result<Option<Delivery>> {
        self.silent_at = Instant::now() + 2 * self.pulls.heartbeat;
        match message.status {
            None | Some(StatusCode::OK) => {
                self.asked = self.asked.saturating_sub(1);
                if received_at.elapsed() <= self.wait_max {
                    return self.deliver(message, received_at).map(Some);
                }
                // It comes back by itself. Giving it back could hit the redelivery of it.
                tracing::debug!(stream = %self.pulls.stream, "let a message go that waited too long");
                Ok(None)
            }
            Some(StatusCode::IDLE_HEARTBEAT) => Ok(None),
            Some(status) => {
                self.asked = self.asked.saturating_sub(self.pulls.ended(status, &message)?);
                Ok(None)
            }
        }
    }

    fn deliver(&self, message: NatsMessage, received_at: Instant) -> Result<Delivery> {
        let reply = message.reply.ok_or_else(not_jetstream)?;
        let place = Place::parse(&reply).ok_or_else(not_jetstream)?;
        let position = Position::new(format!("nats:{}/{}", place.stream, place.sequence));
        let seen_before = self.mark.note(place.sequence, place.delivered);
        let (headers, id) = headers::incoming(message.headers.as_ref());
        let address = Some(message.subject.to_string());
        Ok(Delivery {
            message: Message { address, id, key: None, headers, payload: message.payload },
            position,
            seen_before,
            receipt: Receipt::new(NatsReceipt::new(&self.shared, reply, received_at)),
        })
    }

    fn lost(&self, detail: &'static str) -> Error {
        self.pulls.lost(detail)
    }
}

#[async_trait]
impl Input for NatsInput {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        // Whether the buffer was empty in this call, so that what comes has come just now.
        let mut waited = false;
        loop {
            if self.status.borrow_and_update().losses != self.losses {
                return Err(self.lost("the connection to the server was lost"));
            }
            self.ask().await?;
            // Unconstrained: a budget that is used up must not look like an empty buffer.
            let buffered = unconstrained(self.subscriber.next()).now_or_never();
            let (message, received_at) = match buffered {
                Some(message) if waited => (message, Instant::now()),
                Some(message) => (message, self.empty_at),
                None => {
                    waited = true;
                    match self.wait().await? {
                        Some(message) => (message, Instant::now()),
                        None => continue,
                    }
                }
            };
            let message = message.ok_or_else(|| self.lost(CLOSED))?;
            if let Some(delivery) = self.read(message, received_at)? {
                return Ok(Some(delivery));
            }
        }
    }
}

impl NatsInput {
    /// Waits for a message (the inner `None`: there will be none any more), or for a reason to look
    /// around.
    async fn wait(&mut self) -> Result<Option<Option<NatsMessage>>> {
        let _until_now = EmptyUntilNow(&mut self.empty_at);
        let failure = tokio::select! {
            biased;
            message = self.subscriber.next() => return Ok(Some(message)),
            () = self.shared.released.notified() => return Ok(None),
            changed = self.status.changed() => match changed {
                Ok(()) => return Ok(None),
                Err(_) => CLOSED,
            },
            () = sleep_until(self.silent_at), if self.asked > 0 => SILENT,
        };
        Err(self.pulls.lost(failure))
    }
}

const CLOSED: &str = "the connection to the server was closed";
const SILENT: &str = "the server stopped answering pulls";

/// The buffer is empty for as long as somebody waits for it to fill, also when that somebody is
/// cancelled.
struct EmptyUntilNow<'a>(&'a mut Instant);

impl Drop for EmptyUntilNow<'_> {
    fn drop(&mut self) {
        *self.0 = Instant::now();
    }
}

/// Gives back what is buffered, as far as that can be done at once, so that it need not wait for its
/// deadline. What may be past its deadline is left alone: somebody else may have it by now.
impl Drop for NatsInput {
    fn drop(&mut self) {
        if self.empty_at.elapsed() > self.shared.ack_wait / 2 {
            return;
        }
        while let Some(Some(message)) = unconstrained(self.subscriber.next()).now_or_never() {
            let Some(reply) = message.reply.filter(|_| message.status.is_none()) else { continue };
            let given_back = self.shared.link.client.publish(reply, "-NAK".into()).now_or_never();
            if given_back.is_none_or(|sent| sent.is_err()) {
                return;
            }
        }
    }
}

impl Pulls {
    fn new(link: &Link, ready: &Ready) -> Self {
        let Ready { stream, consumer, pull_max, expires_max, .. } = ready;
        let expires = expires_max.unwrap_or(EXPIRES).min(EXPIRES);
        Self {
            subject: format!("{}.CONSUMER.MSG.NEXT.{stream}.{consumer}", link.api).into(),
            stream: stream.clone(),
            consumer: consumer.clone(),
            max: pull_max.unwrap_or(usize::MAX),
            expires,
            // The server takes at most half of the pull's time.
            heartbeat: HEARTBEAT.min(expires / 2),
        }
    }

    /// A pull for this many (docs.nats.io, `$JS.API.CONSUMER.MSG.NEXT`). Times in nanoseconds.
    fn request(&self, batch: usize) -> String {
        let (expires, heartbeat) = (self.expires.as_nanos(), self.heartbeat.as_nanos());
        format!(r#"{{"batch":{batch},"expires":{expires},"idle_heartbeat":{heartbeat}}}"#)
    }

    /// A pull has ended before it was filled: how many messages it will not bring any more. Anything
    /// but an ordinary end is the end of the input.
    fn ended(&self, status: StatusCode, message: &NatsMessage) -> Result<usize> {
        let says = message.description.as_deref().unwrap_or_default();
        if says == "Consumer Deleted" || status == StatusCode::NO_RESPONDERS {
            let gone = "the consumer is gone, or its server is";
            return Err(self.at(Error::blocked(Code::BusConsumerMissing, gone)));
        }
        let pending = message.headers.as_ref().and_then(|map| map.get("Nats-Pending-Messages"));
        match pending.and_then(|count| count.as_str().parse().ok()) {
            Some(count) => Ok(count),
            None => {
                Err(self.lost("the server ended a pull").with("status", status).with("says", says))
            }
        }
    }

    fn lost(&self, detail: &'static str) -> Error {
        self.at(Error::transient(Code::BusLost, detail))
    }

    fn at(&self, error: Error) -> Error {
        error.with("consumer", format_args!("{}/{}", self.stream, self.consumer))
    }
}

fn not_jetstream() -> Error {
    Error::transient(Code::BusLost, "a message came that no consumer can have sent")
}

/// Where a delivery comes from, as its reply subject tells (ADR-15 of nats-architecture-and-design):
/// `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    stream: &'a str,
    delivered: u64,
    sequence: u64,
}

impl<'a> Place<'a> {
    fn parse(reply: &'a str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let skip = match rest.split('.').count() {
            7 => 0,
            count if count >= 9 => 2,
            _ => return None,
        };
        let mut tokens = rest.split('.').skip(skip);
        let stream = tokens.next()?;
        let delivered = tokens.nth(1)?.parse().ok()?;
        Some(Self { stream, delivered, sequence: tokens.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn both_forms_of_a_reply_subject_are_read() {
        let place = Place { stream: "MAIL", delivered: 3, sequence: 100 };
        for reply in [
            "$JS.ACK.MAIL.worker.3.100.7.1790230470084404000.42",
            "$JS.ACK._.szMpdrwD.MAIL.worker.3.100.7.1790230470084404000.42",
            "$JS.ACK.hub.szMpdrwD.MAIL.worker.3.100.7.1790230470084404000.42.token",
        ] {
            assert_eq!(Place::parse(reply).as_ref(), Some(&place), "{reply}");
        }
        for reply in ["_INBOX.abc", "$JS.ACK.MAIL.worker.3", "$JS.ACK.MAIL.worker.x.100.7.1.42"] {
            assert_eq!(Place::parse(reply), None, "{reply}");
        }
    }
}
