//! What happens in mailboxes: what Graph is asked, and what its odd answers come to.

mod content;
mod directory;
mod folders;
mod page;
mod subscriptions;

use std::time::Duration;

use mailbridge_core::{
    Changes, Code, Deadline, Error, Mailbox, Result, Scope, Verdict,
    changes::{Ask, Cursor, Page, Select},
};
use serde_json::{Value, json};

use crate::{
    scene::{MAILBOX, Scene},
    stub::{Asked, Reply},
};

fn mailbox() -> Mailbox {
    Mailbox::new(MAILBOX)
}

fn soon() -> Deadline {
    Deadline::new(Duration::from_secs(20), Duration::from_mins(1))
}

/// Asks for a page of the inbox.
async fn page(scene: &Scene, cursor: Option<&str>, select: &Select, size: u32) -> Result<Page> {
    let cursor = cursor.map(|link| Cursor(link.to_owned()));
    let (mailbox, deadline) = (&mailbox(), &soon());
    let (folder, cursor, since, page_size) = ("inbox", cursor.as_ref(), None, size);
    let ask = Ask { mailbox, folder, cursor, select, since, page_size, deadline };
    scene.graph.page(&ask).await
}

/// An answer with items and a link of this very server.
fn listed(asked: &Asked, link: &str, items: &[Value]) -> Reply {
    let host = asked.header("host").unwrap();
    let url = format!("http://{host}/v1.0/{link}");
    let name = if link.contains("next") { "@odata.nextLink" } else { "@odata.deltaLink" };
    Reply::json(200, json!({ "value": items, name: url }).to_string())
}

/// All that Graph was asked, path and query.
fn targets(scene: &Scene) -> Vec<String> {
    let all = scene.stub.asked().into_iter();
    all.filter(|asked| !asked.target.ends_with("/token")).map(|asked| asked.target).collect()
}

fn is_mailboxs(error: &Error) -> bool {
    matches!(error.verdict(), Verdict::Blocked { scope: Scope::Mailbox, after: Some(_) })
}

fn is_transient(error: &Error) -> bool {
    matches!(error.verdict(), Verdict::Transient { .. })
}

fn assert_is(error: &Error, code: Code, verdict: Verdict) {
    assert_eq!((error.code(), error.verdict()), (code, verdict), "{error:?}");
}
