//! How far a file was read, and which of its lines are still open.
//!
//! A settled line never comes again, even while an earlier one is open for hours (a throttled
//! mailbox): what is kept is not a single offset but the lines that are open, which are few, and
//! where the first of them starts. That is more than
//! [`Watermark`](mailbridge_core::adapter::Watermark) keeps for a log that can remember one number
//! only.
//!
//! A line is marked as handed out before it is handed out, so that after a crash nothing that may
//! have been tried is taken for new. The mark runs [`AHEAD`] lines in front, so that it is written
//! seldom; it is drawn back when reading ends in good order.
//!
//! A file is known again by its content, not by its inode: the last line that was taken must still
//! stand where it stood. So an editor that writes a new file, a copy and a restored backup are the
//! same file, and a truncated or replaced one is not.
//!
//! Reads no file; [`crate::store`] writes what [`Log::snapshot`] gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use mailbridge_core::{Code, Error, Position, Result, SeenBefore, Settled};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::{
    batches::submit,
    input::lines::{Fingerprint, Line},
    shared::Handle,
    store::{Store, Write},
};

/// How many lines the mark of what was handed out runs ahead.
const AHEAD: u64 = 64;

/// A file as one reader after the other knows it.
pub(crate) struct Log {
    /// What it is known by in the store.
    pub(crate) name: String,
    keep: Keep,
    ledger: Mutex<Ledger>,
    pub(crate) out: Out,
}

/// Where the position survives.
enum Keep {
    /// In this process only.
    Memory,
    Store(Handle<Store>),
}

struct Ledger {
    /// Which file of this name it is.
    generation: String,
    /// Every open line, with where reading must start to meet it again.
    open: BTreeMap<u64, Place>,
    /// After the last line handed out.
    next: Place,
    /// Lines below may have been handed out by an earlier process.
    doubtful_below: u64,
    /// Lines below are to be marked as handed out.
    mark_to: u64,
    /// Lines below are marked, durably.
    marked_below: u64,
    /// Snapshots are counted, so that the older of two does not overrule the newer.
    snapshots: u64,
    confirmed: u64,
    /// Somebody is reading.
    read: bool,
}

/// What is kept of a log over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    generation: String,
    /// Where reading must start to meet every open line.
    from: Place,
    /// Lines before were handed out, and are settled unless they are in `open`.
    next: Place,
    open: Vec<u64>,
    /// Lines below may have been handed out.
    marked_below: u64,
}

/// A place between two lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The number of the line that starts here.
    pub(crate) line: u64,
    /// How many bytes are before.
    pub(crate) offset: u64,
    /// The last line before that is not blank.
    pub(crate) before: Option<Seal>,
}

/// A line that must still stand where it stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) start: u64,
    pub(crate) fingerprint: Fingerprint,
}

impl Default for Place {
    /// The beginning of a file.
    fn default() -> Self {
        Self { line: 1, offset: 0, before: None }
    }
}

impl Place {
    pub(crate) fn after(line: &Line) -> Self {
        let before = Seal { start: line.start, fingerprint: line.fingerprint };
        Self { line: line.number + 1, offset: line.end, before: Some(before) }
    }
}

/// Where a reader starts, and what it leaves out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    pub(crate) from: Place,
    /// Lines before it are wanted only if they are open.
    pub(crate) next: Place,
    pub(crate) open: BTreeSet<u64>,
}

impl Start {
    /// Whether a line is to be handed out.
    pub(crate) fn wants(&self, line: u64) -> bool {
        line >= self.next.line || self.open.contains(&line)
    }
}

/// What is written of a log.
pub(crate) struct Snapshot {
    pub(crate) json: Vec<u8>,
    number: u64,
    marked_below: u64,
}

impl Log {
    /// A log that this process alone remembers.
    pub(crate) fn in_memory(name: String) -> Self {
        Self::new(name, Keep::Memory, Saved::default())
    }

