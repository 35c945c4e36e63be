//! Messages, attachments and content.

use mailbridge_core::{
    changes::{Bodies, What},
    contract::{AttachmentKind, MessageId},
};

use super::*;
use crate::scene::token;

fn id() -> MessageId {
    MessageId("m/1=".to_owned())
}

async fn read(scene: &Scene, what: What<'_>) -> Result<Vec<u8>> {
    let deadline = soon();
    let mut content = scene.graph.content(&mailbox(), what, &deadline).await?;
    let mut all = Vec::new();
    while let Some(piece) = content.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[tokio::test]
async fn both_bodies_are_two_requests_and_what_is_gone_is_nothing() {
    let scene = Scene::new(|asked| {
        if asked.target.contains("gone") {
            return Reply::error(404, "ErrorItemNotFound");
        }
        let text = asked.header("prefer").unwrap().contains("\"text\"");
        let (kind, content) = if text { ("text", "plain") } else { ("html", "<p>rich</p>") };
        let body = json!({ "contentType": kind, "content": content });
        Reply::json(200, json!({ "id": "m/1=", "subject": "Hi", "body": body }).to_string())
    })
    .await;
    let select = Select { bodies: Bodies::Both, ..Select::default() };
    let deadline = soon();
    let message = scene.graph.message(&mailbox(), &id(), &select, &deadline).await.unwrap();
    let found = message.unwrap();
    assert!(found.complete);
    assert_eq!(found.content.subject.as_deref(), Some("Hi"));
    assert_eq!(found.content.text.as_deref(), Some("plain"));
    assert_eq!(found.content.html.as_deref(), Some("<p>rich</p>"));
    let targets = targets(&scene);
    assert!(targets[0].contains("/messages/m%2F1%3D?$select=id,receivedDateTime"));
    assert!(targets[1].ends_with("/messages/m%2F1%3D?$select=id,body"));

    let gone = MessageId("gone".to_owned());
    assert!(scene.graph.message(&mailbox(), &gone, &select, &deadline).await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_told_with_its_property() {
    let scene = Scene::new(|_| Reply::json(200, r#"{"id":"1","subject":["secret"]}"#)).await;
    let deadline = soon();
    let error =
        scene.graph.message(&mailbox(), &id(), &Select::default(), &deadline).await.unwrap_err();
    assert_is(&error, Code::GraphItemUnreadable, Verdict::Permanent);
    assert_eq!(error.field("property"), Some("subject"));
}

#[tokio::test]
async fn attachments_of_each_kind_over_pages_without_their_content() {
    let scene = Scene::new(|asked| {
        let kind = |name: &str, id: &str| {
            json!({ "@odata.type": format!("#microsoft.graph.{name}"), "id": id, "size": 5 })
        };
        if asked.target.contains("next") {
            let all = [kind("referenceAttachment", "3")];
            return Reply::json(200, json!({ "value": all }).to_string());
        }
        listed(asked, "next", &[kind("fileAttachment", "1"), kind("itemAttachment", "2")])
    })
    .await;
    let all = scene.graph.attachments(&mailbox(), &id(), &soon()).await.unwrap();
    let kinds: Vec<_> = all.iter().map(|it| (it.id.as_str(), it.kind)).collect();
    let expected = [
        ("1", AttachmentKind::File),
        ("2", AttachmentKind::Item),
        ("3", AttachmentKind::Reference),
    ];
    assert_eq!(kinds, expected);
    let first = &targets(&scene)[0];
    assert!(first.ends_with("/attachments?$select=id,name,contentType,size,isInline"), "{first}");
}

#[tokio::test]
async fn content_comes_in_pieces() {
    let body = "0123456789abcdef".repeat(64 * 1024);
    let sent = body.clone();
    let scene = Scene::new(move |_| Reply::json(200, sent.clone())).await;
    let deadline = soon();
    let message = id();
    let attachment = What::Attachment(&message, "a/2=");
    let mut content = scene.graph.content(&mailbox(), attachment, &deadline).await.unwrap();
    let (mut bytes, mut largest) = (0, 0);
    while let Some(piece) = content.next().await.unwrap() {
        bytes += piece.len();
        largest = largest.max(piece.len());
    }
    assert_eq!(bytes, body.len());
    assert!(largest < body.len() / 2, "{largest}");
    drop(content);
    assert_eq!(read(&scene, What::Mime(&message)).await.unwrap(), body.as_bytes());
    let targets = targets(&scene);
    assert!(targets[0].ends_with("/messages/m%2F1%3D/attachments/a%2F2%3D/$value"));
    assert!(targets[1].ends_with("/messages/m%2F1%3D/$value"));
}

#[tokio::test]
async fn what_breaks_off_or_stalls_is_not_the_end() {
    let scene = Scene::new(|_| Reply::Torn("half of it".to_owned())).await;
    let error = read(&scene, What::Mime(&id())).await.unwrap_err();
    assert_is(&error, Code::GraphCut, Verdict::Transient { after: None });
}

#[tokio::test]
async fn an_attachment_without_content_is_told_for_good() {
    for (status, code) in [(405, ""), (400, "ErrorCannotOpenFileAttachment")] {
        let scene = Scene::new(move |_| match code {
            "" => Reply::status(status),
            code => Reply::error(status, code),
        })
        .await;
        let error = read(&scene, What::Attachment(&id(), "a")).await.unwrap_err();
        assert_is(&error, Code::GraphAttachmentUnreadable, Verdict::Permanent);
    }
    let scene = Scene::new(|_| Reply::error(404, "ErrorItemNotFound")).await;
    let error = read(&scene, What::Attachment(&id(), "a")).await.unwrap_err();
    assert_is(&error, Code::GraphMessageGone, Verdict::Permanent);
}

#[tokio::test]
async fn content_keeps_its_place_among_the_mailboxs_requests_until_it_is_dropped() {
    let scene = Scene::new(|_| Reply::json(200, "x")).await;
    let (deadline, message) = (soon(), id());
    let mut open = Vec::new();
    for _ in 0..4 {
        let what = What::Mime(&message);
        open.push(scene.graph.content(&mailbox(), what, &deadline).await.unwrap());
    }
    let error = page(&scene, None, &Select::default(), 5).await.unwrap_err();
    assert!(is_mailboxs(&error), "{error:?}");
    open.pop();
    let error = page(&scene, None, &Select::default(), 5).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphUnexpected, "it was asked");
}

#[tokio::test]
async fn whoever_may_only_read_is_not_told_that_a_permission_is_missing() {
    for (role, expected) in
        [("Mail.Read", Code::MailboxDenied), ("Mail.Send", Code::GraphPermissionMissing)]
    {
        let stub = crate::stub::Stub::start(move |asked| match asked.target.as_str() {
            target if target.ends_with("/token") => token("t", &[role]),
            _ => Reply::error(403, "ErrorAccessDenied"),
        })
        .await;
        let graph = crate::scene::graph(&stub, mailbridge_graph::Options::default(), &json!("s"));
        let scene = Scene { stub, graph };
        let error = page(&scene, None, &Select::default(), 5).await.unwrap_err();
        assert_eq!(error.code(), expected, "{role}");
    }
}
