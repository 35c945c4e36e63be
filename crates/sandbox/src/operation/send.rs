//! `POST messages/{id}/send` (learn.microsoft.com/graph/api/message-send), and what every send
//! leaves behind.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;

use super::{Call, locate};
use crate::answer::Answer;
use crate::budget::Usage;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::{Inner, Mailbox};
use crate::message::{Attachments, Content, recipients};
use crate::truth::{Record, Via};

/// 202 without a body. A draft that is sent already is not found: its id is that of the draft.
pub fn send(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let mut guard = lock(&mailbox.inner);
    let inner = &mut *guard;
    inner.check_room()?;
    let message = locate::real(call, mailbox, inner)?;
    if !message.place.is_draft {
        return Err(GraphError::item_not_found());
    }
    recipients::check_sendable(&message.content)?;
    let from = message.content.from.as_ref();
    if from.is_some_and(|from| !mailbox.may_send_as(from)) {
        return Err(GraphError::send_as_denied());
    }
    call.count_mail(inner)?;

    let message = locate::real(call, mailbox, inner)?;
    message.content_mut(call.now).is_read = true;
    let (key, content) = (message.key, message.content.clone());
    let attachments = message.attachments.clone();
    let policy = call.world.settings.ids_on_send;
    inner.store.mark_sent(key, policy, call.now, call.visibility_delay());
    call.record(inner, Via::Send, true, content, attachments);
    Ok(Answer::empty(StatusCode::ACCEPTED))
}

impl Call<'_> {
    /// How long this send stays invisible to readers.
    pub(super) fn visibility_delay(&self) -> Duration {
        self.world.dice.between(&self.world.settings.visibility_delay)
    }

    /// Charges the mails-a-minute budget.
    pub(super) fn count_mail(&self, inner: &mut Inner) -> Result<(), GraphError> {
        let budgets = &self.world.settings.budgets;
        usage(inner, self.grant.app).map_or(Ok(()), |usage| usage.mail(budgets, self.now))
    }

    /// Writes a send into the truth.
    pub(super) fn record(
        &self,
        inner: &mut Inner,
        via: Via,
        saved: bool,
        content: Arc<Content>,
        attachments: Attachments,
    ) {
        inner.sent_count += 1;
        inner.sent.push_back(Record {
            number: self.world.sent.next(),
            at: self.now,
            via,
            client_id: self.grant.client_id.clone(),
            client_request_id: self.ids.client_request_id.clone(),
            saved,
            content,
            attachments,
        });
        if let Some(limit) = self.world.settings.retain {
            while inner.sent.len() > limit {
                inner.sent.pop_front();
            }
            inner.store.retain(limit);
        }
    }
}

fn usage(inner: &mut Inner, app: u32) -> Option<&mut Usage> {
    inner.usage.iter_mut().find(|(number, _)| *number == app).map(|(_, usage)| usage)
}
