//! `GET mailFolders` and `GET mailFolders/{id}` (learn.microsoft.com/graph/api/mailfolder-get).

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Call;
use crate::answer::Answer;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::Thing;
use crate::mailbox::{Inner, Mailbox};
use crate::odata::query::Query;

pub fn get(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "mailFolder")?;
    let folder = call.folder(mailbox)?.ok_or_else(GraphError::item_not_found)?;
    let rendered = render(mailbox, &lock(&mailbox.inner), folder, &query, call.now);
    Ok(Answer::json(StatusCode::OK, &call.entity(mailbox, "mailFolders", rendered)))
}

/// The folders below the root.
pub fn list(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "mailFolder")?;
    let inner = lock(&mailbox.inner);
    let all: Vec<Value> = Folder::children()
        .map(|folder| Value::Object(render(mailbox, &inner, folder, &query, call.now)))
        .collect();
    drop(inner);
    let size = query.top.or(call.preferences.page_size).unwrap_or(10);
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(query.skip).take(size).collect();
    let mut body = json!({
        "@odata.context": call.context(mailbox, "mailFolders", ""),
        "value": page,
    });
    if query.skip + size < total {
        body["@odata.nextLink"] = json!(query.next_link(&call.url(), query.skip + size));
    }
    Ok(Answer::json(StatusCode::OK, &body))
}

fn render(
    mailbox: &Mailbox,
    inner: &Inner,
    folder: Folder,
    query: &Query,
    now: Timestamp,
) -> Map<String, Value> {
    let (mut total, mut unread) = (0, 0);
    for message in inner.store.newest_first() {
        if message.seen(now).is_some_and(|place| place.folder == folder) {
            total += 1;
            unread += u32::from(!message.content.is_read);
        }
    }
    let id = |folder: Folder| mailbox.seal.seal(Thing::Folder { key: folder.key() });
    let children = if folder == Folder::ROOT { Folder::children().count() } else { 0 };
    let all = json!({
        "displayName": folder.display_name(),
        "parentFolderId": id(Folder::ROOT),
        "childFolderCount": children,
        "unreadItemCount": unread,
        "totalItemCount": total,
        "isHidden": false,
    });
    let Value::Object(mut all) = all else { return Map::new() };
    all.retain(|name, _| query.selects(name));
    all.insert("id".to_owned(), json!(id(folder)));
    all
}
