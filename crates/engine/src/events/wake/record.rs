//! What is kept of a subscription: enough to know its calls after a restart, and when to renew it.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use mailbridge_core::{Code, Error, Mailbox, Result, Secret, changes::Subscription};
use serde::{Deserialize, Serialize};

use super::{Watch, Webhook};

/// How long subscriptions are asked for. Graph grants up to seven days for mail
/// (learn.microsoft.com, change-notifications-overview); less leaves less behind when a pipeline is
/// taken away, and still outlives a weekend without this program.
const LIFE: Duration = Duration::from_hours(72);
/// One that ends so soon is as good as gone.
const MARGIN: Duration = Duration::from_mins(1);

/// A subscription as the state store has it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) mailbox: Mailbox,
    /// What it is of: a folder, or the whole mailbox.
    pub(super) folder: Option<String>,
    pub(super) id: String,
    /// What its calls carry. It opens nothing: whoever has it can make us look.
    pub(super) client_state: String,
    /// Since when it is as long as it is.
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// Where it calls.
    pub(super) url: String,
    pub(super) lifecycle_url: String,
    /// Whether it calls of new messages only.
    #[serde(default)]
    pub(super) only_new: bool,
}

impl Record {
    pub(super) fn new(
        watch: &Watch,
        webhook: &Webhook,
        state: &Secret,
        granted: Subscription,
        now: Timestamp,
    ) -> Self {
        Self {
            mailbox: watch.mailbox.clone(),
            folder: watch.folder.clone(),
            id: granted.id,
            client_state: state.expose().to_owned(),
            since: now,
            until: granted.until,
            url: webhook.notifications.clone(),
            lifecycle_url: webhook.lifecycle.clone(),
            only_new: webhook.only_new,
        }
    }

    /// What the store has; nothing, where nobody can read it, so that it is made anew.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn write(&self) -> Result<Bytes> {
        let written = serde_json::to_vec(self).map_err(|_| {
            Error::permanent(Code::Internal, "a subscription cannot be written as JSON")
        })?;
        Ok(written.into())
    }

    /// Whether it does what is asked for, for a while yet.
    pub(super) fn serves(&self, watch: &Watch, webhook: &Webhook, now: Timestamp) -> bool {
        self.lives(now)
            && self.folder == watch.folder
            && self.url == webhook.notifications
            && self.lifecycle_url == webhook.lifecycle
            && self.only_new == webhook.only_new
    }

    /// Whether Graph still has it, as far as is known here.
    pub(super) fn lives(&self, now: Timestamp) -> bool {
        after(now, MARGIN) < self.until
    }

    /// When to renew it: after a half to three quarters of its life, each at another time, and each
    /// worker at the same, so that the first one does it for all.
    pub(super) fn renew_at(&self) -> Timestamp {
        let life = self.until.duration_since(self.since).max(SignedDuration::ZERO);
        let spread = self
            .id
            .bytes()
            .fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let part = life / 4 + life / 400 * i32::try_from(spread % 100).unwrap_or_default();
        self.since.saturating_add(life / 4 + part).unwrap_or(self.until)
    }
}

/// Until when one is to last that is asked for now.
pub(super) fn until(now: Timestamp) -> Timestamp {
    after(now, LIFE)
}

fn after(time: Timestamp, span: Duration) -> Timestamp {
    time.saturating_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        let watch = Watch { mailbox: Mailbox::new("a@x.org"), folder: None };
        let (notifications, lifecycle) = ("n".to_owned(), "l".to_owned());
        let webhook = Webhook { notifications, lifecycle, only_new: false };
        let since: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let granted = Subscription { id: id.to_owned(), until: until(since) };
        Record::new(&watch, &webhook, &Secret::new("s"), granted, since)
    }

    #[test]
    fn renewals_are_spread_well_before_the_end() {
        let times: Vec<_> = (0..1000).map(|id| record(&id.to_string()).renew_at()).collect();
        let hours = |hours: i64| {
            record("").since.saturating_add(SignedDuration::from_hours(hours)).unwrap()
        };
        assert!(times.iter().all(|time| (hours(36)..=hours(54)).contains(time)));
        for third in [36, 42, 48] {
            let within =
                times.iter().filter(|time| (hours(third)..hours(third + 6)).contains(time));
            assert!(within.count() > 200, "{third}");
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_what_cannot_be_read_is_nothing() {
        let record = record("1");
        let read = Record::read(&record.write().unwrap()).unwrap();
        assert_eq!((read.id, read.until), (record.id, record.until));
        assert!(Record::read(b"{}").is_none());
    }
}
