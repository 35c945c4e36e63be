//! For how long a slice of the mailboxes is nobody's, from the records in the bucket.
//!
//! A slice is owned while its record names a member whose record is there and whose process is
//! awake. The bucket says when each record changed, the storm when it put whom to sleep.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::jetstream::{self, kv};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::{sync::Notify, task::JoinSet};

/// Into how many the mailboxes of a pipeline on NATS are hashed.
const SLICES: usize = 256;
/// Until the mailboxes are shared by those who have come.
const SHARED: Duration = Duration::from_mins(1);

/// What has changed, and when, in nanoseconds since 1970.
#[derive(Clone, Debug)]
enum Change {
    Slice(usize, String),
    Member(String, Option<u32>),
    Awake(u32, bool),
}

/// All that has changed so far.
#[derive(Clone)]
pub(super) struct Owned {
    changes: Arc<Mutex<Vec<(i128, Change)>>>,
    changed: Arc<Notify>,
    _watching: Arc<JoinSet<()>>,
}

/// For how long a slice was nobody's, and until when, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Which.
    pub slice: usize,
    /// For how long.
    pub lasted: Duration,
    /// Until when, in nanoseconds since 1970.
    pub until: i128,
}

/// Who there is, and whose each slice is.
#[derive(Default)]
struct Now {
    slices: BTreeMap<usize, String>,
    members: HashMap<String, u32>,
    awake: BTreeSet<u32>,
}

impl Now {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Slice(slice, name) => drop(self.slices.insert(*slice, name.clone())),
            Change::Member(name, Some(process)) => {
                self.members.insert(name.clone(), *process);
            }
            Change::Member(name, None) => drop(self.members.remove(name)),
            Change::Awake(process, true) => drop(self.awake.insert(*process)),
            Change::Awake(process, false) => drop(self.awake.remove(process)),
        }
    }

    fn owner(&self, slice: usize) -> Option<u32> {
        let process = self.members.get(self.slices.get(&slice)?)?;
        self.awake.contains(process).then_some(*process)
    }

    fn shared_by(&self, workers: usize) -> bool {
        let owners: Vec<_> = (0..SLICES).filter_map(|slice| self.owner(slice)).collect();
        owners.len() == SLICES && owners.iter().collect::<BTreeSet<_>>().len() == workers
    }
}

/// What a record of the pool of `support` says.
fn read(entry: &kv::Entry) -> Option<Change> {
    let key = entry.key.strip_prefix("pool/support/")?;
    let is_there = entry.operation == kv::Operation::Put;
    if let Some(slice) = key.strip_prefix("slice/") {
        let name = if is_there { String::from_utf8_lossy(&entry.value) } else { "".into() };
        return Some(Change::Slice(slice.parse().ok()?, name.into_owned()));
    }
    let name = key.strip_prefix("member/")?.to_owned();
    if !is_there {
        return Some(Change::Member(name, None));
    }
    let card: serde_json::Value = serde_json::from_slice(&entry.value).ok()?;
    let process = card["worker"].as_str()?.rsplit('/').next()?.parse().ok()?;
    Some(Change::Member(name, Some(process)))
}

impl Owned {
    /// Watches the bucket from now on.
    pub async fn watch(jetstream: &jetstream::Context) -> Self {
        let config = kv::Config { bucket: "mailbridge".into(), ..kv::Config::default() };
        let bucket = jetstream.create_key_value(config).await.expect("a bucket");
        let mut entries = bucket.watch_all().await.expect("it can be watched");
        let changes = Arc::<Mutex<Vec<_>>>::default();
        let (notify, mut watching) = (Arc::new(Notify::new()), JoinSet::new());
        let (noted, notice) = (Arc::clone(&changes), Arc::clone(&notify));
        watching.spawn(async move {
            let _bucket = bucket;
            while let Some(entry) = entries.next().await {
                let entry = entry.expect("the bucket is there");
                if let Some(change) = read(&entry) {
                    let at = entry.created.unix_timestamp_nanos();
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push((at, change));
                    notice.notify_one();
                }
            }
        });
        Self { changes, changed: notify, _watching: Arc::new(watching) }
    }

