//! State in a KV bucket: compare-and-swap by the revision, which is the stream's sequence.
//!
//! Reads go to the stream's leader, never to a replica that may be behind (a KV bucket allows that,
//! and the client library's own `get` makes use of it): what a put has confirmed is read by every
//! later get.

use async_nats::jetstream::{
    kv::{Store as Bucket, UpdateError, UpdateErrorKind},
    stream::LastRawMessageErrorKind,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::ready, stream};
use mailbridge_core::{Code, Error, Put, Result, Revision, Signals, StateStore, listed};

use crate::{client::Link, error};

mod keys;

/// The header by which a bucket tells a deletion from a value (nats-architecture-and-design,
/// ADR-8).
const OPERATION: &str = "KV-Operation";
/// Keys that are looked up at once for a list.
const READS_MAX: usize = 64;

/// The store.
pub(crate) struct NatsStore {
    link: Link,
    bucket: Bucket,
}

/// What stands last under a key.
enum Last {
    Nothing,
    Value(Bytes, u64),
    Deletion(u64),
}

impl NatsStore {
    pub fn new(link: Link, bucket: Bucket) -> Self {
        Self { link, bucket }
    }

    /// Such as `mailbridge.signal.BUCKET.pool/support`.
    fn subject(&self, topic: &str) -> String {
        format!("mailbridge.signal.{}.{topic}", self.bucket.name)
    }

    async fn last(&self, key: &str) -> Result<Last> {
        let subject = format!("{}{key}", self.bucket.prefix);
        match self.bucket.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) if message.headers.get(OPERATION).is_some_and(is_deletion) => {
                Ok(Last::Deletion(message.sequence))
            }
            Ok(message) => Ok(Last::Value(message.payload, message.sequence)),
            Err(failure) if failure.kind() == LastRawMessageErrorKind::NoMessageFound => {
                Ok(Last::Nothing)
            }
            Err(failure) => Err(failed("a value could not be read", &failure)),
        }
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<Put> {
        let stored = self.bucket.update(key, value, revision).await;
        swapped(stored.map(Revision), "a value could not be stored")
    }
}

#[async_trait]
impl StateStore for NatsStore {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        match self.last(&keys::in_subject(key)).await? {
            Last::Value(value, revision) => Ok(Some((value, Revision(revision)))),
            Last::Nothing | Last::Deletion(_) => Ok(None),
        }
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        let key = keys::in_subject(key);
        match expected {
            // Revision 0 is how a bucket says absent; no value has it.
            Some(Revision(0)) => return Ok(Put::Conflict),
            Some(Revision(revision)) => return self.update(&key, value, revision).await,
            None => {}
        }
        if let Put::Stored(revision) = self.update(&key, value.clone(), 0).await? {
            return Ok(Put::Stored(revision));
        }
        match self.last(&key).await? {
            Last::Deletion(revision) => self.update(&key, value, revision).await,
            // Nothing, after a conflict with nothing: it came and went; somebody else is at it.
            Last::Value(..) | Last::Nothing => Ok(Put::Conflict),
        }
    }

    async fn delete(&self, key: &str, Revision(expected): Revision) -> Result<Put> {
        let key = keys::in_subject(key);
        let deleted = self.bucket.delete_expect_revision(&key, Some(expected)).await;
        // The deletion's own revision is kept from callers, so that nobody can put at it.
        swapped(deleted.map(|()| Revision(0)), "a value could not be deleted")
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let known = keys::known(&self.link, &self.bucket, prefix).await?;
        let there = |key: String| async move {
            let last = self.last(&keys::in_subject(&key)).await?;
            Ok(matches!(last, Last::Value(..)).then_some(key))
        };
        let there = stream::iter(known).map(there).buffer_unordered(READS_MAX);
        let there = there.try_filter_map(|key| ready(Ok::<_, Error>(key))).try_collect().await?;
        listed(prefix, there)
    }

    async fn signal(&self, topic: &str, payload: Bytes) -> Result<()> {
        let told = self.link.client.publish(self.subject(topic), payload).await;
        told.map_err(|failure| failed("a signal could not be published", &failure))
    }

    async fn signals(&self, topic: &str) -> Result<Option<Box<dyn Signals>>> {
        let heard = self.link.client.subscribe(self.subject(topic)).await;
        let heard = heard.map_err(|failure| failed("signals cannot be listened to", &failure))?;
        Ok(Some(Box::new(Heard(heard))))
    }
}

/// Signals are told without JetStream, on a subject beside the bucket.
struct Heard(async_nats::Subscriber);

#[async_trait]
impl Signals for Heard {
    async fn next(&mut self) -> Option<Bytes> {
        self.0.next().await.map(|message| message.payload)
    }
}

/// A bucket's conflict is a result; everything else is a failure.
fn swapped(result: Result<Revision, UpdateError>, what: &'static str) -> Result<Put> {
    match result {
        Ok(revision) => Ok(Put::Stored(revision)),
        Err(failure) if failure.kind() == UpdateErrorKind::WrongLastRevision => Ok(Put::Conflict),
        Err(failure) => Err(failed(what, &failure)),
    }
}

fn failed(what: &'static str, failure: &(dyn std::error::Error + 'static)) -> Error {
    Error::transient(Code::StateFailed, what).with("cause", error::chain(failure))
}

fn is_deletion(value: &async_nats::HeaderValue) -> bool {
    matches!(value.as_str(), "DEL" | "PURGE")
}
