//! Subscriptions: who wants to hear of changes, until when, and where
//! (learn.microsoft.com/graph/api/resources/subscription, change-notifications-overview).
//!
//! What happens in a mailbox comes in through a bell that its journal rings; `notify` carries it
//! out. Resource data in notifications is not emulated, nor are filters and the limits of the
//! subscription service.

mod fault;
mod handshake;
mod hub;
pub mod notify;
mod outbox;
mod request;
mod ring;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use jiff::Timestamp;
use reqwest::Client;
use serde::Serialize;

use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::Format;
use outbox::Outbox;
use ring::Ring;

pub use fault::NotificationFaults;
pub use handshake::{Endpoints, shake_hands};
pub use hub::HubMessage;
use hub::Hubs;
pub use outbox::NotificationCounts;
pub use request::{Change, Wanted, new_end};
pub use ring::Bell;

/// Of one mailbox, over all apps (change-notifications-overview, "Latency" and its neighbours).
const LIMIT: usize = 1_000;

/// What the client has told to know its notifications by. Never printed.
#[derive(Clone)]
pub struct ClientState(pub String);

impl fmt::Debug for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientState(..)")
    }
}

/// One subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: String,
    pub client_id: Arc<str>,
    pub app: u32,
    pub tenant: usize,
    pub mailbox: Arc<Mailbox>,
    /// All folders when there is none
    pub folder: Option<Folder>,
    pub format: Format,
    pub wanted: Wanted,
    pub expires: Timestamp,
    /// Waits to be reauthorized
    pub paused: bool,
}

/// A subscription as the admin side shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SubscriptionView {
    pub id: String,
    pub client_id: String,
    pub mailbox: String,
    pub resource: String,
    pub change_type: String,
    pub notification_url: String,
    pub lifecycle_url: Option<String>,
    pub expires: Timestamp,
    pub paused: bool,
}

impl From<&Subscription> for SubscriptionView {
    fn from(one: &Subscription) -> Self {
        Self {
            id: one.id.clone(),
            client_id: one.client_id.to_string(),
            mailbox: one.mailbox.address.clone(),
            resource: one.wanted.resource.clone(),
            change_type: one.wanted.change_type.clone(),
            notification_url: one.wanted.notification_url.clone(),
            lifecycle_url: one.wanted.lifecycle_url.clone(),
            expires: one.expires,
            paused: one.paused,
        }
    }
}

#[derive(Debug, Default)]
struct Book {
    all: BTreeMap<String, Subscription>,
    by_mailbox: HashMap<String, Vec<String>>,
}

impl Book {
    fn remove(&mut self, id: &str) -> Option<Subscription> {
        let gone = self.all.remove(id)?;
        if let Some(ids) = self.by_mailbox.get_mut(&gone.mailbox.address) {
            ids.retain(|one| one != id);
        }
        Some(gone)
    }

    fn of<'a>(&'a self, mailbox: &str) -> impl Iterator<Item = &'a Subscription> {
        let ids = self.by_mailbox.get(mailbox).into_iter().flatten();
        ids.filter_map(|id| self.all.get(id))
    }
}

/// All subscriptions, and the notifications that are under way.
#[derive(Debug)]
pub struct Subscriptions {
    book: Mutex<Book>,
    ring: Arc<Ring>,
    outbox: Mutex<Outbox>,
    faults: Mutex<NotificationFaults>,
    client: OnceLock<Option<Client>>,
    pub hubs: Hubs,
}

impl Subscriptions {
    pub fn new(seed: u64) -> Self {
        Self {
            book: Mutex::default(),
            ring: Arc::default(),
            outbox: Mutex::new(Outbox::new(seed)),
            faults: Mutex::default(),
            client: OnceLock::new(),
            hubs: Hubs::default(),
        }
    }

    /// Adds one; `false` when the mailbox has too many.
    pub fn add(&self, subscription: Subscription, now: Timestamp) -> bool {
        let mut book = lock(&self.book);
        let book = &mut *book;
        let address = subscription.mailbox.address.clone();
        let ids = book.by_mailbox.entry(address.clone()).or_default();
        // their time is over
        ids.retain(|id| book.all.get(id).is_some_and(|one| one.expires > now));
        if ids.len() >= LIMIT {
            return false;
        }
        ids.push(subscription.id.clone());
        let bell = Bell::new(self.ring.clone(), address);
        lock(&subscription.mailbox.inner).store.journal.hang(bell);
        book.all.insert(subscription.id.clone(), subscription);
        true
    }

    /// A living one of an app.
    pub fn find(&self, app: u32, id: &str, now: Timestamp) -> Option<Subscription> {
        let book = lock(&self.book);
        book.all.get(id).filter(|one| one.app == app && one.expires > now).cloned()
    }

    /// The living ones; of one app when it is given.
    pub fn list(&self, app: Option<u32>, now: Timestamp) -> Vec<Subscription> {
        let book = lock(&self.book);
        let living = book.all.values().filter(|one| one.expires > now);
        living.filter(|one| app.is_none_or(|app| app == one.app)).cloned().collect()
    }

    /// Changes one, and lets it be heard again.
    pub fn renew(&self, id: &str, expires: Option<Timestamp>) {
        if let Some(one) = lock(&self.book).all.get_mut(id) {
            one.expires = expires.unwrap_or(one.expires);
            one.paused = false;
        }
    }

    fn pause(&self, id: &str) {
        if let Some(one) = lock(&self.book).all.get_mut(id) {
            one.paused = true;
        }
    }

    pub fn remove(&self, id: &str) -> Option<Subscription> {
        lock(&self.book).remove(id)
    }

    pub fn faults(&self) -> NotificationFaults {
        lock(&self.faults).clone()
    }

    pub fn set_faults(&self, faults: NotificationFaults) {
        *lock(&self.faults) = faults;
        self.ring.wake();
    }

    pub fn counts(&self) -> NotificationCounts {
        lock(&self.outbox).counts
    }

    /// Time has passed: something may be due.
    pub fn wake(&self) {
        self.ring.wake();
    }

    pub fn reset(&self) {
        *lock(&self.book) = Book::default();
        self.ring.clear();
        lock(&self.outbox).reset();
        self.hubs.reset();
        self.set_faults(NotificationFaults::default());
    }
}
