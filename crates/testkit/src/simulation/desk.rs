//! A state store that every worker reaches, as long as it has power.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, Put, Result, Revision, StateStore, listed};

use super::{Dice, Power};

/// A store. Clones are one.
#[derive(Clone, Default)]
pub struct Desk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: HashMap<String, (Bytes, Revision)>,
    /// The last revision given; none is given twice.
    revision: u64,
    /// So many percent of calls fail, half of them when they have had their effect.
    trouble: Option<(u64, Dice)>,
}

impl Desk {
    /// A worker's way to it.
    pub fn port(&self, power: &Power) -> Arc<dyn StateStore> {
        Arc::new(Port { desk: self.clone(), power: power.clone() })
    }

    /// From now on so many percent of calls fail, half of them when they have had their effect.
    pub fn trouble(&self, percent: u64, dice: Dice) {
        self.state().trouble = Some((percent, dice));
    }

    /// All values under keys that begin like this, as they are now.
    pub fn values(&self, prefix: &str) -> Vec<Bytes> {
        let state = self.state();
        let mut keys: Vec<_> = state.values.keys().filter(|it| it.starts_with(prefix)).collect();
        keys.sort();
        keys.into_iter().map(|key| state.values[key].0.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Port {
    desk: Desk,
    power: Power,
}

impl Port {
    /// Does something to the store, with a moment at which the power may go before and after.
    async fn step<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T> {
        self.power.step().await;
        let result = self.desk.state().call(act);
        self.power.step().await;
        result
    }
}

impl State {
    fn call<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T> {
        let failed = || Err(Error::transient(Code::StateFailed, "no answer"));
        let (fails, acts) = match &mut self.trouble {
            Some((percent, dice)) => (dice.chance(*percent), dice.chance(50)),
            None => (false, true),
        };
        if fails && !acts {
            return failed();
        }
        let result = act(self);
        if fails { failed() } else { Ok(result) }
    }

    fn swap(&mut self, key: &str, value: Option<Bytes>, expected: Option<Revision>) -> Put {
        if self.values.get(key).map(|(_, revision)| *revision) != expected {
            return Put::Conflict;
        }
        self.revision += 1;
        let revision = Revision(self.revision);
        match value {
            Some(value) => self.values.insert(key.to_owned(), (value, revision)),
            None => self.values.remove(key),
        };
        Put::Stored(revision)
    }
}

#[async_trait]
impl StateStore for Port {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        self.step(|state| state.values.get(key).cloned()).await
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        self.step(|state| state.swap(key, Some(value), expected)).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        self.step(|state| state.swap(key, None, Some(expected))).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let here = |key: &&String| key.starts_with(prefix);
        let keys = self.step(|state| state.values.keys().filter(here).cloned().collect()).await?;
        listed(prefix, keys)
    }
}
