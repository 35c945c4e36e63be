//! People who edit and delete drafts, the size limit of the tenant, and the truth page by page.

use mailbridge_sandbox::{Pointer, Sandbox, Which};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{MAILBOX, World, encode, finish, message, start, start_with};

async fn admin(world: &World, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/_sandbox/{path}", world.sandbox.graph_url());
    let reply = finish(world.http.request(method, url).json(body)).await;
    (reply.status, reply.json())
}

fn one(id: &str) -> String {
    format!("users/{MAILBOX}/messages/{}", encode(id))
}

#[tokio::test]
async fn a_person_edits_and_deletes_a_draft() {
    let world = start().await;
    let draft = world.draft("mine").await;
    let before = world.get(&one(&draft)).await.json();
    let pointer = json!({"mailbox": MAILBOX, "value": "mine"});
    let edit = json!({"message": pointer, "change": {"subject": "theirs"}});
    assert_eq!(admin(&world, Method::POST, "messages/edit", &edit).await.0, 200);
    let after = world.get(&one(&draft)).await.json();
    assert_eq!(after["subject"], "theirs");
    assert_ne!(
        (&after["changeKey"], &after["@odata.etag"]),
        (&before["changeKey"], &before["@odata.etag"])
    );

    world.handle().delete_message(&Pointer::value(MAILBOX, "mine"), false).unwrap();
    world.get(&one(&draft)).await.refused(404, "ErrorItemNotFound");
    world.send(&draft).await.refused(404, "ErrorItemNotFound");
    world.handle().delete_message(&Pointer::subject(MAILBOX, "theirs"), true).unwrap();
    let delete = json!({"message": pointer});
    assert_eq!(admin(&world, Method::POST, "messages/delete", &delete).await.0, 404);
    let (status, body) =
        admin(&world, Method::POST, "messages/edit", &json!({"message": {"mailbox": MAILBOX}}))
            .await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn mail_arrives_from_json_too_and_into_any_folder() {
    let world = start().await;
    let mut mail = message("in", "k");
    mail["from"] = json!({"emailAddress": {"address": "carl@fabrikam.example", "name": "Carl"}});
    let arrival = json!({"mailbox": MAILBOX, "folder": "junkemail", "message": mail});
    let (status, body) = admin(&world, Method::POST, "messages/receive", &arrival).await;
    assert_eq!(status, 200, "{body}");
    let junk = world.list("mailFolders/junkemail/messages", &[]).await;
    assert_eq!((&junk[0]["subject"], &junk[0]["id"]), (&json!("in"), &body["id"]));
    let nobody = json!({"mailbox": MAILBOX, "message": message("in", "k")});
    assert_eq!(admin(&world, Method::POST, "messages/receive", &nobody).await.0, 400);
}

#[tokio::test]
async fn the_tenant_limits_what_may_be_sent() {
    let world = start_with(Sandbox::builder().message_limit(1000)).await;
    let mut mail = message("s", "k");
    mail["body"]["content"] = json!("x".repeat(1001));
    let path = format!("users/{MAILBOX}/sendMail");
    let body = json!({"message": mail});
    world.post(&path, &body).await.refused(400, "ErrorMessageSizeExceeded");
    let drafts = format!("users/{MAILBOX}/messages");
    let draft = world.post(&drafts, &mail).await.expect(StatusCode::CREATED).json();
    let draft = draft["id"].as_str().unwrap();
    world.send(draft).await.refused(400, "ErrorMessageSizeExceeded");
    let limit = json!({"message_bytes": 2000});
    assert_eq!(admin(&world, Method::POST, "limits", &limit).await.0, 200);
    world.send(draft).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_truth_is_read_page_by_page() {
    let world = start().await;
    for number in 0..5 {
        world.send_mail(&format!("s{number}")).await.expect(StatusCode::ACCEPTED);
    }
    let page = async |after: u64| {
        let path = format!("truth/sent?after={after}&limit=2");
        let (_, body) = admin(&world, Method::GET, &path, &Value::Null).await;
        let sent = body["sent"].as_array().unwrap().clone();
        sent.iter().map(|one| one["subject"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(page(0).await, ["s0", "s1"]);
    assert_eq!(page(2).await, ["s2", "s3"]);
    assert_eq!(page(4).await, ["s4"]);
    let newest = world.handle().truth().find(&Which { limit: Some(1), ..Which::default() });
    assert_eq!(newest[0].subject, "s4", "without after: the newest");
}

#[tokio::test]
async fn the_truth_has_every_field_that_can_be_compared() {
    let world = start().await;
    let mut mail = message("all", "k");
    mail["toRecipients"] = json!([{"emailAddress": {"address": "b@x.example", "name": "Bürger"}}]);
    mail["isReadReceiptRequested"] = json!(true);
    mail["isDeliveryReceiptRequested"] = json!(true);
    mail["flag"] = json!({"flagStatus": "flagged"});
    mail["categories"] = json!(["A"]);
    let path = format!("users/{MAILBOX}/sendMail");
    world.post(&path, &json!({"message": mail})).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0];
    assert_eq!(sent.names["b@x.example"], "Bürger");
    assert!(sent.read_receipt_requested && sent.delivery_receipt_requested);
    assert_eq!((sent.sender.as_str(), sent.from.as_str()), (MAILBOX, MAILBOX));
    assert_eq!(sent.flag.as_ref().unwrap()["flagStatus"], "flagged");
    assert_eq!((sent.in_reply_to.as_deref(), sent.references.len()), (None, 0));
}

#[tokio::test]
async fn both_bodies_of_a_mime_message_are_known() {
    use base64::Engine as _;
    let world = start().await;
    let mime = "To: b@x.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n\
                Content-Type: multipart/alternative; boundary=b\r\n\r\n\
                --b\r\nContent-Type: text/plain\r\n\r\nplain\r\n\
                --b\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--b--\r\n";
    let body = base64::engine::general_purpose::STANDARD.encode(mime);
    let request = world.request(Method::POST, &format!("users/{MAILBOX}/sendMail"));
    let sent = request.header("content-type", "text/plain").body(body);
    finish(sent).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0];
    assert_eq!((sent.body_type, sent.alternative.as_deref()), ("html", Some("plain")));
    assert_eq!(sent.body.as_deref().map(str::trim), Some("<p>html</p>"));
}
