//! Keeps Graph subscribed to the mailboxes of a pipeline, so that it calls when something changes.
//!
//! A subscription wakes and nothing else: without one, or where Graph refuses one, a mailbox is
//! polled, and nothing is lost by it. So nothing here fails a pipeline.
//!
//! Each mailbox has one subscription. What is needed to know its calls is kept in the state store,
//! so that a restart goes on with it; other workers of the pipeline find it there and use it too. A
//! crash between Graph's answer and the store leaves one that nobody knows; it calls in vain until
//! it ends by itself. Ten thousand mailboxes are asked for at a pace, a few at once.

mod record;
mod roster;
mod step;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use mailbridge_core::{Changes, Code, Mailbox, StateStore};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::roster::Watch;
use self::{
    roster::Roster,
    step::{Job, Outcome},
};
use super::callback::{Callbacks, Inbox};

/// Mailboxes that are looked after at once.
const AT_ONCE: usize = 8;
/// How long what was begun may take when the program stops.
const DRAIN: Duration = Duration::from_secs(5);

/// What Graph is to call, and about what. Both URLs lead to the program's HTTP side, from the
/// internet.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where changes are told.
    pub notifications: String,
    /// Where the life of subscriptions is told.
    pub lifecycle: String,
    /// Only messages that are new need to be told of.
    pub only_new: bool,
}

/// How a mailbox's subscription is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waking {
    /// Not asked for yet.
    Waiting,
    /// Graph calls, until this time at least.
    Awake(Timestamp),
    /// Graph does not call; the mailbox is polled, and Graph is asked again.
    Polled {
        /// Why.
        code: Code,
        /// The same in a sentence.
        reason: String,
    },
}

impl Waking {
    /// Its name in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Awake(_) => "awake",
            Self::Polled { .. } => "polled",
        }
    }
}

/// Keeps the subscriptions of one pipeline.
pub struct Keeper {
    pipeline: String,
    changes: Arc<dyn Changes>,
    store: Arc<dyn StateStore>,
    callbacks: Callbacks,
    webhook: Webhook,
    inbox: Arc<Inbox>,
    roster: Mutex<Roster>,
    changed: Notify,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Keeper {
    /// A keeper of nothing yet. `callbacks` is the program's; `store` keeps what it is given for
    /// ever.
    pub fn new(
        pipeline: &str,
        changes: Arc<dyn Changes>,
        store: Arc<dyn StateStore>,
        callbacks: Callbacks,
        webhook: Webhook,
    ) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            changes,
            store,
            callbacks,
            webhook,
            inbox: Arc::default(),
            roster: Mutex::new(Roster::new(pipeline)),
            changed: Notify::new(),
            clock: Box::new(Timestamp::now),
        }
    }

    /// These are the mailboxes now, all of them. Those that are new are subscribed to, and those
    /// that are not there any more are left.
    pub fn watch(&self, all: impl IntoIterator<Item = Watch>) {
        self.roster().watch(all, Instant::now());
        self.changed.notify_one();
    }

    /// These are another worker's now: their subscriptions go on, and their calls are known there.
    pub fn let_go<'a>(&self, mailboxes: impl IntoIterator<Item = &'a Mailbox>) {
        let mut roster = self.roster();
        for known in mailboxes.into_iter().filter_map(|mailbox| roster.forget(mailbox)) {
            self.callbacks.remove(&known);
        }
    }

    /// The mailboxes to look at now, each once, as soon as there is one. Cancel safe.
    pub async fn woken(&self) -> Vec<Mailbox> {
        self.inbox.woken().await
    }

    /// How a mailbox's subscription is. Of one that nobody watches: waiting.
    pub fn waking(&self, mailbox: &Mailbox) -> Waking {
        self.roster().waking(mailbox)
    }

    /// Whether Graph calls when something changes, so that there is little need to poll.
    pub fn is_awake(&self, mailbox: &Mailbox) -> bool {
        matches!(self.waking(mailbox), Waking::Awake(until) if until > (self.clock)())
    }

    /// Works until `stop` is cancelled. Subscriptions stay as they are then, for the next start.
    pub async fn run(&self, stop: CancellationToken) {
        let mut steps = FuturesUnordered::new();
        loop {
            while steps.len() < AT_ONCE
                && let Some(job) = self.next()
            {
                steps.push(self.carry(job));
            }
            let due = self.roster().due().filter(|_| steps.len() < AT_ONCE);
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(outcome) = steps.next() => self.note(outcome),
                lives = self.inbox.lives() => {
                    let mut roster = self.roster();
                    for (mailbox, id, what) in lives {
                        roster.life(&mailbox, &id, what, Instant::now());
                    }
                }
                () = self.changed.notified() => {}
                () = due => {}
            }
        }
        // one that Graph has just granted is not forgotten
        let drained = async { while steps.next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            let (pipeline, left) = (&self.pipeline, steps.len());
            tracing::debug!(%pipeline, left, "stopped while asking for subscriptions");
        }
    }

    fn next(&self) -> Option<Job> {
        self.roster().next(Instant::now())
    }

    async fn carry(&self, job: Job) -> Outcome {
        let result = self.step(&job).await;
        Outcome { job, result }
    }

    fn note(&self, outcome: Outcome) {
        if let Err(error) = &outcome.result {
            let (pipeline, mailbox) = (&self.pipeline, outcome.job.mailbox());
            let (code, cure, failures) = (error.code(), error.code().cure(), outcome.job.failures);
            let told = self.roster().told(failures, Instant::now());
            if let Some(others) = told {
                tracing::warn!(%pipeline, %mailbox, %code, %error, cure, others,
                    "no subscription for now; the mailbox is polled");
            } else {
                tracing::debug!(%pipeline, %mailbox, %code, %error, failures, "no subscription");
            }
        }
        let mailbox = outcome.job.mailbox().clone();
        if !self.roster().note(outcome, Instant::now(), (self.clock)()) {
            // another worker has it by now; its calls are to be passed on
            self.callbacks.remove_all(&mailbox, &self.inbox);
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