    /// A log that a store remembers, with what it remembers, if anything.
    pub(crate) fn in_store(
        name: String,
        store: Handle<Store>,
        saved: Option<&[u8]>,
    ) -> Result<Self> {
        let saved = saved.map(serde_json::from_slice).transpose().map_err(|cause| {
            crate::error::state("a position cannot be read", store.file(), cause)
        })?;
        Ok(Self::new(name, Keep::Store(store), saved.unwrap_or_default()))
    }

    fn new(name: String, keep: Keep, saved: Saved) -> Self {
        let Saved { generation, from, next, open, marked_below } = saved;
        let ledger = Ledger {
            generation: if generation.is_empty() { new_generation() } else { generation },
            open: open.into_iter().map(|line| (line, from.clone())).collect(),
            next,
            doubtful_below: marked_below,
            mark_to: 0,
            marked_below: 0,
            snapshots: 0,
            confirmed: 0,
            read: false,
        };
        Self { name, keep, ledger: Mutex::new(ledger), out: Out::default() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the right to read, which only one reader has, and which lasts as long as the value.
    /// Waits for those who still hold deliveries of the reader before.
    pub(crate) async fn read(self: &Arc<Self>) -> Result<Reading> {
        if std::mem::replace(&mut self.ledger().read, true) {
            return Err(taken(&self.name));
        }
        let reading = Reading(Arc::clone(self));
        self.out.wait_for_none().await?;
        Ok(reading)
    }

    /// Ends reading. The mark is drawn back to what was really handed out.
    fn stop(self: &Arc<Self>) {
        let too_far = {
            let mut ledger = self.ledger();
            ledger.read = false;
            ledger.mark_to = 0;
            ledger.marked_below > ledger.next.line.max(ledger.doubtful_below)
        };
        if let Keep::Store(store) = &self.keep
            && too_far
            && let Err(error) = store.note(Arc::clone(self))
        {
            tracing::warn!(file = %self.name, %error,
                "the position was not brought up to date; some requests will be looked up again");
        }
    }

    /// Where to start reading, and what to leave out.
    pub(crate) fn start(&self) -> Start {
        let ledger = self.ledger();
        let open = ledger.open.keys().copied().collect();
        Start { from: ledger.from().clone(), next: ledger.next.clone(), open }
    }

    /// The file is another one: it is read from its beginning, and nothing of the old one is open.
    pub(crate) fn begin_anew(&self) {
        let mut ledger = self.ledger();
        ledger.generation = new_generation();
        ledger.open.clear();
        ledger.next = Place::default();
        ledger.doubtful_below = 0;
        ledger.mark_to = 0;
        ledger.marked_below = 0;
        // A snapshot of the old file that is still being written marks nothing of the new one.
        ledger.confirmed = ledger.snapshots;
    }

    /// Whether nothing is open.
    pub(crate) fn is_settled(&self) -> bool {
        self.ledger().open.is_empty()
    }

    /// Makes sure that a line is marked as handed out. Cancel safe.
    pub(crate) async fn mark(self: &Arc<Self>, line: u64) -> Result<()> {
        let Keep::Store(store) = &self.keep else { return Ok(()) };
        self.ledger().mark_to = line + AHEAD;
        while self.ledger().marked_below <= line {
            submit(store, Write::Position(Arc::clone(self))).await?;
        }
        Ok(())
    }

    /// Hands a line out; `before` is where reading must start to meet it again.
    pub(crate) fn hand_out(&self, line: &Line, before: Place) -> (Position, SeenBefore) {
        let mut ledger = self.ledger();
        let again = line.number < ledger.next.line || line.number < ledger.doubtful_below;
        let seen_before = if again { SeenBefore::Maybe } else { SeenBefore::No };
        ledger.open.insert(line.number, before);
        if line.number >= ledger.next.line {
            ledger.next = Place::after(line);
        }
        (position(&self.name, &ledger.generation, line), seen_before)
    }

    /// Lets a line go for good, durably.
    pub(crate) async fn settle(self: &Arc<Self>, line: u64) -> Result<Settled> {
        if self.ledger().open.remove(&line).is_none() {
            return Ok(Settled::Stale);
        }
        if let Keep::Store(store) = &self.keep {
            submit(store, Write::Position(Arc::clone(self))).await?;
        }
        Ok(Settled::Yes)
    }

    /// What to write now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        let mut ledger = self.ledger();
        let ahead = if ledger.read { AHEAD } else { 0 };
        let marked_below = ledger.doubtful_below.max(ledger.mark_to).max(ledger.next.line + ahead);
        let saved = Saved {
            generation: ledger.generation.clone(),
            from: ledger.from().clone(),
            next: ledger.next.clone(),
            open: ledger.open.keys().copied().collect(),
            marked_below,
        };
        let json = serde_json::to_vec(&saved).map_err(|_| {
            Error::transient(Code::Internal, "a position cannot be written as JSON")
        })?;
        ledger.snapshots += 1;
        Ok(Snapshot { json, number: ledger.snapshots, marked_below })
    }

    /// A snapshot is durable.
    pub(crate) fn written(&self, snapshot: &Snapshot) {
        let mut ledger = self.ledger();
        if snapshot.number > ledger.confirmed {
            ledger.confirmed = snapshot.number;
            ledger.marked_below = snapshot.marked_below;
        }
    }
}

/// The right to read a log.
pub(crate) struct Reading(Arc<Log>);

impl Deref for Reading {
    type Target = Arc<Log>;

