//! Publishing, each record confirmed by all replicas that are in sync.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, Message, Output, Result};
use rdkafka::{
    message::Headers as _, producer::FutureRecord, types::RDKafkaErrorCode as Kafka, util::Timeout,
};

use crate::{
    client::{Connector, Link},
    config::{Target, topic_of},
    error, headers, setup,
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
    /// Topics that are there.
    known: Mutex<HashSet<String>>,
}

impl KafkaOutput {
    /// Sees to it that the topic is there, if it is one. Those of a template are looked up as they
    /// are named.
    pub async fn new(connector: &Arc<Connector>, target: &Target) -> Result<Self> {
        let (connector, target) = (Arc::clone(connector), target.clone());
        let link = connector.link().await?;
        let output = Self { connector, link, target, known: Mutex::default() };
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
}

#[async_trait]
impl Output for KafkaOutput {
    /// Returns once the record is confirmed. While the queue is full it waits; the producer repeats
    /// a record by itself, and its idempotence keeps that from being stored twice.
    async fn publish(&self, message: Message) -> Result<()> {
        let topic = match &message.address {
            Some(address) => address.clone(),
            None => topic_of(&self.target.topic, &message.labels),
        };
        self.ensure(&topic).await?;
        let key = match &self.target.key {
            Some(template) => Some(template.fill(&message.labels, "", str::to_owned).into()),
            None => message.key.clone(),
        };
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic).payload(&message.payload);
        if let Some(key) = key.as_ref().filter(|key: &&Bytes| !key.is_empty()) {
            record = record.key(key);
        }
        let headers = headers::outgoing(&message);
        if headers.count() > 0 {
            record = record.headers(headers);
        }
        let confirmed = self.link.producer.send(record, QUEUED_WITHIN).await;
        confirmed.map(drop).map_err(|(failure, _)| {
            let code = failure.rdkafka_error_code().unwrap_or(Kafka::Fail);
            refused(code).with("topic", topic)
        })
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
