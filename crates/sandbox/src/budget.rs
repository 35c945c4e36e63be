//! Graph's limits per app and mailbox, and how long a throttled client must wait.
//!
//! learn.microsoft.com/graph/throttling-limits (Outlook service): 4 requests at once, 10,000
//! requests in 10 minutes, 150 MB uploaded in 5 minutes. The 30 mails a minute are Exchange
//! Online's, which delays the excess; here they are refused when switched on. A refused request
//! counts too; refused bytes do not.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::error::GraphError;

/// The limits of one app in one mailbox. `None` switches a limit off.
#[derive(Clone, Debug, PartialEq)]
pub struct Budgets {
    /// Requests at once
    pub concurrent: Option<u32>,
    /// Requests per `requests_window`
    pub requests: Option<u64>,
    pub requests_window: Duration,
    /// Bytes of POST, PATCH and PUT bodies per `upload_window`
    pub upload_bytes: Option<u64>,
    pub upload_window: Duration,
    /// Mails accepted per minute; off by default
    pub messages_per_minute: Option<u64>,
    /// How long that minute is
    pub messages_window: Duration,
    /// What `Retry-After` says when too many requests run at once
    pub concurrent_wait: Duration,
}

impl Budgets {
    /// The published limits.
    pub const fn graph() -> Self {
        Self {
            concurrent: Some(4),
            requests: Some(10_000),
            requests_window: Duration::from_mins(10),
            upload_bytes: Some(150 * 1024 * 1024),
            upload_window: Duration::from_mins(5),
            messages_per_minute: None,
            messages_window: Duration::from_mins(1),
            concurrent_wait: Duration::from_millis(1_128),
        }
    }

    /// No limit at all.
    pub const fn off() -> Self {
        Self { concurrent: None, requests: None, upload_bytes: None, ..Self::graph() }
    }

    /// The same limits in windows `by` times shorter (those at once stay): for measuring how well a
    /// client uses them, without waiting for it `by` times as long.
    #[must_use]
    pub fn in_windows_divided_by(self, by: u32) -> Self {
        let by = by.max(1);
        Self {
            requests_window: self.requests_window / by,
            upload_window: self.upload_window / by,
            messages_window: self.messages_window / by,
            ..self
        }
    }

    /// The same limits, and Exchange Online's 30 mails a minute.
    #[must_use]
    pub const fn with_mail_rate(self) -> Self {
        Self { messages_per_minute: Some(30), ..self }
    }

    /// The same limits, `by` times tighter (those at once stay): for tests that want to reach them.
    #[must_use]
    pub fn divided_by(self, by: u64) -> Self {
        let divide = |limit: Option<u64>| limit.map(|limit| (limit / by.max(1)).max(1));
        Self {
            requests: divide(self.requests),
            upload_bytes: divide(self.upload_bytes),
            messages_per_minute: divide(self.messages_per_minute),
            ..self
        }
    }
}

impl Default for Budgets {
    fn default() -> Self {
        Self::graph()
    }
}

/// What one app has used of one mailbox.
#[derive(Debug)]
pub struct Usage {
    in_flight: u32,
    requests: Window,
    upload: Window,
    mails: Window,
}

impl Usage {
    pub fn new(budgets: &Budgets) -> Self {
        Self {
            in_flight: 0,
            requests: Window::new(budgets.requests_window),
            upload: Window::new(budgets.upload_window),
            mails: Window::new(budgets.messages_window),
        }
    }

    /// Counts a request and lets it in; whoever was let in must call [`Usage::leave`].
    pub fn enter(&mut self, budgets: &Budgets, now: Timestamp) -> Result<(), GraphError> {
        if let Some(limit) = budgets.requests {
            self.requests.admit(limit, 1, now, "MailboxRequest")?;
        }
        if budgets.concurrent.is_some_and(|limit| self.in_flight >= limit) {
            return Err(GraphError::throttled("MailboxConcurrency", budgets.concurrent_wait));
        }
        self.in_flight += 1;
        Ok(())
    }

    pub fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Empties the windows; requests in flight stay in flight.
    pub fn forget(&mut self, budgets: &Budgets) {
        *self = Self { in_flight: self.in_flight, ..Self::new(budgets) };
    }

    pub fn upload(
        &mut self,
        budgets: &Budgets,
        bytes: usize,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        match budgets.upload_bytes {
            Some(limit) => self.upload.admit_if_room(limit, bytes as u64, now, "MailboxUpload"),
            None => Ok(()),
        }
    }

    pub fn mail(&mut self, budgets: &Budgets, now: Timestamp) -> Result<(), GraphError> {
        match budgets.messages_per_minute {
            Some(limit) => self.mails.admit(limit, 1, now, "MailboxMessageRate"),
            None => Ok(()),
        }
    }
}

/// A sliding window in [`SLICES`] steps: exact to one step, in constant memory.
#[derive(Debug)]
struct Window {
    step_ms: i64,
    /// The step that `counts[head]` belongs to
    step: i64,
    counts: Option<Box<[u64; 60]>>,
    total: u64,
}

const SLICES: i64 = 60;

