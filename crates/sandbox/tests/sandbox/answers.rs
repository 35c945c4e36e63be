//! Replies and forwards: whom they go to, what they quote, and the thread they stay in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailbridge_sandbox::{Arrival, Arrived};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{MAILBOX, World, encode, finish, start};

const QUESTION: &str = "From: Carl <carl@fabrikam.example>\r\nSender: desk@fabrikam.example\r\n\
    To: anna@contoso.example, dora@contoso.example\r\nCc: erik@fabrikam.example\r\n\
    Reply-To: answers@fabrikam.example\r\nSubject: RE: Grant\r\n\
    Message-ID: <2@fabrikam.example>\r\nReferences: <0@fabrikam.example> <1@contoso.example>\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>when?</p></body></html>\r\n\
    --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\
    \r\nplan\r\n--b--\r\n";

fn receive(world: &World) -> Arrived {
    world.handle().receive(&Arrival::mime(MAILBOX, QUESTION)).unwrap()
}

fn path(id: &str, action: &str) -> String {
    format!("users/{MAILBOX}/messages/{}/{action}", encode(id))
}

fn addresses(list: &Value) -> Vec<&str> {
    let address = |one: &'_ Value| one["emailAddress"]["address"].as_str().unwrap().to_owned();
    let all: Vec<String> = list.as_array().unwrap().iter().map(address).collect();
    all.into_iter().map(|one| &*one.leak()).collect()
}

#[tokio::test]
async fn a_mail_from_outside_is_read_like_any_received_mail() {
    let world = start().await;
    let arrived = receive(&world);
    assert_eq!(arrived.internet_message_id, "<2@fabrikam.example>");
    let inbox = world.list("mailFolders/inbox/messages", &[]).await;
    assert_eq!((inbox.len(), &inbox[0]["id"]), (1, &json!(arrived.id)));
    let one =
        path(&arrived.id, "?$select=subject,from,sender,isRead,isDraft,internetMessageHeaders");
    let one = world.get(&one.replace("/?", "?")).await.expect(StatusCode::OK).json();
    assert_eq!((&one["isRead"], &one["isDraft"]), (&json!(false), &json!(false)));
    assert_eq!(one["from"]["emailAddress"]["name"], "Carl");
    assert_eq!(one["sender"]["emailAddress"]["address"], "desk@fabrikam.example");
    let headers = one["internetMessageHeaders"].as_array().unwrap();
    assert!(headers.iter().any(|one| one["name"] == "References"), "{headers:?}");
    let raw = world.get(&path(&arrived.id, "$value")).await.expect(StatusCode::OK);
    assert_eq!(raw.bytes, QUESTION.as_bytes());
}

#[tokio::test]
async fn a_reply_goes_to_whom_it_should_and_keeps_the_thread() {
    let world = start().await;
    let id = receive(&world).id;
    let original = world.get(&path(&id, "").replace("//", "/")).await.json();
    let body = json!({"comment": "On <Monday>"});
    let draft =
        world.post(&path(&id, "createReply"), &body).await.expect(StatusCode::CREATED).json();
    assert_eq!((&draft["subject"], &draft["isDraft"]), (&json!("RE: Grant"), &json!(true)));
    assert_eq!(addresses(&draft["toRecipients"]), ["answers@fabrikam.example"]);
    assert_eq!(draft["conversationId"], original["conversationId"]);
    let text = draft["body"]["content"].as_str().unwrap();
    assert!(text.contains("On &lt;Monday&gt;") && text.contains("<p>when?</p>"), "{text}");
    assert!(text.find("Monday") < text.find("divRplyFwdMsg"), "the comment stands above");
    assert_eq!(draft["hasAttachments"], false);

    world.send(draft["id"].as_str().unwrap()).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0];
    assert_eq!(sent.in_reply_to.as_deref(), Some("<2@fabrikam.example>"));
    let thread = ["<0@fabrikam.example>", "<1@contoso.example>", "<2@fabrikam.example>"];
    assert_eq!(sent.references, thread);
    assert_eq!(json!(sent.conversation_id), original["conversationId"]);
}

