//! sendMail, drafts and send; JSON and MIME; and what the truth says of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailbridge_sandbox::{MailboxSpec, MailboxState, Sandbox, Tenant, Via};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{KEY, MAILBOX, encode, finish, message, start, start_with};

#[tokio::test]
async fn a_mail_is_sent_and_the_truth_holds_all_of_it() {
    let world = start().await;
    let mut message = message("Order 7", "order-7");
    message["ccRecipients"] = json!([{"emailAddress": {"address": "c@fabrikam.example"}}]);
    message["internetMessageHeaders"] = json!([{"name": "x-order", "value": "7"}]);
    message["importance"] = json!("High");
    let path = format!("users/{}/sendMail", encode("Anna@Contoso.Example"));
    let request = world.request(Method::POST, &path).header("client-request-id", "mine");
    let reply = finish(request.json(&json!({"message": message}))).await;
    assert!(reply.bytes.is_empty());
    assert_eq!(reply.header("content-length"), Some("0"));
    assert_eq!(reply.header("client-request-id"), Some("mine"));
    assert!(reply.header("request-id").is_some() && reply.header("date").is_some());
    reply.expect(StatusCode::ACCEPTED);

    let sent = world.handle().truth().sent();
    let [one] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((one.mailbox.as_str(), one.via), (MAILBOX, Via::SendMail));
    assert_eq!((one.subject.as_str(), one.body.as_deref()), ("Order 7", Some("hello")));
    assert_eq!(
        (one.to[0].as_str(), one.cc[0].as_str()),
        ("bob@fabrikam.example", "c@fabrikam.example")
    );
    assert_eq!(one.headers, [("x-order".to_owned(), "7".to_owned())]);
    assert_eq!(one.extended_properties[0].1, "order-7");
    assert_eq!((one.importance, one.client_request_id.as_str()), ("high", "mine"));
    assert_eq!(world.look("mailFolders/sentitems/messages", "ORDER-7").await.len(), 1);
}

#[tokio::test]
async fn parameter_names_have_no_case_and_the_copy_can_be_left_out() {
    let world = start().await;
    let path = format!("users/{MAILBOX}/sendMail");
    for (flag, copies) in
        [(json!("false"), 0), (json!(false), 0), (json!("True"), 1), (json!(true), 2)]
    {
        let body = json!({"Message": message("s", "k"), "SaveToSentItems": flag});
        world.post(&path, &body).await.expect(StatusCode::ACCEPTED);
        assert_eq!(world.list("messages", &[]).await.len(), copies);
    }
    assert_eq!(world.sent_total(), 4);
    let body = json!({"message": message("s", "k"), "save": true});
    world.post(&path, &body).await.refused(400, "RequestBodyRead");
    world.post(&path, &json!({})).await.refused(400, "ErrorInvalidParameter");
}

#[tokio::test]
async fn mime_is_sent() {
    let world = start().await;
    let raw = "From: anna@contoso.example\r\nTo: bob@fabrikam.example\r\nSubject: Mime\r\n\
               Message-ID: <m1@contoso.example>\r\nReferences: <m0@contoso.example>\r\n\
               \r\nhello\r\n";
    let packed = STANDARD.encode(raw);
    let folded = format!("{}\r\n{}", &packed[..76], &packed[76..]);
    let post = |path: String, body: String| {
        world.request(Method::POST, &path).header("content-type", "text/plain").body(body)
    };
    let send = format!("users/{MAILBOX}/sendMail");
    finish(post(send.clone(), folded.clone())).await.expect(StatusCode::ACCEPTED);
    let all = world.handle().truth().with_subject("mime");
    assert_eq!(all[0].internet_message_id, "<m1@contoso.example>");
    assert_eq!(all[0].headers[0].0, "References");
    finish(post(send, "no base64!".into()))
        .await
        .refused(400, "ErrorMimeContentInvalidBase64String");

    let made = finish(post(format!("users/{MAILBOX}/messages"), folded)).await;
    let made = made.expect(StatusCode::CREATED).json();
    let id = made["id"].as_str().unwrap();
    let property = json!({"singleValueExtendedProperties": [{"id": KEY, "value": "mime-1"}]});
    let path = format!("users/{MAILBOX}/messages/{}", encode(id));
    world.patch(&path, &property).await.expect(StatusCode::OK);
    world.send(id).await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.handle().truth().with_value("MIME-1").len(), 1);
}

