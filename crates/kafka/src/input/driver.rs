//! The thread that owns a consumer: librdkafka's calls block, and it must be polled all the time,
//! also while nobody asks for records.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use mailbridge_core::{Code, Error, Message, Position};
use rdkafka::{
    Message as _, Timestamp,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode as Kafka,
};

use super::{
    committer,
    context::Context,
    find,
    shared::{Record, Shared},
};
use crate::{error, headers, partition::Place};

/// How long the thread sleeps at most. Whatever it waits for wakes it; this is for what does not.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How often the brokers are asked whether they are back.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long they may all be away before the input says so. Until then it keeps its place in the
/// group.
const AWAY_MAX: Duration = Duration::from_secs(20);

/// A consumer with its thread's own state.
pub(super) struct Driver {
    pub consumer: Arc<BaseConsumer<Context>>,
    pub shared: Arc<Shared>,
    /// For probes.
    pub topic: String,
    pub paused: HashSet<Place>,
    /// Since when no broker answers, and when that was last found.
    pub away: Option<(Instant, Instant)>,
}

impl Driver {
    /// Runs until nobody wants records any more and nothing is out, or something fails for good. The partitions are
    /// let go on the way out, when the consumer is dropped.
    pub fn run(mut self) {
        let (consumer, shared) = (Arc::clone(&self.consumer), Arc::clone(&self.shared));
        thread::scope(|threads| {
            threads.spawn(move || committer::run(&consumer, &shared));
            while !self.shared.has_ended() && !self.shared.has_left() {
                self.poll();
                self.pause_and_resume();
                self.probe();
                self.shared.sleep(SLEEP_MAX);
            }
            self.shared.stop();
        });
    }

    /// Takes what has come.
    fn poll(&mut self) {
        while !self.shared.has_ended() {
            let polled = self.consumer.poll(Duration::ZERO);
            match polled.map(|polled| polled.map(|record| self.read(&record))) {
                Some(Ok(enough)) => {
                    self.away = None;
                    if !enough {
                        continue;
                    }
                }
                Some(Err(failure)) => self.failed(&failure),
                // an event was served, and hides what comes after it
                None if self.called() => {}
                None => return,
            }
            self.pause_and_resume();
        }
    }

    fn called(&self) -> bool {
        self.consumer.context().called.swap(false, Ordering::Relaxed)
    }

    /// Takes a record over, and says whether enough of its partition is read.
    fn read(&self, record: &BorrowedMessage<'_>) -> bool {
        let place = Place { topic: record.topic().into(), number: record.partition() };
        let Ok(offset) = u64::try_from(record.offset()) else { return false };
        let epoch = self.shared.lot().partitions.get(&place).map(|partition| partition.epoch);
        let Some(epoch) = epoch else { return false };
        let message = message(record);
        let bytes = message.payload.len() + message.key.as_ref().map_or(0, bytes::Bytes::len) + 256;
        let position = position(&place, offset, record.timestamp());
        self.shared.put(Record { place, epoch, offset, position, bytes, message })
    }

    fn failed(&mut self, failure: &KafkaError) {
        if let KafkaError::PartitionEOF(number) = failure {
            return self.shared.end_of(*number);
        }
        let code = failure.rdkafka_error_code().unwrap_or(Kafka::Fail);
        let fatal = matches!(failure, KafkaError::MessageConsumptionFatal(_));
        match code {
            Kafka::AllBrokersDown | Kafka::BrokerTransportFailure | Kafka::Resolve if !fatal => {
                let now = Instant::now();
                self.away.get_or_insert((now, now));
            }
            Kafka::UnknownTopicOrPartition
            | Kafka::UnknownTopic
            | Kafka::TopicAuthorizationFailed
            | Kafka::GroupAuthorizationFailed
            | Kafka::SaslAuthenticationFailed
            | Kafka::Authentication
            | Kafka::SSL
            | Kafka::InconsistentGroupProtocol
            // deleted before it was read: the next assignment finds what is left, and says so
            | Kafka::AutoOffsetReset
            | Kafka::OffsetOutOfRange
            | Kafka::FencedInstanceId => self.end(code),
            _ if fatal => self.end(code),
            // librdkafka goes on by itself; it is in the log
            _ => {}
        }
    }

    fn end(&self, code: Kafka) {
        let error = error::coded("the consumer has failed", code);
        self.shared.fail(error.with("topic", &self.topic));
    }

    /// Stops reading where enough is read or open, and begins again where it is not.
    fn pause_and_resume(&mut self) {
        let lot = self.shared.lot();
        let ours = lot.partitions.iter().filter(|(_, it)| !it.is_revoked());
        let wanted: HashMap<&Place, bool> =
            ours.map(|(place, _)| (place, self.shared.pauses(&lot, place))).collect();
        self.paused.retain(|place| wanted.contains_key(place));
        let changed = |pause: bool| -> Vec<Place> {
            let wanted = wanted.iter().filter(|(_, want)| **want == pause);
            let places = wanted.filter(|(place, _)| self.paused.contains(**place) != pause);
            places.map(|(place, _)| (*place).clone()).collect()
        };
        let (pause, resume) = (changed(true), changed(false));
        drop(wanted);
        drop(lot);
        if !pause.is_empty() && self.consumer.pause(&find::list(&pause)).is_ok() {
            self.paused.extend(pause);
        }
        if !resume.is_empty() && self.consumer.resume(&find::list(&resume)).is_ok() {
            self.paused.retain(|place| !resume.contains(place));
        }
    }

    /// While no broker answers, asks now and then whether one does.
    fn probe(&mut self) {
        let Some((since, last)) = self.away else { return };
        if last.elapsed() < PROBE_EVERY {
            return;
        }
        if self.consumer.fetch_metadata(Some(&self.topic), PROBE_EVERY).is_ok() {
            self.away = None;
        } else if since.elapsed() > AWAY_MAX {
            let detail = "no broker answers any more";
            let error = Error::blocked(Code::BusLost, detail).with("topic", &self.topic);
            self.shared.fail(error.with("kafka_error", error::name(Kafka::AllBrokersDown)));
        } else {
            self.away = Some((since, Instant::now()));
        }
    }
}

/// A record as core has it. A null value, which a compacted topic calls a tombstone, is an empty
/// one.
fn message(record: &BorrowedMessage<'_>) -> Message {
    let (headers, id) = headers::incoming(record.headers());
    Message {
        address: Some(record.topic().to_owned()),
        id,
        key: record.key().map(bytes::Bytes::copy_from_slice),
        headers,
        payload: record.payload().map(bytes::Bytes::copy_from_slice).unwrap_or_default(),
        labels: mailbridge_core::Labels::default(),
    }
}

/// Such as `kafka:mail.send/3/42@1790230470084`: topic, partition, offset, and the record's time. A
/// topic that is deleted and made again counts from 0 again; without the time, a new request would
/// pass for the old one that stood there.
fn position(place: &Place, offset: u64, time: Timestamp) -> Position {
    let time = time.to_millis().unwrap_or_default();
    Position::new(format!("kafka:{place}/{offset}@{time}"))
}