#[tokio::test]
async fn replying_to_all_leaves_the_writer_out() {
    let world = start().await;
    let id = receive(&world).id;
    let empty = world.request(Method::POST, &path(&id, "createReplyAll"));
    let draft =
        finish(empty.header("content-length", "0")).await.expect(StatusCode::CREATED).json();
    let to = addresses(&draft["toRecipients"]);
    assert_eq!(to, ["answers@fabrikam.example", "dora@contoso.example"]);
    assert_eq!(addresses(&draft["ccRecipients"]), ["erik@fabrikam.example"]);
}

#[tokio::test]
async fn a_forward_takes_its_attachments_along() {
    let world = start().await;
    let id = receive(&world).id;
    let to = json!([{"emailAddress": {"address": "gina@fabrikam.example"}}]);
    world
        .post(&path(&id, "forward"), &json!({"comment": "fyi", "toRecipients": to}))
        .await
        .expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0];
    assert_eq!(
        (sent.subject.as_str(), sent.to[0].as_str()),
        ("FW: Grant", "gina@fabrikam.example")
    );
    assert_eq!((sent.attachments[0].name.as_str(), sent.attachments[0].bytes), ("plan.pdf", 4));
    let nobody = world.post(&path(&id, "forward"), &json!({"comment": "fyi"})).await;
    nobody.refused(400, "ErrorInvalidRecipients");
}

#[tokio::test]
async fn the_writer_may_override_what_the_service_wrote() {
    let world = start().await;
    let id = receive(&world).id;
    let message = json!({
        "subject": "Other", "importance": "high",
        "body": {"contentType": "text", "content": "all of it"},
        "toRecipients": [{"emailAddress": {"address": "hans@fabrikam.example"}}],
        "internetMessageHeaders": [{"name": "x-a", "value": "1"}],
    });
    let reply = path(&id, "reply");
    world.post(&reply, &json!({"message": message})).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0];
    assert_eq!((sent.subject.as_str(), sent.importance), ("Other", "high"));
    assert_eq!(sent.body.as_deref(), Some("all of it"));
    assert_eq!(sent.to, ["hans@fabrikam.example"]);
    assert!(sent.headers.contains(&("x-a".into(), "1".into())) && sent.in_reply_to.is_some());

    let both = json!({"comment": "a", "message": {"body": message["body"]}});
    world.post(&reply, &both).await.refused(400, "BadRequest");
    world.post(&reply, &json!({"komment": "a"})).await.refused(400, "ErrorInvalidParameter");
    world.post(&reply, &json!({"message": {"subjekt": 1}})).await.refused(400, "RequestBodyRead");
    let draft = world.draft("d").await;
    let draft = world.post(&path(&draft, "createReply"), &json!({})).await;
    draft.refused(400, "ErrorInvalidReferenceItem");
}

#[tokio::test]
async fn a_reply_can_be_mime() {
    let world = start().await;
    let id = receive(&world).id;
    let post = |action: &str, body: String| {
        let request = world.request(Method::POST, &path(&id, action));
        finish(request.header("content-type", "text/plain").body(body))
    };
    let whole = "To: ida@fabrikam.example\r\nSubject: mine\r\nMessage-ID: <9@contoso.example>\r\n\
                 In-Reply-To: <2@fabrikam.example>\r\n\r\nhi\r\n";
    post("reply", STANDARD.encode(whole)).await.expect(StatusCode::ACCEPTED);
    post("reply", STANDARD.encode("X-Key: 1\r\n\r\nhi\r\n")).await.expect(StatusCode::ACCEPTED);
    let sent = world.handle().truth().sent();
    assert_eq!(
        (sent[0].to[0].as_str(), sent[0].subject.as_str()),
        ("ida@fabrikam.example", "mine")
    );
    assert_eq!(sent[1].to, ["answers@fabrikam.example"], "what MIME leaves open is filled in");
    assert_eq!(sent[1].in_reply_to.as_deref(), Some("<2@fabrikam.example>"));
    post("createReply", "no base64!".into())
        .await
        .refused(400, "ErrorMimeContentInvalidBase64String");
}
