//! Deliveries from a durable pull consumer.
//!
//! An input hands out at most `in_flight` deliveries at once. It reads ahead of them only as far as
//! they were settled within the last second, and half of `in_flight` at most: a fast pipeline never
//! waits for the server, and a slow one leaves to others what it cannot begin yet. A message's
//! acknowledgement deadline runs while it is buffered here; one that may have waited too long to be
//! begun (the engine stopped calling `next`) is let go unread and comes back.
//!
//! A process that was stopped for a while (a suspended machine, SIGSTOP) finds what came meanwhile as
//! if it had come just now, and the server has handed it to others by then. So whoever waits looks at
//! the clock now and then, and an input that has stood still for too long ends: what is on its way
//! to it is let go unread, too.
//!
//! A worker that stops ends its pulls by leaving its inbox, and gives back what came by then, named
//! to the others as untouched (`untouched`).
//!
//! Any doubt about the pulls themselves (a lost connection, missed heartbeats, a consumer that is
//! gone) ends the instance. There is no recovery here; the host builds another.

use std::{sync::Arc, time::Duration};

use async_nats::{Message as NatsMessage, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use mailbridge_core::{Code, Delivery, Error, Input, Message, Needs, Receipt, Result};
use tokio::{
    sync::watch,
    task::unconstrained,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    client::{Link, Status},
    error, headers,
    mark::Mark,
    place::Place,
    pull::Pulls,
    receipt::{NAK, NatsReceipt, Shared},
    setup::Ready,
    untouched::{self, Heard},
};

const CLOSED: &str = "the connection to the server was closed";
const LOST: &str = "the connection to the server was lost";
const STOOD_STILL: &str = "this process stood still; what came meanwhile may be another's by now";
const SILENT: &str = "the server stopped answering pulls";

/// An input that waits looks at the clock so often at most.
const LOOK_UP_MIN: Duration = Duration::from_millis(100);
/// A busy machine lets everybody stand still for a moment.
const STILL_MIN: Duration = Duration::from_secs(1);

/// How long giving back may take when the input is to stop. A server that is there needs a round
/// trip.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// The input. Dropping it gives back what it has buffered.
pub(crate) struct NatsInput {
    shared: Arc<Shared>,
    subscriber: Subscriber,
    inbox: Subject,
    pulls: Pulls,
    in_flight: usize,
    pace: Pace,
    /// The last time the buffer was known to be empty: nothing in it is older.
    empty_at: Instant,
    /// The last time this input is known not to have stood still.
    awake_at: Instant,
    /// Whether it waited then; else nobody asked it.
    waiting: bool,
    /// How long a message may have waited in the buffer and still leave time for one attempt.
    wait_max: Duration,
    status: watch::Receiver<Status>,
    losses: u64,
    mark: Arc<Mark>,
    heard: Heard,
    /// Where the others hear of what is given back.
    tell: Subject,
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
        let tell = Subject::from(untouched::subject(&ready.stream, &ready.consumer));
        // without them there is only more to look for
        let notes = link.client.subscribe(tell.clone()).await.ok();
        let now = Instant::now();
        Ok(Self {
            heard: Heard::new(&link.api, notes),
            tell,
            pulls: Pulls::new(&link.api, &ready),
            wait_max: ready.ack_wait.saturating_sub(needs.deadline),
            shared: Arc::new(Shared::new(link, ready.ack_wait)),
            subscriber,
            inbox,
            in_flight: needs.in_flight,
            pace: Pace { since: now, settled: 0, each_second: 0 },
            empty_at: now,
            awake_at: now,
            waiting: false,
            status,
            losses,
            mark,
        })
    }

    /// Asks for as many messages as there is room for, if that is worth a pull.
    async fn ask(&mut self) -> Result<()> {
        let now = Instant::now();
        let ahead = self.pace.update(self.shared.settled(), now).min(self.in_flight / 2);
        let room = (self.in_flight + ahead).saturating_sub(self.shared.out());
        let batch = self.pulls.due(room);
        if batch == 0 {
            return Ok(());
        }
        let client = &self.shared.link.client;
        let (subject, inbox) = (self.pulls.subject(), self.inbox.clone());
        let sent = client.publish_with_reply(subject, inbox, self.pulls.request(batch).into());
        sent.await.map_err(|failure| error::failed("messages cannot be asked for", &failure))?;
        // No await since: a call that is dropped has asked for nothing, or it is counted.
        self.pulls.sent(batch, now);
        Ok(())
    }

    /// Looks at the clock.
    ///
    /// # Errors
    /// `bus_lost`, when it stood still for longer than a message may wait to be begun.
    fn look_up(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.waiting && now.duration_since(self.awake_at) > self.wait_max.max(STILL_MIN) {
            // nor is what it has given back then
            self.empty_at = self.awake_at;
            return Err(self.pulls.lost(STOOD_STILL));
        }
        (self.awake_at, self.waiting) = (now, false);
        Ok(())
    }

    /// Waits until there is something to read (the inner `None`: there will be nothing any more),
    /// or a reason to look around.
    async fn wait(&mut self, full: bool) -> Result<Option<Option<NatsMessage>>> {
        let _until_now = (!full).then_some(EmptyUntilNow(&mut self.empty_at));
        let silent_at = self.pulls.silent_at().filter(|_| !full);
        let look_up = self.awake_at + (self.wait_max / 4).max(LOOK_UP_MIN);
        self.waiting = true;
        let failure = tokio::select! {
            biased;
            message = self.subscriber.next(), if !full => return Ok(Some(message)),
            () = self.shared.released.notified() => return Ok(None),
            () = self.heard.next() => return Ok(None),
            changed = self.status.changed() => match changed {
                Ok(()) => return Ok(None),
                Err(_) => CLOSED,
            },
            () = until(silent_at) => SILENT,
            () = sleep_until(look_up) => return Ok(None),
        };
        Err(self.pulls.lost(failure))
    }

    /// Takes something from the buffer that was empty at this time.
    fn read(&mut self, message: NatsMessage, empty_at: Instant) -> Result<Option<Delivery>> {
        let now = Instant::now();
        self.pulls.heard(now);
        match message.status {
            None | Some(StatusCode::OK) => {
                let asked_at = self.pulls.took_one().unwrap_or(empty_at);
                let received_at = asked_at.max(empty_at);
                if now.duration_since(received_at) <= self.wait_max {
                    return self.deliver(message, received_at).map(Some);
                }
                // It comes back by itself. Giving it back could hit the redelivery of it.
                tracing::debug!(subject = %message.subject, "a message waited too long here");
                Ok(None)
            }
            Some(StatusCode::IDLE_HEARTBEAT) => Ok(None),
            Some(status) => self.pulls.ended(status, &message).map(|()| None),
        }
    }

    /// Where to give back what was buffered. What may be past its deadline is left alone: somebody
    /// else may have it by now.
    fn untouched(&mut self, message: NatsMessage) -> Option<Subject> {
        let reply = message.reply.filter(|_| message.status.is_none())?;
        let received_at = self.pulls.took_one().unwrap_or(self.empty_at).max(self.empty_at);
        (received_at.elapsed() <= self.shared.ack_wait / 2).then_some(reply)
    }

    /// Leaves the inbox, which ends the pulls, and gives back what has come, all of it; how much that
    /// was. None where the connection fails.
    async fn give_back(&mut self) -> Option<usize> {
        let client = self.shared.link.client.clone();
        self.subscriber.drain().await.ok()?;
        let mut untouched = Vec::new();
        while let Some(message) = self.subscriber.next().await {
            untouched.extend(self.untouched(message));
        }
        if !untouched.is_empty() {
            let places = untouched.iter().filter_map(|reply| Place::parse(reply));
            let note = untouched::note(&self.shared.link.api, places);
            client.publish(self.tell.clone(), note).await.ok()?;
        }
        let count = untouched.len();
        for reply in untouched {
            client.publish(reply, NAK).await.ok()?;
        }
        client.flush().await.ok()?;
        Some(count)
    }

    fn deliver(&mut self, message: NatsMessage, received_at: Instant) -> Result<Delivery> {
        let reply = message.reply.ok_or_else(not_jetstream)?;
        let place = Place::parse(&reply).ok_or_else(not_jetstream)?;
        let position = place.position();
        let seen_before = self.heard.judge(&place, self.mark.note(&place));
        let (headers, id) = headers::incoming(message.headers.as_ref());
        let address = Some(message.subject.to_string());
        Ok(Delivery {
            message: Message {
                address,
                id,
                headers,
                payload: message.payload,
                ..Message::default()
            },
            position,
            seen_before,
            receipt: Receipt::new(NatsReceipt::new(&self.shared, reply, received_at)),
        })
    }
}

