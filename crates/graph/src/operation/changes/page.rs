//! The changes in a folder, page by page (learn.microsoft.com, delta-query-messages, message-delta).
//!
//! The first page is asked for by what is wanted of each message; every later one by the link of the
//! one before, which holds all that but the wishes in `Prefer`. A page that is too large, or that
//! Graph does not get done in time, is asked for again, smaller.

use jiff::{Timestamp, Unit};
use mailbridge_core::{
    Code, Error, Result,
    changes::{Ask, Bodies, Cursor, Page, Select},
};
use tokio::time::Instant;

use super::{listed, text};
use crate::{
    graph::Graph,
    http::{Operation, Prefer},
    operation::{Session, segment},
    wire::item::{item, selected},
};

pub(crate) async fn page(graph: &Graph, ask: &Ask<'_>) -> Result<Page> {
    let session = Session::open(graph, ask.mailbox, ask.deadline).await?;
    let body = match ask.cursor {
        Some(Cursor(link)) if !session.leads_here(link) => {
            let detail = "the cursor is of another graph host than the connection's";
            return Err(Error::transient(Code::GraphCursorExpired, detail));
        }
        Some(Cursor(link)) => fetch(&session, ask, Operation::ReadChanges, link).await?,
        None => fetch(&session, ask, Operation::ReadFolder, &session.url(&first(ask)?)).await?,
    };
    let page = read(&text(&body), ask.select)?;
    if !session.leads_here(&page.next.0) {
        let code = Code::GraphLinkElsewhere;
        return Err(Error::transient(code, code.meaning()));
    }
    Ok(page)
}

/// What a body is asked for as.
pub(super) fn body(bodies: Bodies) -> Option<&'static str> {
    match bodies {
        Bodies::None => None,
        Bodies::Text => Some("text"),
        Bodies::Html | Bodies::Both => Some("html"),
    }
}

async fn fetch(
    session: &Session<'_>,
    ask: &Ask<'_>,
    operation: Operation,
    url: &str,
) -> Result<bytes::Bytes> {
    let permit = session.permit();
    loop {
        let size = permit.page_size(ask.page_size);
        let prefer = Prefer { page_size: Some(size), body: body(ask.select.bodies) };
        let error = match session.read(operation, url, prefer).await {
            Ok(body) => {
                permit.page_told(size, true);
                return Ok(body);
            }
            Err(error) if is_too_much(&error) => error,
            Err(error) => return Err(error),
        };
        permit.page_told(size, false);
        if size == 1 || Instant::now() >= ask.deadline.at() {
            return Err(error);
        }
        tracing::debug!(page_size = size, code = %error.code(), "a page is asked for smaller");
    }
}

/// Whether fewer messages may help: pages with bodies run into Graph's own time limit
/// (learn.microsoft.com, user-list-messages).
fn is_too_much(error: &Error) -> bool {
    matches!(error.code(), Code::GraphAnswerTooLarge | Code::GraphTimeout)
        || error.field("status") == Some("504")
}

/// The path of the first page.
fn first(ask: &Ask<'_>) -> Result<String> {
    let folder = segment(ask.folder).ok_or_else(|| {
        let detail = "the folder's name does not fit into a URL";
        Error::permanent(Code::GraphFolderNotFound, detail)
    })?;
    let mut query = Vec::new();
    if let Some(names) = selected(ask.select) {
        query.push(format!("$select={names}"));
    }
    if ask.select.only_new {
        query.push("changeType=created".to_owned());
    }
    if let Some(since) = ask.since {
        query.push(format!("$filter=receivedDateTime%20ge%20{}", whole_seconds(since)));
    }
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(format!("/mailFolders/{folder}/messages/delta{mark}{}", query.join("&")))
}

/// A time without fractions, rounded down.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    let second = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor);
    time.round(second).unwrap_or(time)
}

/// Reads a page.
pub(crate) fn read(body: &str, select: &Select) -> Result<Page> {
    let listed = listed(body, "graph's page of changes cannot be read")?;
    let (next, more) = match (listed.next_link, listed.delta_link) {
        (Some(link), _) => (link, true),
        (None, Some(link)) => (link, false),
        (None, None) => {
            let detail = "graph's page of changes does not say where the next one begins";
            return Err(Error::transient(Code::GraphUnexpected, detail));
        }
    };
    let items = listed.value.into_iter().map(|json| item(json, select)).collect();
    Ok(Page { items, next: Cursor(next), more })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mailbridge_core::{Deadline, Mailbox, changes::Item};

    use super::*;

    fn asked(folder: &str, select: &Select, since: Option<&str>) -> String {
        let deadline = Deadline::fixed(Duration::from_secs(1));
        let since = since.map(|text| text.parse().unwrap());
        let mailbox = &Mailbox::new("a@x.org");
        let (cursor, page_size, deadline) = (None, 50, &deadline);
        first(&Ask { mailbox, folder, cursor, select, since, page_size, deadline }).unwrap()
    }

    #[test]
    fn the_first_page_is_asked_for_by_all_that_is_wanted() {
        let raw = Select { raw: true, ..Select::default() };
        assert_eq!(asked("inbox", &raw, None), "/mailFolders/inbox/messages/delta");
        let new = Select { only_new: true, ..raw };
        assert_eq!(
            asked("AQ/k=", &new, Some("2026-03-01T10:00:00.75Z")),
            "/mailFolders/AQ%2Fk%3D/messages/delta?changeType=created\
             &$filter=receivedDateTime%20ge%202026-03-01T10:00:00Z"
        );
        let plain = asked("inbox", &Select::default(), None);
        assert!(plain.starts_with("/mailFolders/inbox/messages/delta?$select=id,"), "{plain}");
    }

    #[test]
    fn a_page_is_its_items_and_where_the_next_begins() {
        let read = |text: &str| read(text, &Select::default());
        let page = read(r#"{"@odata.nextLink":"n","value":[]}"#).unwrap();
        assert_eq!((page.items.len(), page.next.0.as_str(), page.more), (0, "n", true));
        let page = read(
            r#"{"value":[{"id":"1","@removed":{"reason":"deleted"}},5,{"id":"2","subject":5},
               {"id":"3","isRead":true}],"@odata.deltaLink":"d"}"#,
        )
        .unwrap();
        assert_eq!((page.next.0.as_str(), page.more), ("d", false));
        let kinds: Vec<_> = page.items.iter().map(kind).collect();
        assert_eq!(kinds, ["removed 1", "unreadable", "unreadable 2", "present 3"]);
    }

    fn kind(item: &Item) -> String {
        match item {
            Item::Present(found) => format!("present {}", found.id.0),
            Item::Removed(id) => format!("removed {}", id.0),
            Item::Unreadable { id: Some(id), .. } => format!("unreadable {}", id.0),
            Item::Unreadable { id: None, .. } => "unreadable".to_owned(),
        }
    }

    #[test]
    fn what_is_no_page_is_asked_for_again() {
        for text in
            ["", "<html>", "[]", "{}", r#"{"value":[]}"#, r#"{"value":5,"@odata.nextLink":"n"}"#]
        {
            let error = read(text, &Select::default()).unwrap_err();
            assert_eq!(error.code(), Code::GraphUnexpected, "{text}");
            assert_eq!(error.verdict(), mailbridge_core::Verdict::Transient { after: None });
        }
    }
}