    fn deref(&self) -> &Arc<Log> {
        &self.0
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Ledger {
    fn from(&self) -> &Place {
        self.open.first_key_value().map_or(&self.next, |(_, place)| place)
    }
}

/// Somebody reads it already.
pub(crate) fn taken(name: &str) -> Error {
    Error::blocked(Code::LocalFile, "another pipeline reads this; give each a source of its own")
        .with("path", name)
}

/// Told apart by when it began: nothing better is known of a file, and nothing else survives the
/// loss of the store.
pub(crate) fn new_generation() -> String {
    Timestamp::now().as_nanosecond().to_string()
}

/// Such as `local:requests.ndjson/17@5f0c9e1d3a`: the file, the line, and a hash of the line and
/// the file's generation. Requests without an id are known by it, and another file of the same
/// name, or another run over standard input, must not pass for the same requests.
pub(crate) fn position(name: &str, generation: &str, line: &Line) -> Position {
    let file = Path::new(name).file_name().unwrap_or(name.as_ref()).to_string_lossy();
    let mut hash = Sha256::new();
    hash.update(generation);
    hash.update(line.fingerprint);
    let hash =
        hash.finalize().iter().take(5).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    Position::new(format!("local:{file}/{}@{hash:010x}", line.number))
}

/// How many receipts are out. A new reader waits until those of the one before have gone, so that
/// nothing is handed out that somebody still works on.
#[derive(Default)]
pub(crate) struct Out {
    count: AtomicUsize,
    none: Notify,
}

impl Out {
    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn remove(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.none.notify_waiters();
        }
    }

    /// Waits until there is none, for a while.
    pub(crate) async fn wait_for_none(&self) -> Result<()> {
        let none = async {
            loop {
                let none = self.none.notified();
                if self.count.load(Ordering::SeqCst) == 0 {
                    return;
                }
                none.await;
            }
        };
        tokio::time::timeout(QUIET_WITHIN, none).await.map_err(|_| {
            Error::transient(
                Code::LocalFile,
                "requests that were read before are still being worked on",
            )
            .with("requests", self.count.load(Ordering::SeqCst))
        })
    }
}

/// How long a reader waits for the one before it.
const QUIET_WITHIN: Duration = Duration::from_secs(10);