impl Window {
    fn new(length: Duration) -> Self {
        let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let step_ms = (length_ms / SLICES).max(1);
        Self { step_ms, step: 0, counts: None, total: 0 }
    }

    /// Adds `amount` and refuses when the window then holds more than `limit`.
    fn admit(
        &mut self,
        limit: u64,
        amount: u64,
        now: Timestamp,
        name: &str,
    ) -> Result<(), GraphError> {
        self.roll(now);
        let slot = slot(self.step);
        let counts = self.counts.get_or_insert_with(|| Box::new([0; 60]));
        counts[slot] += amount;
        self.total += amount;
        if self.total <= limit {
            return Ok(());
        }
        Err(GraphError::throttled(name, self.wait(limit, 1, now)))
    }

    /// Adds `amount` unless the window would then hold more than `limit`.
    fn admit_if_room(
        &mut self,
        limit: u64,
        amount: u64,
        now: Timestamp,
        name: &str,
    ) -> Result<(), GraphError> {
        self.roll(now);
        if self.total.saturating_add(amount) > limit {
            return Err(GraphError::throttled(name, self.wait(limit, amount, now)));
        }
        self.admit(limit, amount, now, name)
    }

    /// Forgets the steps that have left the window.
    fn roll(&mut self, now: Timestamp) {
        let step = now.as_millisecond().div_euclid(self.step_ms);
        let passed = (step - self.step).clamp(0, SLICES);
        for back in 0..passed {
            let slot = slot(step - back);
            if let Some(counts) = &mut self.counts {
                self.total -= std::mem::take(&mut counts[slot]);
            }
        }
        self.step = self.step.max(step);
    }

    /// How long until enough old steps have left for so much more.
    fn wait(&self, limit: u64, amount: u64, now: Timestamp) -> Duration {
        let Some(counts) = &self.counts else { return Duration::ZERO };
        let mut left = self.total;
        for age in (0..SLICES).rev() {
            let step = self.step - age;
            left -= counts[slot(step)];
            if left.saturating_add(amount) <= limit {
                let leaves_ms = (step + SLICES) * self.step_ms;
                let leaves = Timestamp::from_millisecond(leaves_ms).unwrap_or(now);
                // never zero: a client told to wait nothing would spin
                return clock::until(now, leaves).max(Duration::from_millis(1));
            }
        }
        Duration::from_millis(u64::try_from(self.step_ms).unwrap_or(1))
    }
}

fn slot(step: i64) -> usize {
    usize::try_from(step.rem_euclid(SLICES)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
    }

    #[test]
    fn four_at_once_and_a_fifth_waits() {
        let budgets = Budgets::graph();
        let mut usage = Usage::new(&budgets);
        for _ in 0..4 {
            usage.enter(&budgets, at(0)).unwrap();
        }
        let error = usage.enter(&budgets, at(0)).unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_ref()), (429, "ApplicationThrottled"));
        assert!(error.message.contains("MailboxConcurrency"));
        usage.leave();
        usage.enter(&budgets, at(1)).unwrap();
    }

    #[test]
    fn a_window_slides_and_says_how_long() {
        let budgets = Budgets {
            concurrent: None,
            requests: Some(3),
            requests_window: Duration::from_mins(1),
            ..Budgets::graph()
        };
        let mut usage = Usage::new(&budgets);
        for second in 0..3 {
            usage.enter(&budgets, at(second * 10_000)).unwrap();
        }
        let error = usage.enter(&budgets, at(25_000)).unwrap_err();
        let wait = error.retry_after.unwrap();
        assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(61), "{wait:?}");
        let wait_ms = i64::try_from(wait.as_millis()).unwrap();
        usage.enter(&budgets, at(25_000 + wait_ms)).unwrap();
    }

    #[test]
    fn a_long_pause_empties_the_window() {
        let budgets = Budgets::graph().divided_by(10_000);
        let mut usage = Usage::new(&budgets);
        usage.enter(&budgets, at(0)).unwrap();
        assert!(usage.enter(&budgets, at(1)).is_err());
        usage.enter(&budgets, at(3_600_000)).unwrap();
    }

    #[test]
    fn shorter_windows_hold_as_much() {
        let budgets = Budgets::graph().with_mail_rate().in_windows_divided_by(60);
        let mut usage = Usage::new(&budgets);
        for _ in 0..30 {
            usage.mail(&budgets, at(0)).unwrap();
        }
        assert!(usage.mail(&budgets, at(500)).is_err());
        usage.mail(&budgets, at(1_600)).expect("a minute is a second");
        assert_eq!(budgets.requests_window, Duration::from_secs(10));
    }

    #[test]
    fn uploads_are_counted_in_bytes() {
        let budgets = Budgets::graph();
        let mut usage = Usage::new(&budgets);
        usage.upload(&budgets, 150 * 1024 * 1024, at(0)).unwrap();
        let wait = usage.upload(&budgets, 4, at(0)).unwrap_err().retry_after.unwrap();
        let later = i64::try_from(wait.as_millis()).unwrap();
        usage.upload(&budgets, 4, at(later)).expect("what was refused was not counted");
        assert!(Usage::new(&Budgets::off()).upload(&Budgets::off(), usize::MAX, at(0)).is_ok());
    }
}
