//! The database: one redb file, opened once in a process, written in batches.
//!
//! Holds positions ([`crate::position`]) and state ([`crate::state`]), and knows nothing of what
//! they mean. Values are small: the page cache is bounded to a few megabytes.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use mailbridge_core::{Keep, LIST_MAX, Put, Result, Revision, listed};
use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::{
    batches::{Batched, Queue},
    database::{self, Reopening, canonical},
    position::{Log, Snapshot},
    shared::{Handle, Shared},
};

const POSITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("positions");
const STATE: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("state");
/// When a value that does not last was put, in seconds since 1970; and the same the other way round,
/// so that the oldest are found first.
const PUT_AT: TableDefinition<'_, &str, i64> = TableDefinition::new("put_at");
const AGES: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("ages");
/// Old values that one put clears away at most: more than come, so that they do not pile up.
const CLEARED_MAX: usize = 16;
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
/// The counter that gives revisions: no two puts of one file share one, deleted or not.
const REVISION: &str = "revision";

pub(crate) static OPEN: Shared<Store> = Shared::new();

/// An open database.
pub(crate) struct Store {
    database: Reopening,
    queue: Queue<Write, Written>,
    logs: Mutex<BTreeMap<String, Weak<Log>>>,
}

/// Something to write.
pub(crate) enum Write {
    /// Where a log stands.
    Position(Arc<Log>),
    /// A value of state, if the key is as expected.
    Put { key: String, value: Bytes, expected: Option<Revision>, keep: Keep },
    /// No value of state, if the key is as expected.
    Delete { key: String, expected: Revision },
}

/// What writing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Position,
    State(Put),
}

/// Why a batch failed.
type Failure = redb::Error;

impl Store {
    /// Opens the database, or shares it where it is open. Blocks.
    pub(crate) fn open(file: &Path) -> Result<Handle<Self>> {
        let file = canonical(file)?;
        OPEN.get(&file.clone(), || {
            let database = Reopening::open(file)?;
            Ok(Self { database, queue: Queue::new(), logs: Mutex::default() })
        })
    }

    pub(crate) fn file(&self) -> &Path {
        self.database.file()
    }

    /// The log of this name, which is shared while it is in use. Blocks.
    pub(crate) fn log(this: &Handle<Self>, name: String) -> Result<Arc<Log>> {
        let mut logs = this.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(&name).and_then(Weak::upgrade) {
            return Ok(log);
        }
        let saved = read(&*this.database.get()?, POSITIONS, |table| {
            Ok(table.get(name.as_str())?.map(|saved| saved.value().to_vec()))
        });
        let saved =
            saved.map_err(|cause| this.database.failed("a position cannot be read", &cause))?;
        let log = Arc::new(Log::in_store(name.clone(), this.clone(), saved.as_deref())?);
        logs.insert(name, Arc::downgrade(&log));
        Ok(log)
    }

    /// Writes down where a log stands. Blocks.
    pub(crate) fn note(&self, log: Arc<Log>) -> Result<()> {
        self.write(&[Write::Position(log)]).map(|_| ())
    }

    /// A value of state. Blocks.
    pub(crate) fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        let found = read(&*self.database.get()?, STATE, |table| {
            Ok(table.get(key)?.map(|found| {
                let (revision, value) = found.value();
                (Bytes::copy_from_slice(value), Revision(revision))
            }))
        });
        found.map_err(|cause| self.database.failed("state cannot be read", &cause))
    }

    /// The keys of state that begin like this, as of one moment. Blocks.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let found = read(&*self.database.get()?, STATE, |table| {
            let mut keys = Vec::new();
            for entry in table.range(prefix..)?.take(LIST_MAX + 1) {
                let (key, _) = entry?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                keys.push(key.value().to_owned());
            }
            Ok(Some(keys))
        });
        let found = found.map_err(|cause| self.database.failed("state cannot be read", &cause))?;
        listed(prefix, found.unwrap_or_default())
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let failed =
            |cause: Failure| self.database.failed("the state store did not take a change", &cause);
        let database = self.database.get()?;
        let transaction = database.begin_write().map_err(|cause| failed(cause.into()))?;
        // Taken inside the transaction, of which there is one at a time, so that what is written
        // last was taken last.
        let snapshots = snapshots(writes)?;
        let written = apply(transaction, &snapshots, writes).map_err(failed)?;
        for (log, snapshot) in &snapshots {
            log.written(snapshot);
        }
        Ok(written)
    }
}

impl Batched for Store {
    type Item = Write;
    type Done = Written;

    fn queue(&self) -> &Queue<Write, Written> {
        &self.queue
    }

    fn run(&self, writes: Vec<Write>) -> Vec<Result<Written>> {
        match self.write(&writes) {
            Ok(written) => written.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); writes.len()],
        }
    }
}

