//! Folders that are renamed, moved and deleted, and delta queries on them.

use mailbridge_sandbox::{Arrival, Bulk};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::follower::{fetch, first, follow};
use crate::support::{MAILBOX, World, encode, finish, start};

fn folder(id: &str) -> String {
    format!("users/{MAILBOX}/mailFolders/{}", encode(id))
}

fn make(world: &World, parent: Option<&str>, name: &str) -> String {
    world.handle().create_folder(MAILBOX, parent, name).unwrap()
}

async fn delete(world: &World, id: &str) -> crate::support::Reply {
    finish(world.request(Method::DELETE, &folder(id))).await
}

fn all_folders(world: &World) -> String {
    let base = world.sandbox.graph_url();
    format!("{base}/v1.0/users/{MAILBOX}/mailFolders/delta?$select=displayName")
}

#[tokio::test]
async fn hidden_folders_are_listed_on_request() {
    let world = start().await;
    let plain = world.list("mailFolders", &[("$top", "100")]).await;
    let all = world.list("mailFolders", &[("$top", "100"), ("includeHiddenFolders", "true")]).await;
    let hidden: Vec<&Value> = all.iter().filter(|one| one["isHidden"] == json!(true)).collect();
    assert_eq!((plain.len(), all.len(), hidden.len()), (8, 11, 3));
    assert!(plain.iter().all(|one| one["isHidden"] == json!(false)));
    let issues = world.get(&format!("users/{MAILBOX}/mailFolders/SyncIssues")).await;
    let issues = issues.expect(StatusCode::OK).json();
    assert_eq!(issues["childFolderCount"], 3);
    let path =
        format!("users/{MAILBOX}/mailFolders/syncissues/childFolders?includeHiddenFolders=true");
    assert_eq!(world.get(&path).await.json()["value"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_folder_is_renamed_and_moved_under_the_same_id() {
    let world = start().await;
    let (a, b) = (make(&world, None, "A"), make(&world, Some("inbox"), "B"));
    let rename = json!({"displayName": "Alpha"});
    let renamed = world.patch(&folder(&a), &rename).await.expect(StatusCode::OK).json();
    assert_eq!((&renamed["displayName"], &renamed["id"]), (&json!("Alpha"), &json!(a)));
    let moved = world.post(&(folder(&b) + "/move"), &json!({"destinationId": a})).await;
    assert_eq!(moved.expect(StatusCode::CREATED).json()["parentFolderId"], json!(a));
    let below = format!("{}/childFolders/{}", folder(&a), encode(&b));
    assert_eq!(world.get(&below).await.expect(StatusCode::OK).json()["displayName"], "B");
    let messages = world.get(&(below + "/messages/delta")).await;
    messages.expect(StatusCode::OK);

    let into_itself = world.post(&(folder(&a) + "/move"), &json!({"destinationId": b})).await;
    into_itself.refused(400, "ErrorMoveCopyFailed");
    let taken = world.patch(&folder(&a), &json!({"displayName": "inbox"})).await;
    taken.refused(409, "ErrorFolderExists");
    world
        .patch("users/anna@contoso.example/mailFolders/inbox", &rename)
        .await
        .refused(403, "ErrorAccessDenied");
    delete(&world, "inbox").await.refused(400, "ErrorDeleteDistinguishedFolder");
}

#[tokio::test]
async fn a_deleted_folder_ends_its_sync() {
    let world = start().await;
    let (outer, inner) = (make(&world, None, "Outer"), make(&world, Some("Outer"), "Inner"));
    let bulk = Bulk { folder: Some("Outer/Inner".to_owned()), ..Bulk::new(MAILBOX, 3) };
    world.handle().receive_many(&bulk).unwrap();
    let link = first(&world, &encode(&inner), "");
    let round = follow(&world, &link, 10).await;
    assert_eq!(round.items().len(), 3);
    delete(&world, &outer).await.expect(StatusCode::NO_CONTENT);
    fetch(&world, &round.delta_link, 10).await.refused(404, "ErrorSyncFolderNotFound");
    fetch(&world, &link, 10).await.refused(404, "ErrorItemNotFound");
    world.get(&(folder(&inner) + "/messages")).await.refused(404, "ErrorItemNotFound");
    world.get(&folder(&outer)).await.refused(404, "ErrorItemNotFound");
    delete(&world, &outer).await.refused(404, "ErrorItemNotFound");
    assert!(world.list("messages", &[]).await.is_empty(), "what was in it is recoverable only");
    let kept = world.handle().contents(MAILBOX, "recoverableitemsdeletions").unwrap();
    assert_eq!(kept.len(), 3);
    make(&world, None, "Outer");
}

#[tokio::test]
async fn folders_are_followed_too() {
    let world = start().await;
    let old = make(&world, Some("inbox"), "Old");
    let gone = make(&world, None, "Gone");
    let all = follow(&world, &all_folders(&world), 4).await;
    assert_eq!((all.items().len(), all.pages.len()), (10, 3), "eight of every mailbox, and two");
    assert!(all.ids().contains(&old.as_str()));
    assert_eq!(all.items()[0]["@odata.type"], "#microsoft.graph.mailFolder");
    let new = make(&world, Some("inbox/Old"), "New");
    world.patch(&folder(&old), &json!({"displayName": "Older"})).await.expect(StatusCode::OK);
    world.handle().delete_folder(MAILBOX, "Gone").unwrap();
    let next = follow(&world, &all.delta_link, 10).await;
    assert_eq!(next.ids(), [&new, &old, &gone]);
    assert_eq!(next.items()[1]["displayName"], "Older");
    assert_eq!(next.items()[2]["@removed"]["reason"], "deleted");
    assert_eq!(world.handle().evict_delta(Some(MAILBOX), None).unwrap(), 1);
    let reply = fetch(&world, &next.delta_link, 10).await;
    assert!([400, 404, 410].contains(&reply.status));
    assert_eq!(follow(&world, &all_folders(&world), 20).await.items().len(), 10);
}

#[tokio::test]
async fn folders_are_made_and_counted_from_the_admin_side() {
    let world = start().await;
    let new = json!({"mailbox": MAILBOX, "parent": "inbox", "name": "Sub"});
    let id = world.admin_post("folders", new).await["id"].as_str().unwrap().to_owned();
    let mail = "From: c@fabrikam.example\r\nSubject: s\r\n\r\nx\r\n";
    let arrival = Arrival { folder: Some("inbox/Sub".to_owned()), ..Arrival::mime(MAILBOX, mail) };
    world.handle().receive(&arrival).unwrap();
    let shown = world.get(&folder(&id)).await.json();
    assert_eq!((&shown["totalItemCount"], &shown["unreadItemCount"]), (&json!(1), &json!(1)));
    let held = world.admin_get(&format!("messages?mailbox={MAILBOX}&folder=inbox/Sub")).await;
    assert_eq!(held["messages"][0]["subject"], "s");
    let message = json!({"mailbox": MAILBOX, "subject": "s"});
    let change = json!({"message": message, "change": {"isRead": true}});
    world.admin_post("messages/edit", change).await;
    let shown = world.get(&folder(&id)).await.json();
    assert_eq!((&shown["totalItemCount"], &shown["unreadItemCount"]), (&json!(1), &json!(0)));
    world.admin_post("messages/move", json!({"message": message, "folder": "archive"})).await;
    assert_eq!(world.get(&folder(&id)).await.json()["totalItemCount"], 0);
    world.admin_post("folders/delete", json!({"mailbox": MAILBOX, "folder": id})).await;
    world.get(&folder(&id)).await.refused(404, "ErrorItemNotFound");
}
