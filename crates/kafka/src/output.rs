//! Publishing, each record confirmed by all replicas that are in sync.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mailbridge_core::{Code, Error, Message, Output, Result};
use rdkafka::{producer::FutureRecord, types::RDKafkaErrorCode as Kafka, util::Timeout};

use crate::{client::Link, error, headers};

/// How long publishing waits for a place in the producer's queue, while that is full.
const QUEUED_WITHIN: Timeout = Timeout::After(Duration::from_secs(30));

/// The output. A message's own address is its topic, in place of the target's.
pub(crate) struct KafkaOutput {
    link: Arc<Link>,
    topic: Arc<str>,
}

impl KafkaOutput {
    pub fn new(link: Arc<Link>, topic: Arc<str>) -> Self {
        Self { link, topic }
    }
}

#[async_trait]
impl Output for KafkaOutput {
    /// Returns once the record is confirmed. While the queue is full it waits; the producer repeats
    /// a record by itself, and its idempotence keeps that from being stored twice.
    async fn publish(&self, message: Message) -> Result<()> {
        let topic = message.address.as_deref().unwrap_or(&self.topic);
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).payload(&message.payload);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        let headers = headers::outgoing(&message);
        if rdkafka::message::Headers::count(&headers) > 0 {
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
