//! A state store's host: an error ends the instance, and another is built after a pause. Nobody
//! waits for that pause: whoever comes meanwhile has the last error at once.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Error, Put, Result, Revision, Signals, StateStore, plugin::Build};
use tokio::{sync::Mutex, time::Instant};

use super::pause;

/// A state store that is rebuilt when it fails.
pub struct StoreHost {
    build: Arc<dyn Build<dyn StateStore>>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    store: Option<Arc<dyn StateStore>>,
    /// In a row.
    failures: u32,
    /// The last failure, and when another build is due.
    failed: Option<(Error, Instant)>,
}

impl StoreHost {
    /// A host that has built nothing yet.
    pub fn new(build: Arc<dyn Build<dyn StateStore>>) -> Self {
        Self { build, slot: Mutex::default() }
    }

    async fn store(&self) -> Result<Arc<dyn StateStore>> {
        let mut slot = self.slot.lock().await;
        if let Some(store) = &slot.store {
            return Ok(Arc::clone(store));
        }
        if let Some((error, until)) = &slot.failed
            && *until > Instant::now()
        {
            return Err(error.clone());
        }
        match self.build.build().await {
            Ok(built) => {
                let built: Arc<dyn StateStore> = Arc::from(built);
                slot.store = Some(Arc::clone(&built));
                Ok(built)
            }
            Err(error) => {
                slot.fail(&error);
                Err(error)
            }
        }
    }

    /// What a call came to, for those who call next.
    async fn noted<T>(&self, used: &Arc<dyn StateStore>, result: Result<T>) -> Result<T> {
        let mut slot = self.slot.lock().await;
        // another one stands by now, of which this says nothing
        if slot.store.as_ref().is_some_and(|store| Arc::ptr_eq(store, used)) {
            match &result {
                Ok(_) => (slot.failures, slot.failed) = (0, None),
                Err(error) => slot.fail(error),
            }
        }
        drop(slot);
        result
    }
}

impl Slot {
    fn fail(&mut self, error: &Error) {
        self.store = None;
        self.failures = self.failures.saturating_add(1);
        self.failed = Some((error.clone(), Instant::now() + pause(self.failures)));
    }
}

#[async_trait]
impl StateStore for StoreHost {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        let store = self.store().await?;
        let found = store.get(key).await;
        self.noted(&store, found).await
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        let store = self.store().await?;
        let put = store.put(key, value, expected).await;
        self.noted(&store, put).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        let store = self.store().await?;
        let deleted = store.delete(key, expected).await;
        self.noted(&store, deleted).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let store = self.store().await?;
        let listed = store.list(prefix).await;
        self.noted(&store, listed).await
    }

    async fn signal(&self, topic: &str, payload: Bytes) -> Result<()> {
        let store = self.store().await?;
        let told = store.signal(topic, payload).await;
        self.noted(&store, told).await
    }

    async fn signals(&self, topic: &str) -> Result<Option<Box<dyn Signals>>> {
        let store = self.store().await?;
        let signals = store.signals(topic).await;
        self.noted(&store, signals).await
    }
}
