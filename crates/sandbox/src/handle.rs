//! What a test may do to a sandbox from inside its process: the admin API without HTTP.

mod identity;
pub mod mail;
mod subscription;

pub use subscription::LifecycleEvent;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::bounce::Bounce;
use crate::counters::Counts;
use crate::fault::{Fault, Rule};
use crate::lock::lock;
use crate::login::Outage;
use crate::mailbox::MailboxState;
use crate::truth::Truth;
use crate::world::World;

/// Powers over one sandbox. Cheap to copy.
#[derive(Clone, Debug)]
pub struct Handle(
    Arc<World>,
    /// Whose apps it changes; without it, an app's in every tenant.
    Option<Arc<str>>,
);

/// The thing that was named does not exist.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotThere(pub(crate) String);

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox: {}", self.0)
    }
}

impl std::error::Error for NotThere {}

impl Handle {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self(world, None)
    }

    pub(crate) fn world(&self) -> &World {
        &self.0
    }

    /// What was really sent.
    pub fn truth(&self) -> Truth {
        Truth(self.0.clone())
    }

    /// Adds a fault rule; the number names it.
    pub fn add_fault(&self, fault: Fault) -> u64 {
        self.0.faults.add(fault)
    }

    /// The fault rules and what each has done.
    pub fn faults(&self) -> Vec<Rule> {
        self.0.faults.list()
    }

    /// Removes one rule, or all. Says how many went.
    pub fn clear_faults(&self, id: Option<u64>) -> usize {
        self.0.faults.clear(id)
    }

    /// Sets how a mailbox treats requests. Takes an address or a user id.
    pub fn set_mailbox(&self, mailbox: &str, state: MailboxState) -> Result<(), NotThere> {
        let found = self.0.mailbox(mailbox).ok_or_else(|| {
            NotThere(format!("there is no mailbox {mailbox}, and its domain is not an open one"))
        })?;
        lock(&found.inner).state = state;
        Ok(())
    }

    /// Sets the largest message that may be sent, in bytes without transfer encoding.
    pub fn set_message_limit(&self, bytes: usize) {
        self.0.set_message_limit(bytes);
    }

    /// Adds a rule for recipients whose mail comes back.
    pub fn add_bounce(&self, bounce: Bounce) {
        self.0.bounces.add(bounce);
    }

    pub fn bounces(&self) -> Vec<Bounce> {
        self.0.bounces.list()
    }

    /// Removes all rules for bounces; says how many there were.
    pub fn clear_bounces(&self) -> usize {
        self.0.bounces.clear()
    }

    /// Ends every upload session as if its time were over; says how many there were.
    pub fn expire_uploads(&self) -> usize {
        self.0.uploads.expire()
    }

    /// Sets how the login host misbehaves.
    pub fn set_outage(&self, outage: Outage) {
        self.0.set_outage(outage);
    }

    /// Answers by operation and status.
    pub fn requests(&self) -> Counts {
        self.0.counters.read()
    }

    /// Sets the login host's clock off: ahead with a positive number of seconds, behind with a
    /// negative one. It checks assertions by that clock, and its `Date` header shows it.
    pub fn set_login_skew(&self, seconds: i64) {
        self.0.clock.set_login_skew(seconds);
    }

    /// Lets time pass at once, for tokens, credentials, budgets and visibility.
    pub fn advance_clock(&self, by: Duration) {
        self.0.clock.advance(by);
        self.0.subscriptions.wake();
    }

    /// The sandbox's time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Forgets messages, truth, budgets, faults, bounces, subscriptions, uploads, counters, the
    /// outage and the login host's skew. Apps, credentials, tokens, known mailboxes and the clock stay.
    pub fn reset(&self) {
        self.0.reset();
    }
}