#[async_trait]
impl Input for NatsInput {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        // Whether the buffer was empty in this call, so that what comes has come just now.
        let mut waited = false;
        loop {
            if self.status.borrow_and_update().losses != self.losses {
                return Err(self.pulls.lost(LOST));
            }
            self.look_up()?;
            self.ask().await?;
            let full = self.shared.out() >= self.in_flight;
            // Unconstrained: a budget that is used up must not look like an empty buffer.
            let next = || unconstrained(self.subscriber.next()).now_or_never();
            let (message, empty_at) = match (!full).then(next).flatten() {
                Some(message) if waited => (message, self.awake_at),
                Some(message) => (message, self.empty_at),
                None => {
                    waited = !full;
                    let message = self.wait(full).await?;
                    self.look_up()?;
                    match message {
                        Some(message) => (message, self.awake_at),
                        None => continue,
                    }
                }
            };
            let message = message.ok_or_else(|| self.pulls.lost(CLOSED))?;
            if let Some(delivery) = self.read(message, empty_at)? {
                return Ok(Some(delivery));
            }
        }
    }

    async fn stop(&mut self) {
        let lost = self.shared.link.clone();
        let given_back = tokio::select! {
            given_back = timeout(STOPS_WITHIN, self.give_back()) => given_back,
            () = lost.lost() => return,
        };
        match given_back {
            Ok(Some(0)) => {}
            Ok(Some(count)) => tracing::debug!(count, "what was not begun was given back"),
            _ => tracing::debug!("what was not begun comes back by itself"),
        }
    }
}

