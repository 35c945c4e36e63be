//! What was really sent and really told, held against what was asked for.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{consumer::pull, message::StreamMessage};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use mailbridge_core::contract::{MailCloudEvent, Outcome, Status, decode};
use tokio::time::Instant;

use super::world::{World, mailbox};

/// How long the rest may take once the storm is over: requests that a sleeper had in hand come back
/// after a while, and are looked for.
const REST: Duration = Duration::from_mins(4);
/// How often is asked.
const ASK: Duration = Duration::from_millis(100);
/// Messages that are read at the same time.
const AHEAD: usize = 64;

impl World {
    /// How many mails were sent more than once.
    pub fn doubled(&self) -> usize {
        self.copies().into_values().filter(|copies| *copies > 1).count()
    }

    fn copies(&self) -> HashMap<String, usize> {
        let mut copies = HashMap::new();
        for sent in self.sandbox.handle().truth().sent() {
            *copies.entry(sent.subject).or_default() += 1;
        }
        copies
    }

    async fn stored(&self, stream: &str) -> u64 {
        let mut stream = self.jetstream.get_stream(stream).await.expect("the stream");
        stream.info().await.expect("stream info").state.messages
    }

    /// Every message of a stream.
    async fn messages(&self, stream: &str) -> Vec<StreamMessage> {
        let mut stream = self.jetstream.get_stream(stream).await.expect("the stream");
        let last = stream.info().await.expect("stream info").state.last_sequence;
        let messages = futures_util::stream::iter(1..=last);
        let messages = messages.map(|sequence| stream.get_raw_message(sequence)).buffered(AHEAD);
        messages.map(|message| message.expect("a message")).collect().await
    }

    /// Waits until every request has its outcome and every mail its event, or the time is over.
    pub async fn settled(&self) {
        let stream = self.jetstream.get_stream("MAIL").await.expect("the stream");
        let mut consumer =
            stream.get_consumer::<pull::Config>("mailbridge").await.expect("the consumer");
        let deadline = Instant::now() + REST;
        let mut ask = tokio::time::interval(ASK);
        loop {
            ask.tick().await;
            let info = consumer.info().await.expect("consumer info");
            let (pending, open) = (info.num_pending, info.num_ack_pending);
            let (told, mails) = (self.stored("EVENTS").await, self.mails() as u64);
            if pending == 0 && open == 0 && told >= mails {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "within {REST:?}: {pending} requests wait, {open} are in hand, {told} events of \
                 {mails} are told"
            );
        }
    }

    /// Checks that each request was sent once and has one outcome, `accepted`; how long each took from
    /// its publication until the outcome stood in the stream.
    pub async fn assert_sent_once(&self) -> Vec<Duration> {
        let copies = self.copies();
        let doubled: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
        assert!(doubled.is_empty(), "sent more than once: {doubled:?}");
        assert_eq!(copies.len(), self.requested.len(), "every request is sent");
        let mut took = vec![None; self.requested.len()];
        for message in self.messages("OUTCOMES").await {
            let outcome: Outcome = decode::read(&message.payload).expect("an outcome");
            let key = outcome.data.key.as_str();
            assert_eq!(outcome.data.status, Status::Accepted, "{key}");
            let number: usize = key[1..].parse().expect("a request's number");
            let waited = since(self.requested[number], &message);
            assert!(took[number].replace(waited).is_none(), "{key} has two outcomes");
        }
        assert!(took.iter().all(Option::is_some), "every request has its outcome");
        assert_eq!(self.stored("DEAD").await, 0, "nothing is dead-lettered");
        took.into_iter().flatten().collect()
    }

    /// Checks that each mail was told once, in its mailbox's order; how long each waited.
    pub async fn assert_told_once(&self) -> Vec<Duration> {
        let mut told = HashMap::<String, Vec<String>>::new();
        let mut waits = Vec::new();
        let numbers: HashMap<_, _> =
            (0..self.sizes.mailboxes).map(|number| (mailbox(number), number)).collect();
        for message in self.messages("EVENTS").await {
            let event: MailCloudEvent = decode::read(&message.payload).expect("an event");
            let of = told.entry(event.mailbox.clone()).or_default();
            let arrived = &self.arrived[numbers[&event.mailbox]];
            waits.push(since(arrived[of.len().min(arrived.len() - 1)], &message));
            of.push(event.event.data.message_id.0);
        }
        for (mailbox, number) in numbers {
            let there = self.sandbox.handle().contents(&mailbox, "inbox").expect("a folder");
            let there: Vec<_> = there.into_iter().map(|mail| mail.immutable_id).collect();
            assert_eq!(there.len(), self.arrived[number].len(), "{mailbox}");
            let told = told.remove(&mailbox).unwrap_or_default();
            assert!(told == there, "{mailbox}: {} told, {} there", told.len(), there.len());
        }
        waits
    }
}

fn since(at: Timestamp, message: &StreamMessage) -> Duration {
    let waited = message.time.unix_timestamp_nanos() - at.as_nanosecond();
    Duration::from_nanos(u64::try_from(waited.max(0)).expect("not for years"))
}
