//! `move`, `copy`, `DELETE` and `permanentDelete`
//! (learn.microsoft.com/graph/api/message-move, message-copy, message-delete,
//! message-permanentdelete).

use axum::http::StatusCode;
use serde_json::Value;

use super::{Call, json_object, locate};
use crate::answer::Answer;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::folder::Folder;
use crate::mailbox::{Inner, Mailbox};
use crate::message::render;

/// 201 with the message, which has another id now unless that is immutable.
pub fn relocate(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let target = destination(call, mailbox, body)?;
    let mut inner = lock(&mailbox.inner);
    check_target(&inner, target)?;
    let key = locate::real(call, mailbox, &mut inner)?.key;
    inner.store.relocate(key, target, call.now);
    show(call, mailbox, &inner, key)
}

/// 201 with the copy.
pub fn copy(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let target = destination(call, mailbox, body)?;
    let mut inner = lock(&mailbox.inner);
    inner.check_room()?;
    check_target(&inner, target)?;
    let key = locate::real(call, mailbox, &mut inner)?.key;
    let copy = inner.store.copy(key, target, call.now).ok_or_else(GraphError::item_not_found)?;
    show(call, mailbox, &inner, copy)
}

/// 204. To Deleted Items; from there to where only administrators recover it.
pub fn delete(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let mut inner = lock(&mailbox.inner);
    let message = locate::real(call, mailbox, &mut inner)?;
    locate::check_match(call, &message)?;
    let key = message.key;
    drop(message);
    inner.store.delete(key, call.now);
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

/// 204. Not even recoverable for the user.
pub fn purge(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let mut inner = lock(&mailbox.inner);
    let key = locate::real(call, mailbox, &mut inner)?.key;
    inner.store.remove(key);
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

pub fn destination(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Folder, GraphError> {
    let object = json_object(call, body)?;
    let parameter = object
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("DestinationId"))
        .and_then(|(_, value)| value.as_str());
    let unknown = object
        .iter()
        .find(|(name, _)| !name.eq_ignore_ascii_case("DestinationId") && !name.contains('@'))
        .map(|(name, _): (&String, &Value)| name);
    if let Some(name) = unknown {
        return Err(GraphError::invalid_parameter(name));
    }
    let name = parameter.ok_or_else(|| GraphError::invalid_parameter("DestinationId"))?;
    locate::folder(mailbox, name)
}

fn check_target(inner: &Inner, target: Folder) -> Result<(), GraphError> {
    inner.folders.name(target).map(|_| ()).ok_or_else(GraphError::item_not_found)
}

fn show(call: &Call<'_>, mailbox: &Mailbox, inner: &Inner, key: u64) -> Result<Answer, GraphError> {
    let message = inner.store.get(key).ok_or_else(GraphError::item_not_found)?;
    let rendered = render::message(message, &message.place, &call.shape(mailbox, None));
    Ok(Answer::json(StatusCode::CREATED, &call.entity(mailbox, "messages", rendered)))
}
