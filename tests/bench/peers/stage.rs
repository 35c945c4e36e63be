//! Where a run takes place: servers that all contenders share, fresh streams, and what had become
//! of each request in the end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use async_nats::jetstream::consumer::pull;
use futures_util::TryStreamExt as _;
use serde::Serialize;

use super::{
    contender::{Who, Work},
    fetch::Tools,
    graph::Graph,
    process::Process,
};
use crate::{
    Failure,
    rig::{Rig, Streams, number},
    send::payload,
};

/// After which a bus delivers again what nobody has acknowledged.
const ACK_WAIT: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct Stage {
    pub rig: Rig,
    pub tools: Tools,
    pub graph: Graph,
    pub at_once: usize,
    folder: tempfile::TempDir,
}

/// What became of the requests of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tally {
    /// Requests whose mail was sent.
    pub sent: usize,
    /// Mails more than that.
    pub duplicates: u64,
    /// Requests among the dead letters.
    pub dead: usize,
    /// Of those, how many were sent all the same.
    pub dead_though_sent: usize,
    /// Requests that are still on the stream, of which a delivery may still come.
    pub left: usize,
    /// Requests that are neither sent, nor dead, nor left.
    pub lost: usize,
}

impl Stage {
    pub async fn new(at_once: usize) -> Result<Self, Failure> {
        let tools = Tools::get()?;
        let rig = Rig::start_remembering().await?;
        let graph = Graph::new(&rig.sandbox.url)?;
        Ok(Self { rig, tools, graph, at_once, folder: tempfile::tempdir()? })
    }

    pub fn start(&self, who: Who, work: &Work<'_>) -> Result<Process, Failure> {
        who.start((&self.rig, &self.tools, self.folder.path()), work, self.at_once)
    }

    /// Fresh streams with these requests, the sandbox as at its start, and the consumer that the
    /// contender wants. Redpanda Connect makes its own, which is pushed to: it reads a pull
    /// consumer one message at a time.
    pub async fn ready(&mut self, who: Who, requests: &[String]) -> Result<Streams, Failure> {
        self.graph.reset().await?;
        let streams = self.rig.streams().await?;
        let stream = self.rig.jetstream.get_stream(&streams.requests).await?;
        stream.delete_consumer("worker").await?;
        if who != Who::Connect {
            let consumer = pull::Config {
                durable_name: Some("worker".to_owned()),
                ack_wait: ACK_WAIT,
                max_ack_pending: 10_000,
                ..pull::Config::default()
            };
            stream.create_consumer(consumer).await?;
        }
        self.rig.publish_all(&streams, requests).await?;
        Ok(streams)
    }

    /// Requests that have not been acknowledged.
    pub async fn left(&self, streams: &Streams) -> Result<u64, Failure> {
        let stream = self.rig.jetstream.get_stream(&streams.requests).await?;
        Ok(stream.get_info().await?.state.messages)
    }

    /// Waits until nothing is left, or so long.
    pub async fn settle(&self, streams: &Streams, most: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + most;
        while self.left(streams).await? > 0 {
            if Instant::now() > until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY * 2).await;
        }
        Ok(true)
    }

    /// Waits until so many mails have been sent; returns how many there are. Fails after so long.
    pub async fn until_sent(&self, count: usize, most: Duration) -> Result<u64, Failure> {
        let until = Instant::now() + most;
        loop {
            let sent = self.graph.sent().await?;
            if sent >= count as u64 {
                return Ok(sent);
            }
            if Instant::now() > until {
                return Err(format!("{sent} of {count} mails were sent in {most:?}").into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks where each of so many requests is, and removes the streams.
    pub async fn tally(&self, streams: &Streams, requests: usize) -> Result<Tally, Failure> {
        let numbers = self.graph.numbers().await?;
        let sent: BTreeSet<usize> = numbers.keys().copied().collect();
        let dead = self.stored(&streams.outcomes, &format!("{}.dead", streams.outcomes)).await?;
        let left = self.stored(&streams.requests, &format!("{}.>", streams.requests)).await?;
        let all = |number: &usize| {
            sent.contains(number) || dead.contains(number) || left.contains(number)
        };
        let tally = Tally {
            sent: sent.len(),
            duplicates: numbers.values().sum::<u64>() - sent.len() as u64,
            dead: dead.len(),
            dead_though_sent: dead.intersection(&sent).count(),
            left: left.len(),
            lost: (0..requests).filter(|number| !all(number)).count(),
        };
        self.rig.remove(streams).await?;
        Ok(tally)
    }

    /// The requests of which there are messages with a subject.
    async fn stored(&self, stream: &str, subject: &str) -> Result<BTreeSet<usize>, Failure> {
        let mut stream = self.rig.jetstream.get_stream(stream).await?;
        let subjects: Vec<(String, usize)> =
            stream.info_with_subjects(subject).await?.try_collect().await?;
        if subjects.is_empty() {
            return Ok(BTreeSet::new());
        }
        let state = stream.info().await?.state.clone();
        let mut found = BTreeSet::new();
        for sequence in state.first_sequence..=state.last_sequence {
            // what has been acknowledged is not there any more
            let Ok(message) = stream.get_raw_message(sequence).await else { continue };
            if subjects.iter().any(|(name, _)| *message.subject == **name) {
                found.extend(number(&message.payload));
            }
        }
        Ok(found)
    }
}

/// Requests of about 2 KB, mailbox after mailbox.
pub fn requests(count: usize, mailboxes: usize) -> Vec<String> {
    (0..count).map(|n| payload(n, n % mailboxes)).collect()
}
