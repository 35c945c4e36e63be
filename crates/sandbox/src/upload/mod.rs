//! Upload sessions: attachments of 3 to 150 MB that come in ordered ranges
//! (learn.microsoft.com/graph/outlook-large-attachments).
//!
//! A session is made at Graph (`operation::upload_session`) and used at another host, whose URL
//! carries its own authorisation (`host`). Sessions live in memory; their bytes do not.

pub mod host;
mod range;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::message::blob::Spool;

/// Smaller files are refused here and belong into a POST. Microsoft says 3 MB (outlook-large-attachments);
/// read as 3 MiB, a file just below would go neither way, since its base64 does not fit a request of
/// 4 MiB.
pub const SMALLEST: usize = 3_000_000;
/// Larger ones cannot be attached at all.
pub const LARGEST: usize = 150 * 1024 * 1024;
/// How long a session may take. Microsoft names no number; the answer carries the time.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// What the attachment will be, as it was said when the session was made.
#[derive(Clone, Debug)]
pub struct Item {
    pub name: String,
    pub size: usize,
    pub content_type: Option<String>,
    pub content_id: Option<String>,
    pub is_inline: bool,
}

/// One upload on its way.
#[derive(Debug)]
pub struct Session {
    pub mailbox: Arc<Mailbox>,
    /// The number of the app that made it: its budgets are charged
    pub app: u32,
    /// Id of the tenant, as it stands in the URL
    pub tenant: String,
    /// Key of the message
    pub message: u64,
    /// Whether it was a draft when the session was made: once it is sent, nothing can be added
    pub draft: bool,
    /// The id by which the client knows the message
    pub message_id: String,
    pub item: Item,
    pub token: String,
    pub expires: Timestamp,
    pub spool: Option<Spool>,
}

impl Session {
    /// The first byte that has not come yet; `None` when the upload is over.
    fn next(&self) -> Option<usize> {
        self.spool.as_ref().map(Spool::length)
    }
}

/// All sessions of a sandbox.
#[derive(Debug, Default)]
pub struct Uploads {
    sessions: Mutex<HashMap<String, Arc<Mutex<Session>>>>,
    with_authorization: AtomicU64,
}

impl Uploads {
    pub fn add(&self, id: String, session: Session) {
        lock(&self.sessions).insert(id, Arc::new(Mutex::new(session)));
    }

    fn find(&self, id: &str) -> Option<Arc<Mutex<Session>>> {
        lock(&self.sessions).get(id).cloned()
    }

    fn remove(&self, id: &str) {
        lock(&self.sessions).remove(id);
    }

    /// Lets every session end now, as if its time were over. Says how many there were.
    pub fn expire(&self) -> usize {
        lock(&self.sessions).drain().count()
    }

    /// How many requests carried a token to the host that must not see one.
    pub fn with_authorization(&self) -> u64 {
        self.with_authorization.load(Ordering::Relaxed)
    }

    /// Sessions that wait for more.
    pub fn open(&self) -> usize {
        let sessions: Vec<_> = lock(&self.sessions).values().cloned().collect();
        sessions.iter().filter(|session| lock(session).spool.is_some()).count()
    }

    pub fn reset(&self) {
        self.expire();
        self.with_authorization.store(0, Ordering::Relaxed);
    }
}
