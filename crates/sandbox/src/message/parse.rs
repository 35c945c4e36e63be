//! From JSON to [`Content`]: what fits the metadata is read here, and what it means is checked.
//!
//! Read-only properties (`id`, `receivedDateTime`, `isDraft`, ...) are ignored, as Graph ignores
//! them. Recipients are checked only when a message is sent: a draft may be incomplete.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::extended::extended_id;
use super::mime;
use super::{Attachment, AttachmentKind, Body, Content, Importance, Incoming, Recipient};
use crate::error::GraphError;
use crate::metadata;
use crate::text::strip_tags;

/// learn.microsoft.com/graph/outlook-large-attachments: under 3 MB in one request.
pub const ATTACHMENT_LIMIT: usize = 3 * 1024 * 1024;
/// learn.microsoft.com/answers question 762243.
const HEADER_LIMIT: usize = 5;

type Object = Map<String, Value>;

/// Which properties a change may touch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// A message that is being made
    Creation,
    /// An existing draft: all but headers, which are set at creation only
    Draft,
    /// A message that was sent or received
    Sent,
}

/// Properties of a sent or received message that can still change
/// (learn.microsoft.com/graph/api/message-update).
const ALWAYS_UPDATABLE: [&str; 8] = [
    "categories",
    "flag",
    "importance",
    "inferenceClassification",
    "isDeliveryReceiptRequested",
    "isRead",
    "isReadReceiptRequested",
    "singleValueExtendedProperties",
];

/// Properties whose change is refused once a message is sent.
const DRAFT_ONLY: [&str; 10] = [
    "bccRecipients",
    "body",
    "ccRecipients",
    "from",
    "internetMessageHeaders",
    "internetMessageId",
    "replyTo",
    "sender",
    "subject",
    "toRecipients",
];

/// Reads a new message.
pub fn message(object: Object, now: Timestamp) -> Result<Incoming, GraphError> {
    metadata::check_object("message", &object)?;
    message_over(Content::default(), object, now)
}

/// Reads a checked object over a message that the service has begun to write.
pub fn message_over(
    content: Content,
    object: Object,
    now: Timestamp,
) -> Result<Incoming, GraphError> {
    let mut incoming = Incoming { content, attachments: Vec::new() };
    let mut attachments = Vec::new();
    apply(&mut incoming.content, object, Scope::Creation, &mut |values| {
        for value in values {
            let Value::Object(object) = value else { continue };
            attachments.push(attachment(&object, now)?);
        }
        Ok(())
    })?;
    incoming.attachments = attachments;
    Ok(incoming)
}

/// Applies a PATCH body. Attachments cannot be changed this way.
pub fn update(content: &mut Content, object: Object, scope: Scope) -> Result<(), GraphError> {
    metadata::check_object("message", &object)?;
    if scope == Scope::Sent {
        let refused = object.keys().find(|name| DRAFT_ONLY.contains(&name.as_str()));
        if let Some(name) = refused {
            return Err(GraphError::not_updatable(name));
        }
    }
    apply(content, object, scope, &mut |_| Ok(()))
}

/// Reads one attachment out of a checked object.
pub fn attachment(object: &Object, now: Timestamp) -> Result<Attachment, GraphError> {
    let kind = match object.get("@odata.type").and_then(Value::as_str) {
        Some(name) if name.ends_with("fileAttachment") => AttachmentKind::File,
        Some(name) if name.ends_with("itemAttachment") => AttachmentKind::Item,
        Some(name) if name.ends_with("referenceAttachment") => AttachmentKind::Reference,
        _ => {
            let message = "Property '@odata.type' in payload has a value \
                           'microsoft.graph.attachment' \
                           which is an abstract type.";
            return Err(GraphError::body_read(message));
        }
    };
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let bytes = match kind {
        AttachmentKind::File => decode(object.get("contentBytes")),
        AttachmentKind::Item => item(object.get("item"), now)?,
        AttachmentKind::Reference => Vec::new(),
    };
    if bytes.len() >= ATTACHMENT_LIMIT {
        return Err(GraphError::attachment_too_large());
    }
    Ok(Attachment {
        key: 0,
        broken: false,
        kind,
        name: text("name").unwrap_or_default(),
        content_type: text("contentType"),
        content_id: text("contentId"),
        is_inline: object.get("isInline").and_then(Value::as_bool).unwrap_or(false),
        data: bytes.into(),
        modified: now,
    })
}

