//! A change in a mailbox, as users receive it: the data of a CloudEvent of type
//! `mailbridge.mail.received`, `….updated` or `….deleted`. Names follow Graph's message resource
//! (learn.microsoft.com, message) in snake case.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Address, CloudEvent, Importance};
use crate::Mailbox;

/// A CloudEvent about a mail.
pub type MailEvent = CloudEvent<EventMessage>;

/// What happened to a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new in the folder.
    Received,
    /// A property changed.
    Updated,
    /// It left the folder.
    Deleted,
}

/// A mail and what happened to it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventMessage {
    /// What happened.
    pub change: Change,
    /// The mailbox.
    pub mailbox: Mailbox,
    /// The folder's name as the pipeline gives it.
    pub folder: String,
    /// Graph's immutable id of the message.
    pub message_id: String,
    /// The `Message-ID` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_message_id: Option<String>,
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// The sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Recipients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Address>,
    /// Recipients of a copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Address>,
    /// The subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The plain text, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The HTML text, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// How important it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
    /// Whether it has attachments other than inline images.
    #[serde(default)]
    pub has_attachments: bool,
    /// When it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
}
