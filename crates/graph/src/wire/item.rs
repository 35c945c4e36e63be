//! A message as Graph shows it, read property by property (learn.microsoft.com, message resource).
//!
//! A mail may be anything: without a sender, from the year 1601, with half of an emoji in its
//! preview. What has a meaning is read; what has none makes this one item unreadable, with its id
//! and the name of the property, and never with what stands in it.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use mailbridge_core::{
    Code, Error,
    changes::{Bodies, Found, Item, Select},
    contract::{Address, Importance, MailContent, MailHeader, MessageId},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::surrogates::mended;

/// What an event is made of, besides what only some ask for.
const PROPERTIES: [&str; 22] = [
    "receivedDateTime",
    "sentDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "parentFolderId",
    "internetMessageId",
    "conversationId",
    "subject",
    "bodyPreview",
    "from",
    "sender",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "importance",
    "categories",
    "isRead",
    "isDraft",
    "flag",
    "hasAttachments",
    "webLink",
];
/// What else Graph shows of a message unasked.
const OTHERS: [&str; 5] = [
    "conversationIndex",
    "createdDateTime",
    "inferenceClassification",
    "isDeliveryReceiptRequested",
    "isReadReceiptRequested",
];
/// What every message has, so that one that lacks it is told in part. Graph may leave out others
/// that a message has no value for, such as `from`.
const ALWAYS: [&str; 5] =
    ["receivedDateTime", "isRead", "isDraft", "hasAttachments", "toRecipients"];

/// The names to select; nothing, where what Graph gives unasked is right.
pub(crate) fn selected(select: &Select) -> Option<String> {
    let body = select.bodies != Bodies::None;
    if select.raw && body && !select.headers {
        return None;
    }
    let mut names = vec!["id"];
    names.extend(PROPERTIES);
    if select.raw {
        names.extend(OTHERS);
    }
    if body {
        names.push("body");
    }
    if select.headers {
        names.push("internetMessageHeaders");
    }
    Some(names.join(","))
}

/// Reads an item of a page.
pub(crate) fn item(json: &RawValue, select: &Select) -> Item {
    let whole = mended(json.get());
    let text = whole.as_deref().unwrap_or(json.get());
    let properties: Properties<'_> = match serde_json::from_str(text) {
        Ok(properties) => properties,
        Err(_) => return Item::Unreadable { id: None, error: unreadable(None) },
    };
    let id = properties.get("id").and_then(|id| read::<String>(id).ok());
    let Some(id) = id.filter(|id| !id.is_empty()).map(MessageId) else {
        return Item::Unreadable { id: None, error: unreadable(Some("id")) };
    };
    if properties.contains_key("@removed") {
        return Item::Removed(id);
    }
    match found(id.clone(), &properties, select) {
        Ok(found) => {
            let raw = select.raw.then(|| RawValue::from_string(text.to_owned()).ok()).flatten();
            Item::Present(Box::new(Found { raw, ..found }))
        }
        Err(name) => Item::Unreadable { id: Some(id), error: unreadable(Some(name)) },
    }
}

/// What stands in the item is never told: it is somebody's mail.
fn unreadable(property: Option<&str>) -> Error {
    let code = Code::GraphItemUnreadable;
    let error = Error::permanent(code, code.meaning());
    match property {
        Some(name) => error.with("property", name),
        None => error,
    }
}

type Properties<'a> = BTreeMap<String, &'a RawValue>;
/// Fails with the name of the property that cannot be read.
type Read<T> = std::result::Result<T, &'static str>;

fn found(id: MessageId, all: &Properties<'_>, select: &Select) -> Read<Found> {
    let content = content(all)?;
    let version = property(all, "changeKey")?.or(property(all, "@odata.etag")?);
    let body = (select.bodies != Bodies::None).then_some("body");
    Ok(Found {
        id,
        complete: ALWAYS.into_iter().chain(body).all(|name| all.contains_key(name)),
        version,
        received: content.received_at,
        folder: property(all, "parentFolderId")?,
        modified: time(all, "lastModifiedDateTime")?,
        properties: all.keys().filter(|name| is_told(name)).cloned().collect(),
        content: Box::new(content),
        raw: None,
    })
}

/// Whether it is neither an id of the message nor an annotation.
fn is_told(name: &str) -> bool {
    !name.contains('@') && !["id", "changeKey"].contains(&name)
}

