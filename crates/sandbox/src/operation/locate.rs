//! From an id in a path to the thing it names: as a reader sees it, or as it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::GraphError;
use crate::mailbox::editing::Editing;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::{Format, Thing, Unsealed};
use crate::mailbox::store::{Message, Place};
use crate::mailbox::{Inner, Mailbox};

use super::Call;
use crate::message::render;

impl From<Unsealed> for GraphError {
    fn from(unsealed: Unsealed) -> Self {
        match unsealed {
            Unsealed::Malformed => Self::id_malformed(),
            Unsealed::Foreign => Self::foreign_item(),
        }
    }
}

/// A message id, opened.
#[derive(Clone, Copy)]
pub struct MessageId {
    pub key: u64,
    format: Format,
    generation: u32,
}

impl MessageId {
    fn names(&self, place: &Place) -> bool {
        match self.format {
            Format::Default => place.default_id == self.generation,
            Format::Immutable => place.immutable_id == self.generation,
        }
    }
}

/// Whether it looks like an id that the service has given some day: long base64 that begins as
/// they do. Such an id is not malformed, there is only nothing behind it.
fn has_form(id: &str) -> bool {
    let begins = ["AAMk", "AQMk"].iter().any(|start| id.starts_with(start));
    begins && id.len() >= 60 && STANDARD.decode(id).is_ok()
}

impl Call<'_> {
    pub fn message_id(&self, mailbox: &Mailbox) -> Result<MessageId, GraphError> {
        let id = &self.route.message;
        match mailbox.seal.unseal(id) {
            Ok(Thing::Message { format, key, generation }) => {
                Ok(MessageId { key, format, generation })
            }
            Err(Unsealed::Malformed) if has_form(id) => Err(GraphError::item_not_found()),
            Err(unsealed) => Err(unsealed.into()),
            Ok(_) => Err(GraphError::id_malformed()),
        }
    }

    /// The folder in the path, if there is one.
    pub fn folder(&self, mailbox: &Mailbox) -> Result<Option<Folder>, GraphError> {
        self.route.folder.as_ref().map(|name| folder(mailbox, name)).transpose()
    }
}

/// A folder by its well-known name or its id.
pub fn folder(mailbox: &Mailbox, name: &str) -> Result<Folder, GraphError> {
    if let Some(folder) = Folder::by_name(name) {
        return Ok(folder);
    }
    match mailbox.seal.unseal(name)? {
        Thing::Folder { key } => Folder::by_key(key).ok_or_else(GraphError::item_not_found),
        _ => Err(GraphError::id_malformed()),
    }
}

/// Refuses a change of a message that is not any more what the client has seen (`If-Match`).
pub fn check_match(call: &Call<'_>, message: &Message) -> Result<(), GraphError> {
    let wanted = call.headers.get("if-match").and_then(|value| value.to_str().ok());
    match wanted {
        Some(tag) if tag != "*" && tag != render::etag(message) => {
            Err(GraphError::changed_meanwhile())
        }
        _ => Ok(()),
    }
}

/// The message as a reader sees it now.
pub fn seen<'a>(
    call: &Call<'_>,
    mailbox: &Mailbox,
    inner: &'a Inner,
) -> Result<(&'a Message, Place), GraphError> {
    let id = call.message_id(mailbox)?;
    let folder = call.folder(mailbox)?;
    let message = inner.store.get(id.key).ok_or_else(GraphError::item_not_found)?;
    let place = message.seen(call.now).filter(|place| id.names(place));
    let place = place.filter(|place| folder.is_none_or(|folder| folder == place.folder));
    place.map(|place| (message, place)).ok_or_else(GraphError::item_not_found)
}

/// The message as it is: for those who change it.
pub fn real<'a>(
    call: &Call<'_>,
    mailbox: &Mailbox,
    inner: &'a mut Inner,
) -> Result<Editing<'a>, GraphError> {
    let id = call.message_id(mailbox)?;
    let folder = call.folder(mailbox)?;
    inner
        .store
        .get_mut(id.key)
        .filter(|message| id.names(&message.place))
        .filter(|message| folder.is_none_or(|folder| folder == message.place.folder))
        .ok_or_else(GraphError::item_not_found)
}
