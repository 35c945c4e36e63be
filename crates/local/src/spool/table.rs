//! The spool's database: one redb file, written in batches.
//!
//! Three kinds of rows: what waits, by number; what became of it, by id, for a day after its end; and
//! which idempotency key belongs to which id, for as long.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use jiff::Timestamp;
use mailbridge_core::Result;
use redb::{ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    batches::{Batched, Queue},
    database::{Reopening, canonical, table},
    position::Out,
    shared::{Handle, Shared},
};

const QUEUE: TableDefinition<'_, u64, (&str, &[u8])> = TableDefinition::new("queue");
/// By id: the idempotency key, and the status as JSON.
const STATUS: TableDefinition<'_, &str, (&str, &[u8])> = TableDefinition::new("status");
/// By idempotency key: the id, and a digest of the request.
const KEYS: TableDefinition<'_, &str, (&str, &[u8])> = TableDefinition::new("keys");
/// What has ended, the oldest first, in seconds since 1970.
const ENDED: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("ended");

/// For how long after its end a request is known.
const REMEMBER_SECONDS: i64 = 24 * 60 * 60;
/// Old ends that one batch clears away at most for each change in it: more than come.
const CLEARED_FOR_EACH: usize = 4;
/// Requests that may wait. At the bound producers are told to come later.
const WAITING_MAX: u64 = 100_000;

const UNREADABLE: &str = "the requests that wait cannot be read";
const UNTAKEN: &str = "what became of a request could not be written";

pub(super) static OPEN: Shared<Table> = Shared::new();

/// An open spool.
pub(super) struct Table {
    database: Reopening,
    /// Something was added, or could not be.
    pub(super) added: Notify,
    /// The receipts that are out, of whichever reader.
    pub(super) out: Out,
    /// The number that the next request gets, given inside a transaction, of which there is one at a
    /// time: so a reader who has seen a number never finds a lower one later.
    next: AtomicU64,
    queue: Queue<Change, Kept>,
}

/// Something to write.
pub(super) enum Change {
    /// A request was posted.
    Add { id: String, key: Option<String>, digest: Vec<u8>, line: Bytes },
    /// A request was settled.
    End { number: u64, id: String, rejected: bool },
    /// An outcome was published.
    Tell { id: String, outcome: Value },
}

/// A request that was posted.
struct New<'a> {
    id: &'a str,
    key: Option<&'a str>,
    digest: &'a [u8],
    line: &'a [u8],
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Added,
    Known(String),
    Differs,
    Full,
    Done,
    Unknown,
}

/// A request that waits.
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) line: Bytes,
}

impl Table {
    pub(super) fn open(file: &Path) -> Result<Handle<Self>> {
        let file = canonical(file)?;
        OPEN.get(&file.clone(), || {
            let database = Reopening::open(file)?;
            let last = last(&database)?;
            Ok(Self {
                database,
                added: Notify::new(),
                out: Out::default(),
                next: AtomicU64::new(last.map_or(0, |last| last + 1)),
                queue: Queue::new(),
            })
        })
    }

    /// What a failure of the disk does.
    #[cfg(test)]
    pub(super) fn fail(&self) {
        let cause = redb::Error::Io(std::io::ErrorKind::StorageFull.into());
        self.database.failed(UNTAKEN, &cause);
    }

    /// The number after the last one given.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// What waits from a number on: some, and of large ones only one.
    pub(super) fn waiting(&self, from: u64) -> Result<Vec<Waiting>> {
        const COUNT_MAX: usize = 64;
        const BYTES_MAX: usize = 4 * 1024 * 1024;
        let database = self.database.get()?;
        let read = || {
            let Some(queue) = table(&database, QUEUE)? else { return Ok(Vec::new()) };
            let (mut found, mut bytes) = (Vec::new(), 0);
            for entry in queue.range(from..)? {
                let (number, value) = entry?;
                let (id, line) = value.value();
                bytes += line.len();
                let line = Bytes::copy_from_slice(line);
                found.push(Waiting { number: number.value(), id: id.to_owned(), line });
                if found.len() == COUNT_MAX || bytes > BYTES_MAX {
                    break;
                }
            }
            Ok(found)
        };
        read().map_err(|cause| self.database.failed(UNREADABLE, &cause))
    }

    /// What is known of a request.
    pub(super) fn status(&self, id: &str) -> Result<Option<Bytes>> {
        let database = self.database.get()?;
        let read = || {
            let Some(status) = table(&database, STATUS)? else { return Ok(None) };
            Ok(status.get(id)?.map(|it| Bytes::copy_from_slice(it.value().1)))
        };
        read().map_err(|cause| self.database.failed(UNREADABLE, &cause))
    }

