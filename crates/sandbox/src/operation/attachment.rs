//! Small attachments (learn.microsoft.com/graph/api/message-post-attachments, attachment-get).
//! Large ones come through an upload session.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Call, json_object, locate};
use crate::answer::Answer;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::Thing;
use crate::mailbox::store::Store;
use crate::message::{Attachment, AttachmentKind, mime, parse, render};
use crate::metadata;
use crate::odata::query::Query;

/// 201 with the attachment.
pub fn create(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let object = json_object(call, body)?;
    metadata::check_object("attachment", &object)?;
    let mut attachment = parse::attachment(&object, call.now)?;
    let mut inner = lock(&mailbox.inner);
    inner.check_room()?;
    let mut message = locate::real(call, mailbox, &mut inner)?;
    let data = attachment.data.clone();
    if !call.world.settings.keep_bodies {
        attachment.data.forget();
    }
    let mut kept = (*message.add(attachment, call.now)).clone();
    let key = message.key;
    drop(message);
    drop(inner);
    kept.data = data;
    let rendered = render::attachment(&kept, key, mailbox, None);
    Ok(Answer::json(StatusCode::CREATED, &call.attachment_entity(mailbox, rendered)))
}

pub fn list(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "attachment")?;
    let inner = lock(&mailbox.inner);
    let (message, _) = locate::seen(call, mailbox, &inner)?;
    let (key, attachments) = (message.key, message.attachments.clone());
    drop(inner);
    let select = query.select.as_deref();
    if select.is_none() {
        // one that cannot be read spoils the list that has its bytes
        attachments.iter().try_for_each(|one| check_open(one))?;
    }
    let values: Vec<Value> = attachments
        .iter()
        .map(|one| Value::Object(render::attachment(one, key, mailbox, select)))
        .collect();
    let context = call.attachments_context(mailbox);
    let body = json!({"@odata.context": context, "value": values});
    Ok(Answer::json(StatusCode::OK, &body))
}

pub fn get(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "attachment")?;
    let (key, attachment) = find(call, mailbox)?;
    if query.select.is_none() {
        check_open(&attachment)?;
    }
    let mut rendered = render::attachment(&attachment, key, mailbox, query.select.as_deref());
    if attachment.kind == AttachmentKind::Item && query.expands("item").is_some() {
        rendered.insert("item".to_owned(), Value::Object(item(call, mailbox, &attachment)?));
    }
    Ok(Answer::json(StatusCode::OK, &call.attachment_entity(mailbox, rendered)))
}

/// The message inside of an item, which has no id of its own.
fn item(
    call: &Call<'_>,
    mailbox: &Mailbox,
    attachment: &Attachment,
) -> Result<Map<String, Value>, GraphError> {
    let raw = attachment.data.read().map_err(|_| GraphError::internal())?;
    let incoming = mime::receive(raw.to_vec(), attachment.modified)?;
    let mut store = Store::default();
    let content = Arc::new(incoming.content);
    let message = store.create(Folder::INBOX, false, content, incoming.attachments, call.now);
    let mut rendered = render::message(message, &message.place, &call.shape(mailbox, None));
    rendered.insert("id".to_owned(), json!(""));
    rendered.insert("@odata.type".to_owned(), json!("#microsoft.graph.message"));
    Ok(rendered)
}

/// The raw bytes of a file, or the MIME of an item.
pub fn value(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let (_, attachment) = find(call, mailbox)?;
    if attachment.kind == AttachmentKind::Reference {
        return Err(GraphError::method_not_allowed());
    }
    check_open(&attachment)?;
    let kind = attachment.content_type.as_deref().unwrap_or("application/octet-stream");
    Ok(Answer::file(kind, attachment.data.clone()))
}

/// 204.
pub fn delete(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let wanted = attachment_key(call, mailbox)?;
    let mut inner = lock(&mailbox.inner);
    let mut message = locate::real(call, mailbox, &mut inner)?;
    let before = message.attachments.len();
    if message.key == wanted.0 {
        message.attachments.retain(|one| one.key != wanted.1);
    }
    if message.attachments.len() == before {
        return Err(GraphError::item_not_found());
    }
    message.forget_mime();
    message.touch(call.now);
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn check_open(attachment: &Attachment) -> Result<(), GraphError> {
    if attachment.broken { Err(GraphError::cannot_open_attachment()) } else { Ok(()) }
}

fn find(call: &Call<'_>, mailbox: &Mailbox) -> Result<(u64, Arc<Attachment>), GraphError> {
    let (owner, wanted) = attachment_key(call, mailbox)?;
    let inner = lock(&mailbox.inner);
    let (message, _) = locate::seen(call, mailbox, &inner)?;
    let found = message.attachments.iter().find(|one| one.key == wanted && owner == message.key);
    found.map(|one| (message.key, one.clone())).ok_or_else(GraphError::item_not_found)
}

fn attachment_key(call: &Call<'_>, mailbox: &Mailbox) -> Result<(u64, u32), GraphError> {
    match mailbox.seal.unseal(&call.route.attachment)? {
        Thing::Attachment { message, key } => Ok((message, key)),
        _ => Err(GraphError::id_malformed()),
    }
}
