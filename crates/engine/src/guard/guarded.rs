//! Before `Mail`: budgets and rehearsals.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{
    Attempt, Budget, Code, Completion, Doubt, Error, Mail, Mailbox, Reports, Result, Scope,
    Verdict, contract::Request,
};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// Mailboxes remembered before those are forgotten of which nothing is counted.
const MAILBOXES_MAX: usize = 10_000;

/// What a mailbox may send, by this worker. Nothing set is nothing limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Mails in any minute.
    pub mails_per_minute: Option<u32>,
    /// Recipients in any 24 hours, as long as the worker runs.
    pub recipients_per_day: Option<u32>,
    /// How many times shorter the minute and the day are than that, 1 or more: for measuring.
    pub scale: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { mails_per_minute: None, recipients_per_day: None, scale: 1 }
    }
}

impl Budgets {
    /// How long a mailbox has for each of its mails, if there is a limit.
    pub(crate) fn mail_each(self) -> Option<Duration> {
        self.mails_per_minute.map(|mails| MINUTE / mails.max(1) / self.scale.max(1))
    }
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
    /// nothing else: drafts that others left stay.
    pub fn before(mail: Arc<dyn Mail>, budgets: Budgets, dry_run: bool) -> Arc<dyn Mail> {
        if budgets.mails_per_minute.or(budgets.recipients_per_day).is_none() && !dry_run {
            return mail;
        }
        Arc::new(Self { mail, budgets, dry_run, spent: Mutex::default() })
    }

    /// Counts a mail, at a time.
    ///
    /// # Errors
    /// *Blocked* for the mailbox, with how long to wait for room.
    fn spend(&self, mailbox: &Mailbox, recipients: u64, now: Instant) -> Result<()> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= MAILBOXES_MAX && !spent.contains_key(mailbox) {
            spent.retain(|_, it| !it.mails.is_untouched(now) || !it.recipients.is_untouched(now));
        }
        let scale = self.budgets.scale.max(1);
        let budget = |max: Option<u32>, window: Duration| {
            Budget::new(max.map_or(u64::MAX, u64::from), window / scale, now)
        };
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

    /// A mail that was counted then may have been sent as late as now: a large one takes minutes.
    fn sent(&self, mailbox: &Mailbox, recipients: u64, then: Instant) {
        let now = Instant::now();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = spent.get_mut(mailbox) {
            mine.mails.count_later(1, then, now);
            mine.recipients.count_later(recipients, then, now);
        }
    }

