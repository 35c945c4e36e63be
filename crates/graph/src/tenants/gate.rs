//! Whether one tenant of several lets us in: closed by a failure that concerns all its mailboxes,
//! tried again after a pause by one mail, told once each way in the log and always in a metric.
//!
//! It decides nothing about requests; it says how long they have to stay away.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use mailbridge_core::{Error, Result, Scope, Verdict};
use tokio::time::Instant;

use crate::{chance::jitter, metric};

/// The first pause; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest: how much later than the cure mail goes out again, at most.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the others wait for the one that tries, before another one tries.
const TRIAL: Duration = Duration::from_secs(2);

/// A tenant that is blocked.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The tenant, as the configuration names it.
    pub tenant: String,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub error: Error,
}

/// One tenant's.
pub(super) struct Gate {
    connection: String,
    tenant: String,
    block: Mutex<Option<Block>>,
}

struct Block {
    error: Error,
    since: Timestamp,
    /// The same by the other clock, which never goes back.
    begun: Instant,
    /// How many pauses there were.
    pauses: u32,
    /// Until then nothing is tried.
    until: Instant,
    /// It shows without mail: there is no token.
    shows: bool,
}

/// Whether a failure is one of the tenant and not of a mailbox or a request.
pub(super) fn blocks(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Blocked { scope: Scope::Connection, .. })
}

impl Gate {
    pub(super) fn new(connection: &str, tenant: String) -> Self {
        Self { connection: connection.to_owned(), tenant, block: Mutex::new(None) }
    }

    pub(super) fn name(&self) -> &str {
        &self.tenant
    }

    fn lock(&self) -> MutexGuard<'_, Option<Block>> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows how it is in the metric.
    pub(super) fn measure(&self) {
        let (connection, tenant) = (self.connection.clone(), self.tenant.clone());
        let blocked = f64::from(u8::from(self.is_blocked()));
        metrics::gauge!(metric::TENANT_BLOCKED, "connection" => connection, "tenant" => tenant)
            .set(blocked);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.lock().is_some()
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        let block = self.lock();
        let Block { error, since, .. } = block.as_ref()?;
        Some(Trouble { tenant: self.tenant.clone(), since: *since, error: error.clone() })
    }

    /// How long nothing is tried.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let until = self.lock().as_ref().map(|block| block.until);
        until.map_or(PAUSE_MIN, |until| until.saturating_duration_since(now).max(PAUSE_MIN))
    }

    /// Why nothing may be tried now. Whoever is let through while it is blocked is the one that
    /// finds out; the others wait for him, but not for long.
    pub(super) fn shut(&self, now: Instant) -> Option<Error> {
        let mut block = self.lock();
        let block = block.as_mut()?;
        if now < block.until {
            return Some(block.error.clone());
        }
        block.until = now + TRIAL;
        None
    }

    /// Notes what became of an attempt that began then. One that began before the block says
    /// nothing against it.
    pub(super) fn tried<T>(&self, begun: Instant, result: &Result<T>) {
        match result {
            Err(error) if blocks(error.verdict()) => self.close(error, Some(begun)),
            result => {
                let mut block = self.lock();
                let Some(known) = block.as_mut().filter(|known| begun > known.begun) else {
                    return;
                };
                if result.is_ok() {
                    *block = None;
                    drop(block);
                    self.opened();
                } else {
                    // it failed for another reason, which proves nothing: the next one tries
                    known.until = Instant::now();
                }
            }
        }
    }

    /// Notes what the tenant says of itself.
    pub(super) fn heard(&self, ready: &Result<()>) {
        if let Err(error) = ready {
            return self.close(error, None);
        }
        let mut block = self.lock();
        if block.as_ref().is_some_and(|block| block.shows) {
            *block = None;
            drop(block);
            self.opened();
        }
    }

    /// `begun`: when the attempt began that met the block; without it the tenant said so itself.
    fn close(&self, error: &Error, begun: Option<Instant>) {
        let now = Instant::now();
        let mut block = self.lock();
        if let Some(block) = block.as_mut() {
            block.shows |= begun.is_none();
            // those that were on their way meet the same block
            if begun.map_or(now >= block.until, |begun| begun > block.begun) {
                block.error = error.clone();
                block.pause(now);
            }
            return;
        }
        let (since, shows) = (Timestamp::now(), begun.is_none());
        let known = Block { error: error.clone(), since, begun: now, pauses: 0, until: now, shows };
        block.insert(known).pause(now);
        drop(block);
        self.measure();
        tracing::error!(
            connection = %self.connection, tenant = %self.tenant, code = %error.code(), %error,
            cure = error.code().cure(),
            "a tenant does not let us in; mail of its mailboxes waits, nothing is lost"
        );
    }

    fn opened(&self) {
        self.measure();
        tracing::info!(
            connection = %self.connection, tenant = %self.tenant, "the tenant lets us in again"
        );
    }
}

impl Block {
    /// Begins the next pause, as long as was asked for at least, within our own bounds.
    fn pause(&mut self, now: Instant) {
        let asked = match self.error.verdict() {
            Verdict::Blocked { after, .. } => after.unwrap_or_default(),
            Verdict::Transient { .. } | Verdict::InDoubt | Verdict::Permanent => Duration::ZERO,
        };
        let doubled = PAUSE_MIN * 2_u32.pow(self.pauses.min(8));
        self.pauses = self.pauses.saturating_add(1);
        self.until = now + jitter(doubled, 0.75).max(asked).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use mailbridge_core::Code;

    use super::*;

    fn denied() -> Result<()> {
        Err(Error::blocked(Code::GraphPermissionMissing, "nothing is granted"))
    }

    async fn closed() -> Gate {
        let gate = Gate::new("c", "t".to_owned());
        gate.tried(Instant::now(), &denied());
        assert!(gate.shut(Instant::now()).is_some());
        tokio::time::advance(PAUSE_MAX).await;
        gate
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_the_block_neither_opens_nor_counts() {
        let begun = Instant::now();
        let gate = closed().await;
        gate.tried(begun, &Ok(()));
        gate.tried(begun, &denied());
        assert!(gate.is_blocked());
        assert!(gate.shut(Instant::now()).is_none(), "the pause is over");
        gate.tried(Instant::now(), &Ok(()));
        assert!(!gate.is_blocked());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_proves_nothing_leaves_its_place_to_the_next() {
        let gate = closed().await;
        assert!(gate.shut(Instant::now()).is_none());
        assert!(gate.shut(Instant::now()).is_some(), "one at a time");
        gate.tried(Instant::now(), &Err::<(), _>(Error::permanent(Code::GraphRefused, "no")));
        assert!(gate.shut(Instant::now()).is_none());
        // this one never comes back
        tokio::time::advance(TRIAL).await;
        assert!(gate.shut(Instant::now()).is_none() && gate.is_blocked());
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_block_that_showed_by_itself_is_over_by_its_own_word() {
        let gate = closed().await;
        gate.heard(&Ok(()));
        assert!(gate.is_blocked());
        gate.heard(&denied());
        gate.heard(&Ok(()));
        assert!(!gate.is_blocked());
    }
}
