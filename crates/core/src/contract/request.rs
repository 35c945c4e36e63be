//! A request as the rest of the code works on it: decoded, checked, free of JSON. What producers
//! write is in [`super::json`].

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Address, Attachment};
use crate::Mailbox;

/// What a producer asks for, decoded and checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The producer's own id.
    pub id: Option<String>,
    /// The mailbox to do it in; the pipeline's when absent.
    pub mailbox: Option<Mailbox>,
    /// Do not do it after this.
    pub not_after: Option<Timestamp>,
    /// What to do.
    pub operation: Operation,
}

/// What can be asked for. Adding one makes the compiler name every place that must know it.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Send a mail.
    Send(OutgoingMail),
    /// Answer a mail, or hand it on.
    Answer(Box<Answer>),
    /// Set a mail's read state.
    MarkRead {
        /// Which mail.
        message: MessageId,
        /// Read, or unread.
        is_read: bool,
    },
    /// Move a mail to a folder of its mailbox.
    Move {
        /// Which mail.
        message: MessageId,
        /// A well-known name such as `archive`, or the folder's id.
        folder: String,
    },
    /// Change a mail's categories.
    Categorize {
        /// Which mail.
        message: MessageId,
        /// How.
        categories: Categories,
    },
    /// Delete a mail.
    Delete {
        /// Which mail.
        message: MessageId,
    },
}

impl Operation {
    /// Its name in requests, metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Answer(answer) => answer.kind.name(),
            Self::MarkRead { .. } => "mark_read",
            Self::Move { .. } => "move",
            Self::Categorize { .. } => "categorize",
            Self::Delete { .. } => "delete",
        }
    }

    /// Whether doing it twice is the same as doing it once. What sends a mail is not.
    pub fn is_idempotent(&self) -> bool {
        !matches!(self, Self::Send(_) | Self::Answer(_))
    }

    /// The mail from parts that it sends, if it sends one.
    pub fn composed(&self) -> Option<&Composed> {
        match self {
            Self::Send(OutgoingMail::Composed(mail)) => Some(mail),
            Self::Answer(answer) => Some(&answer.mail),
            _ => None,
        }
    }
}

/// Graph's immutable id of a message, as an event names it. Not what a mail's `Message-ID` header
/// holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MessageId(pub String);

/// How a message's categories change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Categories {
    /// To exactly these.
    Set(Vec<String>),
    /// By adding some and taking some away; the others stay.
    Change {
        /// Those to be there.
        add: Vec<String>,
        /// Those not to be there.
        remove: Vec<String>,
    },
}

/// An answer to a mail, or its forwarding. It stays in the mail's conversation.
#[derive(Clone, Debug)]
pub struct Answer {
    /// To whom it goes.
    pub kind: AnswerKind,
    /// The mail that is answered.
    pub message: MessageId,
    /// Whether the answered mail stands below the new text.
    pub quote: bool,
    /// The new mail. Empty lists of recipients and an empty subject are as Graph makes them; others
    /// take their place.
    pub mail: Composed,
}

/// To whom an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// Whoever wrote the mail.
    Reply,
    /// Whoever wrote it, and all its recipients.
    ReplyAll,
    /// Somebody else, with the mail's attachments.
    Forward,
}

impl AnswerKind {
    /// Its name in requests, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::ReplyAll => "reply_all",
            Self::Forward => "forward",
        }
    }
}

/// A mail to send.
#[derive(Clone, Debug)]
pub enum OutgoingMail {
    /// From parts.
    Composed(Box<Composed>),
    /// Ready made.
    Mime(MimeMail),
}

impl OutgoingMail {
    /// Whether the sent copy stays in Sent Items.
    pub fn save_to_sent_items(&self) -> bool {
        match self {
            Self::Composed(mail) => mail.save_to_sent_items,
            Self::Mime(_) => true,
        }
    }
}

/// An RFC 5322 message.
#[derive(Clone)]
pub struct MimeMail {
    /// The message as it was given.
    pub raw: Bytes,
}

impl fmt::Debug for MimeMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MimeMail").field("bytes", &self.raw.len()).finish()
    }
}

/// A mail from parts.
#[derive(Clone)]
pub struct Composed {
    /// Recipients.
    pub to: Vec<Address>,
    /// Recipients of a copy.
    pub cc: Vec<Address>,
    /// Recipients that the others do not see.
    pub bcc: Vec<Address>,
    /// Where answers go.
    pub reply_to: Vec<Address>,
    /// Send in this name; the mailbox needs Send As or Send on Behalf.
    pub from: Option<Address>,
    /// The subject; may be empty.
    pub subject: String,
    /// The text.
    pub body: Body,
    /// Low, normal or high.
    pub importance: Option<Importance>,
    /// Outlook categories of the sent copy.
    pub categories: Vec<String>,
    /// Custom headers, `x-…`.
    pub headers: BTreeMap<String, String>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// Ask the reader's program for a receipt.
    pub read_receipt: bool,
    /// Ask the recipient's server for a receipt.
    pub delivery_receipt: bool,
    /// Whether the sent copy stays in Sent Items.
    pub save_to_sent_items: bool,
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composed")
            .field("recipients", &(self.to.len() + self.cc.len() + self.bcc.len()))
            .field("attachments", &self.attachments.len())
            .finish_non_exhaustive()
    }
}

/// The text of a mail.
#[derive(Clone)]
pub enum Body {
    /// Plain text.
    Text(String),
    /// HTML.
    Html(String),
    /// Both; goes as `multipart/alternative`.
    Both {
        /// The plain text.
        text: String,
        /// The HTML.
        html: String,
    },
}

/// How important a mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// Low.
    Low,
    /// Normal.
    Normal,
    /// High.
    High,
}
