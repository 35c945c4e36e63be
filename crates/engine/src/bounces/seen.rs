//! What this worker knows of reports that carry no note: a convenience, so that they are not read again
//! at every look. Bounded; what is forgotten is read once more.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailbridge_core::Mailbox;
use tokio::time::Instant;

const SEEN_MAX: usize = 20_000;

type Key = (Mailbox, String);

/// What is known of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The mail that it is about did not show yet, from then on.
    Waiting(Instant),
    /// Its outcome is durable; it has no note yet.
    Published,
    /// Nothing is left to be done about it.
    Settled,
}

#[derive(Default)]
pub struct Seen(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    reports: HashMap<Key, Known>,
    /// The oldest first.
    order: VecDeque<Key>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, mailbox: &Mailbox, id: &str) -> Option<Known> {
        self.lock().reports.get(&(mailbox.clone(), id.to_owned())).copied()
    }

    pub fn set(&self, mailbox: &Mailbox, id: &str, known: Known) {
        let mut inner = self.lock();
        let key = (mailbox.clone(), id.to_owned());
        if inner.reports.insert(key.clone(), known).is_some() {
            return;
        }
        inner.order.push_back(key);
        if inner.order.len() > SEEN_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.reports.remove(&oldest);
        }
    }

    /// The mail does not show. Whether it has had its time, so that it is none of ours.
    pub fn wait(&self, mailbox: &Mailbox, id: &str, patience: Duration) -> bool {
        let since = match self.get(mailbox, id) {
            Some(Known::Waiting(since)) => since,
            _ => Instant::now(),
        };
        let over = since.elapsed() >= patience;
        self.set(mailbox, id, if over { Known::Settled } else { Known::Waiting(since) });
        over
    }
}
