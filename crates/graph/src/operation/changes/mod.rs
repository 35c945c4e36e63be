//! What happens in mailboxes, read: a folder's changes, what a message holds, which folders and
//! mailboxes there are, and who is called when something changes.
//!
//! Nothing is kept here: a cursor is Graph's own link, whole, and whoever asked keeps it.

pub(crate) mod discover;
pub(crate) mod folders;
pub(crate) mod page;
pub(crate) mod read;
pub(crate) mod subscribe;

use std::borrow::Cow;

use mailbridge_core::{Code, Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Links followed in one list, so that one that does not end is given up.
const PAGES_MAX: u32 = 1000;

/// A page of whatever it is, its items not read yet.
#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(borrow, default)]
    value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    delta_link: Option<String>,
}

/// An answer's text. Bytes that are no text are replaced, so that they cost one item at most.
fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

fn listed<'a>(text: &'a str, detail: &'static str) -> Result<Listed<'a>> {
    serde_json::from_str(text).map_err(|_| Error::transient(Code::GraphUnexpected, detail))
}

fn endless(what: &'static str) -> Error {
    Error::transient(Code::GraphUnexpected, what).with("pages_max", PAGES_MAX)
}
