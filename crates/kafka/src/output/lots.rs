//! Records on their way, a lot at a time.
//!
//! An idempotent producer has one batch of a partition on its way at once, and librdkafka asks without
//! a pause whether it is back while more waits than fits into the next (librdkafka,
//! `rd_kafka_toppar_producer_serve`): a core for each producer, which the brokers then lack. So what is
//! handed over is what goes at once, and the rest when that is confirmed.
//!
//! A topic's limit is for what goes together (kafka.apache.org, topic configuration,
//! `max.message.bytes`). What fits alone must not be refused for the company it came in, so a lot that is
//! refused goes again as smaller ones; the first record that is refused alone is the one at fault.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use mailbridge_core::{Code, Message, Result};
use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
    types::RDKafkaErrorCode as Kafka,
};

use super::{commit::Failure, refused};
use crate::{client::Watch, headers};

/// A lot at first: what topics take unless they are told otherwise, less some room.
const LOT_BYTES: usize = 900_000;
/// A refused lot goes again in so many.
const SMALLER: usize = 4;
/// What a record and each of its headers have besides their values, and more.
const EXTRA_BYTES: usize = 100;

/// What becomes of the others in a transaction of which one record is refused.
const PURGED: [Kafka; 2] = [Kafka::PurgeQueue, Kafka::PurgeInflight];

/// A message, and where it goes.
pub(super) struct Placed<'a> {
    pub message: &'a Message,
    pub topic: String,
    pub key: Vec<u8>,
}

impl Placed<'_> {
    pub fn record(&self) -> FutureRecord<'_, [u8], [u8]> {
        let record = FutureRecord::to(&self.topic).payload(&self.message.payload[..]);
        let record = if self.key.is_empty() { record } else { record.key(&self.key[..]) };
        record.headers(headers::outgoing(self.message))
    }

    /// A little more than it has on its way.
    fn bytes(&self) -> usize {
        let headers = self.message.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.len() + EXTRA_BYTES);
        self.key.len() + self.message.payload.len() + headers.sum::<usize>() + EXTRA_BYTES
    }
}

/// How much goes together.
pub(super) struct Lots {
    bytes: AtomicUsize,
}

impl Lots {
    pub fn new() -> Self {
        Self { bytes: LOT_BYTES.into() }
    }

    /// Sends all in their order, and waits until all are with the brokers. A message that is too large
    /// is told by its place, in the error's field `message`.
    pub async fn send(
        &self,
        producer: &FutureProducer<Watch>,
        mut records: &[Placed<'_>],
    ) -> Result<(), Failure> {
        let (bytes, count) = (self.bytes.load(Relaxed), records.len());
        while !records.is_empty() {
            let (lot, rest) = records.split_at(first(records, bytes));
            let done = count - records.len();
            if let Err((at, failure)) = together(producer, lot).await {
                let error = refused(failure).with("topic", &lot[at].topic);
                return Err(match error.code() {
                    Code::BusPayloadTooLarge if lot.len() > 1 => {
                        self.bytes.store(bytes / SMALLER, Relaxed);
                        Failure::Together
                    }
                    // its place, where the message itself is at fault
                    Code::BusPayloadTooLarge => Failure::Failed(error.with("message", done)),
                    _ => error.into(),
                });
            }
            records = rest;
        }
        Ok(())
    }
}

/// How many of the first go together: one, or as many as are no larger than that.
fn first(records: &[Placed<'_>], bytes: usize) -> usize {
    let mut sum = 0;
    let fit = records.iter().take_while(|record| {
        sum += record.bytes();
        sum <= bytes
    });
    fit.count().max(1)
}

/// Sends a lot. Says which of it has failed, and how.
async fn together(
    producer: &FutureProducer<Watch>,
    lot: &[Placed<'_>],
) -> Result<(), (usize, Kafka)> {
    let mut sent = VecDeque::with_capacity(lot.len());
    for (at, placed) in lot.iter().enumerate() {
        let mut record = placed.record();
        while let Err((failure, again)) =
            producer.send_result(record).map(|confirmed| sent.push_back((at, confirmed)))
        {
            // the queue has room again when the first is out
            let full = code(&failure) == Kafka::QueueFull;
            let Some((first, confirmed)) = sent.pop_front().filter(|_| full) else {
                return Err((at, code(&failure)));
            };
            delivered(confirmed).await.map_err(|failure| (first, failure))?;
            record = again;
        }
    }
    let mut failed: Option<(usize, Kafka)> = None;
    for (at, confirmed) in sent {
        if let Err(failure) = delivered(confirmed).await
            && failed.is_none_or(|(_, before)| PURGED.contains(&before))
        {
            failed = Some((at, failure));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The offset of a record, once it is confirmed.
pub(super) async fn delivered(sent: DeliveryFuture) -> Result<i64, Kafka> {
    match sent.await {
        Ok(Ok(delivery)) => Ok(delivery.offset),
        Ok(Err((failure, _))) => Err(code(&failure)),
        // the producer was closed
        Err(_) => Err(Kafka::Fail),
    }
}

pub(super) fn code(failure: &KafkaError) -> Kafka {
    failure.rdkafka_error_code().unwrap_or(Kafka::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lot_is_as_much_as_fits_and_never_nothing() {
        let messages: Vec<_> = [400, 400, 2_000, 1]
            .map(|bytes| Message { payload: vec![0; bytes].into(), ..Message::default() })
            .into();
        let placed = |message| Placed { message, topic: "t".to_owned(), key: Vec::new() };
        let records: Vec<_> = messages.iter().map(placed).collect();
        assert_eq!(first(&records, 1_000), 2);
        assert_eq!(first(&records, 1_000_000), 4);
        assert_eq!(first(&records[2..], 1_000), 1, "what is too large goes alone");
    }
}
