//! What Graph tells a callback: which mailboxes to look at, and what has become of subscriptions.
//! (learn.microsoft.com, change-notifications-delivery-webhooks and
//! change-notifications-lifecycle-events.)
//!
//! One [`Callbacks`] serves all pipelines of a program. A call is taken once it is noted, and
//! noting it in memory is enough: a call says nothing but *look*, and every start of a worker looks
//! at every mailbox. Whoever holds the HTTP side limits how long a body may be, and answers the
//! handshake. Nothing here answers, and nothing of a call is believed but which subscription it is
//! of, once that has proven itself.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mailbridge_core::{Code, Error, Mailbox, Result, Secret};
use serde::Deserialize;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Notify, mpsc};

use crate::metric;

/// Items of subscriptions that are not known yet, or no more, that are kept for when they are.
const EARLY_MAX: usize = 1_024;
/// The longest id and client state of one that is kept, in bytes: Graph's take 36 and 128.
const EARLY_LONGEST: usize = 512;

/// The subscriptions of a program, by their ids. Clones are one.
#[derive(Clone, Default)]
pub struct Callbacks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: Mutex<HashMap<String, Known>>,
    /// By pipeline: who passes on what is of a subscription that nobody here has.
    unknown: Mutex<HashMap<String, mpsc::Sender<String>>>,
    /// The latest items of subscriptions that nobody here has: Graph calls as soon as there is one,
    /// and of a mailbox that changes hands before its new worker has read of it.
    early: Mutex<VecDeque<Item>>,
}

struct Known {
    client_state: Secret,
    mailbox: Mailbox,
    inbox: Arc<Inbox>,
}

/// What a call came to, item by item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Of known subscriptions: something has changed.
    pub woken: usize,
    /// Of known subscriptions: something has become of them.
    pub lifecycle: usize,
    /// Of a subscription that nobody here has, such as one of a worker that was stopped.
    pub unknown: usize,
    /// Not from Graph: they do not carry what was agreed upon.
    pub wrong: usize,
    /// Not what Graph sends.
    pub unreadable: usize,
}

/// What has become of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It must be renewed now to go on.
    Reauthorize,
    /// It is gone.
    Removed,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    subscription_id: String,
    client_state: Option<String>,
    lifecycle_event: Option<String>,
}

