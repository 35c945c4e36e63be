//! `GET messages/{id}` and its MIME form (learn.microsoft.com/graph/api/message-get).

use axum::http::StatusCode;

use super::{Call, locate};
use crate::answer::Answer;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::message::{mime, render};
use crate::odata::query::Query;

pub fn get(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "message")?;
    let inner = lock(&mailbox.inner);
    let (message, place) = locate::seen(call, mailbox, &inner)?;
    let message = message.clone();
    drop(inner);
    let rendered = render::message(&message, &place, &call.shape(mailbox, Some(&query)));
    Ok(Answer::json(StatusCode::OK, &call.entity(mailbox, "messages", rendered)))
}

/// RFC 5322 text.
pub fn value(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let inner = lock(&mailbox.inner);
    let (message, _) = locate::seen(call, mailbox, &inner)?;
    let message = message.clone();
    drop(inner);
    let text = mime::render(&message.content, &mailbox.owner(), &message.attachments, message.sent);
    Ok(Answer::bytes(StatusCode::OK, "text/plain", text))
}