/// Gives back what is buffered, as far as that can be done at once, so that it need not wait for
/// its deadline.
impl Drop for NatsInput {
    fn drop(&mut self) {
        while let Some(Some(message)) = unconstrained(self.subscriber.next()).now_or_never() {
            let Some(reply) = self.untouched(message) else { continue };
            let given_back = self.shared.link.client.publish(reply, NAK).now_or_never();
            if given_back.is_none_or(|sent| sent.is_err()) {
                return;
            }
        }
    }
}

/// How many deliveries are settled in a second, measured over the last one that has passed.
struct Pace {
    since: Instant,
    /// How many had been settled by then.
    settled: u64,
    each_second: usize,
}

impl Pace {
    /// Takes the count as it stands now.
    fn update(&mut self, settled: u64, now: Instant) -> usize {
        let millis = now.duration_since(self.since).as_millis();
        if millis >= 1000 {
            let each_second = u128::from(settled - self.settled) * 1000 / millis;
            self.each_second = usize::try_from(each_second).unwrap_or(usize::MAX);
            (self.since, self.settled) = (now, settled);
        }
        self.each_second
    }
}

/// The buffer is empty for as long as somebody waits for it to fill, also when that somebody is
/// cancelled.
struct EmptyUntilNow<'a>(&'a mut Instant);

impl Drop for EmptyUntilNow<'_> {
    fn drop(&mut self) {
        *self.0 = Instant::now();
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn not_jetstream() -> Error {
    Error::transient(Code::BusLost, "a message came that no consumer can have sent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_second_and_falls_when_nothing_moves() {
        let start = Instant::now();
        let mut pace = Pace { since: start, settled: 0, each_second: 0 };
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.update(500, at(999)), 0);
        assert_eq!(pace.update(1200, at(1200)), 1000);
        assert_eq!(pace.update(1200, at(1300)), 1000);
        assert_eq!(pace.update(1210, at(11_200)), 1);
    }
}
