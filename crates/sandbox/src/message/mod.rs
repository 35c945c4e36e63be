//! What a message is: the part a client writes, and how it is read, checked and rendered.
//!
//! Where a message lies, and who can see it yet, is the mailbox's matter.

pub mod blob;
pub mod extended;
pub mod mime;
pub mod parse;
pub mod recipients;
pub mod render;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

pub use blob::Blob;

/// The client's part of a message. Shared between the mailbox and the truth, never changed once
/// sent.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub subject: String,
    pub body: Body,
    pub from: Option<Recipient>,
    pub to: Vec<Recipient>,
    pub cc: Vec<Recipient>,
    pub bcc: Vec<Recipient>,
    pub reply_to: Vec<Recipient>,
    /// `low`, `normal` or `high`
    pub importance: Importance,
    pub categories: Vec<String>,
    /// Custom headers; of a MIME message, all headers that have no property of their own
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

    /// Forgets what is large; sizes stay.
    pub fn drop_bodies(&mut self) {
        self.body.text = String::new();
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
