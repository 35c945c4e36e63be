//! The bell of a mailbox: what happens in it is heard by those who deliver notifications.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::request::Change;
use crate::lock::lock;
use crate::mailbox::folder::Folder;
use crate::mailbox::log::Known;

/// How many changes wait to be carried out; the service drops what is too much for it as well.
const LIMIT: usize = 200_000;

/// A change of a message, as it was at that moment.
#[derive(Clone, Debug)]
pub struct Rung {
    pub mailbox: Arc<str>,
    pub folder: Folder,
    pub known: Known,
    pub change: Change,
}

/// The changes of all mailboxes that somebody listens to, in the order they happened.
#[derive(Debug, Default)]
pub struct Ring {
    changes: Mutex<VecDeque<Rung>>,
    notify: Notify,
}

impl Ring {
    fn push(&self, rung: Rung) {
        let mut changes = lock(&self.changes);
        if changes.len() < LIMIT {
            changes.push_back(rung);
        }
        drop(changes);
        self.notify.notify_one();
    }

    pub fn take(&self) -> VecDeque<Rung> {
        std::mem::take(&mut *lock(&self.changes))
    }

    pub fn clear(&self) {
        self.take();
    }

    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Until something has happened since the last time.
    pub async fn heard(&self) {
        self.notify.notified().await;
    }
}

/// What a mailbox rings.
pub struct Bell {
    ring: Arc<Ring>,
    mailbox: Arc<str>,
}

impl Bell {
    pub fn new(ring: Arc<Ring>, mailbox: String) -> Self {
        Self { ring, mailbox: mailbox.into() }
    }

    pub fn ring(&self, folder: Folder, known: Known, change: Change) {
        self.ring.push(Rung { mailbox: self.mailbox.clone(), folder, known, change });
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bell").field(&self.mailbox).finish()
    }
}
