//! What librdkafka calls back for, on the consumer's own thread: partitions come and go, something
//! fails.

use std::{
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mailbridge_core::{Code, Error};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol},
    error::KafkaError,
    types::RDKafkaRespErr,
};

use super::{committer, find, shared::Shared};
use crate::{client::Watch, config::Start, error, partition::Place};

/// The consumer's side of what is shared.
pub(super) struct Context {
    pub watch: Watch,
    pub shared: Arc<Shared>,
    pub start: Start,
    /// As if nothing had been committed yet.
    pub anew: bool,
    /// How long a partition that goes may wait for what is in flight.
    pub drain: Duration,
    /// Something was called back: there may be more where it came from.
    pub called: AtomicBool,
}

impl Context {
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let ask = || find::all(consumer, list, self.start, self.anew);
        let found = match find::patiently(ask) {
            Ok(found) => found,
            Err(failure) => {
                let what = "where a partition begins could not be found out";
                self.shared.fail(error::failed(what, &failure));
                // the group waits for an answer; what is read now finds no partition
                self.answer(consumer, list, true);
                return;
            }
        };
        let mut begin = TopicPartitionList::with_capacity(found.len());
        let mut lot = self.shared.lot();
        for (place, found) in found {
            let at = Offset::Offset(i64::try_from(found.position).unwrap_or(i64::MAX));
            if begin.add_partition_offset(&place.topic, place.number, at).is_err() {
                continue;
            }
            tracing::info!(partition = %place, position = found.position, end = found.end,
                "took a partition");
            lot.add(place, found);
        }
        drop(lot);
        self.answer(consumer, &begin, true);
        // a pause outlives the assignment that it was for
        if let Err(failure) = consumer.resume(&begin) {
            tracing::debug!(%failure, "what was assigned was not read on");
        }
        self.shared.commit();
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let places = find::places(list);
        {
            let mut lot = self.shared.lot();
            lot.ahead.forget(&places);
            for place in &places {
                if let Some(partition) = lot.partitions.get_mut(place) {
                    partition.leave();
                }
            }
        }
        // lost: somebody else may have them already, and no commit of ours would be taken
        if !consumer.assignment_lost() {
            self.drain(consumer, &places);
        }
        let mut left_open = 0;
        let mut lot = self.shared.lot();
        for place in &places {
            if let Some(partition) = lot.partitions.get_mut(place) {
                left_open += partition.out;
                partition.revoke();
            }
        }
        drop(lot);
        self.shared.tell();
        self.answer(consumer, list, false);
        tracing::info!(partitions = places.len(), left_open, "let partitions go");
    }

    /// Commits what is settled until nothing is in flight, or the time is over.
    fn drain(&self, consumer: &BaseConsumer<Self>, places: &[Place]) {
        let give_up = Instant::now() + self.drain;
        loop {
            let committed = committer::commit(consumer, &self.shared, Some(places));
            if let Err(failure) = committed {
                tracing::warn!(%failure, "the last commit before partitions go failed");
                return;
            }
            let out = {
                let lot = self.shared.lot();
                let mut ours = places.iter().filter_map(|place| lot.partitions.get(place));
                ours.any(|partition| partition.out > 0 || partition.is_changed())
            };
            let left = give_up.saturating_duration_since(Instant::now());
            if !out || left.is_zero() {
                return;
            }
            self.shared.sleep(left);
        }
    }

    /// Tells the group that this was noted.
    fn answer(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList, taken: bool) {
        let told = match (consumer.rebalance_protocol(), taken) {
            (RebalanceProtocol::Cooperative, true) => consumer.incremental_assign(list),
            (RebalanceProtocol::Cooperative, false) => consumer.incremental_unassign(list),
            (_, true) => consumer.assign(list),
            (_, false) => consumer.unassign(),
        };
        if let Err(failure) = told {
            let error = Error::transient(Code::BusLost, "the assignment of partitions failed");
            self.shared.fail(error.with("cause", failure));
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.called.store(true, Ordering::Relaxed);
        self.watch.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, says: &str) {
        self.called.store(true, Ordering::Relaxed);
        self.watch.error(error, says);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn StdError>> {
        self.called.store(true, Ordering::Relaxed);
        self.watch.generate_oauth_token(config)
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.called.store(true, Ordering::Relaxed);
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        }
    }
}