fn content(all: &Properties<'_>) -> Read<MailContent> {
    let (text, html) = body(all)?;
    let from = recipient(all, "from")?;
    Ok(MailContent {
        internet_message_id: property(all, "internetMessageId")?,
        conversation_id: property(all, "conversationId")?,
        sender: recipient(all, "sender")?.filter(|sender| from.as_ref() != Some(sender)),
        from,
        to: recipients(all, "toRecipients")?,
        cc: recipients(all, "ccRecipients")?,
        bcc: recipients(all, "bccRecipients")?,
        reply_to: recipients(all, "replyTo")?,
        subject: property(all, "subject")?,
        preview: property(all, "bodyPreview")?,
        text,
        html,
        importance: property::<String>(all, "importance")?.as_deref().and_then(importance),
        categories: property(all, "categories")?.unwrap_or_default(),
        is_read: property(all, "isRead")?,
        is_draft: property(all, "isDraft")?,
        flag: property::<Flag>(all, "flag")?.and_then(|flag| flag.flag_status),
        has_attachments: property(all, "hasAttachments")?,
        received_at: time(all, "receivedDateTime")?,
        sent_at: time(all, "sentDateTime")?,
        headers: headers(all)?,
        web_link: property(all, "webLink")?,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: Option<EmailAddress>,
}

#[derive(Deserialize)]
struct EmailAddress {
    name: Option<String>,
    address: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    content_type: Option<String>,
    content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flag {
    flag_status: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: Option<String>,
}

/// The value of a property; nothing when it is not there or null.
fn property<T: DeserializeOwned>(all: &Properties<'_>, name: &'static str) -> Read<Option<T>> {
    let Some(value) = all.get(name) else { return Ok(None) };
    read::<Option<T>>(value).map_err(|_| name)
}

fn read<T: DeserializeOwned>(value: &RawValue) -> serde_json::Result<T> {
    serde_json::from_str(value.get())
}

fn body(all: &Properties<'_>) -> Read<(Option<String>, Option<String>)> {
    let Some(body) = property::<Body>(all, "body")? else { return Ok((None, None)) };
    let is_text = body.content_type.is_some_and(|kind| kind.eq_ignore_ascii_case("text"));
    Ok(if is_text { (body.content, None) } else { (None, body.content) })
}

fn recipient(all: &Properties<'_>, name: &'static str) -> Read<Option<Address>> {
    Ok(property::<Recipient>(all, name)?.and_then(address))
}

fn recipients(all: &Properties<'_>, name: &'static str) -> Read<Vec<Address>> {
    let list = property::<Vec<Recipient>>(all, name)?.unwrap_or_default();
    Ok(list.into_iter().filter_map(address).collect())
}

/// An undisclosed recipient has a name only; something that has neither is nobody.
fn address(recipient: Recipient) -> Option<Address> {
    let EmailAddress { name, address } = recipient.email_address?;
    let address = address.unwrap_or_default();
    // graph repeats the address where there is no name
    let name = name.filter(|name| !name.is_empty() && *name != address);
    (!address.is_empty() || name.is_some()).then_some(Address { address, name })
}

fn importance(text: &str) -> Option<Importance> {
    match text.to_ascii_lowercase().as_str() {
        "low" => Some(Importance::Low),
        "normal" => Some(Importance::Normal),
        "high" => Some(Importance::High),
        _ => None,
    }
}

fn headers(all: &Properties<'_>) -> Read<Vec<MailHeader>> {
    let list = property::<Vec<Header>>(all, "internetMessageHeaders")?.unwrap_or_default();
    let header = |Header { name, value }| MailHeader { name, value: value.unwrap_or_default() };
    Ok(list.into_iter().map(header).collect())
}

fn time(all: &Properties<'_>, name: &'static str) -> Read<Option<Timestamp>> {
    Ok(property::<String>(all, name)?.as_deref().and_then(moment))
}

/// A time as Exchange writes it, also of mails that were never dated: `0001-01-01T00:00:00Z`, or the
/// last moment of 9999, which is clamped. One that is no time at all is not there.
fn moment(text: &str) -> Option<Timestamp> {
    let civil = || text.trim_end_matches(['Z', 'z']).parse::<DateTime>().ok();
    text.parse().ok().or_else(|| match civil()?.to_zoned(TimeZone::UTC) {
        Ok(zoned) => Some(zoned.timestamp()),
        Err(_) if text.starts_with("9999") => Some(Timestamp::MAX),
        Err(_) => None,
    })
}

#[cfg(test)]
mod tests;
