//! What was really sent: the sandbox's memory of effects, never of answers.
//!
//! A fault can hide a send from its client, a visibility delay from a reader; neither touches this.
//! Tests compare with the truth, not with calls. With `retain`, only the newest records of each
//! mailbox are kept; totals stay exact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::message::extended::extended_id;
use crate::message::{Attachment, AttachmentKind, Attachments, Content, Recipient};
use crate::text::glob;
use crate::world::World;

/// By which operation a mail went out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Via {
    /// `POST sendMail`
    SendMail,
    /// `POST messages/{id}/send`
    Send,
    /// `POST messages/{id}/reply`
    Reply,
    /// `POST messages/{id}/replyAll`
    ReplyAll,
    /// `POST messages/{id}/forward`
    Forward,
}

/// One send as it is kept: the content is shared with the mailbox.
#[derive(Clone, Debug)]
pub struct Record {
    pub number: u64,
    pub at: Timestamp,
    pub via: Via,
    pub client_id: Arc<str>,
    pub client_request_id: String,
    pub saved: bool,
    /// Recipients that do not get it
    pub bounced: Vec<String>,
    pub content: Arc<Content>,
    pub attachments: Attachments,
}

/// One mail that was really sent.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// Order over all mailboxes, from 1
    pub number: u64,
    pub at: Timestamp,
    pub mailbox: String,
    pub via: Via,
    pub client_id: String,
    pub client_request_id: String,
    pub subject: String,
    pub from: String,
    /// The mailbox that really sent it
    pub sender: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub reply_to: Vec<String>,
    /// Display names by address, of everyone above that has one
    pub names: BTreeMap<String, String>,
    pub importance: &'static str,
    pub categories: Vec<String>,
    pub headers: Vec<(String, String)>,
    /// Canonical id (GUID in lower case) and value
    pub extended_properties: Vec<(String, String)>,
    pub internet_message_id: String,
    /// As Graph renders it, in the mailbox that sent
    pub conversation_id: String,
    pub in_reply_to: Option<String>,
    /// The thread so far, oldest first
    pub references: Vec<String>,
    pub delivery_receipt_requested: bool,
    pub read_receipt_requested: bool,
    pub flag: Option<serde_json::Value>,
    /// `text` or `html`
    pub body_type: &'static str,
    /// As it was sent; `None` when bodies are not kept
    pub body: Option<String>,
    /// The plain text that a MIME message carried beside its HTML
    pub alternative: Option<String>,
    pub body_bytes: usize,
    pub attachments: Vec<SentAttachment>,
    pub saved_to_sent_items: bool,
    /// Recipients that do not get it, and of whom a report comes back
    pub bounced: Vec<String>,
}

/// An attachment of a mail, sent or held.
#[derive(Clone, Debug, Serialize)]
pub struct SentAttachment {
    pub name: String,
    pub content_type: Option<String>,
    pub bytes: usize,
    /// Lower-case hexadecimal; known also when bodies are not kept
    pub sha256: String,
    pub is_inline: bool,
    pub content_id: Option<String>,
    pub kind: AttachmentKind,
}

impl From<&Attachment> for SentAttachment {
    fn from(file: &Attachment) -> Self {
        Self {
            name: file.name.clone(),
            content_type: file.content_type.clone(),
            bytes: file.data.length,
            sha256: file.data.sha256(),
            is_inline: file.is_inline,
            content_id: file.content_id.clone(),
            kind: file.kind,
        }
    }
}

/// Which sends to look at. Empty fields match everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Which {
    /// Address, or a pattern with `*`
    pub mailbox: Option<String>,
    /// Whole subject, or a pattern with `*`
    pub subject: Option<String>,
    /// Value of any extended property
    pub value: Option<String>,
    /// Internet message id, with its angle brackets
    pub internet_message_id: Option<String>,
    /// Those after this number, oldest first: the way to read all of them page by page
    pub after: Option<u64>,
    /// At most so many: the newest, or with `after` the first ones
    pub limit: Option<usize>,
}

impl Which {
    fn matches(&self, record: &Record) -> bool {
        let content = &record.content;
        let pattern = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| glob(wanted, found))
        };
        pattern(&self.subject, &content.subject)
            && self.internet_message_id.as_ref().is_none_or(|id| *id == content.internet_message_id)
            && self.value.as_ref().is_none_or(|value| content.has_value(value))
            && self.after.is_none_or(|after| record.number > after)
    }
}

/// The truth in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Mails sent since the start or the last reset
    pub sent_total: u64,
    /// Drafts that nobody sent or deleted
    pub drafts_left: usize,
    pub mailboxes: usize,
    /// Upload sessions that still wait for bytes
    pub uploads_open: usize,
    /// Requests that carried a token to the upload host, which must never see one
    pub uploads_with_authorization: u64,
    /// Of each mailbox that sent anything
    pub sent_by_mailbox: BTreeMap<String, u64>,
}

/// Totals that outlive retention.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// The number of the next send.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A view of the truth of a running sandbox.
#[derive(Clone, Debug)]
pub struct Truth(pub(crate) Arc<World>);

impl Truth {
    /// Mails sent since the start or the last reset, whatever is still kept of them.
    pub fn sent_total(&self) -> u64 {
        self.0.sent.0.load(Ordering::Relaxed)
    }

