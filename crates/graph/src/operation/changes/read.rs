//! What a message holds: the message itself, what is attached to it, and content in pieces
//! (learn.microsoft.com, message-get, message-list-attachments, attachment-get).

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{
    Code, Deadline, Error, Mailbox, Result,
    changes::{Bodies, Content, Found, Item, Select, What},
    contract::{EventAttachment, MessageId},
};
use serde_json::value::RawValue;

use super::{PAGES_MAX, endless, listed, page, text};
use crate::{
    graph::Graph,
    http::{Operation, Prefer, Stream},
    operation::{Session, edit, segment},
    wire::{
        attached::attachment,
        item::{item, selected},
    },
};

/// The message, with both bodies where both are wanted; nothing, if it is not in the mailbox.
pub(crate) async fn message(
    graph: &Graph,
    mailbox: &Mailbox,
    id: &MessageId,
    select: &Select,
    deadline: &Deadline,
) -> Result<Option<Found>> {
    let session = Session::open(graph, mailbox, deadline).await?;
    let query = selected(select).map(|names| format!("?$select={names}")).unwrap_or_default();
    let prefer = Prefer { page_size: None, body: page::body(select.bodies) };
    let Some(mut found) = show(&session, id, &query, prefer, select).await? else {
        return Ok(None);
    };
    if select.bodies == Bodies::Both {
        let prefer = Prefer { body: Some("text"), ..prefer };
        let select = Select { raw: false, ..select.clone() };
        let Some(second) = show(&session, id, "?$select=id,body", prefer, &select).await? else {
            return Ok(None);
        };
        found.content.text = second.content.text;
    }
    Ok(Some(found))
}

async fn show(
    session: &Session<'_>,
    id: &MessageId,
    query: &str,
    prefer: Prefer,
    select: &Select,
) -> Result<Option<Found>> {
    let url = session.url(&edit::path(id, query)?);
    let body = match session.read(Operation::ShowMessage, &url, prefer).await {
        Ok(body) => body,
        Err(error) if error.code() == Code::GraphMessageGone => return Ok(None),
        Err(error) => return Err(error),
    };
    let unexpected =
        || Error::transient(Code::GraphUnexpected, "graph's answer about a message cannot be read");
    let text = text(&body);
    let json: &RawValue = serde_json::from_str(&text).map_err(|_| unexpected())?;
    match item(json, select) {
        // all that there is, is here
        Item::Present(found) => Ok(Some(Found { complete: true, ..*found })),
        Item::Removed(_) | Item::Unreadable { id: None, .. } => Err(unexpected()),
        Item::Unreadable { error, .. } => Err(error),
    }
}

/// What is attached. Only what every kind of attachment has may be selected.
pub(crate) async fn attachments(
    graph: &Graph,
    mailbox: &Mailbox,
    id: &MessageId,
    deadline: &Deadline,
) -> Result<Vec<EventAttachment>> {
    const QUERY: &str = "/attachments?$select=id,name,contentType,size,isInline";
    let session = Session::open(graph, mailbox, deadline).await?;
    let mut url = session.url(&edit::path(id, QUERY)?);
    let mut all = Vec::new();
    for _ in 0..PAGES_MAX {
        let body = session.follow(Operation::ListAttachments, &url).await?;
        let body = text(&body);
        let page = listed(&body, "graph's list of attachments cannot be read")?;
        all.extend(page.value.into_iter().filter_map(attachment));
        let Some(link) = page.next_link else { return Ok(all) };
        url = link;
    }
    Err(endless("graph's list of attachments does not come to an end"))
}

/// Begins to read content.
pub(crate) async fn content<'a>(
    graph: &'a Graph,
    mailbox: &Mailbox,
    what: What<'_>,
    deadline: &'a Deadline,
) -> Result<Box<dyn Content + 'a>> {
    let path = match what {
        What::Mime(message) => edit::path(message, "/$value")?,
        What::Attachment(message, id) => {
            let id = segment(id).ok_or_else(|| {
                let detail = "the attachment's id does not fit into a URL";
                Error::permanent(Code::GraphAttachmentUnreadable, detail)
            })?;
            edit::path(message, &format!("/attachments/{id}/$value"))?
        }
    };
    let session = Session::open(graph, mailbox, deadline).await?;
    let stream = session.open_content(Operation::ReadContent, &path).await?;
    Ok(Box::new(Pieces { session, stream }))
}

/// Content on its way. It keeps its place among the mailbox's requests until it is dropped.
struct Pieces<'a> {
    session: Session<'a>,
    stream: Stream,
}

#[async_trait]
impl Content for Pieces<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let deadline = self.session.deadline();
        let piece = self.stream.next(deadline.at()).await?;
        if piece.is_some() {
            deadline.progress();
        }
        Ok(piece)
    }
}