    fn write(&self, changes: Vec<Change>) -> Result<Vec<Kept>> {
        let database = self.database.get()?;
        let write = || {
            let now = Timestamp::now();
            let transaction = database.begin_write()?;
            let kept: Vec<_> = changes
                .into_iter()
                .map(|change| self.apply(&transaction, change, now))
                .collect::<Result<_, redb::Error>>()?;
            clear(&transaction, now, kept.len() * CLEARED_FOR_EACH)?;
            transaction.commit()?;
            Ok(kept)
        };
        write().map_err(|cause| self.database.failed(UNTAKEN, &cause))
    }

    fn apply(
        &self,
        transaction: &WriteTransaction,
        change: Change,
        now: Timestamp,
    ) -> Result<Kept, redb::Error> {
        match change {
            Change::Add { id, key, digest, line } => {
                let new = New { id: &id, key: key.as_deref(), digest: &digest, line: &line };
                self.add(transaction, &new, now)
            }
            Change::End { number, id, rejected } => {
                transaction.open_table(QUEUE)?.remove(number)?;
                let state = if rejected { "rejected" } else { "done" };
                note(transaction, &id, |said| {
                    said["state"] = state.into();
                    said["ended_at"] = now.to_string().into();
                })?;
                transaction.open_table(ENDED)?.insert((now.as_second(), id.as_str()), ())?;
                Ok(Kept::Done)
            }
            Change::Tell { id, outcome } => {
                let known = note(transaction, &id, |said| said["outcome"] = outcome)?;
                Ok(if known { Kept::Done } else { Kept::Unknown })
            }
        }
    }

    fn add(
        &self,
        transaction: &WriteTransaction,
        &New { id, key, digest, line }: &New<'_>,
        now: Timestamp,
    ) -> Result<Kept, redb::Error> {
        let mut queue = transaction.open_table(QUEUE)?;
        let mut status = transaction.open_table(STATUS)?;
        let mut keys = transaction.open_table(KEYS)?;
        if let Some(key) = key
            && let Some(known) = keys.get(key)?
        {
            let (id, same) = known.value();
            let same = same == digest;
            return Ok(if same { Kept::Known(id.to_owned()) } else { Kept::Differs });
        }
        if queue.len()? >= WAITING_MAX {
            return Ok(Kept::Full);
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        queue.insert(number, (id, line))?;
        if let Some(key) = key {
            keys.insert(key, (id, digest))?;
        }
        let said = json!({ "id": id, "state": "queued", "received_at": now }).to_string();
        status.insert(id, (key.unwrap_or_default(), said.as_bytes()))?;
        Ok(Kept::Added)
    }
}

impl Batched for Table {
    type Item = Change;
    type Done = Kept;

    fn queue(&self) -> &Queue<Change, Kept> {
        &self.queue
    }

    fn run(&self, changes: Vec<Change>) -> Vec<Result<Kept>> {
        let count = changes.len();
        match self.write(changes) {
            Ok(kept) => kept.into_iter().map(Ok).collect(),
            Err(error) => {
                // The reader is to find out too, and to be built anew.
                self.added.notify_one();
                vec![Err(error); count]
            }
        }
    }
}

fn last(database: &Reopening) -> Result<Option<u64>> {
    let open = database.get()?;
    let read = || {
        let Some(queue) = table(&open, QUEUE)? else { return Ok(None) };
        Ok(queue.last()?.map(|(last, _)| last.value()))
    };
    read().map_err(|cause| database.failed(UNREADABLE, &cause))
}

/// Changes what is said of a request. Not, if it is not known any more.
fn note(
    transaction: &WriteTransaction,
    id: &str,
    change: impl FnOnce(&mut Value),
) -> Result<bool, redb::Error> {
    let mut status = transaction.open_table(STATUS)?;
    let Some((key, said)) = status.get(id)?.map(|known| {
        let (key, said) = known.value();
        (key.to_owned(), serde_json::from_slice::<Value>(said).unwrap_or_else(|_| json!({})))
    }) else {
        return Ok(false);
    };
    let mut said = said;
    change(&mut said);
    status.insert(id, (key.as_str(), said.to_string().as_bytes()))?;
    Ok(true)
}

/// Forgets what ended long ago.
fn clear(transaction: &WriteTransaction, now: Timestamp, most: usize) -> Result<(), redb::Error> {
    let over = now.as_second().saturating_sub(REMEMBER_SECONDS);
    let mut ended = transaction.open_table(ENDED)?;
    let mut status = transaction.open_table(STATUS)?;
    let mut keys = transaction.open_table(KEYS)?;
    for gone in ended.extract_from_if((i64::MIN, "")..(over, ""), |_, ()| true)?.take(most) {
        let (entry, _) = gone?;
        let (_, id) = entry.value();
        let key = status.remove(id)?.map(|known| known.value().0.to_owned());
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            keys.remove(key.as_str())?;
        }
    }
    Ok(())
}
