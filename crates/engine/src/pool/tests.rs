use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, Put, Result, Revision, StateStore};
use tokio::time::Instant;

use super::{Member, SLICES, owner};

const LEASE: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_secs(3);

/// Values with revisions that are never used again, and how often it was written; whether puts of
/// slices fail without effect.
#[derive(Default)]
struct Fake(Mutex<(Values, u64)>, AtomicBool);

type Values = BTreeMap<String, (Bytes, Revision)>;

impl Fake {
    fn swap(&self, key: &str, value: Option<Bytes>, expected: Option<Revision>) -> Put {
        let (all, last) = &mut *self.0.lock().unwrap();
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

    fn writes(&self) -> u64 {
        self.0.lock().unwrap().1
    }
}

#[async_trait]
impl StateStore for Fake {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        Ok(self.0.lock().unwrap().0.get(key).cloned())
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        if key.contains("/slice/") && self.1.load(Ordering::Relaxed) {
            return Err(Error::transient(Code::StateFailed, "not now"));
        }
        Ok(self.swap(key, Some(value), expected))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        Ok(self.swap(key, None, Some(expected)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let all = self.0.lock().unwrap();
        Ok(all.0.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

fn two() -> (Arc<Fake>, Member, Member) {
    let store = Arc::new(Fake::default());
    let member = || Member::new(store.clone(), "p", LEASE, SLICES);
    let (one, other) = (member(), member());
    (store, one, other)
}

fn idle(_: u16) -> bool {
    false
}

fn counts(one: &Member, other: &Member) -> (usize, usize) {
    let twice = (0..SLICES).filter(|it| one.holds(*it) && other.holds(*it)).count();
    assert_eq!(twice, 0, "a slice has two owners");
    let of = |member: &Member| (0..SLICES).filter(|it| member.holds(*it)).count();
    (of(one), of(other))
}

#[tokio::test(start_paused = true)]
async fn one_alone_has_all_at_once_and_writes_one_record_from_then_on() {
    let (store, mut one, other) = two();
    assert_eq!(one.tick(Bytes::new(), idle).await.unwrap(), 0);
    assert_eq!(counts(&one, &other).0, usize::from(SLICES));
    let before = store.writes();
    one.tick(Bytes::new(), idle).await.unwrap();
    assert_eq!(store.writes() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn who_joins_is_given_a_share_but_not_what_is_busy() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    let share = other.tick(Bytes::new(), idle).await.unwrap();
    assert!(share > 64, "{share}");
    one.tick(Bytes::new(), |_| true).await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle).await.unwrap(), share);
    one.tick(Bytes::new(), idle).await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (256 - share, share));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_given_back_is_given_back_later() {
    let (store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    other.tick(Bytes::new(), idle).await.unwrap();
    store.1.store(true, Ordering::Relaxed);
    one.tick(Bytes::new(), idle).await.unwrap_err();
    store.1.store(false, Ordering::Relaxed);
    one.tick(Bytes::new(), idle).await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle).await.unwrap(), 0, "no slice stays nobody's");
    let (ones, others) = counts(&one, &other);
    assert_eq!(ones + others, usize::from(SLICES));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_not_waited_for() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    one.leave().await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (0, 256));
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_too_long_has_nothing_when_it_wakes() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    let share = other.tick(Bytes::new(), idle).await.unwrap();
    for _ in 0..3 {
        tokio::time::advance(TICK).await;
        assert_eq!(other.tick(Bytes::new(), idle).await.unwrap(), share, "its lease is not over");
    }
    assert_eq!(counts(&one, &other), (0, 0), "it knows before the others do");
    tokio::time::advance(TICK).await;
    assert_eq!(other.tick(Bytes::new(), idle).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (0, 256));
    one.tick(Bytes::new(), idle).await.unwrap();
    assert_eq!(counts(&one, &other), (0, 256), "it joins anew, with nothing");
}

#[tokio::test(start_paused = true)]
async fn who_is_killed_after_a_renewal_that_was_seen_late_is_buried_when_its_lease_is_over() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    tokio::time::advance(TICK).await;
    other.tick(Bytes::new(), idle).await.unwrap();
    let due = other.due().unwrap();
    assert!(due <= Instant::now() + LEASE - TICK, "{:?}", due - Instant::now());
    while Instant::now() < due {
        tokio::time::advance(TICK).await;
        other.tick(Bytes::new(), idle).await.unwrap();
    }
    assert_eq!(counts(&one, &other), (0, 256));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_the_middle_of_a_renewal_is_not_waited_for() {
    let (store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    let key = one.member_key(one.name());
    let (card, revision) = store.get(&key).await.unwrap().unwrap();
    // it came through, and its answer was not waited for
    store.put(&key, card, Some(revision)).await.unwrap();
    one.leave().await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (0, 256));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_away_buries_nobody() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    let share = other.tick(Bytes::new(), idle).await.unwrap();
    one.tick(Bytes::new(), idle).await.unwrap();
    other.tick(Bytes::new(), idle).await.unwrap();
    tokio::time::advance(LEASE * 4).await;
    for member in [&mut one, &mut other] {
        member.tick(Bytes::new(), idle).await.unwrap();
    }
    assert_eq!(counts(&one, &other), (256 - share, share), "each goes on with what it had");
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_unseen_goes_on() {
    let (_store, mut one, other) = two();
    one.tick(Bytes::new(), idle).await.unwrap();
    tokio::time::advance(LEASE * 2).await;
    assert_eq!(counts(&one, &other), (0, 0));
    one.tick(Bytes::new(), idle).await.unwrap();
    assert_eq!(counts(&one, &other), (256, 0));
}

#[test]
fn who_joins_moves_only_what_becomes_theirs() {
    let before: Vec<_> = (0..9).map(|it| format!("w{it}")).collect();
    let after: Vec<_> = (0..10).map(|it| format!("w{it}")).collect();
    let moved = (0..SLICES).filter(|it| owner(*it, &before) != owner(*it, &after));
    assert!(moved.clone().all(|it| owner(it, &after) == after.last()));
    assert!((5..60).contains(&moved.count()));
}
