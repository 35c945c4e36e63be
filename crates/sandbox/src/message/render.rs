//! From a message to the JSON that Graph answers (learn.microsoft.com/graph/api/resources/message).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::parse::preview;
use super::view::{Property, View};
use super::{Attachment, AttachmentKind, Body, Content, Recipient};
use crate::clock::seconds_text;
use crate::dice;
use crate::mailbox::Mailbox;
use crate::mailbox::ids::Thing;
use crate::mailbox::log::Marks;
use crate::mailbox::store::{Message, Place};
use crate::odata::query::{Expand, Query};
use crate::operation::Call;
use crate::preference::{BodyPreference, Preferences};
use crate::text::{escape_html, percent_encode, strip_tags};

/// Changes with every change of the message.
fn change_key(key: u64, change: u32) -> String {
    let number = dice::mix(key ^ (u64::from(change) << 40));
    let mut bytes = *b"CQAAABYAAAB\0\0\0\0\0\0\0\0\0\0\0";
    bytes[11..19].copy_from_slice(&number.to_le_bytes());
    STANDARD.encode(bytes)
}

/// The change key as HTTP compares it.
pub fn etag(message: &Message) -> String {
    tag(message.key, message.change)
}

/// The same of a message that is known by its number and how often it has changed.
pub fn tag(key: u64, change: u32) -> String {
    format!("W/\"{}\"", change_key(key, change))
}

/// How messages are to be rendered for one request.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    pub mailbox: &'a Mailbox,
    pub preferences: Preferences,
    query: Option<&'a Query>,
}

impl Shape<'_> {
    /// Asked for by name: these are not in an answer otherwise.
    fn names(&self, property: &str) -> bool {
        let select = self.query.and_then(|query| query.select.as_ref());
        select.is_some_and(|names| names.iter().any(|name| name == property))
    }

    fn selects(&self, property: &str) -> bool {
        self.query.is_none_or(|query| query.selects("*") || query.selects(property))
    }

    fn expands(&self, navigation: &str) -> Option<&Expand> {
        self.query.and_then(|query| query.expands(navigation))
    }
}

/// Properties that are only returned when selected.
const ON_REQUEST: [&str; 2] = ["internetMessageHeaders", "uniqueBody"];

/// A message as a JSON object, without the context that stands around it.
pub fn message(message: &Message, place: &Place, shape: &Shape<'_>) -> Map<String, Value> {
    let view = View { message, place, shape };
    let usual = PROPERTIES.into_iter().filter(|name| shape.selects(name));
    let mut all = some(usual.chain(ON_REQUEST.into_iter().filter(|name| shape.names(name))), &view);
    if let Some(expand) = shape.expands("attachments") {
        let one = |attachment: &std::sync::Arc<Attachment>| {
            self::attachment(attachment, message.key, shape.mailbox, expand.select.as_deref())
        };
        let list: Vec<_> = message.attachments.iter().map(one).collect();
        all.insert("attachments".to_owned(), json!(list));
    }
    if let Some(expand) = shape.expands("singleValueExtendedProperties") {
        let list = extended(message.content.mapi(), expand);
        // Graph leaves the property out when none matches
        if !list.is_empty() {
            all.insert("singleValueExtendedProperties".to_owned(), json!(list));
        }
    }
    if let Some(expand) = shape.expands("multiValueExtendedProperties") {
        let lists = message.content.extended_lists.iter().map(|(id, values)| (id.as_str(), values));
        let list = extended(lists, expand);
        if !list.is_empty() {
            all.insert("multiValueExtendedProperties".to_owned(), json!(list));
        }
    }
    all
}

/// What a message has, in Graph's order of things.
const PROPERTIES: [&str; 28] = [
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "categories",
    "receivedDateTime",
    "sentDateTime",
    "hasAttachments",
    "internetMessageId",
    "subject",
    "bodyPreview",
    "importance",
    "parentFolderId",
    "conversationId",
    "conversationIndex",
    "isDeliveryReceiptRequested",
    "isReadReceiptRequested",
    "isRead",
    "isDraft",
    "webLink",
    "inferenceClassification",
    "body",
    "sender",
    "from",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "flag",
];

