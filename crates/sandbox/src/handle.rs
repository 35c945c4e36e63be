//! What a test may do to a sandbox from inside its process: the admin API without HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::bounce::Bounce;
use crate::config::Secret;
use crate::counters::Counts;
use crate::fault::{Fault, Rule};
use crate::lock::lock;
use crate::login::Outage;
use crate::mailbox::MailboxState;
use crate::truth::Truth;
use crate::world::World;

/// Powers over one sandbox. Cheap to copy.
#[derive(Clone, Debug)]
pub struct Handle(Arc<World>);

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
        Self(world)
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

    /// Gives an app another secret.
    pub fn add_secret(&self, client_id: &str, secret: impl Into<Secret>) -> Result<(), NotThere> {
        known(self.0.directory.add_secret(client_id, &secret.into()), client_id)
    }

    /// Lets an app's secret expire now: the one with this value or id, or all.
    pub fn expire_secret(&self, client_id: &str, which: Option<&str>) -> Result<(), NotThere> {
        self.expire_secret_at(client_id, which, self.now())
    }

    /// Lets an app's secret expire at a time: the one with this value or id, or all.
    pub fn expire_secret_at(
        &self,
        client_id: &str,
        which: Option<&str>,
        at: Timestamp,
    ) -> Result<(), NotThere> {
        known(self.0.directory.expire_secret(client_id, which, at), client_id)
    }

    /// Takes an app's secret away: the one with this value or id, or all.
    pub fn revoke_secret(&self, client_id: &str, which: Option<&str>) -> Result<(), NotThere> {
        known(self.0.directory.revoke_secret(client_id, which), client_id)
    }

    /// Disables or enables an app.
    pub fn set_app_disabled(&self, client_id: &str, disabled: bool) -> Result<(), NotThere> {
        known(self.0.directory.set_disabled(client_id, disabled), client_id)
    }

    /// Replaces an app's permissions. Tokens given before keep theirs.
    pub fn set_app_roles(&self, client_id: &str, roles: &[&str]) -> Result<(), NotThere> {
        let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
        known(self.0.directory.set_roles(client_id, &roles), client_id)
    }

    /// Makes every token given so far worthless; says how many there were.
    pub fn revoke_tokens(&self) -> usize {
        self.0.directory.revoke_tokens()
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

    /// Lets time pass at once, for tokens, secrets, budgets and visibility.
    pub fn advance_clock(&self, by: Duration) {
        self.0.clock.advance(by);
    }

    /// The sandbox's time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Forgets messages, truth, budgets, faults, bounces, uploads, counters and the outage. Apps,
    /// secrets, tokens, known mailboxes and the clock stay.
    pub fn reset(&self) {
        self.0.reset();
    }
}

fn known(found: bool, client_id: &str) -> Result<(), NotThere> {
    let missing = || NotThere(format!("there is no app with client id {client_id}"));
    if found { Ok(()) } else { Err(missing()) }
}
