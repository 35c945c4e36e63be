//! State in a KV bucket: compare-and-swap by the revision, which is the stream's sequence.
//!
//! Reads go to the stream's leader, never to a replica that may be behind (a KV bucket allows that,
//! and the client library's own `get` makes use of it): what a put has confirmed is read by every
//! later get.

use std::borrow::Cow;

use async_nats::jetstream::{
    kv::{Store as Bucket, UpdateError, UpdateErrorKind},
    stream::LastRawMessageErrorKind,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mailbridge_core::{Code, Error, Put, Result, Revision, StateStore};

use crate::error;

/// The header by which a bucket tells a deletion from a value (nats-architecture-and-design,
/// ADR-8).
const OPERATION: &str = "KV-Operation";

/// The store.
pub(crate) struct NatsStore {
    bucket: Bucket,
}

/// What stands last under a key.
enum Last {
    Nothing,
    Value(Bytes, u64),
    Deletion(u64),
}

impl NatsStore {
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
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
        match self.last(&in_subject(key)).await? {
            Last::Value(value, revision) => Ok(Some((value, Revision(revision)))),
            Last::Nothing | Last::Deletion(_) => Ok(None),
        }
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        let key = in_subject(key);
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
        let key = in_subject(key);
        let deleted = self.bucket.delete_expect_revision(&key, Some(expected)).await;
        // The deletion's own revision is kept from callers, so that nobody can put at it.
        swapped(deleted.map(|()| Revision(0)), "a value could not be deleted")
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let failed = |failure: &(dyn std::error::Error + 'static)| {
            self::failed("the keys could not be listed", failure)
        };
        let keys = self.bucket.keys().await.map_err(|failure| failed(&failure))?;
        let keys: Vec<String> = keys.try_collect().await.map_err(|failure| failed(&failure))?;
        let keys = keys.iter().map(|key| of_subject(key));
        let mut keys: Vec<_> = keys.filter(|key| key.starts_with(prefix)).collect();
        keys.sort_unstable();
        Ok(keys)
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

/// A key as it stands in a subject. Of what a key may hold, a subject cannot hold an empty word, so
/// the second of two dots is escaped, and with it the escape's own sign.
fn in_subject(key: &str) -> Cow<'_, str> {
    if !key.contains("..") && !key.contains('=') {
        return Cow::Borrowed(key);
    }
    let mut subject = String::with_capacity(key.len() + 6);
    for c in key.chars() {
        match c {
            '.' if subject.ends_with('.') => subject.push_str("=2E"),
            '=' => subject.push_str("=3D"),
            other => subject.push(other),
        }
    }
    Cow::Owned(subject)
}

/// The key that stands in a subject like this.
fn of_subject(subject: &str) -> String {
    subject.replace("=2E", ".").replace("=3D", "=")
}

fn is_deletion(value: &async_nats::HeaderValue) -> bool {
    matches!(value.as_str(), "DEL" | "PURGE")
}

#[cfg(test)]
mod tests {
    use super::{in_subject, of_subject};

    #[test]
    fn keys_stay_apart_and_have_no_empty_word() {
        assert_eq!(in_subject("cursor.a/b-c"), "cursor.a/b-c");
        assert_eq!(in_subject("a..b"), "a.=2Eb");
        assert_eq!(in_subject("a...b"), "a.=2E.b");
        assert_eq!(in_subject("a.=2Eb"), "a.=3D2Eb");
        for key in ["cursor.a/b-c", "a...b", "a.=2Eb", "=3D", "a=.b"] {
            assert_eq!(of_subject(&in_subject(key)), key);
        }
    }
}
