//! The look in the mailbox: is there a mail, or a draft, that carries this mark?
//!
//! The whole mailbox is asked, not Drafts and Sent Items alone: rules and people move mail, and one
//! request costs half of two. Several drafts of one mark may be there, left by attempts that broke
//! off; of those one is enough, and the others are left to the sweep.

use mailbridge_core::{Code, Error, Result};
use serde::Deserialize;

use super::draft::Draft;
use crate::{
    http::{Body, Operation},
    operation::{Session, answer, segment},
    wire::message::MARK_PROPERTY,
};

/// Pages followed. A mark has one message, or a few; a page may be empty and still have a next one.
const PAGES_MAX: u32 = 20;

/// What the mailbox shows of a mark.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The mail, if it was sent.
    pub(super) sent: Option<Draft>,
    pub(super) drafts: Vec<Draft>,
}

/// What follows from it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Sent(Draft),
    Draft(Draft),
    Nothing,
}

impl Shown {
    /// A sent mail settles it, whatever else is there.
    pub(super) fn decisive(self) -> Found {
        let draft = || self.drafts.into_iter().next().map_or(Found::Nothing, Found::Draft);
        self.sent.map_or_else(draft, Found::Sent)
    }
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Item>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(flatten)]
    message: Draft,
    is_draft: bool,
}

pub(super) async fn look(session: &Session<'_>, mark: &str) -> Result<Shown> {
    let mut body = session.call(Operation::FindMessages, &query(mark)?, Body::Empty).await?;
    let mut shown = Shown::default();
    for _ in 0..PAGES_MAX {
        let page: Page = answer(&body, "graph's answer to a search cannot be read")?;
        for item in page.value {
            if item.is_draft {
                shown.drafts.push(item.message);
            } else {
                shown.sent = Some(item.message);
            }
        }
        let Some(link) = page.next_link else { return Ok(shown) };
        body = session.follow(Operation::FindMessages, &link).await?;
    }
    if shown.sent.is_some() {
        return Ok(shown);
    }
    let detail = "graph's answer to a search does not come to an end";
    Err(Error::transient(Code::GraphUnexpected, detail).with("pages_max", PAGES_MAX))
}

/// The filter as learn.microsoft.com has it (singlevaluelegacyextendedproperty-get).
fn query(mark: &str) -> Result<String> {
    let filter = format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq '{MARK_PROPERTY}' and ep/value eq '{mark}')"
    );
    let filter = segment(&filter)
        .ok_or_else(|| Error::permanent(Code::Internal, "a filter cannot be written"))?;
    Ok(format!("/messages?$filter={filter}&$select=id,internetMessageId,isDraft&$top=10"))
}