    /// A mail that was counted then has not been sent.
    fn give_back(&self, mailbox: &Mailbox, recipients: u64, then: Instant) {
        let now = Instant::now();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = spent.get_mut(mailbox) {
            mine.mails.give_back(1, then, now);
            mine.recipients.give_back(recipients, then, now);
        }
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
            let sent = Completion::Sent { internet_message_id: None, found: false };
            return Ok(if sends { sent } else { Completion::Done });
        }
        // an earlier attempt has paid for a mail that may have been sent
        if !sends || attempt.doubt != Doubt::None {
            return self.mail.perform(attempt).await;
        }
        let (mailbox, recipients) = (attempt.mailbox, recipients(attempt.request));
        let then = Instant::now();
        self.spend(mailbox, recipients, then)?;
        let result = self.mail.perform(attempt).await;
        match &result {
            Err(error) if error.verdict() != Verdict::InDoubt => {
                self.give_back(mailbox, recipients, then);
            }
            _ => self.sent(mailbox, recipients, then),
        }
        result
    }

    fn share(&self, mailbox: &Mailbox) -> f64 {
        self.mail.share(mailbox)
    }

    async fn tidy(&self) {
        if !self.dry_run {
            self.mail.tidy().await;
        }
    }

    fn reports(&self) -> Option<&dyn Reports> {
        self.mail.reports()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use mailbridge_core::{
        Deadline, Guarantee, Message, NoFiles, Position,
        contract::{Key, decode},
    };

    use super::*;

    #[derive(Default)]
    struct Counting {
        performed: AtomicU32,
        tidied: AtomicU32,
        failure: Mutex<Option<Error>>,
    }

    #[async_trait]
    impl Mail for Counting {
        async fn ready(&self) -> Result<()> {
            Ok(())
        }

        async fn perform(&self, _: Attempt<'_>) -> Result<Completion> {
            self.performed.fetch_add(1, SeqCst);
            self.failure.lock().unwrap().take().map_or(Ok(Completion::Done), Err)
        }

        async fn tidy(&self) {
            self.tidied.fetch_add(1, SeqCst);
        }
    }

    struct Desk {
        counting: Arc<Counting>,
        mail: Arc<dyn Mail>,
    }

    impl Desk {
        fn new(budgets: Budgets, dry_run: bool) -> Self {
            let counting = Arc::new(Counting::default());
            let mail = Guarded::before(Arc::clone(&counting) as Arc<dyn Mail>, budgets, dry_run);
            Self { counting, mail }
        }

        async fn send(&self, mailbox: &str, payload: &str, doubt: Doubt) -> Result<Completion> {
            let payload = payload.as_bytes().to_vec().into();
            let message = Message { payload, ..Message::default() };
            let request = decode::decode(&message, &Position::new("p")).unwrap().request;
            let (mailbox, mark) = (Mailbox::new(mailbox), Key::of_id("1").mark("p"));
            let deadline = Deadline::fixed(Duration::from_secs(30));
            let attempt = Attempt {
                request: &request,
                mailbox: &mailbox,
                mark: &mark,
                guarantee: Guarantee::Once,
                doubt,
                deadline: &deadline,
                files: &NoFiles,
                origin: None,
            };
            self.mail.perform(attempt).await
        }

        fn performed(&self) -> u32 {
            self.counting.performed.load(SeqCst)
        }
    }

    const MAIL: &str = r#"{"to":["a@x.org","b@x.org"],"text":"t"}"#;

    #[tokio::test(start_paused = true)]
    async fn a_spent_budget_holds_its_mailbox_and_fails_nothing() {
        let desk = Desk::new(Budgets { mails_per_minute: Some(2), ..Budgets::default() }, false);
        for _ in 0..2 {
            desk.send("one@x.org", MAIL, Doubt::None).await.unwrap();
        }
        let held = desk.send("ONE@x.org", MAIL, Doubt::None).await.unwrap_err();
        let Verdict::Blocked { scope: Scope::Mailbox, after: Some(after) } = held.verdict() else {
            panic!("{held:?}")
        };
        assert!(after > Duration::ZERO && after <= Duration::from_secs(66), "{after:?}");
        desk.send("two@x.org", MAIL, Doubt::None).await.unwrap();
        desk.send("one@x.org", MAIL, Doubt::Old).await.expect("it was paid for");
        let moves = r#"{"operation":"move","message":"AAMk","folder":"archive"}"#;
        desk.send("one@x.org", moves, Doubt::None).await.expect("nothing is sent");
        tokio::time::advance(after).await;
        desk.send("one@x.org", MAIL, Doubt::None).await.unwrap();
        assert_eq!(desk.performed(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_sent_costs_nothing() {
        let one = Budgets { mails_per_minute: Some(1), recipients_per_day: Some(2), scale: 1 };
        let failures = [
            Error::transient(Code::GraphUnavailable, "not now"),
            Error::new(
                Code::GraphThrottled,
                Verdict::Blocked { scope: Scope::Mailbox, after: None },
                "later",
            ),
        ];
        let desk = Desk::new(one, false);
        for failure in failures {
            *desk.counting.failure.lock().unwrap() = Some(failure);
            desk.send("one@x.org", MAIL, Doubt::None).await.unwrap_err();
        }
        assert_eq!(desk.performed(), 2, "the second was let through");
        let doubtful = Error::in_doubt(Code::SendInDoubt, "perhaps");
        *desk.counting.failure.lock().unwrap() = Some(doubtful);
        desk.send("one@x.org", MAIL, Doubt::None).await.unwrap_err();
        let held = desk.send("one@x.org", MAIL, Doubt::None).await.unwrap_err();
        assert_eq!(held.code(), Code::MailboxBudget, "what may have been sent is counted");
    }

    #[tokio::test(start_paused = true)]
    async fn recipients_count_over_a_day() {
        let desk = Desk::new(Budgets { recipients_per_day: Some(5), ..Budgets::default() }, false);
        for _ in 0..2 {
            desk.send("one@x.org", MAIL, Doubt::None).await.unwrap();
        }
        assert!(desk.send("one@x.org", MAIL, Doubt::None).await.is_err(), "two more are too many");
        let one = r#"{"to":"a@x.org","text":"t"}"#;
        desk.send("one@x.org", one, Doubt::None).await.unwrap();
        tokio::time::advance(DAY + Duration::from_hours(2)).await;
        desk.send("one@x.org", MAIL, Doubt::None).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_rehearsal_sends_nothing() {
        let desk = Desk::new(Budgets::default(), true);
        let sent = desk.send("one@x.org", MAIL, Doubt::None).await.unwrap();
        assert_eq!(sent, Completion::Sent { internet_message_id: None, found: false });
        let delete = r#"{"operation":"delete","message":"AAMk"}"#;
        desk.send("one@x.org", delete, Doubt::None).await.unwrap();
        desk.mail.tidy().await;
        assert_eq!((desk.performed(), desk.counting.tidied.load(SeqCst)), (0, 0));
        let wet = Desk::new(Budgets { mails_per_minute: Some(1), ..Budgets::default() }, false);
        wet.mail.tidy().await;
        assert_eq!(wet.counting.tidied.load(SeqCst), 1, "drafts are removed otherwise");
    }
}
