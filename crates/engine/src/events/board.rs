//! How each mailbox is, for whoever asks: `/status`, the summary, a progress bar. Bounded by the
//! mailboxes; nothing is decided by it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use mailbridge_core::{Code, Error, Mailbox};
use serde::Serialize;

/// The mailboxes of one pipeline. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<BTreeMap<String, Status>>>);

/// How a mailbox is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The mailbox, as the pipeline names it.
    pub mailbox: Mailbox,
    /// What is done about it.
    pub state: State,
    /// When this worker first knew of it.
    #[serde(skip)]
    pub(super) known_since: Option<Timestamp>,
    /// When it was last known that everything is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_date_at: Option<Timestamp>,
    /// When something of it was last committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor_at: Option<Timestamp>,
    /// When it is looked at next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Until when Graph calls when something happens, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribed_until: Option<Timestamp>,
    /// Why it was not read the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Trouble>,
    /// Events published since the start of this worker.
    pub published: u64,
    /// Messages read since the start of this worker.
    pub read: u64,
}

/// What is done about a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was not looked at yet.
    Waiting,
    /// What was there before is being read.
    CatchingUp,
    /// All is told; it is looked at now and then.
    Steady,
    /// It asked to be left alone for a while.
    Throttled,
    /// It is not there, or denies access; it is looked at now and then all the same.
    Parked,
    /// Something on the way does not work; it is tried again.
    Failing,
    /// Another worker reads it.
    Elsewhere,
}

/// Why a mailbox could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The code, which has a page.
    pub code: &'static str,
    /// In a sentence.
    pub reason: String,
    /// What helps.
    pub cure: &'static str,
    /// Since when.
    pub since: Timestamp,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::CatchingUp,
        Self::Steady,
        Self::Throttled,
        Self::Parked,
        Self::Failing,
        Self::Elsewhere,
    ];

    /// A word for metrics and people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::CatchingUp => "catching_up",
            Self::Steady => "steady",
            Self::Throttled => "throttled",
            Self::Parked => "parked",
            Self::Failing => "failing",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl Trouble {
    fn new(error: &Error, since: Timestamp) -> Self {
        let code: Code = error.code();
        Self { code: code.as_str(), reason: error.to_string(), cure: code.cure(), since }
    }
}

impl Board {
    /// Of no mailbox yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All mailboxes, by name.
    pub fn snapshot(&self) -> Vec<Status> {
        self.lock().values().cloned().collect()
    }

    /// One mailbox.
    pub fn get(&self, mailbox: &Mailbox) -> Option<Status> {
        self.lock().get(&mailbox.as_str().to_lowercase()).cloned()
    }

    /// How many mailboxes are in each state.
    pub fn counts(&self) -> BTreeMap<State, u64> {
        let mut counts: BTreeMap<_, _> = State::ALL.iter().map(|state| (*state, 0)).collect();
        for status in self.lock().values() {
            *counts.entry(status.state).or_default() += 1;
        }
        counts
    }

    /// Events published, and messages read, since the start of this worker.
    pub fn totals(&self) -> (u64, u64) {
        let all = self.lock();
        (all.values().map(|it| it.published).sum(), all.values().map(|it| it.read).sum())
    }

    /// Changes what is known of a mailbox.
    pub(super) fn note(&self, mailbox: &Mailbox, change: impl FnOnce(&mut Status)) {
        let mut all = self.lock();
        let status = all.entry(mailbox.as_str().to_lowercase()).or_insert_with(|| Status {
            mailbox: mailbox.clone(),
            state: State::Waiting,
            known_since: None,
            up_to_date_at: None,
            cursor_at: None,
            next_at: None,
            subscribed_until: None,
            error: None,
            published: 0,
            read: 0,
        });
        change(status);
    }

    /// Notes why a mailbox could not be read. The same reason again keeps its `since`.
    pub(super) fn trouble(&self, mailbox: &Mailbox, state: State, error: &Error, now: Timestamp) {
        self.note(mailbox, |status| {
            status.state = state;
            let since = match &status.error {
                Some(before) if before.code == error.code().as_str() => before.since,
                _ => now,
            };
            status.error = Some(Trouble::new(error, since));
        });
    }

    /// Forgets a mailbox that the pipeline does not read any more.
    pub(super) fn remove(&self, mailbox: &Mailbox) {
        self.lock().remove(&mailbox.as_str().to_lowercase());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Status>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
