//! The mail that a report is about.

use mailbridge_core::{Original, Result};
use serde::Deserialize;

use super::{Property, value_of};
use crate::{
    http::{Body, Operation},
    operation::{Session, answer, edit, segment},
    wire::message::ORIGIN_PROPERTY,
};

/// Lists cut long values at this many characters (learn.microsoft.com, finditem-operation).
const LIST_CHARS_MAX: usize = 255;
/// A line of a message (RFC 5322), and so the longest id.
const ID_BYTES_MAX: usize = 998;

#[derive(Deserialize)]
struct Page {
    value: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: String,
    #[serde(default)]
    single_value_extended_properties: Vec<Property>,
}

impl Item {
    fn origin(&self) -> Option<&str> {
        value_of(&self.single_value_extended_properties, ORIGIN_PROPERTY)
    }
}

/// Finds a mail by its `Message-ID`, in the whole mailbox: people and rules move mail.
pub(super) async fn find(session: &Session<'_>, message_id: &str) -> Result<Option<Original>> {
    let is_plain = message_id.len() <= ID_BYTES_MAX && !message_id.contains(char::is_control);
    let filter = segment(&format!("internetMessageId eq '{}'", message_id.replace('\'', "''")));
    let expand = segment(&expand());
    let Some((filter, expand)) = filter.zip(expand).filter(|_| is_plain) else { return Ok(None) };
    let path = format!("/messages?$filter={filter}&$expand={expand}&$select=id&$top=10");
    let body = session.call(Operation::FindMessages, &path, Body::Empty).await?;
    let page: Page = answer(&body, "graph's answer to a search cannot be read")?;
    // one that was sent to its own sender is there twice
    let with_origin = page.value.iter().find(|item| item.origin().is_some());
    let Some(found) = with_origin.or(page.value.first()) else { return Ok(None) };
    let origin = match found.origin() {
        Some(text) if text.encode_utf16().count() >= LIST_CHARS_MAX => {
            read(session, &found.id, &expand).await?
        }
        other => other.map(str::to_owned),
    };
    Ok(Some(Original { message_id: message_id.to_owned(), origin }))
}

/// The whole of a long origin.
async fn read(session: &Session<'_>, id: &str, expand: &str) -> Result<Option<String>> {
    let tail = format!("?$select=id&$expand={expand}");
    let path = edit::path(&mailbridge_core::contract::MessageId(id.to_owned()), &tail)?;
    let body = session.call(Operation::ReadMessage, &path, Body::Empty).await?;
    let item: Item = answer(&body, "graph's answer about a message cannot be read")?;
    Ok(item.origin().map(str::to_owned))
}

fn expand() -> String {
    format!("singleValueExtendedProperties($filter=id eq '{ORIGIN_PROPERTY}')")
}
