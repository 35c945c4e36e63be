//! The watch for mails that come back.
//!
//! Beside the requests flow, and after it: 202 means that Graph has taken a mail, and what fails later
//! is told by a report in the sender's inbox. The watch looks there now and then, finds the request in
//! the origin that the sent mail carries, publishes the outcome `bounced`, and puts a note on the
//! report. **Forget last** holds here too: the note comes after the outcome is durable. So whatever
//! breaks off is done again, here or by another worker, and is the same event then.
//!
//! What must not be lost is in the mailbox, so the watch keeps nothing durable. Reports of mails that
//! are not this pipeline's are left as they are: another pipeline may look for them.
//!
//! It is the guest in a mailbox: it reads about one report a second, passes by mailboxes that are
//! throttled or closed, and its failures hold up nobody.

mod origin;
mod seen;
mod senders;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use mailbridge_core::{
    Code, Error, Mail, Mailbox, Report, Reports, Result, Scope, Verdict,
    contract::{Bounce, Outcome},
};
use tokio::time::Instant;

use self::seen::{Known, Seen};
pub use self::{origin::Origin, senders::Senders};
use crate::{hold::Hold, host::OutputHost, mailboxes::Mailboxes, metric};

/// Mailboxes that are looked at at once.
const AT_ONCE: usize = 4;
/// What is looked at again: clocks differ, and a report may show late.
const OVERLAP: Duration = Duration::from_mins(10);

/// The watch of one pipeline.
pub struct Watch {
    pub pipeline: String,
    pub mail: Arc<dyn Mail>,
    pub outcomes: Arc<OutputHost>,
    pub hold: Hold,
    pub mailboxes: Mailboxes,
    pub senders: Senders,
    /// Time between two looks at one mailbox.
    pub every: Duration,
    /// How long a mailbox may take to show what was sent from it.
    pub settle_time: Duration,
}

impl Watch {
    /// Looks again and again, until it is dropped.
    pub async fn run(self) {
        let Some(reports) = self.mail.reports() else {
            tracing::warn!(pipeline = %self.pipeline, "this connection shows no reports of bounces");
            return;
        };
        let seen = Seen::default();
        loop {
            self.hold.open().await;
            stream::iter(self.senders.due(Instant::now()))
                .for_each_concurrent(AT_ONCE, async |(mailbox, since)| {
                    let look = self.look(reports, &seen, &mailbox, since);
                    if AssertUnwindSafe(look).catch_unwind().await.is_err() {
                        tracing::error!(pipeline = %self.pipeline, %mailbox, "a look panicked");
                    }
                })
                .await;
            let age = self.senders.oldest_look(Instant::now());
            metrics::gauge!(metric::BOUNCE_LOOK_AGE, "pipeline" => self.pipeline.clone()).set(age);
            tokio::time::sleep(self.every).await;
        }
    }

    /// Looks at one mailbox.
    async fn look(&self, reports: &dyn Reports, seen: &Seen, mailbox: &Mailbox, since: Timestamp) {
        if self.mailboxes.is_closed(mailbox) {
            return;
        }
        let begun = Timestamp::now();
        match self.settle_all(reports, seen, mailbox, since).await {
            Ok(all) => {
                let next = begun.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN);
                self.senders.looked(mailbox, if all { next } else { since });
                self.count("");
            }
            Err(error) => self.failed(mailbox, &error),
        }
    }

    /// Whether nothing is left to come back to. A report that cannot be read now does not hold up the
    /// next one, unless its mailbox is closed.
    async fn settle_all(
        &self,
        reports: &dyn Reports,
        seen: &Seen,
        mailbox: &Mailbox,
        since: Timestamp,
    ) -> Result<bool> {
        // about one a second, so that most of the mailbox's pace is left to sending
        let mut left = self.every.as_secs().clamp(1, 60);
        let (mut all, mut failed) = (true, None);
        for report in reports.arrived(mailbox, since).await? {
            let known = seen.get(mailbox, &report.id);
            if known == Some(Known::Settled) {
                continue;
            }
            if left == 0 {
                all = false;
                break;
            }
            left -= 1;
            match self.settle(reports, seen, mailbox, &report, known).await {
                Ok(settled) => all &= settled,
                Err(error) if matches!(error.verdict(), Verdict::Blocked { .. }) => {
                    return Err(error);
                }
                Err(error) => {
                    if error.verdict() == Verdict::Permanent {
                        seen.set(mailbox, &report.id, Known::Settled);
                    }
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(all), Err)
    }

    /// Whether a report is settled: told and noted, or none of ours.
    async fn settle(
        &self,
        reports: &dyn Reports,
        seen: &Seen,
        mailbox: &Mailbox,
        report: &Report,
        known: Option<Known>,
    ) -> Result<bool> {
        if known != Some(Known::Published) {
            let Some(original) = reports.original(mailbox, report).await? else {
                // it may have come before the mailbox shows the mail as sent
                return Ok(seen.wait(mailbox, &report.id, self.settle_time));
            };
            let origin = original.origin.as_deref().and_then(Origin::read);
            let Some(origin) = origin.filter(|origin| origin.pipeline == self.pipeline) else {
                seen.set(mailbox, &report.id, Known::Settled);
                return Ok(true);
            };
            if let Some(recipients) = reports.undelivered(mailbox, report).await? {
                let (message_id, received) = (report.message_id.clone(), report.received);
                let bounce = Bounce { report: message_id, received, recipients };
                let outcome = origin.bounced(mailbox, original.message_id, bounce)?;
                self.publish(&outcome).await?;
            }
            seen.set(mailbox, &report.id, Known::Published);
        }
        reports.note(mailbox, report).await?;
        seen.set(mailbox, &report.id, Known::Settled);
        Ok(true)
    }

    async fn publish(&self, outcome: &Outcome) -> Result<()> {
        self.outcomes.publish(outcome.to_message()?).await?;
        let pipeline = self.pipeline.clone();
        metrics::counter!(metric::BOUNCES, "pipeline" => pipeline).increment(1);
        let data = &outcome.data;
        let status =
            data.bounce.iter().flat_map(|it| &it.recipients).find_map(|it| it.status.as_ref());
        tracing::info!(
            pipeline = %self.pipeline, key = data.key, position = data.position, status,
            code = %Code::MailBounced, "a mail came back"
        );
        Ok(())
    }

    /// Says so once, until it is over or another failure.
    fn failed(&self, mailbox: &Mailbox, error: &Error) {
        let (pipeline, code) = (&self.pipeline, error.code());
        if let Verdict::Blocked { scope: Scope::Mailbox, after: Some(after) } = error.verdict() {
            self.senders.put_off(mailbox, after);
        }
        if code == Code::GraphThrottled {
            return tracing::debug!(%pipeline, %mailbox, %code, "not looked for bounces: no turn");
        }
        self.count(code.as_str());
        if self.senders.failed(mailbox, code) {
            let cure = code.cure();
            tracing::warn!(%pipeline, %mailbox, %code, %error, cure, "cannot look for bounces");
        } else {
            tracing::debug!(%pipeline, %mailbox, %code, %error, "still cannot look for bounces");
        }
    }

    fn count(&self, code: &'static str) {
        let pipeline = self.pipeline.clone();
        metrics::counter!(metric::BOUNCE_LOOKS, "pipeline" => pipeline, "code" => code)
            .increment(1);
    }
}

#[cfg(test)]
mod tests;
