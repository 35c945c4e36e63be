//! A state store in memory where workers meet, with and without signals.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, Put, Result, Revision, Signals, StateStore};
use tokio::sync::broadcast;

type Values = BTreeMap<String, (Bytes, Revision)>;

/// Signals that one who listens may be behind.
const BEHIND_MAX: usize = 1_024;

/// Revisions are never used again.
pub(crate) struct Fake {
    values: Mutex<(Values, u64)>,
    refuses_slices: AtomicBool,
    signals: Option<broadcast::Sender<(String, Bytes)>>,
    /// How often it was asked.
    asked: AtomicU64,
}

impl Default for Fake {
    fn default() -> Self {
        Self { signals: Some(broadcast::channel(BEHIND_MAX).0), ..Self::without_signals() }
    }
}

impl Fake {
    pub(crate) fn without_signals() -> Self {
        let (values, refuses_slices) = (Mutex::default(), AtomicBool::new(false));
        Self { values, refuses_slices, signals: None, asked: AtomicU64::new(0) }
    }

    /// An answer takes 1 to 7 ms, each another time than the one before.
    async fn takes_its_time(&self) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1 + asked * 3 % 7)).await;
    }

    /// Whether puts of slices fail without effect.
    pub(super) fn refuse_slices(&self, refuse: bool) {
        self.refuses_slices.store(refuse, Ordering::Relaxed);
    }

    fn swap(&self, key: &str, value: Option<Bytes>, expected: Option<Revision>) -> Put {
        let (all, last) = &mut *self.values.lock().unwrap();
        if all.get(key).map(|it| it.1) != expected {
            return Put::Conflict;
        }
        *last += 1;
        match value {
            Some(value) => all.insert(key.to_owned(), (value, Revision(*last))),
            None => all.remove(key),
        };
        Put::Stored(Revision(*last))
    }

    /// How often it was written.
    pub(crate) fn writes(&self) -> u64 {
        self.values.lock().unwrap().1
    }
}

#[async_trait]
impl StateStore for Fake {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        self.takes_its_time().await;
        Ok(self.values.lock().unwrap().0.get(key).cloned())
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        if key.contains("/slice/") && self.refuses_slices.load(Ordering::Relaxed) {
            return Err(Error::transient(Code::StateFailed, "not now"));
        }
        self.takes_its_time().await;
        Ok(self.swap(key, Some(value), expected))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        self.takes_its_time().await;
        Ok(self.swap(key, None, Some(expected)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let values = self.values.lock().unwrap();
        Ok(values.0.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn signal(&self, topic: &str, payload: Bytes) -> Result<()> {
        if let Some(signals) = &self.signals {
            // nobody may be listening
            signals.send((topic.to_owned(), payload)).ok();
        }
        Ok(())
    }

    async fn signals(&self, topic: &str) -> Result<Option<Box<dyn Signals>>> {
        let heard = self.signals.as_ref().map(broadcast::Sender::subscribe);
        Ok(heard.map(|heard| Box::new(Heard(topic.to_owned(), heard)) as Box<dyn Signals>))
    }
}

struct Heard(String, broadcast::Receiver<(String, Bytes)>);

#[async_trait]
impl Signals for Heard {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let (topic, payload) = self.1.recv().await.ok()?;
            if topic == self.0 {
                return Some(payload);
            }
        }
    }
}
