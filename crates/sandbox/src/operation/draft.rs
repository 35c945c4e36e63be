//! Drafts: made, changed, deleted
//! (learn.microsoft.com/graph/api/user-post-messages, message-update, message-delete).

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::Value;

use super::{Call, json_object, locate};
use crate::answer::Answer;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::mailbox::folder::Folder;
use crate::message::parse::{self, Scope};
use crate::message::render;

/// 201 with the whole message. Everything made by a POST is a draft, in whatever folder.
pub fn create(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let folder = call.folder(mailbox)?.unwrap_or(Folder::DRAFTS);
    let mut incoming = call.new_message(body)?;
    call.complete(mailbox, &mut incoming)?;
    incoming.content.is_read = true;

    let mut inner = lock(&mailbox.inner);
    inner.check_room()?;
    let content = Arc::new(incoming.content);
    let message = inner.store.create(folder, true, content, incoming.attachments, call.now);
    let place = message.place;
    let rendered = render::message(message, &place, &call.shape(mailbox, None));
    if !call.world.settings.keep_bodies {
        // the answer shows what came; what is kept does not
        message.drop_bodies();
    }
    drop(inner);
    let id = rendered.get("id").and_then(Value::as_str).unwrap_or_default();
    let location = format!("{}/{}", call.url(), crate::text::percent_encode(id));
    let answer = Answer::json(StatusCode::CREATED, &call.entity(mailbox, "messages", rendered));
    Ok(answer.location(&location))
}

/// 200 with the whole message.
pub fn update(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let object = json_object(call, body)?;
    let mut inner = lock(&mailbox.inner);
    inner.check_room()?;
    let message = locate::real(call, mailbox, &mut inner)?;
    let scope = if message.place.is_draft { Scope::Draft } else { Scope::Sent };
    // on a copy: a refused change leaves nothing behind
    let mut changed = (*message.content).clone();
    parse::update(&mut changed, object, scope)?;
    if changed.from.as_ref().is_some_and(|from| !mailbox.may_send_as(from)) {
        return Err(GraphError::send_as_denied());
    }
    if scope == Scope::Draft {
        // MIME that was edited is no longer what came
        changed.mime = None;
    }
    *message.content_mut(call.now) = changed;
    let place = message.place;
    let rendered = render::message(message, &place, &call.shape(mailbox, None));
    if !call.world.settings.keep_bodies {
        message.drop_bodies();
    }
    drop(inner);
    Ok(Answer::json(StatusCode::OK, &call.entity(mailbox, "messages", rendered)))
}

/// 204. To Deleted Items first; out of there for good.
pub fn delete(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let mut inner = lock(&mailbox.inner);
    let key = locate::real(call, mailbox, &mut inner)?.key;
    inner.store.delete(key, call.now);
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