fn property(name: &str, view: &View<'_>) -> Value {
    let View { message, place, shape } = *view;
    let content = &message.content;
    let person = |one: &Option<Recipient>| match one {
        Some(one) => recipient(one),
        None => recipient(&shape.mailbox.owner()),
    };
    match name {
        "createdDateTime" => json!(seconds_text(message.created)),
        "lastModifiedDateTime" => json!(seconds_text(message.modified)),
        "changeKey" => json!(change_key(message.key, message.change)),
        "categories" => json!(content.categories),
        "receivedDateTime" | "sentDateTime" => json!(seconds_text(message.sent)),
        "hasAttachments" => json!(view.has_attachments()),
        "internetMessageId" => json!(content.internet_message_id),
        "subject" => json!(content.subject),
        "bodyPreview" => json!(preview(&content.body)),
        "importance" => json!(content.importance.as_str()),
        "parentFolderId" => {
            json!(shape.mailbox.seal.seal(Thing::Folder { key: place.folder.key() }))
        }
        "conversationId" => json!(view.conversation()),
        "conversationIndex" => {
            json!(STANDARD.encode(content.conversation_index(&shape.mailbox.address)))
        }
        "isDeliveryReceiptRequested" => json!(content.receipts.delivery),
        "isReadReceiptRequested" => json!(content.receipts.read),
        "isRead" => json!(content.is_read),
        "isDraft" => json!(place.is_draft),
        "webLink" => {
            let id = percent_encode(&view.id());
            json!(format!("https://outlook.office365.com/owa/?ItemID={id}&exvsurl=1"))
        }
        "inferenceClassification" => {
            json!(if content.other_inference { "other" } else { "focused" })
        }
        "body" | "uniqueBody" => body(&content.body, shape.preferences.body),
        "sender" => person(&content.sender),
        "from" => person(&content.from),
        "toRecipients" => json!(recipients(&content.to)),
        "ccRecipients" => json!(recipients(&content.cc)),
        "bccRecipients" => json!(recipients(&content.bcc)),
        "replyTo" => json!(recipients(&content.reply_to)),
        "flag" => content.flag.clone().unwrap_or_else(|| json!({"flagStatus": "notFlagged"})),
        "internetMessageHeaders" => json!(headers(content)),
        _ => Value::Null,
    }
}

/// Some properties of a message, with its id and its tag.
fn some<'a>(names: impl Iterator<Item = &'a str>, view: &View<'_>) -> Map<String, Value> {
    let mut all: Map<String, Value> =
        names.map(|name| (name.to_owned(), property(name, view))).collect();
    all.insert("id".to_owned(), json!(view.id()));
    all.insert("@odata.etag".to_owned(), json!(etag(view.message)));
    all
}

/// What a change has changed of a message, as far as the client selects it.
pub fn changed(view: &View<'_>, marks: Marks) -> Map<String, Value> {
    if marks.has(Marks::REST) {
        return message(view.message, view.place, view.shape);
    }
    let marked = [
        (Marks::READ, "isRead"),
        (Marks::CATEGORIES, "categories"),
        (Marks::FLAG, "flag"),
        (Marks::IMPORTANCE, "importance"),
        (Marks::INFERENCE, "inferenceClassification"),
    ];
    let names = marked.iter().filter(|(mark, _)| marks.has(*mark)).map(|(_, name)| *name);
    some(names.filter(|name| view.shape.selects(name)), view)
}

fn recipient(one: &Recipient) -> Value {
    let name = one.name.as_deref().unwrap_or(&one.address);
    json!({"emailAddress": {"name": name, "address": one.address}})
}

fn recipients(all: &[Recipient]) -> Vec<Value> {
    all.iter().map(recipient).collect()
}

