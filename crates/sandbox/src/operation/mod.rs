//! What Graph does: one file a resource, one closed list that dispatches.
//!
//! Every operation runs to its end in one go, under the lock of one mailbox: an effect is there or
//! it is not, whatever happens to the connection.

mod answer;
mod attachment;
mod delta;
mod draft;
pub mod folder;
mod group;
mod list;
pub mod locate;
mod page;
mod read;
mod relocate;
mod send;
mod send_mail;
mod subscription;
mod upload_session;
pub mod user;

use std::sync::MutexGuard;

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::answer::{Answer, Correlation};
use crate::directory::Grant;
use crate::error::GraphError;
use crate::mailbox::{Inner, Mailbox};
use crate::message::Incoming;
use crate::message::answer::Answering;
use crate::message::{mime, parse};
use crate::preference::Preferences;
use crate::route::{Operation, Route};
use crate::world::World;

/// One admitted request.
pub struct Call<'a> {
    pub world: &'a World,
    pub grant: &'a Grant,
    pub route: &'a Route,
    pub headers: &'a HeaderMap,
    /// The raw query string
    pub query: &'a str,
    /// This service as the client sees it, without a version
    pub base: &'a str,
    /// The path as it was sent
    pub path: &'a str,
    pub preferences: Preferences,
    pub ids: &'a Correlation,
    pub now: Timestamp,
}

/// Does what the request asks for. `mailbox` is `None` for the operations on the directory.
///
/// Nothing of it waits but the handshake of a new subscription, which holds no lock.
pub async fn perform(
    call: &Call<'_>,
    mailbox: Option<&Mailbox>,
    body: &[u8],
) -> Result<Answer, GraphError> {
    match call.route.operation {
        Operation::CreateSubscription => subscription::create(call, body).await,
        operation if operation.is_of_subscriptions() => subscription::perform(call, body),
        _ => perform_at_once(call, mailbox, body),
    }
}

fn perform_at_once(
    call: &Call<'_>,
    mailbox: Option<&Mailbox>,
    body: &[u8],
) -> Result<Answer, GraphError> {
    match call.route.operation {
        Operation::ListUsers => return user::list(call),
        operation if operation.is_of_directory() => return group::members(call),
        _ => {}
    }
    let Some(mailbox) = mailbox else {
        return Err(GraphError::no_directory_object(&call.route.user));
    };
    match call.route.operation {
        Operation::SendMail => send_mail::send_mail(call, mailbox, body),
        Operation::CreateMessage => draft::create(call, mailbox, body),
        Operation::UpdateMessage => draft::update(call, mailbox, body),
        Operation::DeleteMessage => relocate::delete(call, mailbox),
        Operation::PermanentDeleteMessage => relocate::purge(call, mailbox),
        Operation::MoveMessage => relocate::relocate(call, mailbox, body),
        Operation::CopyMessage => relocate::copy(call, mailbox, body),
        Operation::CreateReply => answer::create(call, mailbox, body, Answering::Reply),
        Operation::CreateReplyAll => answer::create(call, mailbox, body, Answering::ReplyAll),
        Operation::CreateForward => answer::create(call, mailbox, body, Answering::Forward),
        Operation::Reply => answer::send(call, mailbox, body, Answering::Reply),
        Operation::ReplyAll => answer::send(call, mailbox, body, Answering::ReplyAll),
        Operation::Forward => answer::send(call, mailbox, body, Answering::Forward),
        Operation::SendMessage => send::send(call, mailbox),
        Operation::GetMessage => read::get(call, mailbox),
        Operation::GetMessageValue => read::value(call, mailbox),
        Operation::ListMessages => list::list(call, mailbox),
        Operation::CreateAttachment => attachment::create(call, mailbox, body),
        Operation::ListAttachments => attachment::list(call, mailbox),
        Operation::GetAttachment => attachment::get(call, mailbox),
        Operation::GetAttachmentValue => attachment::value(call, mailbox),
        Operation::DeleteAttachment => attachment::delete(call, mailbox),
        Operation::CreateUploadSession => upload_session::create(call, mailbox, body),
        Operation::ListFolders => folder::list(call, mailbox),
        Operation::CreateFolder => folder::create(call, mailbox, body),
        Operation::GetFolder => folder::get(call, mailbox),
        Operation::UpdateFolder => folder::update(call, mailbox, body),
        Operation::DeleteFolder => folder::delete(call, mailbox),
        Operation::MoveFolder => folder::relocate(call, mailbox, body),
        Operation::FolderDelta => delta::folders(call, mailbox),
        Operation::MessageDelta => delta::messages(call, mailbox),
        Operation::GetUser => user::get(call, mailbox),
        Operation::ListUsers
        | Operation::ListMembers
        | Operation::ListTransitiveMembers
        | Operation::CreateSubscription
        | Operation::ListSubscriptions
        | Operation::GetSubscription
        | Operation::UpdateSubscription
        | Operation::DeleteSubscription
        | Operation::ReauthorizeSubscription
        | Operation::Batch
        | Operation::Token
        | Operation::Discovery
        | Operation::UploadChunk
        | Operation::GetUpload
        | Operation::CancelUpload
        | Operation::Unknown => Err(GraphError::unknown_segment(call.path)),
    }
}

/// The media type of the body, without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get("content-type").and_then(|value| value.to_str().ok());
    let kind = value.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// A JSON object out of a body that says it is one.
fn json_object(call: &Call<'_>, body: &[u8]) -> Result<Map<String, Value>, GraphError> {
    if media_type(call.headers) != "application/json" {
        return Err(GraphError::unreadable_json());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(GraphError::unreadable_json()),
    }
}

/// A message out of a MIME body, when the media type says that it is one.
fn mime_message(call: &Call<'_>, body: &[u8]) -> Option<Result<Incoming, GraphError>> {
    (media_type(call.headers) == "text/plain")
        .then(|| mime::decode(body).and_then(|raw| mime::parse(raw, call.now)))
}

impl Call<'_> {
    /// A mailbox in which everything that is due has happened.
    fn settled<'a>(&self, mailbox: &'a Mailbox) -> MutexGuard<'a, Inner> {
        self.world.settled(mailbox)
    }

    /// Gives a new message what the service gives it, and checks who it claims to be from.
    fn complete(&self, mailbox: &Mailbox, incoming: &mut Incoming) -> Result<(), GraphError> {
        let content = &mut incoming.content;
        if content.from.as_ref().is_some_and(|from| !mailbox.may_send_as(from)) {
            return Err(GraphError::send_as_denied());
        }
        if content.internet_message_id.is_empty() {
            let number = self.world.dice.guid().replace('-', "").to_uppercase();
            content.internet_message_id = format!("<{number}@SANDBOX.PROD.OUTLOOK.COM>");
        }
        Ok(())
    }

    /// Forgets contents that the sandbox was told not to keep.
    fn trim(&self, incoming: &mut Incoming) {
        if self.world.settings.keep_bodies {
            return;
        }
        incoming.content.drop_bodies();
        for attachment in &mut incoming.attachments {
            attachment.data.forget();
        }
    }

    fn new_message(&self, body: &[u8]) -> Result<Incoming, GraphError> {
        match mime_message(self, body) {
            Some(incoming) => incoming,
            None => parse::message(json_object(self, body)?, self.now),
        }
    }
}
