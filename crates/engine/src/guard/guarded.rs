//! Before `Mail`: budgets and rehearsals.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{
    Attempt, Budget, Code, Completion, Doubt, Error, Mail, Mailbox, Reports, Result, Scope, Verdict,
    contract::Request,
};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// Mailboxes remembered before those are forgotten of which nothing is counted.
const MAILBOXES_MAX: usize = 10_000;

/// What a mailbox may send, by this worker. Nothing set is nothing limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Mails in any minute.
    pub mails_per_minute: Option<u32>,
    /// Recipients in any 24 hours, as long as the worker runs.
    pub recipients_per_day: Option<u32>,
}

/// `Mail` with guard rails.
pub struct Guarded {
    mail: Arc<dyn Mail>,
    budgets: Budgets,
    dry_run: bool,
    spent: Mutex<HashMap<Mailbox, Spent>>,
}

/// What one mailbox has sent.
struct Spent {
    mails: Budget,
    recipients: Budget,
}

impl Guarded {
    /// `mail` as it is, where nothing guards it. In a dry run it is asked whether it is ready, and for
    /// nothing else.
    pub fn new(mail: Arc<dyn Mail>, budgets: Budgets, dry_run: bool) -> Arc<dyn Mail> {
        if budgets == Budgets::default() && !dry_run {
            return mail;
        }
        Arc::new(Self { mail, budgets, dry_run, spent: Mutex::default() })
    }

    /// Counts a mail.
    ///
    /// # Errors
    /// *Blocked* for the mailbox, with how long to wait for room.
    fn spend(&self, mailbox: &Mailbox, recipients: u64) -> Result<()> {
        let now = Instant::now();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= MAILBOXES_MAX && !spent.contains_key(mailbox) {
            spent.retain(|_, it| !it.mails.is_untouched(now) || !it.recipients.is_untouched(now));
        }
        let budget = |max: Option<u32>, window| Budget::new(max.map_or(u64::MAX, u64::from), window, now);
        let mine = spent.entry(mailbox.clone()).or_insert_with(|| Spent {
            mails: budget(self.budgets.mails_per_minute, MINUTE),
            recipients: budget(self.budgets.recipients_per_day, DAY),
        });
        let room = mine.recipients.room_for(recipients, now);
        let taken = room.and_then(|()| mine.mails.take(1, now));
        taken.and_then(|()| mine.recipients.take(recipients, now)).map_err(|open_at| {
            let verdict = Verdict::Blocked { scope: Scope::Mailbox, after: Some(open_at - now) };
            let detail = "the mailbox has sent as much as the pipeline lets it";
            Error::new(Code::MailboxBudget, verdict, detail)
                .with("wait_seconds", (open_at - now).as_secs())
        })
    }
}

/// How many get it; of an answer that leaves its recipients to Graph, one.
fn recipients(request: &Request) -> u64 {
    request.recipients().map_or(1, |all| all.len() as u64)
}

#[async_trait]
impl Mail for Guarded {
    async fn ready(&self) -> Result<()> {
        self.mail.ready().await
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        let sends = !attempt.request.operation.is_idempotent();
        if self.dry_run {
            return Ok(match sends {
                true => Completion::Sent { internet_message_id: None, found: false },
                false => Completion::Done,
            });
        }
        // an earlier attempt has paid for a mail that may have been sent
        if sends && attempt.doubt == Doubt::None {
            self.spend(attempt.mailbox, recipients(attempt.request))?;
        }
        self.mail.perform(attempt).await
    }

    async fn tidy(&self) {
        self.mail.tidy().await;
    }

    fn reports(&self) -> Option<&dyn Reports> {
        self.mail.reports()
    }
}
