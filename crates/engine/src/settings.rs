//! What a pipeline may be told about how it works. Every default is what a careful operator would
//! choose for Microsoft 365; every value has a unit.

use std::time::Duration;

use mailbridge_core::{Guarantee, Mailbox, Needs};

use crate::guard::{Budgets, Recipients};

/// The settings of one requests pipeline.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mailbox of requests that name none.
    pub mailbox: Option<Mailbox>,
    /// Patterns of mailboxes that may be used; empty means only `mailbox`.
    pub allow_mailboxes: Vec<String>,
    /// Patterns of mailboxes that may not be used, also if they are allowed.
    pub deny_mailboxes: Vec<String>,
    /// Who may get mail.
    pub recipients: Recipients,
    /// How much a mailbox may send.
    pub budgets: Budgets,
    /// Nothing is sent or changed: requests end as if it had been, and their outcomes say so.
    pub dry_run: bool,
    /// What is promised about a send.
    pub guarantee: Guarantee,
    /// Deliveries in the worker at once.
    pub in_flight: usize,
    /// How long one attempt may take without progress.
    pub deadline: Duration,
    /// How long one attempt may take at all, however well it goes on: many large attachments.
    pub deadline_max: Duration,
    /// How long a mailbox may take to show what was done in it. Younger doubts are not resolved by
    /// not finding the mail.
    pub settle_time: Duration,
    /// How long a soft stop waits for what is in flight.
    pub drain: Duration,
    /// Time between two looks for mails that came back; without it nobody looks.
    pub bounces: Option<Duration>,
    /// What follows a failure.
    pub policy: Policy,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Attempts that failed of themselves before a request is given up. Throttling, a held stream
    /// and waiting for a doubt to settle charge none.
    pub attempts_max: u32,
    /// The pause after the first failed attempt; it doubles.
    pub backoff_min: Duration,
    /// The longest pause between attempts.
    pub backoff_max: Duration,
    /// With `at_least_once`: what follows a send that may have happened.
    pub in_doubt: InDoubt,
}

/// What `at_least_once` does with a send that may have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDoubt {
    /// Send again: it may arrive twice.
    #[default]
    Retry,
    /// Give it up as `unknown`: it may not have arrived. Needs the worker that made the attempt:
    /// what a worker that crashed in the middle of one leaves behind cannot be told from what it
    /// never began, and is sent again by the next one.
    DeadLetter,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mailbox: None,
            allow_mailboxes: Vec::new(),
            deny_mailboxes: Vec::new(),
            recipients: Recipients::default(),
            budgets: Budgets::default(),
            dry_run: false,
            guarantee: Guarantee::Once,
            in_flight: 256,
            deadline: Duration::from_secs(30),
            deadline_max: Duration::from_hours(1),
            settle_time: Duration::from_secs(45),
            drain: Duration::from_secs(25),
            bounces: None,
            policy: Policy::default(),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts_max: 20,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_mins(5),
            in_doubt: InDoubt::Retry,
        }
    }
}

impl Settings {
    /// What the pipeline's input must be able to do.
    pub fn needs(&self) -> Needs {
        let Self { in_flight, deadline, .. } = *self;
        Needs { in_flight, concluding: in_flight, deadline }
    }

    /// Whether requests may use this mailbox.
    pub(crate) fn allows(&self, mailbox: &Mailbox) -> bool {
        let among = |patterns: &[String]| patterns.iter().any(|pattern| mailbox.matches(pattern));
        (self.mailbox.as_ref() == Some(mailbox) || among(&self.allow_mailboxes))
            && !among(&self.deny_mailboxes)
    }
}
