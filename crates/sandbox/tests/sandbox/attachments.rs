//! Small attachments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailbridge_sandbox::{Arrival, AttachmentKind, Bulk, Pointer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{MAILBOX, encode, finish, message, start};

fn file(name: &str, bytes: &[u8]) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": name,
        "contentType": "application/pdf",
        "contentBytes": STANDARD.encode(bytes),
    })
}

#[tokio::test]
async fn files_are_added_read_and_taken_away() {
    let world = start().await;
    let id = world.draft("d").await;
    let all = format!("users/{MAILBOX}/messages/{}/attachments", encode(&id));
    let added = world.post(&all, &file("a.pdf", b"hello")).await.expect(StatusCode::CREATED).json();
    assert_eq!((&added["name"], &added["isInline"]), (&json!("a.pdf"), &json!(false)));
    world.post(&all, &file("b.pdf", b"other")).await.expect(StatusCode::CREATED);

    let list = world.get(&all).await.expect(StatusCode::OK).json();
    assert_eq!(list["value"][0]["contentBytes"], STANDARD.encode(b"hello"));
    assert_eq!(list["value"][0]["@odata.type"], "#microsoft.graph.fileAttachment");
    assert!(list["value"][0]["size"].as_u64().unwrap() > 5);
    let light = world.get(&format!("{all}?$select=name,size")).await.json();
    assert!(light["value"][0].get("contentBytes").is_none());
    world.get(&format!("{all}?$select=contentId")).await.refused(400, "RequestBroker--ParseUri");

    let one = format!("{all}/{}", encode(added["id"].as_str().unwrap()));
    let raw = world.get(&format!("{one}/$value")).await.expect(StatusCode::OK);
    assert_eq!(
        (raw.bytes.as_slice(), raw.header("content-type")),
        (&b"hello"[..], Some("application/pdf"))
    );
    assert_eq!(world.get(&one).await.json()["name"], "a.pdf");
    finish(world.request(Method::DELETE, &one)).await.expect(StatusCode::NO_CONTENT);
    world.get(&one).await.refused(404, "ErrorItemNotFound");

    world.send(&id).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0];
    assert_eq!((sent.attachments.len(), sent.attachments[0].name.as_str()), (1, "b.pdf"));
    assert_eq!(sent.attachments[0].bytes, 5);
}

#[tokio::test]
async fn they_can_come_with_the_message() {
    let world = start().await;
    let mut mail = message("s", "k");
    let mut inline = file("logo.png", b"png");
    inline["isInline"] = json!(true);
    inline["contentId"] = json!("logo");
    mail["attachments"] = json!([inline]);
    let path = format!("users/{MAILBOX}/sendMail");
    world.post(&path, &json!({"message": mail})).await.expect(StatusCode::ACCEPTED);
    assert!(world.handle().truth().sent()[0].attachments[0].is_inline);
    let copy = &world.list("messages", &[("$expand", "attachments")]).await[0];
    assert_eq!(copy["hasAttachments"], false, "inline ones do not count");
    assert_eq!(copy["attachments"][0]["contentId"], "logo");
}

