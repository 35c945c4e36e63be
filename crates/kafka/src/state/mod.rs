//! State in a compacted topic of one partition, which any number of writers share.
//!
//! A put writes a proposal and reads the log up to it; the log's order decides (`fold`). So there is
//! no lock, no lease and no fencing, and a put costs one write and its way back. A get asks for the
//! end of the log and reads up to that, so that it sees what others have put.

mod fold;
mod log;
mod topic;
mod write;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, Keep, LIST_MAX, Put, Result, Revision, StateStore, listed};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    util::Timeout,
};
use uuid::Uuid;

use self::{
    fold::Effect,
    log::{Reader, Record, Shared},
};
use crate::{
    client::{Connector, Link, Watch, blocking, unusable},
    config::Store,
    error,
    threads::Threads,
};

/// How long ago the end of the log may have been reached for a proposal to be made. Much less than
/// what compaction leaves alone, so that no reader has missed what it removed.
const FRESH: Duration = Duration::from_secs(20);
/// How long a proposal may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// A writer that has not struck out by then what it should is gone.
const LITTER: Duration = Duration::from_mins(2);
/// No proposal is under way for as long as this, so a deletion may be forgotten.
const DELETIONS: Duration = Duration::from_hours(1);
/// How much is struck out when a store is opened.
const SWEEP_MAX: usize = 10_000;

/// The store.
pub(crate) struct KafkaStore {
    link: Arc<Link>,
    shared: Arc<Shared>,
    topic: String,
}

/// Opens a store: makes or checks its topic, and reads it to its end.
pub(crate) async fn open(
    connector: &Connector,
    threads: &Threads,
    store: &Store,
    keep: Keep,
) -> Result<KafkaStore> {
    let link = connector.link().await?;
    let name = topic::ready(connector, &link, store, keep).await?;
    let mut client = connector.client().await?;
    client
        // never joined: it reads the one partition whoever else does
        .set("group.id", format!("{name}-reader"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "250");
    let shared = Arc::<Shared>::default();
    let (watch, waker, topic) = (connector.watch().await?, Arc::clone(&shared), name.clone());
    let consumer = blocking(move || {
        let mut consumer: BaseConsumer<Watch> = client.create_with_context(watch)?;
        consumer.set_nonempty_callback(move || waker.wake());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Beginning)?;
        consumer.assign(&list)?;
        Ok(consumer)
    });
    let consumer = consumer.await?.map_err(|failure| unusable(&failure))?;
    let reader = Reader {
        consumer,
        link: Arc::clone(&link),
        shared: Arc::clone(&shared),
        topic: name.clone(),
        keep: match keep {
            Keep::Forever => None,
            Keep::AtLeast(time) => Some(time),
        },
        looked_up: None,
        forgotten_at: Instant::now(),
    };
    let thread = thread::Builder::new().name("kafka-state".to_owned()).spawn(|| reader.run());
    let thread = thread.map_err(|cause| {
        Error::transient(Code::Internal, "no thread for a reader of state").with("cause", cause)
    })?;
    threads.add(thread);
    let store = KafkaStore { link, shared, topic: name };
    store.shared.catch_up().await?;
    store.sweep();
    Ok(store)
}

impl KafkaStore {
    /// Proposes until it is decided. `value` of none deletes.
    async fn propose(&self, key: &str, value: Option<Bytes>, expected: Option<u64>) -> Result<Put> {
        let mut sure = false;
        loop {
            let (reached, found) = {
                let lot = self.shared.lot();
                (lot.reached, lot.fold.value(key).map(|(_, revision)| revision))
            };
            let fresh = reached.is_some_and(|at| at.elapsed() < FRESH);
            if !fresh || (found != expected && !sure) {
                self.shared.catch_up().await?;
                sure = true;
                continue;
            }
            if found != expected {
                return Ok(Put::Conflict);
            }
            match self.write(key, value.as_ref()).await? {
                Some(offset) => return Ok(Put::Stored(Revision(offset))),
                // everything up to it was read meanwhile
                None => sure = true,
            }
        }
    }

    /// Writes a proposal on what stands now; its offset, if it took effect.
    async fn write(&self, key: &str, value: Option<&Bytes>) -> Result<Option<u64>> {
        let name = format!("{key}#{}", Uuid::now_v7().simple());
        let headers = {
            let lot = self.shared.lot();
            write::headers(lot.fold.next(), lot.fold.standing(key), value.is_none())
        };
        let effect = self.shared.expect(&name);
        let payload = value.map_or(&[][..], |value| value);
        let record = Record::to(&self.topic).partition(0).key(&name).payload(payload);
        let sent = self.link.producer.send(record.headers(headers), Timeout::Never).await;
        let offset = match sent {
            Ok(delivered) => delivered.offset,
            Err((failure, _)) => {
                self.shared.forget(&name);
                let failed = error::failed("the brokers did not take a value", &failure);
                return Err(state_failed(failed).with("topic", &self.topic));
            }
        };
        let Ok(Ok(effect)) = tokio::time::timeout(BACK_WITHIN, effect).await else {
            self.shared.forget(&name);
            let detail = "a value that was written was not read back in time";
            return Err(Error::transient(Code::StateFailed, detail).with("topic", &self.topic));
        };
        match effect {
            Effect::Stands { before } => {
                if let Some(before) = before {
                    write::strike(&self.link, &self.topic, &before);
                }
                Ok(u64::try_from(offset).ok())
            }
            Effect::Void => {
                write::strike(&self.link, &self.topic, &name);
                Ok(None)
            }
        }
    }

    /// Strikes out what those should have who were killed before they could.
    fn sweep(&self) {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let names = self.shared.lot().fold.sweep(millis(LITTER), millis(DELETIONS));
        for name in names.iter().take(SWEEP_MAX) {
            write::strike(&self.link, &self.topic, name);
        }
    }
}

/// A write may fail for want of a topic or of a right; all else is the store's.
fn state_failed(error: Error) -> Error {
    if error.code() == Code::BusLost {
        let failed = Error::transient(Code::StateFailed, error.detail().to_owned());
        return match error.field("kafka_error") {
            Some(name) => failed.with("kafka_error", name),
            None => failed,
        };
    }
    error
}

/// The thread ends by itself.
impl Drop for KafkaStore {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

#[async_trait]
impl StateStore for KafkaStore {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        self.shared.catch_up().await?;
        let found = self.shared.lot().fold.value(key);
        Ok(found.map(|(value, offset)| (value, Revision(offset))))
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        self.propose(key, Some(value), expected.map(|Revision(offset)| offset)).await
    }

    async fn delete(&self, key: &str, Revision(expected): Revision) -> Result<Put> {
        self.propose(key, None, Some(expected)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.shared.catch_up().await?;
        let keys =
            self.shared.lot().fold.keys(prefix).take(LIST_MAX + 1).map(str::to_owned).collect();
        listed(prefix, keys)
    }
}
