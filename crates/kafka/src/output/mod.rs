//! Publishing, each record confirmed by all replicas that are in sync, and committing records
//! together with a value of state.

mod commit;
mod lots;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{Code, Commit, Error, Message, Output, Put, Result};
use rdkafka::{types::RDKafkaErrorCode as Kafka, util::Timeout};

use self::{
    commit::{Commits, Value},
    lots::Placed,
};
use crate::{
    client::{Connector, Link},
    config::{Target, topic_of},
    error, setup,
    state::KafkaStore,
};

/// How long publishing waits for a place in the producer's queue, while that is full.
const QUEUED_WITHIN: Timeout = Timeout::After(Duration::from_secs(30));
/// Topics remembered as being there; a template may name very many.
const KNOWN_MAX: usize = 10_000;

/// The output. A message's own address is its topic, in place of the target's.
pub(crate) struct KafkaOutput {
    connector: Arc<Connector>,
    link: Arc<Link>,
    target: Target,
    /// With a store, what is committed to it along with messages.
    commits: Option<Commits>,
    /// Topics that are there.
    known: Mutex<HashSet<String>>,
}

impl KafkaOutput {
    /// Sees to it that the topic is there, if it is one. Those of a template are looked up as they
    /// are named.
    pub async fn new(
        connector: &Arc<Connector>,
        target: &Target,
        store: Option<Arc<KafkaStore>>,
    ) -> Result<Self> {
        let commits = store.map(|store| Commits::new(connector, store));
        let (connector, target) = (Arc::clone(connector), target.clone());
        let link = connector.link().await?;
        let output = Self { connector, link, target, commits, known: Mutex::default() };
        if let Some(topic) = output.target.topic.plain() {
            output.ensure(topic).await?;
        }
        Ok(output)
    }

    async fn ensure(&self, topic: &str) -> Result<()> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(topic) {
            return Ok(());
        }
        setup::topic(&self.connector, &self.link, topic, &self.target.create, &[]).await?;
        let mut known = known();
        if known.len() < KNOWN_MAX {
            known.insert(topic.to_owned());
        }
        Ok(())
    }

    /// Where a message goes, and under which key.
    async fn place<'a>(&self, message: &'a Message) -> Result<Placed<'a>> {
        let topic = match &message.address {
            Some(address) => address.clone(),
            None => topic_of(&self.target.topic, &message.labels),
        };
        self.ensure(&topic).await?;
        let key = match &self.target.key {
            Some(template) => template.fill(&message.labels, "", str::to_owned).into_bytes(),
            None => message.key.as_deref().unwrap_or_default().to_vec(),
        };
        Ok(Placed { message, topic, key })
    }
}

#[async_trait]
impl Output for KafkaOutput {
    /// Returns once the record is confirmed. While the queue is full it waits; the producer repeats
    /// a record by itself, and its idempotence keeps that from being stored twice.
    async fn publish(&self, message: Message) -> Result<()> {
        let placed = self.place(&message).await?;
        let confirmed = self.link.producer.send(placed.record(), QUEUED_WITHIN).await;
        confirmed
            .map(drop)
            .map_err(|(failure, _)| refused(lots::code(&failure)).with("topic", &placed.topic))
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Put> {
        let Some(commits) = &self.commits else {
            let detail = "this output has no store to commit to";
            return Err(Error::permanent(Code::Internal, detail));
        };
        let Commit { share, messages, key, ref value, expected } = commit;
        let mut records = Vec::with_capacity(messages.len());
        for message in messages {
            records.push(self.place(message).await?);
        }
        commits.commit(share, &records, Value { key, bytes: value, expected }).await
    }
}

fn refused(code: Kafka) -> Error {
    const WHAT: &str = "the brokers did not confirm the message";
    match error::coded(WHAT, code) {
        error if error.code() == Code::BusLost => {
            Error::transient(Code::BusPublishFailed, WHAT).with("kafka_error", error::name(code))
        }
        error => error,
    }
}
