//! Reports of mails that came back, as the mail service shows them.
//!
//! Graph's 202 means that a mail was taken. What fails after that, the recipient's server, a policy, a
//! limit, is told by a message in the sender's inbox (learn.microsoft.com,
//! outlook-things-to-know-about-send-mail). Whose request it was, such a report does not say: the
//! sent mail does, where it was given an origin (see [`Attempt`](crate::Attempt)).

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Mailbox, Result, contract::Undelivered};

/// A mail service that shows reports.
///
/// 1. `arrived` may give a report again that it gave before, and gives none that carries a note.
/// 2. A failure means that nothing is known. Every call may be repeated.
/// 3. Calls keep the mailbox's pace as attempts do; one that would have to wait long is *blocked*.
/// 4. Nothing is changed but the note, which nobody sees who reads the mailbox.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Reports in the inbox that have arrived since and carry no note, some thousands at the most.
    async fn arrived(&self, mailbox: &Mailbox, since: Timestamp) -> Result<Vec<Report>>;

    /// The mail that a report is about, as the mailbox shows it. Nothing, if it does not, or not yet.
    async fn original(&self, mailbox: &Mailbox, report: &Report) -> Result<Option<Original>>;

    /// Who did not get the mail, as far as the report can be read. Nothing, if it says that nobody
    /// failed to get it: it may still be on its way.
    async fn undelivered(
        &self,
        mailbox: &Mailbox,
        report: &Report,
    ) -> Result<Option<Vec<Undelivered>>>;

    /// Puts a note on a report, so that nobody need read it again. A report that is gone is noted.
    async fn note(&self, mailbox: &Mailbox, report: &Report) -> Result<()>;
}

/// A report in an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its id in the mailbox.
    pub id: String,
    /// Its `Message-ID`, which every worker sees alike.
    pub message_id: String,
    /// When it arrived.
    pub received: Timestamp,
    /// `Message-ID`s of mails that it may be about, the likeliest first.
    pub about: Vec<String>,
}

/// A mail that a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its `Message-ID`.
    pub message_id: String,
    /// The origin that it was given when it was sent.
    pub origin: Option<String>,
}
