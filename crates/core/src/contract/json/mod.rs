//! Requests as producers write them: one JSON object for each operation, told apart by `operation`.
//!
//! An object is read as exactly its operation's form, so that a mistake is named by its field and an
//! unknown key by its nearest known one. Limits are not checked here; see [`super::check`].

mod addresses;
mod answer;
mod edit;
mod send;

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Request,
    attachment::{Attachment, AttachmentForm},
    decode::from_json,
};
use crate::{Code, Error, Result};
pub(crate) use addresses::Addresses;
pub use answer::AnswerRequest;
pub use edit::{CategorizeRequest, DeleteRequest, MarkReadRequest, MoveRequest};
pub use send::SendRequest;

/// Any request, as JSON. Only its schema is used: see [`read`].
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(title = "mailbridge request")]
pub enum AnyRequest {
    /// Send a mail.
    Send(SendRequest),
    /// Answer a mail, or hand it on.
    Answer(AnswerRequest),
    /// Set a mail's read state.
    MarkRead(MarkReadRequest),
    /// Move a mail.
    Move(MoveRequest),
    /// Change a mail's categories.
    Categorize(CategorizeRequest),
    /// Delete a mail.
    Delete(DeleteRequest),
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    #[default]
    Send,
    Reply,
    ReplyAll,
    Forward,
    MarkRead,
    Move,
    Categorize,
    Delete,
}

/// Reads a request of any operation; `send` when it names none.
pub(super) fn read(payload: &[u8]) -> Result<Request> {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(default)]
        operation: Name,
    }
    match from_json::<Probe>(payload)?.operation {
        Name::Send => from_json::<SendRequest>(payload)?.into_request(),
        Name::Reply | Name::ReplyAll | Name::Forward => {
            from_json::<AnswerRequest>(payload)?.into_request()
        }
        Name::MarkRead => Ok(from_json::<MarkReadRequest>(payload)?.into_request()),
        Name::Move => Ok(from_json::<MoveRequest>(payload)?.into_request()),
        Name::Categorize => from_json::<CategorizeRequest>(payload)?.into_request(),
        Name::Delete => Ok(from_json::<DeleteRequest>(payload)?.into_request()),
    }
}

fn conflict(detail: impl Into<Cow<'static, str>>) -> Error {
    Error::permanent(Code::RequestConflict, detail)
}

fn attachments(forms: Vec<AttachmentForm>) -> Result<Vec<Attachment>> {
    let one = |(index, form): (usize, AttachmentForm)| {
        form.into_attachment().map_err(|detail| {
            let field = format!("attachments[{index}]");
            Error::permanent(Code::RequestBadAttachment, detail).with("field", field)
        })
    };
    forms.into_iter().enumerate().map(one).collect()
}

/// A time, refused in words of our own: the parser's repeat what was given.
fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom("expected an RFC 3339 time such as 2026-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests;
