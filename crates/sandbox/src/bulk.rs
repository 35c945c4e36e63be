//! Many mails from outside at once: mailboxes of a size that tests need.
//!
//! Seeded, so that the same description makes the same mails. They never were MIME, so each costs
//! little more than its text, and the bytes of files are made anew whenever they are read.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::dice::mix;
use crate::error::GraphError;
use crate::handle::Handle;
use crate::handle::mail::folder_of;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::mailbox::folder::Folder;
use crate::message::{Attachment, AttachmentKind, Blob, Body, Content, Recipient};

/// Mails that are put in under one lock, so that readers get their turn.
const CHUNK: u64 = 500;

/// A smallest and a largest number, both included.
pub type Between = [usize; 2];

/// Many mails for one folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bulk {
    /// Address or user id
    pub mailbox: String,
    /// Well-known name, id or display name; the inbox when left out
    pub folder: Option<String>,
    pub count: u64,
    pub seed: u64,
    /// Bytes of text
    pub body_bytes: Between,
    /// Files of a mail
    pub attachments: Between,
    /// Bytes of a file
    pub attachment_bytes: Between,
    /// When the first was received; now when left out
    pub received: Option<Timestamp>,
    /// How much later each is received than the one before
    pub step_seconds: f64,
    /// Before a number from 1 on
    pub subject: String,
}

impl Default for Bulk {
    fn default() -> Self {
        Self {
            mailbox: String::new(),
            folder: None,
            count: 1,
            seed: 0,
            body_bytes: [200, 800],
            attachments: [0, 0],
            attachment_bytes: [1_000, 10_000],
            received: None,
            step_seconds: 0.0,
            subject: "Message".to_owned(),
        }
    }
}

impl Bulk {
    /// So many small mails for the inbox.
    pub fn new(mailbox: impl Into<String>, count: u64) -> Self {
        Self { mailbox: mailbox.into(), count, ..Self::default() }
    }

    fn content(&self, mailbox: &Mailbox, number: u64, dice: u64) -> Content {
        let sender = Recipient {
            address: format!("sender{}@fabrikam.example", dice % 97),
            name: Some(format!("Sender {}", dice % 97)),
        };
        let text = text(dice, pick(mix(dice), self.body_bytes));
        let unique = mix(self.seed ^ mix(number));
        let headers =
            [("X-Bulk-Number", number.to_string()), ("X-Bulk-Seed", self.seed.to_string())];
        Content {
            subject: format!("{} {number}", self.subject),
            body: Body { length: text.len(), text, ..Body::default() },
            from: Some(sender.clone()),
            sender: Some(sender),
            to: vec![mailbox.owner()],
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            internet_message_id: format!("<{unique:016x}.{number}@bulk.fabrikam.example>"),
            ..Content::default()
        }
    }

    fn files(&self, dice: u64, at: Timestamp) -> Vec<Attachment> {
        let count = pick(mix(dice ^ 1), self.attachments);
        let file = |number: usize| {
            let seed = mix(dice ^ (number as u64 + 2));
            Attachment {
                key: 0,
                broken: false,
                kind: AttachmentKind::File,
                name: format!("file{}.bin", number + 1),
                content_type: Some("application/octet-stream".to_owned()),
                content_id: None,
                is_inline: false,
                data: Blob::generated(seed, pick(seed, self.attachment_bytes)),
                modified: at,
            }
        };
        (0..count).map(file).collect()
    }
}

fn pick(number: u64, [low, high]: Between) -> usize {
    let span = high.saturating_sub(low) as u64 + 1;
    low + usize::try_from(number % span).unwrap_or_default()
}

const WORDS: [&str; 16] = [
    "the", "bridge", "carries", "mail", "over", "water", "and", "every", "letter", "comes", "once",
    "in", "order", "to", "its", "reader",
];

fn text(seed: u64, length: usize) -> String {
    let mut out = String::with_capacity(length + 8);
    let mut state = seed;
    while out.len() < length {
        state = mix(state);
        let word = usize::try_from(state % 16).unwrap_or_default();
        out.push_str(WORDS[word]);
        out.push(if state & 0x1f00 == 0 { '\n' } else { ' ' });
    }
    out.truncate(length);
    out
}

impl Handle {
    /// Puts many mails from outside into a folder; says how many.
    ///
    /// # Errors
    /// When there is no such mailbox or folder.
    pub fn receive_many(&self, bulk: &Bulk) -> Result<u64, GraphError> {
        let mailbox = self.owned(&bulk.mailbox)?;
        let folder = folder_of(&mailbox, bulk.folder.as_deref())?.unwrap_or(Folder::INBOX);
        let start = bulk.received.unwrap_or_else(|| self.now());
        let mut number = 0;
        while number < bulk.count {
            let mut inner = lock(&mailbox.inner);
            for _ in 0..CHUNK.min(bulk.count - number) {
                number += 1;
                let dice = mix(bulk.seed ^ mix(number ^ 0xb01c));
                let at = later(start, bulk.step_seconds, number - 1);
                let content = Arc::new(bulk.content(&mailbox, number, dice));
                let files = bulk.files(dice, at);
                inner.store.create(folder, false, content, files, at);
            }
        }
        Ok(number)
    }
}

fn later(start: Timestamp, step_seconds: f64, steps: u64) -> Timestamp {
    #[expect(clippy::cast_precision_loss, reason = "a millisecond is near enough")]
    let by = SignedDuration::try_from_secs_f64(step_seconds * steps as f64);
    by.ok().and_then(|by| start.saturating_add(by).ok()).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_as_asked() {
        for number in 0..50 {
            assert!((3..=9).contains(&pick(mix(number), [3, 9])));
            assert_eq!(text(number, 100).len(), 100);
        }
        assert_eq!((pick(7, [5, 5]), pick(7, [5, 1])), (5, 5));
        let start = Timestamp::UNIX_EPOCH;
        assert_eq!(later(start, 60.0, 2).as_second(), 120);
        assert_eq!(later(start, f64::NAN, 2), start);
    }
}
