//! `POST messages/{id}/send` (learn.microsoft.com/graph/api/message-send), and what every send
//! must pass and leaves behind.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;

use super::{Call, locate};
use crate::answer::Answer;
use crate::bounce::Report;
use crate::budget::Usage;
use crate::clock;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::folder::Folder;
use crate::mailbox::{Inner, Mailbox};
use crate::message::{Attachments, Content, Incoming, recipients};
use crate::person;
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
    call.check_send(mailbox, &message.content, &message.attachments)?;
    drop(message);
    call.count_mail(inner)?;

    let mut message = locate::real(call, mailbox, inner)?;
    message.content_mut(call.now).is_read = true;
    let (key, content) = (message.key, message.content.clone());
    let attachments = message.attachments.clone();
    drop(message);
    let policy = call.world.settings.ids_on_send;
    inner.store.mark_sent(key, policy, call.now, call.visibility_delay());
    call.record(mailbox, inner, Via::Send, true, content, attachments);
    Ok(Answer::empty(StatusCode::ACCEPTED))
}

impl Call<'_> {
    /// Sends a message that was no draft before: 202 without a body.
    pub(super) fn send_new(
        &self,
        mailbox: &Mailbox,
        mut incoming: Incoming,
        save: bool,
        via: Via,
    ) -> Result<Answer, GraphError> {
        let attachments: Attachments =
            incoming.attachments.iter().map(|one| Arc::new(one.clone())).collect();
        self.check_send(mailbox, &incoming.content, &attachments)?;
        self.trim(&mut incoming);
        let mut inner = lock(&mailbox.inner);
        inner.check_room()?;
        self.count_mail(&mut inner)?;
        incoming.content.is_read = true;
        let content = Arc::new(incoming.content);
        let (folder, files) = (Folder::SENT_ITEMS, incoming.attachments);
        let message = inner.store.create(folder, false, content.clone(), files, self.now);
        let (key, attachments) = (message.key, message.attachments.clone());
        if save {
            inner.store.hide(key, self.now, self.visibility_delay());
        } else {
            inner.store.remove(key);
        }
        self.record(mailbox, &mut inner, via, save, content, attachments);
        Ok(Answer::empty(StatusCode::ACCEPTED))
    }

    /// Whether the message could be handed to transport.
    fn check_send(
        &self,
        mailbox: &Mailbox,
        content: &Content,
        attachments: &Attachments,
    ) -> Result<(), GraphError> {
        recipients::check_sendable(content)?;
        if content.from.as_ref().is_some_and(|from| !mailbox.may_send_as(from)) {
            return Err(GraphError::send_as_denied());
        }
        if content.size(attachments) > self.world.message_limit() {
            return Err(GraphError::message_too_large());
        }
        Ok(())
    }

    /// How long this send stays invisible to readers.
    fn visibility_delay(&self) -> Duration {
        self.world.dice.between(&self.world.settings.visibility_delay)
    }

    /// Charges the mails-a-minute budget.
    fn count_mail(&self, inner: &mut Inner) -> Result<(), GraphError> {
        let budgets = &self.world.settings.budgets;
        usage(inner, self.grant.app).map_or(Ok(()), |usage| usage.mail(budgets, self.now))
    }

    /// Writes a send into the truth, and what comes back of it into the inbox.
    fn record(
        &self,
        mailbox: &Mailbox,
        inner: &mut Inner,
        via: Via,
        saved: bool,
        content: Arc<Content>,
        attachments: Attachments,
    ) {
        let bounced = self.bounce(mailbox, inner, &content);
        inner.sent_count += 1;
        inner.sent.push_back(Record {
            number: self.world.sent.next(),
            at: self.now,
            via,
            client_id: self.grant.client_id.clone(),
            client_request_id: self.ids.client_request_id.clone(),
            saved,
            bounced,
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

    /// Puts a report for every rule that strikes into the inbox, to be seen when its time has come.
    /// Gives the recipients that do not get the mail.
    fn bounce(&self, mailbox: &Mailbox, inner: &mut Inner, content: &Content) -> Vec<String> {
        let mut bounced = Vec::new();
        for (bounce, recipients) in self.world.bounces.of(content) {
            let due: Timestamp = clock::after(self.now, bounce.delay());
            let report = Report {
                original: content,
                sender: &mailbox.owner(),
                bounce: &bounce,
                recipients: &recipients,
                number: &self.world.dice.guid(),
                at: due,
            };
            let raw = report.mime().into_bytes();
            match person::deliver(inner, Folder::INBOX, raw, due) {
                Ok(key) => inner.store.hide(key, self.now, clock::until(self.now, due)),
                Err(error) => tracing::warn!(code = %error.code, "could not write a report"),
            }
            bounced.extend(recipients.into_iter().map(|one| one.address));
        }
        bounced
    }
}

fn usage(inner: &mut Inner, app: u32) -> Option<&mut Usage> {
    inner.usage.iter_mut().find(|(number, _)| *number == app).map(|(_, usage)| usage)
}