/// A message as MIME, as its `$value` will be; other items as their JSON.
fn item(item: Option<&Value>, now: Timestamp) -> Result<Vec<u8>, GraphError> {
    let Some(Value::Object(item)) = item else {
        return Err(GraphError::invalid_parameter("item"));
    };
    let kind = item.get("@odata.type").and_then(Value::as_str).unwrap_or_default();
    if !kind.ends_with("graph.message") {
        return Ok(Value::Object(item.clone()).to_string().into_bytes());
    }
    let incoming = message_over(Content::default(), item.clone(), now)?;
    let attachments = incoming.attachments.into_iter().map(Arc::new).collect();
    let from = incoming.content.from.clone().unwrap_or_default();
    Ok(mime::render(&incoming.content, &from, &attachments, now).to_vec())
}

fn decode(value: Option<&Value>) -> Vec<u8> {
    // checked against Edm.Binary before
    value.and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()
}

fn apply(
    content: &mut Content,
    object: Object,
    scope: Scope,
    attach: &mut dyn FnMut(Vec<Value>) -> Result<(), GraphError>,
) -> Result<(), GraphError> {
    for (name, value) in object {
        if scope == Scope::Sent && !ALWAYS_UPDATABLE.contains(&name.as_str()) {
            continue;
        }
        match name.as_str() {
            "subject" => content.subject = string(value),
            "body" => content.body = body(value),
            "from" => content.from = recipient(value),
            "toRecipients" => content.to = recipients(value),
            "ccRecipients" => content.cc = recipients(value),
            "bccRecipients" => content.bcc = recipients(value),
            "replyTo" => content.reply_to = recipients(value),
            "importance" => content.importance = importance(&string(value)),
            "categories" => content.categories = array(value).into_iter().map(string).collect(),
            "internetMessageHeaders" if scope == Scope::Creation => {
                content.headers = headers(value)?;
            }
            "internetMessageId" => content.internet_message_id = message_id(string(value)),
            "singleValueExtendedProperties" => extended(content, value)?,
            "multiValueExtendedProperties" => extended_lists(content, value)?,
            "flag" => content.flag = Some(value).filter(|value| !value.is_null()),
            "inferenceClassification" => {
                content.other_inference = string(value).eq_ignore_ascii_case("other");
            }
            "isRead" => content.is_read = value.as_bool().unwrap_or(false),
            "isDeliveryReceiptRequested" => {
                content.receipts.delivery = value.as_bool().unwrap_or(false);
            }
            "isReadReceiptRequested" => {
                content.receipts.read = value.as_bool().unwrap_or(false);
            }
            "attachments" => attach(array(value))?,
            _ => {}
        }
    }
    Ok(())
}

