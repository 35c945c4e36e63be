//! `send`: a mail from parts, or a ready message.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Addresses, AttachmentForm, attachments, conflict, time};
use crate::{
    Mailbox, Result,
    contract::{
        Address, Body, Composed, Importance, MimeMail, Operation, OutgoingMail, Request,
        decode::decode_base64,
    },
};

/// A send request as JSON.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mailbridge send request")]
pub struct SendRequest {
    /// What to do; `send` when absent.
    #[serde(default)]
    #[serde(rename = "operation")]
    pub(crate) _operation: Option<SendTag>,
    /// The producer's own id, 1 to 512 characters. Two requests of one pipeline with the same id are
    /// the same mail.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// The mailbox to send from; the pipeline's when absent.
    #[serde(default)]
    pub(crate) mailbox: Option<Mailbox>,
    /// Do not send after this time (RFC 3339).
    #[serde(default, deserialize_with = "time")]
    pub(crate) not_after: Option<Timestamp>,
    /// Recipients. `to`, `cc` and `bcc` together hold 1 to 500.
    #[serde(default)]
    pub(crate) to: Addresses,
    /// Recipients of a copy.
    #[serde(default)]
    pub(crate) cc: Addresses,
    /// Recipients that the others do not see.
    #[serde(default)]
    pub(crate) bcc: Addresses,
    /// Where answers go.
    #[serde(default)]
    pub(crate) reply_to: Addresses,
    /// Send in this name; the mailbox needs Send As or Send on Behalf.
    #[serde(default)]
    pub(crate) from: Option<Address>,
    /// The subject, up to 255 characters.
    #[serde(default)]
    pub(crate) subject: Option<String>,
    /// The plain text. With `html` too, both are sent.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// The HTML text.
    #[serde(default)]
    pub(crate) html: Option<String>,
    /// A whole RFC 5322 message in base64, instead of all the fields of a mail.
    #[serde(default)]
    pub(crate) mime: Option<String>,
    /// How important it is.
    #[serde(default)]
    pub(crate) importance: Option<Importance>,
    /// Outlook categories of the sent copy.
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    /// Up to five custom headers; names start with `x-`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Files, each up to 150 MB: in the request, or by reference.
    #[serde(default)]
    pub(crate) attachments: Vec<AttachmentForm>,
    /// Ask the reader's program for a receipt.
    #[serde(default)]
    pub(crate) read_receipt: bool,
    /// Ask the recipient's server for a receipt.
    #[serde(default)]
    pub(crate) delivery_receipt: bool,
    /// Keep a copy in Sent Items; `true` when absent. `false` needs `guarantee: at_least_once`.
    #[serde(default)]
    pub(crate) save_to_sent_items: Option<bool>,
}

/// The `operation` of a [`SendRequest`].
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SendTag {
    /// Send a mail.
    Send,
}

impl SendRequest {
    pub(super) fn into_request(self) -> Result<Request> {
        let mail = match &self.mime {
            Some(text) => {
                self.refuse_beside_mime()?;
                OutgoingMail::Mime(MimeMail { raw: decode_base64(text, "mime")? })
            }
            None => return self.into_composed(),
        };
        Ok(Request {
            id: self.id,
            mailbox: self.mailbox,
            not_after: self.not_after,
            operation: Operation::Send(mail),
        })
    }

    fn into_composed(self) -> Result<Request> {
        let body = match (self.text, self.html) {
            (Some(text), Some(html)) => Body::Both { text, html },
            (None, Some(html)) => Body::Html(html),
            (text, None) => Body::Text(text.unwrap_or_default()),
        };
        if matches!(body, Body::Both { .. }) && self.save_to_sent_items == Some(false) {
            return Err(conflict("`text` with `html` goes as MIME, whose copy is always saved"));
        }
        let mail = Composed {
            to: self.to.0,
            cc: self.cc.0,
            bcc: self.bcc.0,
            reply_to: self.reply_to.0,
            from: self.from,
            subject: self.subject.unwrap_or_default(),
            body,
            importance: self.importance,
            categories: self.categories,
            headers: self.headers,
            attachments: attachments(self.attachments)?,
            read_receipt: self.read_receipt,
            delivery_receipt: self.delivery_receipt,
            save_to_sent_items: self.save_to_sent_items.unwrap_or(true),
        };
        Ok(Request {
            id: self.id,
            mailbox: self.mailbox,
            not_after: self.not_after,
            operation: Operation::Send(OutgoingMail::Composed(Box::new(mail))),
        })
    }

    /// A ready message says everything itself.
    fn refuse_beside_mime(&self) -> Result<()> {
        let lists = [&self.to, &self.cc, &self.bcc, &self.reply_to];
        let others = self.text.is_some()
            || self.html.is_some()
            || self.subject.is_some()
            || self.from.is_some()
            || self.importance.is_some()
            || lists.iter().any(|list| !list.0.is_empty())
            || !self.categories.is_empty()
            || !self.headers.is_empty()
            || !self.attachments.is_empty()
            || self.read_receipt
            || self.delivery_receipt
            || self.save_to_sent_items.is_some();
        if others {
            return Err(conflict(
                "`mime` is a whole message: give no other field of a mail with it",
            ));
        }
        Ok(())
    }
}
