//! What the other tests would find, if it were so: events that are lost, told twice, out of order.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{
    Message, Output, Put, Result, Revision, StateStore, contract::Change, plugin::Build,
};
use mailbridge_engine::events::Start;
use mailbridge_testkit::simulation::{Manners, Office, Power};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{ALICE, World, settings};

/// Confirms what it has in memory only, until the next message comes.
struct Hasty {
    to: Box<dyn Output>,
    kept: Mutex<Option<Message>>,
}

struct HastyBuild(Arc<dyn Build<dyn Output>>);

#[async_trait]
impl Build<dyn Output> for HastyBuild {
    async fn build(&self) -> Result<Box<dyn Output>> {
        let to = self.0.build().await?;
        Ok(Box::new(Hasty { to, kept: Mutex::default() }))
    }
}

#[async_trait]
impl Output for Hasty {
    async fn publish(&self, message: Message) -> Result<()> {
        let before = self.kept.lock().unwrap_or_else(PoisonError::into_inner).replace(message);
        match before {
            Some(before) => self.to.publish(before).await,
            None => Ok(()),
        }
    }
}

fn world() -> World {
    let office = Office::new(1, Manners::default());
    for _ in 0..7 {
        office.deliver(ALICE, "inbox");
    }
    World::new(office, settings(&["inbox"], Start::All))
}

#[tokio::test(start_paused = true)]
async fn a_record_that_moves_before_the_bus_has_confirmed_loses() {
    let mut lost = 0;
    for step in 0..60 {
        let world = world();
        let power = Power::until(step);
        let to = Arc::new(HastyBuild(world.bus.output(&power, "events")));
        let worker = world.worker_with(&power, world.desk.port(&power), to);
        tokio::select! {
            () = power.gone() => {}
            _ = worker.run(CancellationToken::new()) => {}
        }
        lost += world.lost();
    }
    assert!(lost > 0);
}

/// Has no memory of what was told.
struct Forgetful(Arc<dyn StateStore>);

#[async_trait]
impl StateStore for Forgetful {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        let Some((bytes, revision)) = self.0.get(key).await? else { return Ok(None) };
        let mut record: Value = serde_json::from_slice(&bytes).expect("JSON");
        record["recent"] = "AAAAAAAAAAA".into();
        Ok(Some((record.to_string().into(), revision)))
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        self.0.put(key, value, expected).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        self.0.delete(key, expected).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.list(prefix).await
    }
}

/// Everything is told; then Graph forgets where we were, and the bus what it has. How many mails are
/// told twice by the time that one more is told.
async fn doubled(memory: bool) -> usize {
    let world = world();
    let power = Power::forever();
    let store = world.desk.port(&power);
    let store = if memory { store } else { Arc::new(Forgetful(store)) as Arc<dyn StateStore> };
    let worker = world.worker_with(&power, store, world.bus.output(&power, "events"));
    let happens = async {
        world.caught_up().await;
        world.office.forget_cursors();
        world.bus.forget_ids();
        let last = world.office.deliver(ALICE, "inbox");
        let told = |world: &World| world.told_as(Change::Received).contains(&last);
        world.wait("told", told).await;
    };
    tokio::select! {
        () = happens => {}
        _ = worker.run(CancellationToken::new()) => {}
    }
    world.doubled()
}

#[tokio::test(start_paused = true)]
async fn a_record_without_memory_repeats_and_one_with_it_does_not() {
    assert_eq!(doubled(true).await, 0);
    assert_eq!(doubled(false).await, 7);
}
