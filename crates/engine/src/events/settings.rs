//! What an events pipeline may be told about how it works.

use std::time::Duration;

use jiff::Timestamp;
use mailbridge_core::{Mailbox, changes::Rule, contract::Change};

use super::{after::Steps, make::Include, wake::Webhook};

/// The settings of one events pipeline.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose mail.
    pub mailboxes: Whose,
    /// Folders, as paths of well-known and display names; see [`mailbridge_core::Changes::folders`].
    pub folders: Vec<String>,
    /// What of the mail is told that was there before.
    pub start: Start,
    /// What is told.
    pub changes: Vec<Change>,
    /// How often a mailbox is looked at that nothing wakes; one where something happens more often.
    pub every: Duration,
    /// How often a mailbox is looked at that Graph wakes.
    pub backstop: Duration,
    /// What wakes, besides time.
    pub webhook: Option<Webhook>,
    /// What events hold.
    pub include: Include,
    /// What is done to a mail once its event is out.
    pub after: Steps,
    /// Messages of one page.
    pub page_size: u32,
    /// Mailboxes that are looked at at the same time.
    pub at_once: usize,
    /// How long one page may take without progress, its events included.
    pub deadline: Duration,
    /// How long one page may take at all, however well it goes on: many large attachments.
    pub deadline_max: Duration,
    /// How long a soft stop waits for pages in hand.
    pub drain: Duration,
}

/// Whose mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Theirs.
    Listed(Vec<Mailbox>),
    /// That of those whom a rule names, asked for again and again.
    Rule {
        /// The rule.
        rule: Rule,
        /// How often.
        every: Duration,
    },
}

/// What of the mail is told that was there before the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Nothing.
    #[default]
    Now,
    /// All.
    All,
    /// What was received since then.
    At(Timestamp),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mailboxes: Whose::Listed(Vec::new()),
            folders: vec!["inbox".to_owned()],
            start: Start::Now,
            changes: vec![Change::Received],
            every: Duration::from_secs(30),
            backstop: Duration::from_mins(10),
            webhook: None,
            include: Include::default(),
            after: Steps::default(),
            page_size: 100,
            at_once: 16,
            deadline: Duration::from_mins(1),
            deadline_max: Duration::from_hours(1),
            drain: Duration::from_secs(25),
        }
    }
}

impl Settings {
    /// Whether a change is told.
    pub(crate) fn tells(&self, change: Change) -> bool {
        self.changes.contains(&change)
    }
}
