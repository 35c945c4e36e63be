//! What is done to a message that is there: `mark_read`, `move`, `categorize`, `delete`.
//!
//! All of them are the same when done twice, so none is ever in doubt, and there is nothing to look
//! for. A message that is not there any more was deleted by somebody: that is what `delete` asks
//! for, and the end of every other request.

use mailbridge_core::{
    Attempt, Code, Completion, Error, Result,
    contract::{Categories, MessageId},
};
use serde::Deserialize;
use serde_json::json;

use super::{Session, answer, segment};
use crate::{
    graph::Graph,
    http::{Body, Operation},
};

/// Sets the read state (learn.microsoft.com, message-update).
pub(crate) async fn mark_read(
    graph: &Graph,
    attempt: &Attempt<'_>,
    message: &MessageId,
    is_read: bool,
) -> Result<Completion> {
    let session = Session::open(graph, attempt.mailbox, attempt.deadline).await?;
    update(&session, message, &json!({ "isRead": is_read })).await
}

/// Changes the categories. Those that are there are read first where some stay; Graph has no request
/// that adds one.
pub(crate) async fn categorize(
    graph: &Graph,
    attempt: &Attempt<'_>,
    message: &MessageId,
    categories: &Categories,
) -> Result<Completion> {
    #[derive(Deserialize)]
    struct Item {
        categories: Vec<String>,
    }
    let session = Session::open(graph, attempt.mailbox, attempt.deadline).await?;
    let wanted = match categories {
        Categories::Set(set) => set.clone(),
        Categories::Change { add, remove } => {
            let path = path(message, "?$select=categories")?;
            let body = session.call(Operation::ReadMessage, &path, Body::Empty).await?;
            let item: Item = answer(&body, "graph's answer about a message cannot be read")?;
            let wanted = changed(&item.categories, add, remove);
            if wanted == item.categories {
                return Ok(Completion::Done);
            }
            wanted
        }
    };
    update(&session, message, &json!({ "categories": wanted })).await
}

/// Moves it (learn.microsoft.com, message-move). Its immutable id stays.
pub(crate) async fn relocate(
    graph: &Graph,
    attempt: &Attempt<'_>,
    message: &MessageId,
    folder: &str,
) -> Result<Completion> {
    let session = Session::open(graph, attempt.mailbox, attempt.deadline).await?;
    let body = Body::Json(json!({ "destinationId": folder }).to_string().into());
    match session.call(Operation::MoveMessage, &path(message, "/move")?, body).await {
        Ok(_) => Ok(Completion::Done),
        // the message, or the folder? graph says the same of both
        Err(error) if error.code() == Code::GraphMessageGone => {
            let path = path(message, "?$select=id")?;
            match session.call(Operation::ReadMessage, &path, Body::Empty).await {
                Ok(_) => {
                    let detail = "the folder is not in the mailbox";
                    Err(Error::permanent(Code::GraphFolderNotFound, detail).with("field", "folder"))
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Deletes it (learn.microsoft.com, message-delete): it can be recovered for as long as the tenant
/// keeps deleted items.
pub(crate) async fn delete(
    graph: &Graph,
    attempt: &Attempt<'_>,
    message: &MessageId,
) -> Result<Completion> {
    let session = Session::open(graph, attempt.mailbox, attempt.deadline).await?;
    match session.call(Operation::DeleteMessage, &path(message, "")?, Body::Empty).await {
        Ok(_) => Ok(Completion::Done),
        Err(error) if error.code() == Code::GraphMessageGone => Ok(Completion::Done),
        Err(error) => Err(error),
    }
}

async fn update(
    session: &Session<'_>,
    message: &MessageId,
    change: &serde_json::Value,
) -> Result<Completion> {
    let body = Body::Json(change.to_string().into());
    session.call(Operation::UpdateMessage, &path(message, "")?, body).await?;
    Ok(Completion::Done)
}

/// Outlook compares categories without case.
fn changed(now: &[String], add: &[String], remove: &[String]) -> Vec<String> {
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let among = |name: &str, list: &[String]| list.iter().any(|it| same(it, name));
    let mut wanted: Vec<String> = now.iter().filter(|name| !among(name, remove)).cloned().collect();
    for name in add {
        if !among(name, &wanted) && !among(name, remove) {
            wanted.push(name.clone());
        }
    }
    wanted
}

/// The path of a message, with what stands behind it.
pub(crate) fn path(message: &MessageId, tail: &str) -> Result<String> {
    let id = segment(&message.0).ok_or_else(|| {
        let detail = "the message's id does not fit into a URL";
        Error::permanent(Code::RequestBadMessageId, detail).with("field", "message")
    })?;
    Ok(format!("/messages/{id}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_added_and_taken_away_and_the_others_stay() {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let now = list(&["Red", "New"]);
        let cases = [
            (list(&["Done"]), list(&["new"]), list(&["Red", "Done"])),
            (list(&["RED"]), list(&[]), now.clone()),
            (list(&["A", "a"]), list(&["Blue"]), list(&["Red", "New", "A"])),
            (list(&["Both"]), list(&["both"]), now.clone()),
        ];
        for (add, remove, wanted) in cases {
            assert_eq!(changed(&now, &add, &remove), wanted);
        }
    }
}
