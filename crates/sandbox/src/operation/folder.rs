//! `mailFolders` and `childFolders`: listed, read, made, renamed, moved and deleted
//! (learn.microsoft.com/graph/api/mailfolder-get, user-post-mailfolders and their
//! neighbours).

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::relocate::destination;
use super::{Call, json_object};
use crate::answer::Answer;
use crate::error::GraphError;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::Thing;
use crate::mailbox::{Inner, Mailbox};
use crate::metadata;
use crate::odata::filter::{Subject, Value as Field};
use crate::odata::query::Query;

const PAGE: usize = 10;

pub fn get(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "mailFolder")?;
    let folder = call.folder(mailbox)?.ok_or_else(GraphError::item_not_found)?;
    let inner = call.settled(mailbox);
    inner.folders.name(folder).ok_or_else(GraphError::item_not_found)?;
    let rendered = render(mailbox, &inner, folder, &query);
    Ok(Answer::json(StatusCode::OK, &call.entity(mailbox, "mailFolders", rendered)))
}

/// The folders below the root, or below the one in the path.
pub fn list(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "mailFolder")?;
    let parent = call.folder(mailbox)?.unwrap_or(Folder::ROOT);
    let inner = call.settled(mailbox);
    inner.folders.name(parent).ok_or_else(GraphError::item_not_found)?;
    let found: Vec<Folder> = inner
        .folders
        .below(parent)
        .filter(|folder| query.include_hidden || !inner.folders.is_hidden(*folder))
        .filter(|folder| {
            let name = inner.folders.name(*folder).unwrap_or_default();
            query.filter.as_ref().is_none_or(|filter| filter.accepts(&Named(name)))
        })
        .collect();
    let context = call.context(mailbox, "mailFolders", "");
    Ok(call.page(&context, &query, &found, PAGE, |folder| render(mailbox, &inner, *folder, &query)))
}

/// 201 with the folder; 409 when the name is taken.
pub fn create(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let object = json_object(call, body)?;
    metadata::check_object("mailFolder", &object)?;
    let name = display_name(&object)?;
    let hidden = object.get("isHidden").and_then(Value::as_bool).unwrap_or(false);
    let parent = call.folder(mailbox)?.unwrap_or(Folder::ROOT);
    let mut inner = call.settled(mailbox);
    inner.check_room()?;
    let folder = inner.folders.create(parent, name, hidden)?;
    let rendered = render(mailbox, &inner, folder, &Query::default());
    Ok(Answer::json(StatusCode::CREATED, &call.entity(mailbox, "mailFolders", rendered)))
}

fn display_name(object: &Map<String, Value>) -> Result<&str, GraphError> {
    let name = object.get("displayName").and_then(Value::as_str).unwrap_or_default().trim();
    if name.is_empty() { Err(GraphError::invalid_parameter("displayName")) } else { Ok(name) }
}

/// 200 with the folder, which has another name.
pub fn update(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let object = json_object(call, body)?;
    metadata::check_object("mailFolder", &object)?;
    let name = display_name(&object)?;
    let folder = call.folder(mailbox)?.ok_or_else(GraphError::item_not_found)?;
    let mut inner = call.settled(mailbox);
    inner.folders.rename(folder, name)?;
    let rendered = render(mailbox, &inner, folder, &Query::default());
    Ok(Answer::json(StatusCode::OK, &call.entity(mailbox, "mailFolders", rendered)))
}

/// 201 with the folder, which keeps its id.
pub fn relocate(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let target = destination(call, mailbox, body)?;
    let folder = call.folder(mailbox)?.ok_or_else(GraphError::item_not_found)?;
    let mut inner = call.settled(mailbox);
    inner.folders.relocate(folder, target)?;
    let rendered = render(mailbox, &inner, folder, &Query::default());
    Ok(Answer::json(StatusCode::CREATED, &call.entity(mailbox, "mailFolders", rendered)))
}

/// 204 without a body. The folder is gone at once with all below it, and what was in it is
/// recoverable; Exchange keeps a folder in Deleted Items for a while.
pub fn delete(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let folder = call.folder(mailbox)?.ok_or_else(GraphError::item_not_found)?;
    let mut inner = call.settled(mailbox);
    take_away(&mut inner, folder, call.now)?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

pub fn take_away(inner: &mut Inner, folder: Folder, now: Timestamp) -> Result<(), GraphError> {
    for gone in inner.folders.delete(folder)? {
        inner.store.empty(gone, now);
    }
    Ok(())
}

pub fn render(
    mailbox: &Mailbox,
    inner: &Inner,
    folder: Folder,
    query: &Query,
) -> Map<String, Value> {
    let log = inner.store.journal.log(folder);
    let (total, unread) = log.map_or((0, 0), |log| (log.total(), log.unread()));
    let id = |folder: Folder| mailbox.seal.seal(Thing::Folder { key: folder.key() });
    let all = json!({
        "displayName": inner.folders.name(folder),
        "parentFolderId": id(inner.folders.parent(folder)),
        "childFolderCount": inner.folders.below(folder).count(),
        "unreadItemCount": unread,
        "totalItemCount": total,
        "isHidden": inner.folders.is_hidden(folder),
    });
    let Value::Object(mut all) = all else { return Map::new() };
    all.retain(|name, _| query.selects(name));
    all.insert("id".to_owned(), json!(id(folder)));
    all
}

/// A folder under a filter: by its name, the only thing clients look for.
struct Named<'a>(&'a str);

impl Subject for Named<'_> {
    fn value(&self, path: &str) -> Field<'_> {
        match path {
            "displayName" => self.0.into(),
            _ => Field::Null,
        }
    }

    fn members(&self, _: &str) -> Vec<Box<dyn Subject + '_>> {
        Vec::new()
    }
}
