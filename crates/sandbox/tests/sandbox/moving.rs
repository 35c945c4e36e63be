//! Folders, and messages that move between them, are copied, changed and deleted.

use mailbridge_sandbox::Arrival;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{MAILBOX, World, encode, finish, start};

const MAIL: &str = "From: carl@fabrikam.example\r\nTo: anna@contoso.example\r\nSubject: s\r\n\
    Message-ID: <1@fabrikam.example>\r\n\r\nhello\r\n";

fn receive(world: &World) -> String {
    world.handle().receive(&Arrival::mime(MAILBOX, MAIL)).unwrap().id
}

fn one(id: &str) -> String {
    format!("users/{MAILBOX}/messages/{}", encode(id))
}

fn id(message: &Value) -> String {
    message["id"].as_str().unwrap().to_owned()
}

async fn delete(world: &World, id: &str) -> u16 {
    finish(world.request(Method::DELETE, &one(id))).await.status
}

#[tokio::test]
async fn a_message_moves_under_a_new_id_and_copies_stay_apart() {
    let world = start().await;
    let first = receive(&world);
    let target = json!({"destinationId": "archive"});
    let moved = world.post(&(one(&first) + "/move"), &target).await;
    let moved = moved.expect(StatusCode::CREATED).json();
    assert_ne!(id(&moved), first);
    world.get(&one(&first)).await.refused(404, "ErrorItemNotFound");
    assert_eq!(world.list("mailFolders/archive/messages", &[]).await.len(), 1);

    let copy = world.post(&(one(&id(&moved)) + "/copy"), &json!({"destinationId": "inbox"})).await;
    let copy = copy.expect(StatusCode::CREATED).json();
    world.patch(&one(&id(&copy)), &json!({"isRead": true})).await.expect(StatusCode::OK);
    assert_eq!(world.get(&one(&id(&moved))).await.json()["isRead"], false);

    let nowhere = json!({"destinationId": "nowhere"});
    world
        .post(&(one(&id(&moved)) + "/move"), &nowhere)
        .await
        .refused(400, "ErrorInvalidIdMalformed");
    world
        .post(&(one(&id(&moved)) + "/move"), &json!({}))
        .await
        .refused(400, "ErrorInvalidParameter");
}

#[tokio::test]
async fn an_immutable_id_survives_a_move() {
    let world = start().await;
    let arrived = world.handle().receive(&Arrival::mime(MAILBOX, MAIL)).unwrap();
    let immutable = |request: reqwest::RequestBuilder| {
        finish(request.header("prefer", "IdType=\"ImmutableId\""))
    };
    let path = one(&arrived.immutable_id) + "/move";
    let request = world.request(Method::POST, &path).json(&json!({"destinationId": "archive"}));
    let moved = immutable(request).await.expect(StatusCode::CREATED).json();
    assert_eq!(id(&moved), arrived.immutable_id);
    let again = immutable(world.request(Method::GET, &one(&arrived.immutable_id))).await;
    again.expect(StatusCode::OK);
}

#[tokio::test]
async fn folders_are_made_listed_and_used() {
    let world = start().await;
    let folders = format!("users/{MAILBOX}/mailFolders");
    let made = world.post(&folders, &json!({"displayName": "Done"})).await;
    let made = made.expect(StatusCode::CREATED).json();
    world.post(&folders, &json!({"displayName": "done"})).await.refused(409, "ErrorFolderExists");
    world.post(&folders, &json!({"displayName": ""})).await.refused(400, "ErrorInvalidParameter");
    let below = format!("{folders}/{}/childFolders", encode(&id(&made)));
    world.post(&below, &json!({"displayName": "2026"})).await.expect(StatusCode::CREATED);
    let children = world.get(&below).await.expect(StatusCode::OK).json();
    assert_eq!(children["value"][0]["displayName"], "2026");
    assert_eq!(children["value"][0]["parentFolderId"], made["id"]);

    let filter = [("$filter", "displayName eq 'Done'")];
    let found = world.list("mailFolders", &filter).await;
    assert_eq!((found.len(), &found[0]["childFolderCount"]), (1, &json!(1)));
    let mail = receive(&world);
    world
        .post(&(one(&mail) + "/move"), &json!({"destinationId": made["id"]}))
        .await
        .expect(StatusCode::CREATED);
    let inside = format!("mailFolders/{}/messages", encode(&id(&made)));
    assert_eq!(world.list(&inside, &[]).await.len(), 1);
    let listed = world.get(&format!("{folders}?$top=3&$count=true")).await.json();
    assert_eq!(
        (listed["value"].as_array().unwrap().len(), &listed["@odata.count"]),
        (3, &json!(9))
    );
    assert!(listed["@odata.nextLink"].is_string());
}

#[tokio::test]
async fn deleted_items_come_first_then_recoverable_ones_then_nothing() {
    let world = start().await;
    let mail = receive(&world);
    assert_eq!(delete(&world, &mail).await, 204);
    assert_eq!(delete(&world, &mail).await, 404);
    let deleted = world.list("mailFolders/deleteditems/messages", &[]).await;
    assert_eq!(delete(&world, &id(&deleted[0])).await, 204);
    assert!(world.list("messages", &[]).await.is_empty());
    let kept = world.list("mailFolders/recoverableitemsdeletions/messages", &[]).await;
    assert_eq!(kept.len(), 1);

    let mail = receive(&world);
    let purge = world.request(Method::POST, &(one(&mail) + "/permanentDelete"));
    finish(purge.header("content-length", "0")).await.expect(StatusCode::NO_CONTENT);
    let kept = world.list("mailFolders/recoverableitemsdeletions/messages", &[]).await;
    assert_eq!(kept.len(), 1, "no trace of the second");
}

#[tokio::test]
async fn a_received_mail_changes_in_its_marks_only() {
    let world = start().await;
    let mail = receive(&world);
    let marks = json!({"isRead": true, "categories": ["Done"], "importance": "high",
                       "flag": {"flagStatus": "flagged"}});
    let changed = world.patch(&one(&mail), &marks).await.expect(StatusCode::OK).json();
    assert_eq!((&changed["isRead"], &changed["categories"][0]), (&json!(true), &json!("Done")));
    assert_eq!(changed["flag"]["flagStatus"], "flagged");
    for refused in [json!({"subject": "x"}), json!({"toRecipients": []}), json!({"from": null})] {
        let reply = world.patch(&one(&mail), &refused).await;
        reply.refused(400, "ErrorInvalidPropertyUpdateSentMessage");
    }
}

#[tokio::test]
async fn a_change_can_be_made_to_depend_on_what_was_seen() {
    let world = start().await;
    let draft = world.draft("d").await;
    let seen = world.get(&one(&draft)).await.json()["@odata.etag"].as_str().unwrap().to_owned();
    world.patch(&one(&draft), &json!({"subject": "e"})).await.expect(StatusCode::OK);
    let late = |method: Method| world.request(method, &one(&draft)).header("if-match", &seen);
    let patch = late(Method::PATCH).json(&json!({"subject": "f"}));
    finish(patch).await.refused(412, "ErrorIrresolvableConflict");
    finish(late(Method::DELETE)).await.refused(412, "ErrorIrresolvableConflict");
    let now = world.get(&one(&draft)).await.json();
    assert_eq!(now["subject"], "e");
    let current = now["@odata.etag"].as_str().unwrap();
    let delete = world.request(Method::DELETE, &one(&draft)).header("if-match", current);
    finish(delete).await.expect(StatusCode::NO_CONTENT);
}