    /// Everything that was sent, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.find(&Which::default())
    }

    /// What was sent from one mailbox.
    pub fn sent_from(&self, mailbox: &str) -> Vec<Sent> {
        self.find(&Which { mailbox: Some(mailbox.to_owned()), ..Which::default() })
    }

    /// What was sent with a subject.
    pub fn with_subject(&self, subject: &str) -> Vec<Sent> {
        self.find(&Which { subject: Some(subject.to_owned()), ..Which::default() })
    }

    /// What was sent with an extended property of this value.
    pub fn with_value(&self, value: &str) -> Vec<Sent> {
        self.find(&Which { value: Some(value.to_owned()), ..Which::default() })
    }

    pub fn find(&self, which: &Which) -> Vec<Sent> {
        let mut found = Vec::new();
        for mailbox in self.0.mailboxes.all() {
            let wanted = which.mailbox.as_ref();
            if wanted.is_some_and(|wanted| !glob(wanted, &mailbox.address)) {
                continue;
            }
            let inner = lock(&mailbox.inner);
            let records = inner.sent.iter().filter(|record| which.matches(record));
            found.extend(records.map(|record| view(&mailbox, record)));
        }
        found.sort_by_key(|sent| sent.number);
        if let Some(limit) = which.limit {
            match which.after {
                Some(_) => found.truncate(limit),
                None => drop(found.drain(..found.len().saturating_sub(limit))),
            }
        }
        found
    }

    /// How often each value of one extended property was sent.
    ///
    /// The id may be spelled in any way Graph accepts; a value that stands above 1 was sent twice.
    pub fn count_by_property(&self, id: &str) -> Result<BTreeMap<String, u64>, GraphError> {
        let id = extended_id(id)?;
        let mut counts = BTreeMap::new();
        for mailbox in self.0.mailboxes.all() {
            for record in &lock(&mailbox.inner).sent {
                for (_, value) in record.content.extended.iter().filter(|(found, _)| *found == id) {
                    *counts.entry(value.clone()).or_default() += 1;
                }
            }
        }
        Ok(counts)
    }

    /// Values of one extended property that were sent more than once, with how often.
    pub fn duplicates(&self, id: &str) -> Result<BTreeMap<String, u64>, GraphError> {
        let mut counts = self.count_by_property(id)?;
        counts.retain(|_, count| *count > 1);
        Ok(counts)
    }

    /// Drafts that nobody sent or deleted, over all mailboxes.
    pub fn drafts_left(&self) -> usize {
        let count = |mailbox: &Arc<Mailbox>| lock(&mailbox.inner).store.drafts().count();
        self.0.mailboxes.all().iter().map(count).sum()
    }

    /// Of those drafts, how many carry one extended property, whatever its value.
    pub fn drafts_left_with_property(&self, id: &str) -> Result<usize, GraphError> {
        let id = extended_id(id)?;
        let count = |mailbox: &Arc<Mailbox>| {
            let inner = lock(&mailbox.inner);
            let has = |content: &Content| content.extended.iter().any(|(found, _)| *found == id);
            inner.store.drafts().filter(|draft| has(&draft.content)).count()
        };
        Ok(self.0.mailboxes.all().iter().map(count).sum())
    }

    pub fn summary(&self) -> Summary {
        let all = self.0.mailboxes.all();
        let counts =
            all.iter().map(|mailbox| (mailbox.address.clone(), lock(&mailbox.inner).sent_count));
        Summary {
            sent_total: self.sent_total(),
            drafts_left: self.drafts_left(),
            mailboxes: all.len(),
            uploads_open: self.0.uploads.open(),
            uploads_with_authorization: self.0.uploads.with_authorization(),
            sent_by_mailbox: counts.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

fn view(mailbox: &Mailbox, record: &Record) -> Sent {
    let content = &record.content;
    let list = |all: &[Recipient]| all.iter().map(|one| one.address.clone()).collect();
    let from = content.from.as_ref().map(|from| from.address.clone());
    let people = content.recipients().chain(&content.reply_to).chain(&content.from);
    let names = people.filter_map(|one| Some((one.address.clone(), one.name.clone()?))).collect();
    Sent {
        number: record.number,
        at: record.at,
        mailbox: mailbox.address.clone(),
        via: record.via,
        client_id: record.client_id.to_string(),
        client_request_id: record.client_request_id.clone(),
        subject: content.subject.clone(),
        from: from.filter(|from| !from.is_empty()).unwrap_or_else(|| mailbox.address.clone()),
        sender: mailbox.address.clone(),
        to: list(&content.to),
        cc: list(&content.cc),
        bcc: list(&content.bcc),
        reply_to: list(&content.reply_to),
        names,
        importance: content.importance.as_str(),
        categories: content.categories.clone(),
        headers: content.headers.clone(),
        extended_properties: content.extended.clone(),
        internet_message_id: content.internet_message_id.clone(),
        conversation_id: STANDARD.encode(content.conversation(&mailbox.address)),
        in_reply_to: content.in_reply_to().map(str::to_owned),
        references: content.references().into_iter().map(str::to_owned).collect(),
        delivery_receipt_requested: content.receipts.delivery,
        read_receipt_requested: content.receipts.read,
        flag: content.flag.clone(),
        body_type: if content.body.is_html { "html" } else { "text" },
        body: (content.body.text.len() == content.body.length).then(|| content.body.text.clone()),
        alternative: content.body.alternative.clone(),
        body_bytes: content.body.length,
        attachments: record.attachments.iter().map(|file| (&**file).into()).collect(),
        saved_to_sent_items: record.saved,
        bounced: record.bounced.clone(),
    }
}
