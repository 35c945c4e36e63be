//! What a message is: the part a client writes, and how it is read, checked and rendered.
//!
//! Where a message lies, and who can see it yet, is the mailbox's matter.

pub mod answer;
pub mod blob;
pub mod extended;
pub mod mime;
pub mod parse;
pub mod recipients;
pub mod render;
mod thread;
pub mod view;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

pub use blob::Blob;

/// Message class of a non-delivery report (PidTagMessageClass).
const NDR_CLASS: &str = "REPORT.IPM.Note.NDR";

/// The client's part of a message. Shared between the mailbox and the truth, never changed once
/// sent.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub subject: String,
    pub body: Body,
    pub from: Option<Recipient>,
    /// Of a received mail; that of a sent one is the mailbox
    pub sender: Option<Recipient>,
    pub to: Vec<Recipient>,
    pub cc: Vec<Recipient>,
    pub bcc: Vec<Recipient>,
    pub reply_to: Vec<Recipient>,
    /// `low`, `normal` or `high`
    pub importance: Importance,
    pub categories: Vec<String>,
    /// Custom headers and those of the thread; of a MIME message, all headers that have no property
    /// of their own; of a received mail, all of them
    pub headers: Vec<(String, String)>,
    /// Canonical id and value
    pub extended: Vec<(String, String)>,
    pub extended_lists: Vec<(String, Vec<String>)>,
    /// With its angle brackets
    pub internet_message_id: String,
    pub flag: Option<serde_json::Value>,
    pub other_inference: bool,
    pub is_read: bool,
    pub receipts: Receipts,
    /// The message as it came, when it came as MIME and bodies are kept
    pub mime: Option<Bytes>,
}

impl Content {
    /// To, cc and bcc.
    pub fn recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// Size without transfer encoding: what the limit of the tenant counts.
    pub fn size(&self, attachments: &Attachments) -> usize {
        let files: usize = attachments.iter().map(|one| one.data.length).sum();
        let own = self.body.length + self.subject.len();
        self.mime.as_ref().map_or(own + files, |mime| mime.len().max(own + files))
    }

    /// Extended properties: those that clients set, and then the MAPI names of what the message has
    /// anyway.
    pub fn mapi(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.extended.iter().map(|(id, value)| (id.as_str(), value.as_str()));
        let derived = [
            ("String 0x1a", Some(if self.is_report() { NDR_CLASS } else { "IPM.Note" })),
            ("String 0x1035", Some(self.internet_message_id.as_str())),
            ("String 0x1039", self.header("references")),
            ("String 0x1042", self.header("in-reply-to")),
        ];
        own.chain(derived.into_iter().filter_map(|(id, value)| Some((id, value?))))
    }

    /// Whether this is a non-delivery report.
    fn is_report(&self) -> bool {
        self.sender.is_some()
            && self.header("content-type").is_some_and(|kind| {
                let kind = kind.to_ascii_lowercase();
                kind.starts_with("multipart/report") && kind.contains("delivery-status")
            })
    }

    /// Forgets what is large; sizes stay.
    pub fn drop_bodies(&mut self) {
        self.body.text = String::new();
        self.body.alternative = None;
        self.mime = None;
    }
}

/// Which receipts the sender asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receipts {
    pub delivery: bool,
    pub read: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Body {
    pub is_html: bool,
    pub text: String,
    /// Length in bytes as it was sent; stays when the text is dropped
    pub length: usize,
    /// The plain text that a MIME message carries beside its HTML
    pub alternative: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recipient {
    pub address: String,
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Importance {
    Low,
    #[default]
    Normal,
    High,
}

impl Importance {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// An attachment of any kind.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub key: u32,
    pub kind: AttachmentKind,
    pub name: String,
    pub content_type: Option<String>,
    pub content_id: Option<String>,
    pub is_inline: bool,
    /// Of an item attachment, its JSON or its MIME
    pub data: Blob,
    /// Exchange cannot open it any more
    pub broken: bool,
    pub modified: Timestamp,
}

/// What an attachment is; in the truth `file`, `item` or `reference`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    File,
    Item,
    Reference,
}

/// A message as read from a request: its content and the attachments that came with it.
#[derive(Debug, Default)]
pub struct Incoming {
    pub content: Content,
    pub attachments: Vec<Attachment>,
}

/// Attachments in the order they were added.
pub type Attachments = Vec<Arc<Attachment>>;