    fn changes(&self) -> MutexGuard<'_, Vec<(i128, Change)>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a process is awake from now on, or is not.
    pub fn awake(&self, process: u32, is_awake: bool) {
        let now = Timestamp::now().as_nanosecond();
        self.changes().push((now, Change::Awake(process, is_awake)));
    }

    fn replayed(&self) -> Vec<(i128, Change)> {
        let mut changes = self.changes().clone();
        changes.sort_by_key(|(at, _)| *at);
        changes
    }

    /// Waits until so many have all there is between them.
    pub async fn shared_by(&self, workers: usize) {
        let shared = async {
            loop {
                let mut now = Now::default();
                self.replayed().iter().for_each(|(_, change)| now.apply(change));
                if now.shared_by(workers) {
                    return;
                }
                self.changed.notified().await;
            }
        };
        let shared = tokio::time::timeout(SHARED, shared).await;
        shared
            .unwrap_or_else(|_| panic!("within {SHARED:?}: {workers} workers share the mailboxes"));
    }

    /// Each time that a slice was nobody's between two moments, the longest last.
    pub fn gaps(&self, from: Timestamp, to: Timestamp) -> Vec<Gap> {
        gaps(&self.replayed(), from.as_nanosecond(), to.as_nanosecond())
    }
}

fn gaps(changes: &[(i128, Change)], from: i128, to: i128) -> Vec<Gap> {
    let (mut now, mut gaps) = (Now::default(), Vec::new());
    let mut since: Vec<Option<i128>> = vec![Some(from); SLICES];
    let ended = |slice: usize, since: i128, until: i128| Gap {
        slice,
        lasted: Duration::from_nanos(u64::try_from(until - since).unwrap_or_default()),
        until,
    };
    for (at, change) in changes.iter().take_while(|(at, _)| *at <= to) {
        now.apply(change);
        for (slice, since) in since.iter_mut().enumerate() {
            match (now.owner(slice), *since) {
                (Some(_), Some(begun)) => {
                    gaps.extend((*at > begun).then(|| ended(slice, begun, *at)));
                    *since = None;
                }
                (None, None) => *since = Some((*at).max(from)),
                _ => {}
            }
        }
    }
    let left = since.iter().enumerate().filter_map(|(slice, since)| Some((slice, (*since)?)));
    gaps.extend(left.map(|(slice, since)| ended(slice, since, to)));
    gaps.sort_by_key(|gap| gap.lasted);
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One worker has all from 0 on.
    fn before() -> Vec<(i128, Change)> {
        let slices = (0..SLICES).map(|slice| (0, Change::Slice(slice, "a".to_owned())));
        let is_there = [(0, Change::Member("a".to_owned(), Some(1))), (0, Change::Awake(1, true))];
        slices.chain(is_there).collect()
    }

    fn longest(more: &[(i128, Change)]) -> Option<(usize, u128)> {
        let changes = [before(), more.to_vec()].concat();
        let gaps = gaps(&changes, 0, 100);
        gaps.last().map(|gap| (gap.slice, gap.lasted.as_nanos()))
    }

    #[test]
    fn a_slice_is_nobodys_while_its_worker_sleeps_until_another_has_it() {
        assert_eq!(longest(&[]), None);
        let joins = [(10, Change::Member("b".to_owned(), Some(2))), (10, Change::Awake(2, true))];
        assert_eq!(longest(&joins), None);
        let taken = (20..).zip(0..SLICES);
        let taken = taken.map(|(_, slice)| (50, Change::Slice(slice, "b".to_owned())));
        let sleeps = [(20, Change::Awake(1, false))];
        let all = [joins.to_vec(), sleeps.to_vec(), taken.collect()].concat();
        assert_eq!(longest(&all).map(|it| it.1), Some(30));
    }

    #[test]
    fn what_is_nobodys_in_the_end_counts_too_and_so_does_a_buried_name() {
        let given = (40, Change::Slice(7, String::new()));
        assert_eq!(longest(&[given]), Some((7, 60)));
        let buried = (90, Change::Member("a".to_owned(), None));
        assert_eq!(longest(&[buried]).map(|it| it.1), Some(10));
    }
}