#[tokio::test]
async fn what_is_not_a_small_file_is_refused() {
    let world = start().await;
    let id = world.draft("d").await;
    let all = format!("users/{MAILBOX}/messages/{}/attachments", encode(&id));
    let refused = world.post(&all, &file("big", &vec![0; 3 * 1024 * 1024])).await;
    assert_eq!(refused.status, 413);
    world.post(&all, &json!({"name": "untyped"})).await.refused(400, "RequestBodyRead");
    let mut bad = file("a", b"a");
    bad["contentBytes"] = json!("no base64");
    world.post(&all, &bad).await.refused(400, "RequestBodyRead");
    assert!(world.get(&all).await.json()["value"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn an_item_is_a_message_inside_of_a_message() {
    let world = start().await;
    let id = world.draft("d").await;
    let all = format!("users/{MAILBOX}/messages/{}/attachments", encode(&id));
    let item = json!({
        "@odata.type": "#microsoft.graph.itemAttachment", "name": "the question",
        "item": {
            "@odata.type": "#microsoft.graph.message", "subject": "inside",
            "body": {"contentType": "text", "content": "deep"},
            "from": {"emailAddress": {"address": "carl@fabrikam.example"}},
        },
    });
    let added = world.post(&all, &item).await.expect(StatusCode::CREATED).json();
    let one = format!("{all}/{}", encode(added["id"].as_str().unwrap()));
    assert!(world.get(&one).await.json().get("item").is_none(), "only when it is expanded");
    let expand = format!("{one}?$expand=microsoft.graph.itemattachment/item");
    let expanded = world.get(&expand).await.expect(StatusCode::OK).json();
    assert_eq!(expanded["item"]["subject"], "inside");
    let raw = world.get(&format!("{one}/$value")).await.expect(StatusCode::OK);
    assert!(String::from_utf8(raw.bytes).unwrap().contains("Subject: inside"));

    world.send(&id).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0].attachments[0];
    assert_eq!((sent.kind, sent.name.as_str()), (AttachmentKind::Item, "the question"));
    let copy = &world.list("mailFolders/sentitems/messages", &[]).await[0];
    let path = format!("users/{MAILBOX}/messages/{}/$value", encode(copy["id"].as_str().unwrap()));
    let mime = String::from_utf8(world.get(&path).await.bytes).unwrap();
    assert!(mime.contains("Content-Type: message/rfc822") && mime.contains("Subject: inside"));
    world
        .post(&all, &json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": "empty"}))
        .await
        .refused(400, "ErrorInvalidParameter");
}

#[tokio::test]
async fn a_link_has_no_bytes() {
    let world = start().await;
    let mut mail = message("in", "k");
    mail["from"] = json!({"emailAddress": {"address": "carl@fabrikam.example"}});
    mail["attachments"] =
        json!([{"@odata.type": "#microsoft.graph.referenceAttachment", "name": "on the drive"}]);
    let Value::Object(mail) = mail else { panic!("an object") };
    let arrival =
        Arrival { mailbox: MAILBOX.to_owned(), message: Some(mail), ..Arrival::default() };
    let id = world.handle().receive(&arrival).unwrap().id;
    let all = format!("users/{MAILBOX}/messages/{}/attachments", encode(&id));
    let list = world.get(&all).await.expect(StatusCode::OK).json();
    let link = &list["value"][0];
    assert_eq!(link["@odata.type"], "#microsoft.graph.referenceAttachment");
    assert!(link.get("contentBytes").is_none());
    let value = format!("{all}/{}/$value", encode(link["id"].as_str().unwrap()));
    assert_eq!(world.get(&value).await.status, 405);
}

#[tokio::test]
async fn what_is_added_to_a_mime_draft_is_in_its_mime() {
    let world = start().await;
    let mime = "To: b@fabrikam.example\r\nSubject: s\r\n\r\nhello\r\n";
    let path = format!("users/{MAILBOX}/messages");
    let request = world.request(Method::POST, &path).header("content-type", "text/plain");
    let draft = finish(request.body(STANDARD.encode(mime))).await.expect(StatusCode::CREATED);
    let one = format!("{path}/{}", encode(draft.json()["id"].as_str().unwrap()));
    let value = format!("{one}/$value");
    assert_eq!(world.get(&value).await.bytes, mime.as_bytes());
    let add = world.post(&(one + "/attachments"), &file("a.pdf", b"late")).await;
    add.expect(StatusCode::CREATED);
    let now = String::from_utf8(world.get(&value).await.bytes).unwrap();
    assert!(now.contains("a.pdf") && now.contains(&STANDARD.encode("late")), "{now}");
}

#[tokio::test]
async fn a_large_file_is_made_while_it_is_read() {
    let world = start().await;
    let size = 20_000_001;
    let mail =
        Bulk { attachments: [1, 1], attachment_bytes: [size, size], ..Bulk::new(MAILBOX, 1) };
    world.handle().receive_many(&mail).unwrap();
    let id = world.handle().contents(MAILBOX, "inbox").unwrap()[0].id.clone();
    let all = format!("users/{MAILBOX}/messages/{}/attachments", encode(&id));
    let list = world.get(&format!("{all}?$select=id,name,size")).await.json();
    let one = format!("{all}/{}/$value", encode(list["value"][0]["id"].as_str().unwrap()));
    let mut response = world.request(Method::GET, &one).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], "20000001");
    let (mut length, mut parts) = (0, 0);
    while let Some(part) = response.chunk().await.unwrap() {
        (length, parts) = (length + part.len(), parts + 1);
    }
    assert!(length == size && parts > 10, "{length} bytes in {parts} parts");
    let held = &world.handle().attachments(&Pointer::subject(MAILBOX, "Message 1")).unwrap()[0];
    assert_eq!((held.bytes, held.sha256.len()), (size, 64));
}

#[tokio::test]
async fn one_that_graph_cannot_open_spoils_what_has_its_bytes() {
    let world = start().await;
    let mail = Bulk { attachments: [2, 2], ..Bulk::new(MAILBOX, 1) };
    world.handle().receive_many(&mail).unwrap();
    let id = world.handle().contents(MAILBOX, "inbox").unwrap()[0].id.clone();
    let all = format!("users/{MAILBOX}/messages/{}/attachments", encode(&id));
    world.get(&all).await.expect(StatusCode::OK);
    let spoil = json!({"message": {"mailbox": MAILBOX, "subject": "Message 1"}, "attachment": 1});
    world.admin_post("messages/break", spoil).await;
    world.get(&all).await.refused(400, "ErrorCannotOpenFileAttachment");
    let list = world.get(&format!("{all}?$select=id,name,size,isInline")).await;
    let list = list.expect(StatusCode::OK).json();
    let path =
        |index: usize| format!("{all}/{}", encode(list["value"][index]["id"].as_str().unwrap()));
    world.get(&format!("{}/$value", path(0))).await.expect(StatusCode::OK);
    world.get(&format!("{}/$value", path(1))).await.refused(400, "ErrorCannotOpenFileAttachment");
    world.get(&path(1)).await.refused(400, "ErrorCannotOpenFileAttachment");
    let known =
        world.admin_post("messages/attachments", json!({"mailbox": MAILBOX, "id": id})).await;
    assert_eq!(known["attachments"].as_array().unwrap().len(), 2);
}
