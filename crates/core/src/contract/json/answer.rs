//! `reply`, `reply_all` and `forward`: a new mail in the conversation of one that is there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Addresses, AttachmentForm, attachments, conflict, time};
use crate::{
    Mailbox, Result,
    contract::{
        Address, Answer, AnswerKind, Body, Composed, Importance, MessageId, Operation, Request,
    },
};

/// A request to answer a mail or to hand it on, as JSON.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mailbridge answer request")]
pub struct AnswerRequest {
    /// What to do.
    operation: AnswerTag,
    /// The producer's own id, 1 to 512 characters. Two requests of one pipeline with the same id are
    /// the same mail.
    #[serde(default)]
    id: Option<String>,
    /// The mailbox that holds the message, and that answers; the pipeline's when absent.
    #[serde(default)]
    mailbox: Option<Mailbox>,
    /// Do not send after this time (RFC 3339).
    #[serde(default, deserialize_with = "time")]
    not_after: Option<Timestamp>,
    /// The mail that is answered: the immutable id that its event told.
    message: MessageId,
    /// Recipients. `forward` needs some in `to`, `cc` or `bcc`; an answer without goes where the mail
    /// came from, and one with goes to these instead.
    #[serde(default)]
    to: Addresses,
    /// Recipients of a copy, instead of those that Graph would choose.
    #[serde(default)]
    cc: Addresses,
    /// Recipients that the others do not see.
    #[serde(default)]
    bcc: Addresses,
    /// Where answers go.
    #[serde(default)]
    reply_to: Addresses,
    /// Send in this name; the mailbox needs Send As or Send on Behalf.
    #[serde(default)]
    from: Option<Address>,
    /// The subject, up to 255 characters; the mail's own with `RE:` or `FW:` when absent.
    #[serde(default)]
    subject: Option<String>,
    /// The plain text. Not with `html`.
    #[serde(default)]
    text: Option<String>,
    /// The HTML text. Not with `text`.
    #[serde(default)]
    html: Option<String>,
    /// Whether the answered mail stands below the text; `true` when absent.
    #[serde(default)]
    quote: Option<bool>,
    /// How important it is.
    #[serde(default)]
    importance: Option<Importance>,
    /// Outlook categories of the sent copy.
    #[serde(default)]
    categories: Vec<String>,
    /// Up to five custom headers; names start with `x-`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Files, each up to 150 MB: in the request, or by reference.
    #[serde(default)]
    attachments: Vec<AttachmentForm>,
    /// Ask the reader's program for a receipt.
    #[serde(default)]
    read_receipt: bool,
    /// Ask the recipient's server for a receipt.
    #[serde(default)]
    delivery_receipt: bool,
}

/// The `operation` of an [`AnswerRequest`].
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AnswerTag {
    /// Answer whoever wrote the mail.
    Reply,
    /// Answer whoever wrote it, and all its recipients.
    ReplyAll,
    /// Hand it on, with its attachments.
    Forward,
}

impl AnswerRequest {
    pub(super) fn into_request(self) -> Result<Request> {
        let body = match (self.text, self.html) {
            (Some(_), Some(_)) => {
                return Err(conflict(
                    "an answer has `text` or `html`: graph keeps one of them in a conversation",
                ));
            }
            (None, Some(html)) => Body::Html(html),
            (text, None) => Body::Text(text.unwrap_or_default()),
        };
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
            save_to_sent_items: true,
        };
        let kind = match self.operation {
            AnswerTag::Reply => AnswerKind::Reply,
            AnswerTag::ReplyAll => AnswerKind::ReplyAll,
            AnswerTag::Forward => AnswerKind::Forward,
        };
        let quote = self.quote.unwrap_or(true);
        let answer = Answer { kind, message: self.message, quote, mail };
        Ok(Request {
            id: self.id,
            mailbox: self.mailbox,
            not_after: self.not_after,
            operation: Operation::Answer(Box::new(answer)),
        })
    }
}
