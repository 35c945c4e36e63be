//! A change in a mailbox, as users receive it: the data of a CloudEvent of type
//! `mailbridge.mail.received`, `….updated`, `….moved` or `….deleted`. Names follow Graph's message
//! resource (learn.microsoft.com, message) in snake case.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Address, CloudEvent, Importance, MessageId};
use crate::Mailbox;

/// An event about a mail, in structured mode. What bus rules and routers need of it is told beside
/// the data too, as extension attributes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MailCloudEvent<D = MailEvent> {
    /// The mailbox, in lower case.
    pub mailbox: String,
    /// The folder's path, such as `inbox` or `inbox/Orders`.
    pub folder: String,
    /// What happened.
    pub change: Change,
    /// The envelope and the data.
    #[serde(flatten)]
    pub event: CloudEvent<D>,
}

/// What happened to a mail.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new in the folder.
    Received,
    /// Something of it changed, such as its read state; of a mail whose arrival was told long ago,
    /// it may also have come back to the folder.
    Updated,
    /// It is in another folder of its mailbox now.
    Moved,
    /// It is not in the mailbox any more.
    Deleted,
}

impl Change {
    /// Its name in event types, metrics and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Updated => "updated",
            Self::Moved => "moved",
            Self::Deleted => "deleted",
        }
    }
}

/// A mail and what happened to it: the data of an event.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MailEvent {
    /// What happened.
    pub change: Change,
    /// The mailbox, as the pipeline names it.
    pub mailbox: Mailbox,
    /// The folder's path, such as `inbox` or `inbox/Orders`.
    pub folder: String,
    /// Graph's immutable id of the message. Requests such as `reply` and `move` take it.
    pub message_id: MessageId,
    /// Of `updated`: Graph's names of the properties that changed, as far as Graph tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Of `moved`: the id of the folder that it is in now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
    /// The mail itself. Of `deleted` nothing is left to tell.
    #[serde(flatten)]
    pub content: MailContent,
    /// What is attached, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<EventAttachment>>,
    /// The mail as MIME (RFC 5322), where asked for. Exchange makes it anew at each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<FileContent>,
    /// What was asked for and is not here, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// What a mail says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MailContent {
    /// The `Message-ID` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet_message_id: Option<String>,
    /// The conversation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// Who wrote it. A mail need not have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Whose mailbox sent it, where that is somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Address>,
    /// Recipients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Address>,
    /// Recipients of a copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Address>,
    /// Recipients of a copy that others do not see; known of mails that this mailbox sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<Address>,
    /// Where answers are to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<Address>,
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The first characters of the text, at most 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The body as plain text, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body as HTML, where asked for; Exchange has rewritten it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// How important it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
    /// Its categories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Whether somebody has read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_read: Option<bool>,
    /// Whether it is a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_draft: Option<bool>,
    /// Its flag: `notFlagged`, `flagged` or `complete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// Whether it has attachments other than inline images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_attachments: Option<bool>,
    /// When it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Its internet headers in their order, where asked for; a name may repeat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<MailHeader>,
    /// Where a person reads it in a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_link: Option<String>,
}

/// A header of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An attachment of a mail that was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventAttachment {
    /// Graph's id of it, within the message.
    pub id: String,
    /// What it is.
    pub kind: AttachmentKind,
    /// Its file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its size as Exchange stores it, in bytes: somewhat more than the file's own.
    #[serde(default)]
    pub size: u64,
    /// Whether the text shows it, as with an image.
    #[serde(default)]
    pub is_inline: bool,
    /// Its content, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<FileContent>,
}

/// What an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// A file.
    File,
    /// A mail, an event or a contact; its content is MIME, iCalendar or vCard.
    Item,
    /// A link to a file elsewhere; it has no content here.
    Reference,
}

/// The content of a file, inside the event or stored elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileContent {
    /// The bytes in base64, where they are few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Where they are stored, in the form in which requests refer to attachments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How many there are.
    pub bytes: u64,
    /// Their SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// What was asked for and is not in the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// What: `text`, `html`, `headers`, `mime`, or `attachments` with the attachment's id.
    pub what: String,
    /// Why: a code with a page in `docs/errors`.
    pub code: String,
    /// How large it is in bytes, where that is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Where it is stored instead, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<FileContent>,
}
