//! `reply`, `replyAll`, `forward`, and their `create` forms that leave a draft
//! (learn.microsoft.com/graph/api/message-reply, message-createreply and their neighbours).

use serde_json::{Map, Value};

use super::{Call, json_object, locate, mime_message};
use crate::answer::Answer;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::mailbox::folder::Folder;
use crate::message::answer::{Answering, Original};
use crate::message::{Incoming, parse};
use crate::metadata;
use crate::truth::Via;

/// 201 with the draft.
pub fn create(
    call: &Call<'_>,
    mailbox: &Mailbox,
    body: &[u8],
    how: Answering,
) -> Result<Answer, GraphError> {
    let incoming = write(call, mailbox, body, how)?;
    call.save_draft(mailbox, Folder::DRAFTS, incoming, &call.messages_url())
}

/// 202 without a body: written and sent in one.
pub fn send(
    call: &Call<'_>,
    mailbox: &Mailbox,
    body: &[u8],
    how: Answering,
) -> Result<Answer, GraphError> {
    let incoming = write(call, mailbox, body, how)?;
    let via = match how {
        Answering::Reply => Via::Reply,
        Answering::ReplyAll => Via::ReplyAll,
        Answering::Forward => Via::Forward,
    };
    call.send_new(mailbox, incoming, true, via)
}

/// The answer as its writer wants it.
fn write(
    call: &Call<'_>,
    mailbox: &Mailbox,
    body: &[u8],
    how: Answering,
) -> Result<Incoming, GraphError> {
    let (message, place) = {
        let inner = lock(&mailbox.inner);
        let (message, place) = locate::seen(call, mailbox, &inner)?;
        (message.clone(), place)
    };
    if place.is_draft {
        return Err(GraphError::draft_not_answered());
    }
    let owner = mailbox.owner();
    let original = Original {
        content: &message.content,
        attachments: &message.attachments,
        sent: message.sent,
        owner: &owner,
    };
    let mut incoming = match mime_message(call, body) {
        Some(incoming) => from_mime(&original, incoming?, how),
        None if body.is_empty() => from_parameters(call, &original, Map::new(), how)?,
        None => from_parameters(call, &original, json_object(call, body)?, how)?,
    };
    call.complete(mailbox, &mut incoming)?;
    Ok(incoming)
}

/// A MIME answer says all of itself; only what it leaves open comes from the original.
fn from_mime(original: &Original<'_>, mut incoming: Incoming, how: Answering) -> Incoming {
    let draft = original.answer(how);
    let content = &mut incoming.content;
    if content.recipients().next().is_none() {
        (content.to, content.cc) = (draft.to, draft.cc);
        content.mime = None;
    }
    if content.subject.is_empty() {
        content.subject = draft.subject;
        content.mime = None;
    }
    if content.in_reply_to().is_none() {
        content.headers.extend(draft.headers);
        content.mime = None;
    }
    incoming
}

/// `Comment`, `Message` and, of a forward, `ToRecipients`: their names have no case.
fn from_parameters(
    call: &Call<'_>,
    original: &Original<'_>,
    object: Map<String, Value>,
    how: Answering,
) -> Result<Incoming, GraphError> {
    let (mut comment, mut message, mut to) = (None, None, None);
    for (name, value) in object {
        match (name.to_ascii_lowercase().as_str(), value) {
            (_, Value::Null) => {}
            ("comment", Value::String(text)) => comment = Some(text),
            ("message", Value::Object(object)) => message = Some(object),
            ("torecipients", value @ Value::Array(_)) if how == Answering::Forward => {
                to = Some(value);
            }
            _ if name.contains('@') => {}
            _ => return Err(GraphError::invalid_parameter(&name)),
        }
    }
    let mut overrides = message.unwrap_or_default();
    if comment.as_ref().is_some_and(|text| !text.is_empty()) && overrides.contains_key("body") {
        return Err(GraphError::comment_and_body());
    }
    if let Some(to) = to {
        if overrides.contains_key("toRecipients") {
            return Err(GraphError::invalid_parameter("ToRecipients"));
        }
        overrides.insert("toRecipients".to_owned(), to);
    }
    metadata::check_object("message", &overrides)?;
    let mut draft = original.answer(how);
    draft.body = original.quoted(&comment.unwrap_or_default());
    let thread = std::mem::take(&mut draft.headers);
    let mut incoming = parse::message_over(draft, overrides, call.now)?;
    incoming.content.headers.extend(thread);
    let mut attachments = original.attachments(how);
    attachments.append(&mut incoming.attachments);
    incoming.attachments = attachments;
    Ok(incoming)
}
