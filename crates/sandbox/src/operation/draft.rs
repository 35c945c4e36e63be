//! Messages made and changed: `POST` leaves a draft, `PATCH` changes what may change
//! (learn.microsoft.com/graph/api/user-post-messages, message-update).

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
use crate::message::{Incoming, render};
use crate::text::percent_encode;

/// 201 with the whole message. Everything made by a POST is a draft, in whatever folder.
pub fn create(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let folder = call.folder(mailbox)?.unwrap_or(Folder::DRAFTS);
    let mut incoming = call.new_message(body)?;
    call.complete(mailbox, &mut incoming)?;
    call.save_draft(mailbox, folder, incoming, &call.url())
}

/// 200 with the whole message.
pub fn update(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let object = json_object(call, body)?;
    let mut inner = lock(&mailbox.inner);
    inner.check_room()?;
    let mut message = locate::real(call, mailbox, &mut inner)?;
    locate::check_match(call, &message)?;
    let scope = if message.place.is_draft { Scope::Draft } else { Scope::Sent };
    // on a copy: a refused change leaves nothing behind
    let mut changed = (*message.content).clone();
    parse::update(&mut changed, object, scope)?;
    if scope == Scope::Draft {
        if changed.from.as_ref().is_some_and(|from| !mailbox.may_send_as(from)) {
            return Err(GraphError::send_as_denied());
        }
        // MIME that was edited is no longer what came
        changed.mime = None;
    }
    *message.content_mut(call.now) = changed;
    let place = message.place;
    let rendered = render::message(&message, &place, &call.shape(mailbox, None));
    if !call.world.settings.keep_bodies {
        message.drop_bodies();
    }
    drop(message);
    drop(inner);
    Ok(Answer::json(StatusCode::OK, &call.entity(mailbox, "messages", rendered)))
}

impl Call<'_> {
    /// Where messages of this mailbox stand, whatever the request was.
    pub(super) fn messages_url(&self) -> String {
        format!("{}/v1.0/users/{}/messages", self.base, percent_encode(&self.route.user))
    }

    /// 201 with the new draft, whose own address is below `url`.
    pub(super) fn save_draft(
        &self,
        mailbox: &Mailbox,
        folder: Folder,
        mut incoming: Incoming,
        url: &str,
    ) -> Result<Answer, GraphError> {
        incoming.content.is_read = true;
        let mut inner = lock(&mailbox.inner);
        inner.check_room()?;
        inner.folders.name(folder).ok_or_else(GraphError::item_not_found)?;
        let content = Arc::new(incoming.content);
        let message = inner.store.create(folder, true, content, incoming.attachments, self.now);
        let place = message.place;
        let rendered = render::message(message, &place, &self.shape(mailbox, None));
        if !self.world.settings.keep_bodies {
            // the answer shows what came; what is kept does not
            message.drop_bodies();
        }
        drop(inner);
        let id = rendered.get("id").and_then(Value::as_str).unwrap_or_default();
        let location = format!("{url}/{}", percent_encode(id));
        let answer = Answer::json(StatusCode::CREATED, &self.entity(mailbox, "messages", rendered));
        Ok(answer.location(&location))
    }
}
