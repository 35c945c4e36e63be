//! Whose inboxes are watched: the mailboxes that were sent from lately, and how far each was looked at.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use mailbridge_core::{Code, Mailbox};
use tokio::time::Instant;

/// How long reports may come after a mail was sent: servers try for two days (RFC 5321, 4.5.4.1, asks
/// for four or five at the most).
const WATCHED: Duration = Duration::from_hours(72);
/// Mailboxes watched at once; beyond, the one that was sent from the longest ago is not any more.
const SENDERS_MAX: usize = 10_000;

/// The mailboxes of one pipeline. Clones are one.
#[derive(Clone, Default)]
pub struct Senders(Arc<Mutex<HashMap<Mailbox, Sender>>>);

struct Sender {
    sent: Instant,
    /// Reports that arrived before this are settled.
    since: Timestamp,
    looked: Instant,
    not_before: Instant,
    failing: Option<Code>,
}

impl Senders {
    fn lock(&self) -> MutexGuard<'_, HashMap<Mailbox, Sender>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, mailbox: &Mailbox, change: impl FnOnce(&mut Sender)) {
        self.lock().get_mut(mailbox).map(change);
    }

    /// Notes that a mail is being sent from a mailbox. One that was not watched is looked at for all
    /// the reports that an earlier worker may have left.
    pub fn sending(&self, mailbox: &Mailbox) {
        let now = Instant::now();
        let mut all = self.lock();
        if let Some(sender) = all.get_mut(mailbox) {
            sender.sent = now;
            return;
        }
        if all.len() >= SENDERS_MAX {
            let idlest = all.iter().min_by_key(|(_, sender)| sender.sent);
            if let Some(idlest) = idlest.map(|(mailbox, _)| mailbox.clone()) {
                all.remove(&idlest);
            }
        }
        let since = Timestamp::now().checked_sub(WATCHED).unwrap_or(Timestamp::MIN);
        let sender = Sender { sent: now, since, looked: now, not_before: now, failing: None };
        all.insert(mailbox.clone(), sender);
    }

    /// Those to be looked at, and from when on.
    pub fn due(&self, now: Instant) -> Vec<(Mailbox, Timestamp)> {
        let mut all = self.lock();
        all.retain(|_, sender| now.duration_since(sender.sent) < WATCHED);
        let due = all.iter().filter(|(_, sender)| sender.not_before <= now);
        due.map(|(mailbox, sender)| (mailbox.clone(), sender.since)).collect()
    }

    /// Notes a look, and from when on the next one is.
    pub fn looked(&self, mailbox: &Mailbox, since: Timestamp) {
        self.change(mailbox, |sender| {
            sender.since = since;
            sender.looked = Instant::now();
            sender.failing = None;
        });
    }

    /// Leaves a mailbox alone for a while.
    pub fn put_off(&self, mailbox: &Mailbox, after: Duration) {
        self.change(mailbox, |sender| sender.not_before = Instant::now() + after);
    }

    /// Notes a failure. Whether it is a new one.
    pub fn failed(&self, mailbox: &Mailbox, code: Code) -> bool {
        let mut new = false;
        self.change(mailbox, |sender| new = sender.failing.replace(code) != Some(code));
        new
    }

    /// How many seconds ago the mailbox that has waited longest was looked at.
    pub fn oldest_look(&self, now: Instant) -> f64 {
        let all = self.lock();
        let oldest = all.values().map(|sender| now.duration_since(sender.looked)).max();
        oldest.unwrap_or_default().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(number: usize) -> Mailbox {
        Mailbox::new(format!("m{number}@x.org"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_mailbox_is_watched_while_it_is_sent_from_and_three_days_more() {
        let senders = Senders::default();
        senders.sending(&mailbox(1));
        senders.sending(&mailbox(2));
        tokio::time::advance(Duration::from_secs(72 * 3600 - 1)).await;
        senders.sending(&mailbox(2));
        assert_eq!(senders.due(Instant::now()).len(), 2);
        tokio::time::advance(Duration::from_secs(1)).await;
        let due: Vec<_> = senders.due(Instant::now()).into_iter().map(|it| it.0).collect();
        assert_eq!(due, [mailbox(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn their_number_is_bounded_and_the_idlest_goes_first() {
        let senders = Senders::default();
        for number in 0..SENDERS_MAX {
            senders.sending(&mailbox(number));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        senders.sending(&mailbox(0));
        senders.sending(&mailbox(SENDERS_MAX));
        let due = senders.due(Instant::now());
        assert_eq!(due.len(), SENDERS_MAX);
        assert!(due.iter().all(|(it, _)| *it != mailbox(1)));
        assert!(due.iter().any(|(it, _)| *it == mailbox(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_new_once_and_a_mailbox_can_be_put_off() {
        let senders = Senders::default();
        senders.sending(&mailbox(1));
        assert!(senders.failed(&mailbox(1), Code::GraphTimeout));
        assert!(!senders.failed(&mailbox(1), Code::GraphTimeout));
        assert!(senders.failed(&mailbox(1), Code::MailboxDenied));
        senders.looked(&mailbox(1), Timestamp::now());
        assert!(senders.failed(&mailbox(1), Code::MailboxDenied));
        senders.put_off(&mailbox(1), Duration::from_secs(5));
        assert!(senders.due(Instant::now()).is_empty());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(senders.due(Instant::now()).len(), 1);
    }
}
