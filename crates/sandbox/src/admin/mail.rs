//! The admin side of the mail in mailboxes, and of what delta queries and notifications tell of
//! it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Refused, read, read_query, read_some, unknown};
use crate::bulk::Bulk;
use crate::config::Group;
use crate::handle::{Handle, LifecycleEvent};
use crate::person::Pointer;

pub fn dispatch(
    handle: &Handle,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Value, Refused> {
    match (method, path) {
        ("GET", "messages") => contents(handle, &read_query(query)?),
        ("POST", "messages/receive") => Ok(json!(handle.receive(&read(body)?)?)),
        ("POST", "messages/bulk") => bulk(handle, &read_some::<Bulk>(body)?),
        ("POST", "messages/edit") => edit(handle, read(body)?),
        ("POST", "messages/move") => relocate(handle, &read(body)?),
        ("POST", "messages/delete") => delete(handle, &read(body)?),
        ("POST", "messages/attachments") => {
            Ok(json!({"attachments": handle.attachments(&read(body)?)?}))
        }
        ("POST", "messages/break") => {
            let spoil: Break = read(body)?;
            handle.break_attachment(&spoil.message, spoil.attachment)?;
            Ok(json!({}))
        }
        ("POST", "folders") => create_folder(handle, &read(body)?),
        ("POST", "folders/delete") => {
            let place: Where = read(body)?;
            handle.delete_folder(&place.mailbox, &place.folder)?;
            Ok(json!({}))
        }
        ("GET", "delta") => Ok(json!(handle.delta_faults())),
        ("POST", "delta") => {
            handle.set_delta_faults(read(body)?);
            Ok(json!({}))
        }
        ("POST", "groups") => {
            let new: NewGroup = read(body)?;
            handle.set_group(&new.tenant, new.group)?;
            Ok(json!({}))
        }
        ("GET", "subscriptions") => Ok(json!({"subscriptions": handle.subscriptions()})),
        ("POST", "subscriptions/lifecycle") => lifecycle(handle, &read(body)?),
        ("GET", "notifications") => Ok(json!({
            "faults": handle.notification_faults(),
            "counts": handle.notifications(),
        })),
        ("POST", "notifications") => {
            handle.set_notification_faults(read(body)?);
            Ok(json!({}))
        }
        ("POST", "delta/evict") => evict(handle, &read(body)?),
        (method, path) => Err(unknown(method, path)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    mailbox: String,
    #[serde(default = "inbox")]
    folder: String,
}

fn inbox() -> String {
    "inbox".to_owned()
}

fn contents(handle: &Handle, place: &Where) -> Result<Value, Refused> {
    Ok(json!({"messages": handle.contents(&place.mailbox, &place.folder)?}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFolder {
    mailbox: String,
    #[serde(default)]
    parent: Option<String>,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    tenant: String,
    group: Group,
}

fn create_folder(handle: &Handle, new: &NewFolder) -> Result<Value, Refused> {
    let id = handle.create_folder(&new.mailbox, new.parent.as_deref(), &new.name)?;
    Ok(json!({"id": id}))
}

fn bulk(handle: &Handle, bulks: &[Bulk]) -> Result<Value, Refused> {
    let mut received = 0;
    for bulk in bulks {
        received += handle.receive_many(bulk)?;
    }
    Ok(json!({"received": received}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    message: Pointer,
    change: Map<String, Value>,
}

fn edit(handle: &Handle, edit: Edit) -> Result<Value, Refused> {
    handle.change_message(&edit.message, edit.change)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    message: Pointer,
    folder: String,
}

fn relocate(handle: &Handle, wanted: &Move) -> Result<Value, Refused> {
    handle.move_message(&wanted.message, &wanted.folder)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Break {
    message: Pointer,
    attachment: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    message: Pointer,
    #[serde(default)]
    for_good: bool,
}

fn delete(handle: &Handle, delete: &Delete) -> Result<Value, Refused> {
    handle.delete_message(&delete.message, delete.for_good)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lifecycle {
    #[serde(default)]
    id: Option<String>,
    event: LifecycleEvent,
}

fn lifecycle(handle: &Handle, wanted: &Lifecycle) -> Result<Value, Refused> {
    Ok(json!({"told": handle.lifecycle(wanted.id.as_deref(), wanted.event)?}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evict {
    #[serde(default)]
    mailbox: Option<String>,
    #[serde(default)]
    folder: Option<String>,
}

fn evict(handle: &Handle, evict: &Evict) -> Result<Value, Refused> {
    let evicted = handle.evict_delta(evict.mailbox.as_deref(), evict.folder.as_deref())?;
    Ok(json!({"evicted": evicted}))
}