#[tokio::test]
async fn a_draft_is_made_changed_and_sent_once() {
    let world = start().await;
    let path = format!("users/{MAILBOX}/messages");
    let reply = world.post(&path, &message("first", "d1")).await.expect(StatusCode::CREATED);
    assert!(reply.header("location").is_some());
    let draft = reply.json();
    assert_eq!((&draft["isDraft"], &draft["isRead"]), (&json!(true), &json!(true)));
    assert_eq!(draft["from"]["emailAddress"]["address"], MAILBOX);
    for field in [
        "id",
        "internetMessageId",
        "conversationId",
        "parentFolderId",
        "changeKey",
        "@odata.etag",
        "@odata.context",
        "createdDateTime",
        "webLink",
    ] {
        assert!(draft[field].is_string(), "{field}");
    }
    assert_eq!(world.handle().truth().drafts_left(), 1);

    let id = draft["id"].as_str().unwrap();
    let one = format!("users/{MAILBOX}/messages/{}", encode(id));
    let changed = world.patch(&one, &json!({"subject": "second"})).await.expect(StatusCode::OK);
    assert_eq!(changed.json()["subject"], "second");

    let reply = world.send(id).await.expect(StatusCode::ACCEPTED);
    assert_eq!((reply.bytes.len(), reply.header("content-length")), (0, Some("0")));
    world.send(id).await.refused(404, "ErrorItemNotFound");
    world.get(&one).await.refused(404, "ErrorItemNotFound");
    let truth = world.handle().truth();
    assert_eq!((truth.sent_total(), truth.drafts_left()), (1, 0));
    assert_eq!(truth.sent()[0].via, Via::Send);
    assert_eq!(truth.sent()[0].internet_message_id, draft["internetMessageId"].as_str().unwrap());

    assert!(world.look("mailFolders/drafts/messages", "d1").await.is_empty());
    let copies = world.look("mailFolders/SentItems/messages", "d1").await;
    assert_eq!(copies.len(), 1);
    assert_ne!(copies[0]["id"], draft["id"], "sending changes the id");
    assert_eq!(copies[0]["isDraft"], false);
    assert_eq!(copies[0]["internetMessageId"], draft["internetMessageId"]);
}

#[tokio::test]
async fn drafts_can_stand_in_any_folder_and_be_deleted() {
    let world = start().await;
    let path = format!("users/{MAILBOX}/mailFolders/inbox/messages");
    let reply = world.post(&path, &json!({"subject": "incomplete"})).await;
    let id = reply.expect(StatusCode::CREATED).json()["id"].as_str().unwrap().to_owned();
    world.send(&id).await.refused(400, "ErrorInvalidRecipients");
    let one = format!("{path}/{}", encode(&id));
    let delete = |path: &str| world.request(Method::DELETE, path);
    finish(delete(&one)).await.expect(StatusCode::NO_CONTENT);
    finish(delete(&one)).await.refused(404, "ErrorItemNotFound");
    let deleted = world.list("mailFolders/deleteditems/messages", &[]).await;
    let id = encode(deleted[0]["id"].as_str().unwrap());
    let one = format!("users/{MAILBOX}/messages/{id}");
    finish(delete(&one)).await.expect(StatusCode::NO_CONTENT);
    assert!(world.list("messages", &[]).await.is_empty());
}

#[tokio::test]
async fn sending_for_others_needs_a_grant() {
    let tenant = Tenant::demo().mailbox(MailboxSpec::new(MAILBOX).send_as("team@contoso.example"));
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    let from = |address: &str| {
        let mut message = message("s", "k");
        message["from"] = json!({"emailAddress": {"address": address}});
        json!({"message": message})
    };
    let path = format!("users/{MAILBOX}/sendMail");
    world.post(&path, &from("team@contoso.example")).await.expect(StatusCode::ACCEPTED);
    world.post(&path, &from("boss@contoso.example")).await.refused(403, "ErrorSendAsDenied");
    assert_eq!(world.handle().truth().sent()[0].from, "team@contoso.example");
}

#[tokio::test]
async fn a_full_mailbox_saves_nothing() {
    let world = start().await;
    let id = world.draft("d").await;
    world.handle().set_mailbox(MAILBOX, MailboxState::Full).unwrap();
    world.send_mail("s").await.refused(403, "ErrorQuotaExceeded");
    world.send(&id).await.refused(403, "ErrorQuotaExceeded");
    world.get(&format!("users/{MAILBOX}/messages")).await.expect(StatusCode::OK);
    assert_eq!(world.sent_total(), 0);
}

#[tokio::test]
async fn the_truth_counts_twins() {
    let world = start().await;
    for key in ["a", "b", "a"] {
        world.send_mail(key).await.expect(StatusCode::ACCEPTED);
    }
    let truth = world.handle().truth();
    let spelled = KEY.replace("String", "string").to_uppercase().replace("NAME KEY", "Name Key");
    assert_eq!(
        truth.duplicates(&spelled).unwrap().into_iter().collect::<Vec<_>>(),
        [("a".into(), 2)]
    );
    assert_eq!(truth.count_by_property(KEY).unwrap().len(), 2);
    assert!(truth.duplicates("nonsense").is_err());
}

#[tokio::test]
async fn memory_can_be_kept_flat() {
    let world = start_with(Sandbox::builder().keep_bodies(false).retain(2)).await;
    let id = world.draft("kept").await;
    for number in 0..5 {
        world.send_mail(&format!("s{number}")).await.expect(StatusCode::ACCEPTED);
    }
    let truth = world.handle().truth();
    assert_eq!((truth.sent_total(), truth.sent().len()), (5, 2));
    assert_eq!((truth.sent()[0].body.as_deref(), truth.sent()[0].body_bytes), (None, 5));
    world.send(&id).await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.sent_total(), 6);
}
