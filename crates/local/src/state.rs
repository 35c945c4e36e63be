//! State in the embedded database.
//!
//! The database serves one process, so this store is not for workers that share their state.

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, Keep, Put, Result, Revision, StateStore};

use crate::{
    batches::submit,
    shared::Handle,
    store::{Store, Write, Written},
};

/// Characters of a key.
const KEY_CHARS_MAX: usize = 256;

/// The state of an open database.
pub(crate) struct State {
    store: Handle<Store>,
    keep: Keep,
}

impl State {
    pub(crate) const fn new(store: Handle<Store>, keep: Keep) -> Self {
        Self { store, keep }
    }

    async fn write(&self, write: Write) -> Result<Put> {
        match submit(&self.store, write).await? {
            Written::State(put) => Ok(put),
            Written::Position => Err(Error::transient(Code::Internal, "a put came to no put")),
        }
    }
}

#[async_trait]
impl StateStore for State {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        let key = checked(key)?;
        let store = self.store.clone();
        crate::blocking(move || store.get(&key)).await
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        self.write(Write::Put { key: checked(key)?, value, expected, keep: self.keep }).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        self.write(Write::Delete { key: checked(key)?, expected }).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let (store, prefix) = (self.store.clone(), prefix.to_owned());
        crate::blocking(move || store.list(&prefix)).await
    }
}

/// A key that every state store takes: what works here works on the others.
fn checked(key: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/=-".contains(c);
    let fits = (1..=KEY_CHARS_MAX).contains(&key.len())
        && key.chars().all(plain)
        && !key.starts_with('.')
        && !key.ends_with('.');
    if fits {
        return Ok(key.to_owned());
    }
    Err(Error::permanent(
        Code::StateFailed,
        "a key of the state store is 1 to 256 characters of [A-Za-z0-9._/=-], no dot at either end",
    ))
}
