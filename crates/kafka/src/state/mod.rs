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
    collections::HashMap,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{
    Code, Error, Keep, LIST_MAX, Put, Result, Revision, Signals, StateStore, listed,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::OwnedHeaders,
    util::Timeout,
};
use tokio::sync::{
    Mutex,
    broadcast::{self, error::RecvError},
    oneshot,
};
use uuid::Uuid;

use self::{
    fold::Effect,
    log::{Lot, Reader, Record, Shared},
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

/// What somebody is about to write, and wants to know the effect of.
pub(crate) struct Proposed {
    name: String,
    headers: OwnedHeaders,
    effect: oneshot::Receiver<Effect>,
    shared: Arc<Shared>,
}

impl Proposed {
    /// The record to write.
    pub fn record<'a>(&'a self, topic: &'a str, value: &'a [u8]) -> Record<'a> {
        let record = Record::to(topic).partition(0).key(&self.name).payload(value);
        record.headers(self.headers.clone())
    }
}

impl Drop for Proposed {
    fn drop(&mut self) {
        self.shared.forget(&self.name);
    }
}

/// The stores that are open, so that a topic is read and held in memory once.
#[derive(Default)]
pub(crate) struct Stores(Mutex<HashMap<String, Weak<KafkaStore>>>);

impl Stores {
    /// Opens a store, or gives the one that is open: makes or checks its topic, and reads it to its
    /// end.
    pub async fn open(
        &self,
        connector: &Connector,
        threads: &Threads,
        store: &Store,
        keep: Keep,
    ) -> Result<Arc<KafkaStore>> {
        let link = connector.link().await?;
        let topic = topic::ready(connector, &link, store, keep).await?;
        // who comes meanwhile waits, and finds what was opened
        let mut stores = self.0.lock().await;
        if let Some(store) = stores.get(&topic).and_then(Weak::upgrade)
            && store.shared.is_well()
        {
            store.catch_up().await?;
            return Ok(store);
        }
        let store = Arc::new(open(connector, link, threads, topic, keep).await?);
        stores.insert(store.topic.clone(), Arc::downgrade(&store));
        Ok(store)
    }
}

async fn open(
    connector: &Connector,
    link: Arc<Link>,
    threads: &Threads,
    name: String,
    keep: Keep,
) -> Result<KafkaStore> {
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
            Keep::Forever | Keep::Leases => None,
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
    /// Its topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Everything below this offset is read.
    pub fn read_up_to(&self) -> u64 {
        self.shared.lot().fold.next()
    }

    /// Returns once everything is read that was committed when this was called.
    pub async fn catch_up(&self) -> Result<()> {
        self.shared.catch_up().await
    }

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
                Some(revision) => return Ok(Put::Stored(revision)),
                // everything up to it was read meanwhile
                None => sure = true,
            }
        }
    }

    /// Writes a proposal on what stands now; its revision, if it took effect.
    async fn write(&self, key: &str, value: Option<&Bytes>) -> Result<Option<Revision>> {
        let proposed = self.propose_on(&mut self.shared.lot(), key, value.is_none());
        let payload = value.map_or(&[][..], |value| value);
        let record = proposed.record(&self.topic, payload);
        match self.link.producer.send(record, Timeout::Never).await {
            Ok(delivered) => self.settle(proposed, delivered.offset).await,
            Err((failure, _)) => {
                let failed = error::failed("the brokers did not take a value", &failure);
                Err(state_failed(failed).with("topic", &self.topic))
            }
        }
    }

    /// A proposal for somebody else to write, if the key is as expected by what has been read.
    pub fn proposal(&self, key: &str, expected: Option<Revision>) -> Option<Proposed> {
        let mut lot = self.shared.lot();
        let found = lot.fold.value(key).map(|(_, revision)| Revision(revision));
        (found == expected).then(|| self.propose_on(&mut lot, key, false))
    }

    fn propose_on(&self, lot: &mut Lot, key: &str, deletes: bool) -> Proposed {
        let name = format!("{key}#{}", Uuid::now_v7().simple());
        let headers = write::headers(lot.fold.next(), lot.fold.standing(key), deletes);
        let effect = lot.expect(&name);
        Proposed { name, headers, effect, shared: Arc::clone(&self.shared) }
    }

    /// Waits for what becomes of a proposal that stands in the log at this offset, and strikes out
    /// what is superseded. Its revision, if it took effect.
    pub async fn settle(&self, mut proposed: Proposed, offset: i64) -> Result<Option<Revision>> {
        let effect = tokio::time::timeout(BACK_WITHIN, &mut proposed.effect).await;
        let Ok(Ok(effect)) = effect else {
            let detail = "a value that was written was not read back in time";
            return Err(Error::transient(Code::StateFailed, detail).with("topic", &self.topic));
        };
        match effect {
            Effect::Stands { before } => {
                if let Some(before) = before {
                    write::strike(&self.link, &self.topic, &before);
                }
                Ok(u64::try_from(offset).ok().map(Revision))
            }
            Effect::Void => {
                write::strike(&self.link, &self.topic, &proposed.name);
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

/// A store that others may have open too.
pub(crate) struct Opened(pub Arc<KafkaStore>);

#[async_trait]
impl StateStore for Opened {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        self.0.catch_up().await?;
        let found = self.0.shared.lot().fold.value(key);
        Ok(found.map(|(value, offset)| (value, Revision(offset))))
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        self.0.propose(key, Some(value), expected.map(|Revision(offset)| offset)).await
    }

    async fn delete(&self, key: &str, Revision(expected): Revision) -> Result<Put> {
        self.0.propose(key, None, Some(expected)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.catch_up().await?;
        let keys =
            self.0.shared.lot().fold.keys(prefix).take(LIST_MAX + 1).map(str::to_owned).collect();
        listed(prefix, keys)
    }

    /// In the log itself, which all read.
    async fn signal(&self, topic: &str, payload: Bytes) -> Result<()> {
        let (name, topic) = (format!("{}{topic}", write::SIGNAL), &self.0.topic);
        let record = Record::to(topic).partition(0).key(&name).payload(&payload[..]);
        let told = self.0.link.producer.send(record, Timeout::Never).await;
        told.map(drop).map_err(|(failure, _)| {
            state_failed(error::failed("the brokers did not take a signal", &failure))
        })
    }

    async fn signals(&self, topic: &str) -> Result<Option<Box<dyn Signals>>> {
        let (topic, heard) = (topic.into(), self.0.shared.signals.subscribe());
        Ok(Some(Box::new(Heard { topic, heard })))
    }
}

struct Heard {
    topic: Arc<str>,
    /// Ends with the store.
    heard: broadcast::Receiver<(Arc<str>, Bytes)>,
}

#[async_trait]
impl Signals for Heard {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.heard.recv().await {
                Ok((topic, payload)) if topic == self.topic => return Some(payload),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