impl Callbacks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the body of a call to a pipeline, notes what it says and wakes whom it concerns; where
    /// that is nobody here, it is passed on to other workers, if there may be some. Answer `202`
    /// after that: also where everything was unknown, since Graph would only repeat it.
    ///
    /// # Errors
    /// `notification_unreadable`, when the body as a whole is not what Graph sends. Answer `400`.
    pub fn receive(&self, pipeline: &str, body: &[u8]) -> Result<Received> {
        let passes_on = self.unknown().get(pipeline).cloned();
        let received = self.take(body, |item| {
            if let Some(passes_on) = &passes_on {
                // one that is too many is lost, as calls may be
                passes_on.try_send(item.to_owned()).ok();
            }
        })?;
        received.count();
        Ok(received)
    }

    /// Takes the body of a call that another worker has passed on.
    pub(super) fn receive_here(&self, body: &[u8]) -> Result<Received> {
        let received = self.take(body, |_| {})?;
        // what nobody knows was counted where it came in
        Received { unknown: 0, ..received }.count();
        Ok(received)
    }

    fn take(&self, body: &[u8], unknown: impl Fn(&str)) -> Result<Received> {
        let unreadable = |line, column| {
            let detail = "the body is not a list of notifications";
            Error::permanent(Code::NotificationUnreadable, detail)
                .with("line", line)
                .with("column", column)
        };
        // serde reads a struct from an array too
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(unreadable(1, 1));
        }
        let call: Call<'_> = serde_json::from_slice(body)
            .map_err(|cause| unreadable(cause.line(), cause.column()))?;
        let mut received = Received::default();
        for item in call.value {
            let before = received.unknown;
            let counted = match serde_json::from_str::<Item>(item.get()) {
                Ok(item) => self.item(&item, &mut received),
                Err(_) => &mut received.unreadable,
            };
            *counted += 1;
            if received.unknown > before {
                unknown(item.get());
            }
        }
        Ok(received)
    }

    /// Notes one item, and says as what it counts.
    fn item<'a>(&self, item: &Item, received: &'a mut Received) -> &'a mut usize {
        let known = self.known();
        let Some(subscription) = known.get(&item.subscription_id) else {
            self.is_early(item);
            return &mut received.unknown;
        };
        let told = item.client_state.as_deref().unwrap_or_default();
        let agreed = subscription.client_state.expose();
        if !bool::from(told.as_bytes().ct_eq(agreed.as_bytes())) {
            return &mut received.wrong;
        }
        let (inbox, mailbox) = (&subscription.inbox, &subscription.mailbox);
        let life = |what| inbox.life(mailbox, &item.subscription_id, what);
        match item.lifecycle_event.as_deref() {
            Some("reauthorizationRequired") => {
                life(Lifecycle::Reauthorize);
                &mut received.lifecycle
            }
            Some("subscriptionRemoved") => {
                life(Lifecycle::Removed);
                // what happened since then was told to nobody
                inbox.wake(mailbox);
                &mut received.lifecycle
            }
            // `missed`, and whatever Graph may think of yet: a look answers it
            Some(_) => {
                inbox.wake(mailbox);
                &mut received.lifecycle
            }
            None => {
                inbox.wake(mailbox);
                &mut received.woken
            }
        }
    }

    /// From now on, calls to a pipeline that are of nobody here go there, as many as it takes.
    pub(super) fn pass_on(&self, pipeline: &str, to: mpsc::Sender<String>) {
        self.unknown().insert(pipeline.to_owned(), to);
    }

    pub(super) fn add(&self, id: &str, secret: Secret, mailbox: Mailbox, inbox: &Arc<Inbox>) {
        let new = Known { client_state: secret, mailbox, inbox: Arc::clone(inbox) };
        let early: VecDeque<Item> = {
            let mut known = self.known();
            known.insert(id.to_owned(), new);
            let mut early = self.early();
            let (its, others) = early.drain(..).partition(|item| item.subscription_id == id);
            *early = others;
            its
        };
        for item in early {
            // it was counted when it came
            self.item(&item, &mut Received::default());
        }
    }

    pub(super) fn remove(&self, id: &str) {
        self.known().remove(id);
    }

    /// Of a mailbox of this pipeline nothing is known any more.
    pub(super) fn remove_all(&self, mailbox: &Mailbox, inbox: &Arc<Inbox>) {
        let its = |known: &Known| known.mailbox == *mailbox && Arc::ptr_eq(&known.inbox, inbox);
        self.known().retain(|_, known| !its(known));
    }

    /// Keeps an item for when its subscription is known. Called under the lock of those that are.
    fn is_early(&self, item: &Item) {
        let texts = [Some(&item.subscription_id), item.client_state.as_ref()];
        let lifecycle = item.lifecycle_event.as_ref();
        if texts.into_iter().chain([lifecycle]).flatten().any(|text| text.len() > EARLY_LONGEST) {
            return;
        }
        let mut early = self.early();
        if early.len() == EARLY_MAX {
            early.pop_front();
        }
        early.push_back(item.clone());
    }

    fn early(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.0.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<String>>> {
        self.0.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows no ids.
impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").field("known", &self.known().len()).finish()
    }
}

impl Received {
    fn count(&self) {
        for (result, items) in [
            ("woken", self.woken),
            ("lifecycle", self.lifecycle),
            ("unknown", self.unknown),
            ("wrong_state", self.wrong),
            ("unreadable", self.unreadable),
        ] {
            if items > 0 {
                metrics::counter!(metric::NOTIFICATIONS, "result" => result)
                    .increment(items as u64);
            }
        }
    }
}

/// What was told to one pipeline and not yet looked at. Bounded by its mailboxes: what is told
/// twice is noted once.
#[derive(Default)]
pub(super) struct Inbox {
    woken: Mutex<HashSet<Mailbox>>,
    someone_woken: Notify,
    lives: Mutex<HashMap<Mailbox, (String, Lifecycle)>>,
    some_life: Notify,
}

impl Inbox {
    pub(super) fn wake(&self, mailbox: &Mailbox) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).insert(mailbox.clone());
        self.someone_woken.notify_one();
    }

    fn life(&self, mailbox: &Mailbox, id: &str, what: Lifecycle) {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.insert(mailbox.clone(), (id.to_owned(), what));
        self.some_life.notify_one();
    }

    /// The mailboxes that were woken, once there is one. Cancel safe.
    pub(super) async fn woken(&self) -> Vec<Mailbox> {
        loop {
            let some = self.someone_woken.notified();
            let woken =
                std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
            if !woken.is_empty() {
                return woken.into_iter().collect();
            }
            some.await;
        }
    }

    /// What has become of subscriptions, once there is something. Cancel safe.
    pub(super) async fn lives(&self) -> Vec<(Mailbox, String, Lifecycle)> {
        loop {
            let some = self.some_life.notified();
            let lives =
                std::mem::take(&mut *self.lives.lock().unwrap_or_else(PoisonError::into_inner));
            if !lives.is_empty() {
                return lives
                    .into_iter()
                    .map(|(mailbox, (id, what))| (mailbox, id, what))
                    .collect();
            }
            some.await;
        }
    }
}

#[cfg(test)]
mod tests;
