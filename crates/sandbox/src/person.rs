//! What people and the world outside do to a mailbox: edit or delete a draft, and write to it.
//!
//! Nothing of it goes through Graph, so no token, budget or fault stands in its way.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::GraphError;
use crate::handle::Handle;
use crate::handle::mail::by_any_name;
use crate::lock::lock;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::{Format, Thing};
use crate::mailbox::store::{Message, Store};
use crate::mailbox::{Inner, Mailbox};
use crate::message::parse;
use crate::message::{Attachment, AttachmentKind, Content, Incoming, mime};

/// A message as a person would point at it. At least one field besides the mailbox must be given,
/// and all of them must fit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pointer {
    /// Address or user id
    pub mailbox: String,
    /// Id in either format, current or stale
    pub id: Option<String>,
    pub subject: Option<String>,
    /// With its angle brackets
    pub internet_message_id: Option<String>,
    /// Value of any extended property
    pub value: Option<String>,
}

impl Pointer {
    /// Points at the message with this subject.
    pub fn subject(mailbox: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { mailbox: mailbox.into(), subject: Some(subject.into()), ..Self::default() }
    }

    /// Points at the message with an extended property of this value.
    pub fn value(mailbox: impl Into<String>, value: impl Into<String>) -> Self {
        Self { mailbox: mailbox.into(), value: Some(value.into()), ..Self::default() }
    }

    fn means(&self, mailbox: &Mailbox, message: &Message) -> bool {
        let content = &message.content;
        let id = self.id.as_ref().is_none_or(|id| {
            matches!(mailbox.seal.unseal(id), Ok(Thing::Message { key, .. }) if key == message.key)
        });
        id && self.subject.as_ref().is_none_or(|subject| *subject == content.subject)
            && self.internet_message_id.as_ref().is_none_or(|id| *id == content.internet_message_id)
            && self.value.as_ref().is_none_or(|value| content.has_value(value))
    }

    /// Its key: of several, that of the newest.
    pub(crate) fn find(&self, mailbox: &Mailbox, store: &Store) -> Result<u64, GraphError> {
        if let Some(Ok(Thing::Message { key, .. })) =
            self.id.as_ref().map(|id| mailbox.seal.unseal(id))
        {
            let found = store.get(key).filter(|message| self.means(mailbox, message));
            return found.map(|message| message.key).ok_or_else(GraphError::item_not_found);
        }
        let given = [&self.id, &self.subject, &self.internet_message_id, &self.value];
        if given.iter().all(|field| field.is_none()) {
            return Err(GraphError::bad_request(
                "expected one of id, subject, internet_message_id, value beside the mailbox",
            ));
        }
        let found = store.newest_first().find(|message| self.means(mailbox, message));
        found.map(|message| message.key).ok_or_else(GraphError::item_not_found)
    }
}

/// A mail from outside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arrival {
    /// Address or user id
    pub mailbox: String,
    /// Well-known name, id or display name; the inbox when left out
    pub folder: Option<String>,
    /// The whole mail as RFC 5322 text
    pub mime: Option<String>,
    /// In place of `mime`: a message in Graph's JSON
    pub message: Option<Map<String, Value>>,
}

impl Arrival {
    /// A mail as RFC 5322 text, into the inbox.
    pub fn mime(mailbox: impl Into<String>, mime: impl Into<String>) -> Self {
        Self { mailbox: mailbox.into(), mime: Some(mime.into()), ..Self::default() }
    }
}

/// Where a mail from outside can be found.
#[derive(Clone, Debug, Serialize)]
pub struct Arrived {
    /// In the default format
    pub id: String,
    pub immutable_id: String,
    pub internet_message_id: String,
}

impl Handle {
    /// Deletes a message as its owner would, to Deleted Items; `for_good` with no way back.
    pub fn delete_message(&self, pointer: &Pointer, for_good: bool) -> Result<(), GraphError> {
        let mailbox = self.owned(&pointer.mailbox)?;
        let mut inner = lock(&mailbox.inner);
        let key = pointer.find(&mailbox, &inner.store)?;
        if for_good {
            inner.store.remove(key);
        } else {
            inner.store.delete(key, self.now());
        }
        Ok(())
    }

    /// Puts a mail from outside into a folder.
    pub fn receive(&self, arrival: &Arrival) -> Result<Arrived, GraphError> {
        let mailbox = self.owned(&arrival.mailbox)?;
        let now = self.now();
        let (raw, written) = match (&arrival.mime, &arrival.message) {
            (Some(mime), None) => (mime.clone().into_bytes(), None),
            (None, Some(message)) => {
                let incoming = self.written(message.clone(), now)?;
                (as_mime(&incoming, now)?, Some(incoming))
            }
            _ => return Err(GraphError::bad_request("expected either mime or message")),
        };
        let mut inner = lock(&mailbox.inner);
        let folder = match &arrival.folder {
            None => Folder::INBOX,
            Some(name) => by_any_name(&mailbox, &inner, name)?,
        };
        let key = deliver(&mut inner, folder, raw, now)?;
        let mut message = inner.store.get_mut(key).ok_or_else(GraphError::internal)?;
        if let Some(written) = written {
            add_unwritable(&mut message, written, now);
        }
        let id = |format| mailbox.seal.seal(Thing::Message { format, key, generation: 0 });
        Ok(Arrived {
            id: id(Format::Default),
            immutable_id: id(Format::Immutable),
            internet_message_id: message.content.internet_message_id.clone(),
        })
    }

    /// A message in JSON with what every mail has.
    fn written(&self, message: Map<String, Value>, now: Timestamp) -> Result<Incoming, GraphError> {
        let mut incoming = parse::message(message, now)?;
        let id = &mut incoming.content.internet_message_id;
        if id.is_empty() {
            *id = format!("<{}@sandbox.invalid>", self.world().dice.guid());
        }
        Ok(incoming)
    }
}

/// Puts a mail that came from outside into a folder; gives its key.
pub fn deliver(
    inner: &mut Inner,
    folder: Folder,
    raw: Vec<u8>,
    at: Timestamp,
) -> Result<u64, GraphError> {
    let incoming = mime::receive(raw, at)?;
    let content = Arc::new(incoming.content);
    let message = inner.store.create(folder, false, content, incoming.attachments, at);
    Ok(message.key)
}

fn as_mime(incoming: &Incoming, now: Timestamp) -> Result<Vec<u8>, GraphError> {
    let content = &incoming.content;
    let from = content.from.as_ref().ok_or_else(|| GraphError::invalid_parameter("from"))?;
    let attachments = incoming.attachments.iter().cloned().map(Arc::new).collect();
    Ok(mime::render(content, from, &attachments, now).to_vec())
}

/// Adds what a message in JSON says and MIME cannot: marks, properties and links to files.
fn add_unwritable(message: &mut Message, written: Incoming, now: Timestamp) {
    let content = message.content_mut(now);
    content.categories = written.content.categories;
    content.flag = written.content.flag;
    content.is_read = written.content.is_read;
    content.importance = written.content.importance;
    content.extended = written.content.extended;
    let links = |one: &Attachment| one.kind == AttachmentKind::Reference;
    for link in written.attachments.into_iter().filter(links) {
        message.attach(link, now);
    }
}

impl Content {
    /// Whether any extended property has this value, in any case.
    pub fn has_value(&self, value: &str) -> bool {
        self.extended.iter().any(|(_, found)| found.eq_ignore_ascii_case(value))
    }
}
