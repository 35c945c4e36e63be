//! A thousand workers that share a million mailboxes, in virtual time: the engine's own leases over a
//! store in memory whose answers take two milliseconds.
//!
//! What is measured does not depend on this machine: how long it takes until each slice has an owner,
//! what the store is asked for meanwhile, and how even the shares are.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Put, Result, Revision, StateStore};
use mailbridge_engine::pool::{Member, Slice, TICKS, slice_of};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{Failure, report};

const LEASE: Duration = Duration::from_secs(15);
const ANSWERS_WITHIN: Duration = Duration::from_millis(2);

type Values = BTreeMap<String, (Bytes, Revision)>;

/// A store that counts what it is asked for.
#[derive(Default)]
struct Store {
    values: Mutex<(Values, u64)>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Store {
    async fn swap(&self, key: &str, value: Option<Bytes>, expected: Option<Revision>) -> Put {
        sleep(ANSWERS_WITHIN).await;
        self.writes.fetch_add(1, Ordering::Relaxed);
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, last) = &mut *values;
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

    fn asked(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl StateStore for Store {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        sleep(ANSWERS_WITHIN).await;
        self.reads.fetch_add(1, Ordering::Relaxed);
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(values.0.get(key).cloned())
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        Ok(self.swap(key, Some(value), expected).await)
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        Ok(self.swap(key, None, Some(expected)).await)
    }

    async fn list(&self, _: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// How many slices each worker holds; those that are there.
type Held = Arc<Mutex<BTreeMap<usize, Vec<Slice>>>>;

async fn worker(
    number: usize,
    store: Arc<Store>,
    slices: Slice,
    held: Held,
    changed: watch::Sender<()>,
) {
    let mut member = Member::new(store, "p", LEASE, slices);
    // they are not started in the same moment
    sleep(Duration::from_millis((number as u64 * 7919) % 3000)).await;
    loop {
        let began = Instant::now();
        // a tick that fails is made up for by the next
        let left = member.tick(Bytes::from_static(b"{}"), |_| false, |_| false).await;
        let mine: Vec<_> = member.held().iter().copied().collect();
        let before = {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.insert(number, mine.clone())
        };
        if before.as_ref() != Some(&mine) {
            changed.send_replace(());
        }
        let wait = if matches!(left, Ok(0)) { LEASE / TICKS } else { Duration::from_millis(500) };
        tokio::time::sleep_until(began + wait).await;
    }
}

/// Waits until all slices are held by those who are there.
async fn all_held(held: &Held, slices: Slice, changes: &mut watch::Receiver<()>) -> Duration {
    let began = Instant::now();
    loop {
        let count: usize =
            held.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum();
        if count == usize::from(slices) {
            return began.elapsed();
        }
        // the sender is there as long as a worker is
        changes.changed().await.ok();
    }
}

struct Figures {
    workers: usize,
    slices: Slice,
    started: Duration,
    reads: f64,
    writes: f64,
    killed: Duration,
    shares: (usize, usize, usize),
}

async fn simulate(workers: usize, slices: Slice, mailboxes: usize) -> Figures {
    let (store, held) = (Arc::new(Store::default()), Held::default());
    let (told, mut changes) = watch::channel(());
    let mut running: Vec<JoinSet<()>> = Vec::new();
    for number in 0..workers {
        let mut alone = JoinSet::new();
        let (store, held) = (Arc::clone(&store), Arc::clone(&held));
        alone.spawn(worker(number, store, slices, held, told.clone()));
        running.push(alone);
    }
    let began = Instant::now();
    sleep(Duration::from_secs(3)).await;
    all_held(&held, slices, &mut changes).await;
    let started = began.elapsed();
    // until whoever came last is known to all
    sleep(LEASE * 2).await;
    let (before, at) = (store.asked(), Instant::now());
    sleep(Duration::from_mins(1)).await;
    let (after, seconds) = (store.asked(), at.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "some thousand requests")]
    let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
    let (reads, writes) = (rate(before.0, after.0), rate(before.1, after.1));

    let mut each = vec![0_usize; usize::from(slices)];
    for mailbox in 0..mailboxes {
        each[usize::from(slice_of(&format!("m{mailbox}@contoso.com"), slices))] += 1;
    }
    let of = |slices: &Vec<Slice>| slices.iter().map(|it| each[usize::from(*it)]).sum::<usize>();
    let mut shares: Vec<usize> =
        held.lock().unwrap_or_else(PoisonError::into_inner).values().map(of).collect();
    shares.sort_unstable();
    let at = |place: usize| shares.get(place).copied().unwrap_or_default();
    let shares = (at(0), at(shares.len() / 2), at(shares.len() - 1));

    let gone = workers / 10;
    for alone in running.iter_mut().take(gone) {
        alone.shutdown().await;
    }
    for number in 0..gone {
        held.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
    let killed = all_held(&held, slices, &mut changes).await;
    Figures { workers, slices, started, reads, writes, killed, shares }
}

pub fn run(args: &[String]) -> Result<(), Failure> {
    let write = args.iter().any(|arg| arg == "--write");
    let mailboxes = 1_000_000;
    let mut text = format!(
        "{mailboxes} mailboxes, a lease of {} s, a store that answers within {} ms; virtual time.\n\n\
         | workers | slices | all held after a start of all within 3 s | store, reads a second | writes a \
         second | mailboxes of a worker: least, median, most | a tenth killed at once: all held after |\n\
         |---|---|---|---|---|---|---|\n",
        LEASE.as_secs(),
        ANSWERS_WITHIN.as_millis()
    );
    for (workers, slices) in [(10, 256), (100, 256), (256, 256), (1_000, 256)] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let figures = runtime.block_on(simulate(workers, slices, mailboxes));
        let Figures { workers, slices, started, reads, writes, killed, shares } = figures;
        let (least, median, most) = shares;
        writeln!(
            text,
            "| {workers} | {slices} | {:.1} s | {reads:.0} | {writes:.0} | {least}, {median}, {most} | {:.1} s |",
            started.as_secs_f64(),
            killed.as_secs_f64()
        )?;
        eprintln!("{workers} workers, {slices} slices: done");
    }
    println!("{text}");
    if write {
        report::write("leases", &text)?;
    }
    Ok(())
}