fn string(value: Value) -> String {
    match value {
        Value::String(text) => text,
        _ => String::new(),
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

fn take(value: &mut Value, name: &str) -> String {
    value.get_mut(name).map(Value::take).map(string).unwrap_or_default()
}

fn body(mut value: Value) -> Body {
    let is_html = take(&mut value, "contentType").eq_ignore_ascii_case("html");
    let text = take(&mut value, "content");
    Body { is_html, length: text.len(), text, alternative: None }
}

fn recipient(mut value: Value) -> Option<Recipient> {
    let address = value.get_mut("emailAddress")?;
    let name = take(address, "name");
    Some(Recipient {
        address: take(address, "address"),
        name: Some(name).filter(|n| !n.is_empty()),
    })
}

fn recipients(value: Value) -> Vec<Recipient> {
    // a recipient without an emailAddress stays, as one with no address: sending refuses it
    array(value).into_iter().map(|value| recipient(value).unwrap_or_default()).collect()
}

fn importance(text: &str) -> Importance {
    match text.to_ascii_lowercase().as_str() {
        "low" => Importance::Low,
        "high" => Importance::High,
        _ => Importance::Normal,
    }
}

fn message_id(text: String) -> String {
    let finished = text.is_empty() || text.starts_with('<');
    if finished { text } else { format!("<{text}>") }
}

fn headers(value: Value) -> Result<Vec<(String, String)>, GraphError> {
    let headers: Vec<_> = array(value)
        .into_iter()
        .map(|mut header| (take(&mut header, "name"), take(&mut header, "value")))
        .collect();
    if headers.len() > HEADER_LIMIT {
        return Err(GraphError::header_collection(format!(
            "Maximum number of headers in one message should be less than or equal to \
             {HEADER_LIMIT}."
        )));
    }
    for (name, value) in &headers {
        if !name.to_ascii_lowercase().starts_with("x-") {
            return Err(GraphError::header_collection(format!(
                "The internet message header name '{name}' should start with 'x-' or 'X-'."
            )));
        }
        let token = name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !token || value.contains(['\r', '\n', '\0']) {
            return Err(GraphError::header_collection(format!(
                "The internet message header '{name}' is not valid."
            )));
        }
    }
    Ok(headers)
}

fn extended(content: &mut Content, value: Value) -> Result<(), GraphError> {
    for mut property in array(value) {
        let id = extended_id(&take(&mut property, "id"))?;
        let value = take(&mut property, "value");
        match content.extended.iter_mut().find(|(known, _)| *known == id) {
            Some((_, old)) => *old = value,
            None => content.extended.push((id, value)),
        }
    }
    Ok(())
}

fn extended_lists(content: &mut Content, value: Value) -> Result<(), GraphError> {
    for mut property in array(value) {
        let id = extended_id(&take(&mut property, "id"))?;
        let values = property.get_mut("value").map(Value::take).map(array).unwrap_or_default();
        content.extended_lists.retain(|(known, _)| *known != id);
        content.extended_lists.push((id, values.into_iter().map(string).collect()));
    }
    Ok(())
}

/// The first 255 characters of the body, as text.
pub fn preview(body: &Body) -> String {
    let text = if body.is_html { strip_tags(&body.text) } else { body.text.clone() };
    text.trim().chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Incoming, GraphError> {
        let Value::Object(object) = value else { panic!("an object") };
        message(object, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn headers_have_their_rules() {
        let with = |headers: Value| read(json!({"internetMessageHeaders": headers}));
        let header = |name: &str| json!({"name": name, "value": "1"});
        assert!(with(json!([header("x-a"), header("X-B")])).is_ok());
        let six: Vec<_> = (0..6).map(|n| header(&format!("x-{n}"))).collect();
        for bad in
            [json!(six), json!([header("References")]), json!([{"name": "x-a", "value": "1\r\n2"}])]
        {
            let error = with(bad).unwrap_err();
            assert_eq!(error.code, "InvalidInternetMessageHeaderCollection");
        }
    }

    #[test]
    fn only_the_named_parts_of_a_sent_message_change() {
        let mut content = Content::default();
        let change = |value: Value| match value {
            Value::Object(object) => object,
            _ => unreachable!(),
        };
        update(&mut content, change(json!({"isRead": true, "categories": ["a"]})), Scope::Sent)
            .unwrap();
        assert!(content.is_read);
        let error = update(&mut content, change(json!({"subject": "x"})), Scope::Sent).unwrap_err();
        assert_eq!(error.status.as_u16(), 400);
        update(&mut content, change(json!({"subject": "x"})), Scope::Draft).unwrap();
        assert_eq!(content.subject, "x");
    }
}
