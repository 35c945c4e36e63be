//! A message, its properties and its words as a filter asks for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::render::Shape;
use crate::mailbox::ids::{Format, Thing};
use crate::mailbox::store::{Message, Place};
use crate::odata::filter::{Subject, Value as Field};

/// An extended property under a filter.
pub struct Property<'a> {
    pub id: &'a str,
    pub value: &'a str,
}

impl Subject for Property<'_> {
    fn value(&self, path: &str) -> Field<'_> {
        match path {
            "id" => self.id.into(),
            "value" => self.value.into(),
            _ => Field::Null,
        }
    }

    fn members(&self, _: &str) -> Vec<Box<dyn Subject + '_>> {
        Vec::new()
    }
}

/// A plain string under a filter.
struct Word<'a>(&'a str);

impl Subject for Word<'_> {
    fn value(&self, _: &str) -> Field<'_> {
        self.0.into()
    }

    fn members(&self, _: &str) -> Vec<Box<dyn Subject + '_>> {
        Vec::new()
    }
}

/// A message as a reader sees it: under a filter, and for what is derived from it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub message: &'a Message,
    pub place: &'a Place,
    pub shape: &'a Shape<'a>,
}

impl View<'_> {
    pub fn id(&self) -> String {
        let format = self.shape.preferences.ids;
        let generation = match format {
            Format::Default => self.place.default_id,
            Format::Immutable => self.place.immutable_id,
        };
        let thing = Thing::Message { format, key: self.message.key, generation };
        self.shape.mailbox.seal.seal(thing)
    }

    pub fn conversation(&self) -> String {
        STANDARD.encode(self.message.content.conversation(&self.shape.mailbox.address))
    }

    /// False when all of them are inline.
    pub fn has_attachments(&self) -> bool {
        self.message.attachments.iter().any(|one| !one.is_inline)
    }
}

impl Subject for View<'_> {
    fn value(&self, path: &str) -> Field<'_> {
        let (message, content) = (self.message, &self.message.content);
        let time = |at: Timestamp| Field::Time(at);
        match path {
            "id" => Field::Text(self.id().into()),
            "subject" => content.subject.as_str().into(),
            "internetMessageId" => content.internet_message_id.as_str().into(),
            "importance" => content.importance.as_str().into(),
            "isRead" => Field::Bool(content.is_read),
            "isDraft" => Field::Bool(self.place.is_draft),
            "hasAttachments" => Field::Bool(self.has_attachments()),
            "receivedDateTime" | "sentDateTime" => time(message.sent),
            "createdDateTime" => time(message.created),
            "lastModifiedDateTime" => time(message.modified),
            "conversationId" => Field::Text(self.conversation().into()),
            "inferenceClassification" => {
                if content.other_inference { "other" } else { "focused" }.into()
            }
            "from/emailAddress/address" | "sender/emailAddress/address" => {
                let from = content.from.as_ref().map(|from| from.address.as_str());
                from.unwrap_or(&self.shape.mailbox.address).into()
            }
            "from/emailAddress/name" | "sender/emailAddress/name" => {
                self.shape.mailbox.name.as_str().into()
            }
            _ => Field::Null,
        }
    }

    fn members(&self, collection: &str) -> Vec<Box<dyn Subject + '_>> {
        let content = &self.message.content;
        match collection {
            "singleValueExtendedProperties" => content
                .mapi()
                .map(|(id, value)| Box::new(Property { id, value }) as Box<dyn Subject>)
                .collect(),
            "categories" => content
                .categories
                .iter()
                .map(|one| Box::new(Word(one)) as Box<dyn Subject>)
                .collect(),
            _ => Vec::new(),
        }
    }
}