fn headers(content: &Content) -> Vec<Value> {
    content.headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// Exchange completes HTML to a document of its own
/// (learn.microsoft.com/graph/outlook-create-send-messages).
fn body(body: &Body, preference: Option<BodyPreference>) -> Value {
    let (kind, text) = match (body.is_html, preference) {
        (true, Some(BodyPreference::Text)) => ("text", strip_tags(&body.text)),
        (true, _) => ("html", document(&body.text)),
        (false, Some(BodyPreference::Html)) => ("html", document(&escape_html(&body.text))),
        (false, _) => ("text", body.text.clone()),
    };
    json!({"contentType": kind, "content": text})
}

fn document(html: &str) -> String {
    let head = "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">";
    if html.get(..512).unwrap_or(html).to_ascii_lowercase().contains("<html") {
        return html.to_owned();
    }
    format!("<html><head>\r\n{head}</head><body>{html}</body></html>")
}

/// One attachment. `select` narrows it; the id and the type stay.
pub fn attachment(
    attachment: &Attachment,
    message: u64,
    mailbox: &Mailbox,
    select: Option<&[String]>,
) -> Map<String, Value> {
    let all = json!({
        "lastModifiedDateTime": seconds_text(attachment.modified),
        "name": attachment.name,
        "contentType": attachment.content_type,
        // what Exchange says is larger than the file: it counts the properties too
        "size": attachment.data.length + 200,
        "isInline": attachment.is_inline,
    });
    let Value::Object(mut all) = all else { return Map::new() };
    let kind = match attachment.kind {
        AttachmentKind::File => {
            all.insert("contentId".to_owned(), json!(attachment.content_id));
            all.insert("contentLocation".to_owned(), Value::Null);
            if select.is_none() {
                let bytes = STANDARD.encode(attachment.data.read().unwrap_or_default());
                all.insert("contentBytes".to_owned(), Value::String(bytes));
            }
            "#microsoft.graph.fileAttachment"
        }
        AttachmentKind::Item => "#microsoft.graph.itemAttachment",
        AttachmentKind::Reference => "#microsoft.graph.referenceAttachment",
    };
    if let Some(names) = select {
        all.retain(|name, _| names.iter().any(|wanted| wanted == name));
    }
    let id = mailbox.seal.seal(Thing::Attachment { message, key: attachment.key });
    all.insert("id".to_owned(), Value::String(id));
    all.insert("@odata.type".to_owned(), json!(kind));
    all.insert("@odata.mediaContentType".to_owned(), json!(attachment.content_type));
    all
}

fn extended<'a, T>(all: impl Iterator<Item = (&'a str, T)>, expand: &Expand) -> Vec<Value>
where
    T: serde::Serialize,
{
    all.filter(|(id, _)| {
        expand.filter.as_ref().is_none_or(|filter| filter.accepts(&Property { id, value: "" }))
    })
    .map(|(id, value)| json!({"id": id, "value": value}))
    .collect()
}

impl Call<'_> {
    pub fn shape<'a>(&self, mailbox: &'a Mailbox, query: Option<&'a Query>) -> Shape<'a> {
        Shape { mailbox, preferences: self.preferences, query }
    }

    /// The address of this request, without its query.
    pub fn url(&self) -> String {
        format!("{}{}", self.base, self.path)
    }

    /// The context URL of a collection below the user, or of one entity of it.
    pub fn context(&self, mailbox: &Mailbox, collection: &str, suffix: &str) -> String {
        let user = percent_encode(&mailbox.user_id);
        format!("{}/v1.0/$metadata#users('{user}')/{collection}{suffix}", self.base)
    }

    pub fn entity(
        &self,
        mailbox: &Mailbox,
        collection: &str,
        mut body: Map<String, Value>,
    ) -> Value {
        let context = self.context(mailbox, collection, "/$entity");
        body.insert("@odata.context".to_owned(), Value::String(context));
        Value::Object(body)
    }

    pub fn attachments_context(&self, mailbox: &Mailbox) -> String {
        let message = percent_encode(&self.route.message);
        self.context(mailbox, "messages", &format!("('{message}')/attachments"))
    }

    pub fn attachment_entity(&self, mailbox: &Mailbox, mut body: Map<String, Value>) -> Value {
        let context = self.attachments_context(mailbox) + "/$entity";
        body.insert("@odata.context".to_owned(), Value::String(context));
        Value::Object(body)
    }
}
