use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mailbridge_core::StateStore as _;
use tokio::time::Instant;

use super::{Member, SLICES, fake::Fake, owners};

const LEASE: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_secs(3);

fn two() -> (Arc<Fake>, Member, Member) {
    let store = Arc::new(Fake::default());
    let member = || Member::new(store.clone(), "p", LEASE, SLICES);
    let (one, other) = (member(), member());
    (store, one, other)
}

fn idle(_: u16) -> bool {
    false
}

fn there(_: &Bytes) -> bool {
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
    assert_eq!(one.tick(Bytes::new(), idle, there).await.unwrap(), 0);
    assert_eq!(counts(&one, &other).0, usize::from(SLICES));
    let before = store.writes();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    assert_eq!(store.writes() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn who_joins_is_given_a_share_but_not_what_is_busy() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    let share = other.tick(Bytes::new(), idle, there).await.unwrap();
    assert!(share > 64, "{share}");
    one.tick(Bytes::new(), |_| true, there).await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle, there).await.unwrap(), share);
    one.tick(Bytes::new(), idle, there).await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle, there).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (256 - share, share));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_given_back_is_given_back_later() {
    let (store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    other.tick(Bytes::new(), idle, there).await.unwrap();
    store.refuse_slices(true);
    one.tick(Bytes::new(), idle, there).await.unwrap_err();
    store.refuse_slices(false);
    one.tick(Bytes::new(), idle, there).await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle, there).await.unwrap(), 0, "no slice stays nobody's");
    let (ones, others) = counts(&one, &other);
    assert_eq!(ones + others, usize::from(SLICES));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_not_waited_for() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    one.leave().await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle, there).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (0, 256));
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_too_long_has_nothing_when_it_wakes() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    let share = other.tick(Bytes::new(), idle, there).await.unwrap();
    for _ in 0..3 {
        tokio::time::advance(TICK).await;
        assert_eq!(
            other.tick(Bytes::new(), idle, there).await.unwrap(),
            share,
            "its lease is not over"
        );
    }
    assert_eq!(counts(&one, &other), (0, 0), "it knows before the others do");
    tokio::time::advance(TICK).await;
    assert_eq!(other.tick(Bytes::new(), idle, there).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (0, 256));
    one.tick(Bytes::new(), idle, there).await.unwrap();
    assert_eq!(counts(&one, &other), (0, 256), "it joins anew, with nothing");
}

#[tokio::test(start_paused = true)]
async fn who_is_killed_after_a_renewal_that_was_seen_late_is_buried_when_its_lease_is_over() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    tokio::time::advance(TICK).await;
    other.tick(Bytes::new(), idle, there).await.unwrap();
    let due = other.due().unwrap();
    assert!(due <= Instant::now() + LEASE - TICK, "{:?}", due - Instant::now());
    while Instant::now() < due {
        tokio::time::advance(TICK).await;
        other.tick(Bytes::new(), idle, there).await.unwrap();
    }
    assert_eq!(counts(&one, &other), (0, 256));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_the_middle_of_a_renewal_is_not_waited_for() {
    let (store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    let key = one.member_key(one.name());
    let (card, revision) = store.get(&key).await.unwrap().unwrap();
    // it came through, and its answer was not waited for
    store.put(&key, card, Some(revision)).await.unwrap();
    one.leave().await.unwrap();
    assert_eq!(other.tick(Bytes::new(), idle, there).await.unwrap(), 0);
    assert_eq!(counts(&one, &other), (0, 256));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_away_buries_nobody() {
    let (_store, mut one, mut other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    let share = other.tick(Bytes::new(), idle, there).await.unwrap();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    other.tick(Bytes::new(), idle, there).await.unwrap();
    // it has seen the last that the other wrote
    one.tick(Bytes::new(), idle, there).await.unwrap();
    tokio::time::advance(LEASE * 4).await;
    for member in [&mut one, &mut other] {
        member.tick(Bytes::new(), idle, there).await.unwrap();
    }
    assert_eq!(counts(&one, &other), (256 - share, share), "each goes on with what it had");
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_unseen_goes_on() {
    let (_store, mut one, other) = two();
    one.tick(Bytes::new(), idle, there).await.unwrap();
    tokio::time::advance(LEASE * 2).await;
    assert_eq!(counts(&one, &other), (0, 0));
    one.tick(Bytes::new(), idle, there).await.unwrap();
    assert_eq!(counts(&one, &other), (256, 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_certainly_gone_is_not_waited_for() {
    let (_store, mut one, mut other) = two();
    one.tick("dead".into(), idle, there).await.unwrap();
    assert_eq!(other.tick("alive".into(), idle, |card| card == "dead").await.unwrap(), 0);
    assert_eq!(other.held().len(), usize::from(SLICES));
}

#[test]
fn who_joins_moves_only_what_becomes_theirs() {
    let before: Vec<_> = (0..9).map(|it| format!("w{it}")).collect();
    let after: Vec<_> = (0..10).map(|it| format!("w{it}")).collect();
    let (before, after) = (owners(SLICES, &before), owners(SLICES, &after));
    let moved: Vec<_> = before.iter().zip(&after).filter(|(one, other)| one != other).collect();
    assert!(moved.iter().all(|(_, owner)| **owner == 9), "{moved:?}");
    assert!((5..60).contains(&moved.len()), "{}", moved.len());
}
