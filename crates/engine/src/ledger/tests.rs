use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{contract::Key, listed};

use super::*;

const LEASE: Duration = Duration::from_mins(1);

/// A store in memory, and a clock that is set by hand.
#[derive(Default)]
struct Desk {
    values: Mutex<HashMap<String, (Bytes, u64)>>,
    revisions: Mutex<u64>,
}

#[async_trait]
impl StateStore for Desk {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        let found = self.values.lock().unwrap().get(key).cloned();
        Ok(found.map(|(value, revision)| (value, Revision(revision))))
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        let mut values = self.values.lock().unwrap();
        if values.get(key).map(|(_, revision)| Revision(*revision)) != expected {
            return Ok(Put::Conflict);
        }
        let mut revision = self.revisions.lock().unwrap();
        *revision += 1;
        values.insert(key.to_owned(), (value, *revision));
        Ok(Put::Stored(Revision(*revision)))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        let mut values = self.values.lock().unwrap();
        if values.get(key).map(|(_, revision)| Revision(*revision)) != Some(expected) {
            return Ok(Put::Conflict);
        }
        values.remove(key);
        Ok(Put::Stored(Revision(0)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let values = self.values.lock().unwrap();
        listed(prefix, values.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

struct World {
    desk: Arc<Desk>,
    now: Arc<Mutex<Timestamp>>,
}

impl World {
    fn new() -> Self {
        Self { desk: Arc::default(), now: Arc::new(Mutex::new(Timestamp::UNIX_EPOCH)) }
    }

    fn worker(&self) -> Ledger {
        let now = Arc::clone(&self.now);
        Ledger::new(Arc::clone(&self.desk) as _, LEASE, Arc::new(move || *now.lock().unwrap()))
    }

    fn pass(&self, time: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = later(*now, time);
    }
}

fn mark() -> Mark {
    Key::of_id("r1").mark("p")
}

async fn mine(ledger: &Ledger) -> Claim {
    match ledger.claim(&mark()).await.unwrap() {
        Turn::Mine(claim) => claim,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_worker_has_it_and_the_others_wait_as_long_as_the_claim_lasts() {
    let world = World::new();
    let (a, b) = (world.worker(), world.worker());
    let mut claim = mine(&a).await;
    assert_eq!(claim.doubt, None);
    world.pass(Duration::from_secs(20));
    let Turn::Wait(after) = b.claim(&mark()).await.unwrap() else { panic!("taken twice") };
    assert_eq!(after, Duration::from_secs(40) + SKEW_MAX);
    // another copy in the same worker is no better
    assert!(matches!(a.claim(&mark()).await.unwrap(), Turn::Wait(_)));
    assert!(a.renew(&mut claim).await.unwrap());
    world.pass(Duration::from_secs(50));
    assert!(matches!(b.claim(&mark()).await.unwrap(), Turn::Wait(_)));
    a.release(claim).await.unwrap();
    assert_eq!(mine(&b).await.doubt, None);
}

#[tokio::test]
async fn a_claim_that_ran_out_leaves_a_doubt_and_its_owner_has_lost_it() {
    let world = World::new();
    let (a, b) = (world.worker(), world.worker());
    let mut claim = mine(&a).await;
    world.pass(LEASE + SKEW_MAX + Duration::from_secs(3));
    let taken = mine(&b).await;
    assert_eq!(taken.doubt, Some(SKEW_MAX + Duration::from_secs(3)));
    assert!(!a.renew(&mut claim).await.unwrap());
    a.release(claim).await.unwrap();
    assert!(matches!(a.claim(&mark()).await.unwrap(), Turn::Wait(_)), "still b's");
}

#[tokio::test]
async fn a_doubt_is_handed_on_with_its_age() {
    let world = World::new();
    let (a, b) = (world.worker(), world.worker());
    let claim = mine(&a).await;
    a.doubt(claim, Duration::from_secs(2)).await.unwrap();
    world.pass(Duration::from_secs(8));
    assert_eq!(mine(&b).await.doubt, Some(Duration::from_secs(10)));
}

#[tokio::test]
async fn what_is_done_is_done_for_every_copy_whoever_has_the_claim() {
    let world = World::new();
    let (a, b) = (world.worker(), world.worker());
    let stale = mine(&a).await;
    world.pass(LEASE * 2);
    let current = mine(&b).await;
    let sent = Done { internet_message_id: Some("<1@x>".to_owned()) };
    a.done(&mark(), &sent).await.unwrap();
    a.doubt(stale, Duration::ZERO).await.unwrap();
    b.release(current).await.unwrap();
    let Turn::Done(told) = b.claim(&mark()).await.unwrap() else { panic!("it is done") };
    assert_eq!(told, sent);
    b.done(&mark(), &Done::default()).await.unwrap();
    let Turn::Done(told) = a.claim(&mark()).await.unwrap() else { panic!("it is done") };
    assert_eq!(told, sent, "the first word stands");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_nothing() {
    let world = World::new();
    world.desk.put(&key(&mark()), Bytes::from_static(b"{}"), None).await.unwrap();
    let error = world.worker().claim(&mark()).await.unwrap_err();
    assert_eq!(error.code(), Code::StateFailed);
    assert!(!error.to_string().contains(mark().as_str()));
}

#[tokio::test]
async fn of_many_workers_that_want_it_at_once_one_has_it() {
    let world = World::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let worker = world.worker();
        tasks.spawn(async move { worker.claim(&mark()).await });
    }
    let turns = tasks.join_all().await;
    let mine = turns.iter().filter(|turn| matches!(turn, Ok(Turn::Mine(_)))).count();
    assert_eq!(mine, 1);
}