/// Reads from one table; from nothing, where it was never written.
fn read<V: redb::Value + 'static, T>(
    database: &Database,
    table: TableDefinition<'_, &'static str, V>,
    get: impl FnOnce(&redb::ReadOnlyTable<&'static str, V>) -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    database::table(database, table)?.map_or(Ok(None), |table| get(&table))
}

/// One snapshot of each log, however many asked for it.
fn snapshots(writes: &[Write]) -> Result<Vec<(&Arc<Log>, Snapshot)>> {
    let mut snapshots: Vec<(&Arc<Log>, Snapshot)> = Vec::new();
    for write in writes {
        if let Write::Position(log) = write
            && !snapshots.iter().any(|(known, _)| Arc::ptr_eq(known, log))
        {
            snapshots.push((log, log.snapshot()?));
        }
    }
    Ok(snapshots)
}

/// Writes and commits. Nothing is committed where nothing changes.
fn apply(
    transaction: WriteTransaction,
    snapshots: &[(&Arc<Log>, Snapshot)],
    writes: &[Write],
) -> Result<Vec<Written>, Failure> {
    {
        let mut positions = transaction.open_table(POSITIONS)?;
        for (log, snapshot) in snapshots {
            positions.insert(log.name.as_str(), snapshot.json.as_slice())?;
        }
    }
    let written: Vec<Written> =
        writes.iter().map(|write| apply_one(&transaction, write)).collect::<Result<_, _>>()?;
    if written.iter().any(|written| *written != Written::State(Put::Conflict)) {
        transaction.commit()?;
    }
    Ok(written)
}

fn apply_one(transaction: &WriteTransaction, write: &Write) -> Result<Written, Failure> {
    let (key, value, expected) = match write {
        Write::Position(_) => return Ok(Written::Position),
        Write::Put { key, value, expected, keep } => {
            (key.as_str(), Some((value, *keep)), *expected)
        }
        Write::Delete { key, expected } => (key.as_str(), None, Some(*expected)),
    };
    let mut state = transaction.open_table(STATE)?;
    let found = state.get(key)?.map(|found| Revision(found.value().0));
    if found != expected {
        return Ok(Written::State(Put::Conflict));
    }
    let Some((value, keep)) = value else {
        state.remove(key)?;
        return Ok(Written::State(Put::Stored(Revision(0))));
    };
    let mut counters = transaction.open_table(COUNTERS)?;
    let revision = counters.get(REVISION)?.map_or(0, |last| last.value()) + 1;
    counters.insert(REVISION, revision)?;
    state.insert(key, (revision, value.as_ref()))?;
    if let Keep::AtLeast(time) = keep {
        age(transaction, &mut state, key, time, Timestamp::now().as_second())?;
    }
    Ok(Written::State(Put::Stored(Revision(revision))))
}

/// Notes when a value was put, and clears away what is older than `time`, in seconds since 1970.
fn age(
    transaction: &WriteTransaction,
    state: &mut Table<'_, &'static str, (u64, &'static [u8])>,
    key: &str,
    time: Duration,
    now: i64,
) -> Result<(), Failure> {
    let mut put_at = transaction.open_table(PUT_AT)?;
    let mut ages = transaction.open_table(AGES)?;
    let before = put_at.insert(key, now)?.map(|before| before.value());
    if let Some(before) = before {
        ages.remove((before, key))?;
    }
    ages.insert((now, key), ())?;
    let over = now.saturating_sub(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let old = ages.extract_from_if((i64::MIN, "")..(over, ""), |_, ()| true)?;
    for gone in old.take(CLEARED_MAX) {
        let (age, _) = gone?;
        let (_, key) = age.value();
        put_at.remove(key)?;
        state.remove(key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use redb::ReadableDatabase as _;

    use super::*;

    #[test]
    fn what_nobody_touches_goes_and_what_is_put_again_stays() {
        let backend = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(backend).unwrap();
        let put = |key: &str, now: i64| {
            let transaction = database.begin_write().unwrap();
            {
                let mut state = transaction.open_table(STATE).unwrap();
                state.insert(key, (1, &b"v"[..])).unwrap();
                age(&transaction, &mut state, key, Duration::from_secs(100), now).unwrap();
            }
            transaction.commit().unwrap();
        };
        let there = |key: &str| {
            let table = database.begin_read().unwrap().open_table(STATE).unwrap();
            table.get(key).unwrap().is_some()
        };
        put("old", 1000);
        put("touched", 1000);
        put("touched", 1090);
        put("other", 1100);
        assert!(there("old") && there("touched"), "at least as long as was asked for");
        put("other", 1101);
        assert!(!there("old") && there("touched") && there("other"));
    }
}
