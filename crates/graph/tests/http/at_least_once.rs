//! `guarantee: at_least_once`: one request, and what its failures come to.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{Code, Doubt, Guarantee::AtLeastOnce, Verdict};
use mailbridge_graph::Options;
use serde_json::json;

use crate::{
    scene::{BOTH, MAILBOX, PLAIN, Scene, draft, perform, sent},
    stub::Reply,
};

#[tokio::test]
async fn one_request_with_the_token_and_its_ids() {
    let scene = Scene::new(|_| Reply::status(202).with("retry-after", "30")).await;
    // a 202 is a success whatever else it says, and a doubt changes nothing: there is nothing to
    // look for
    for doubt in [Doubt::None, Doubt::Young, Doubt::Old] {
        assert_eq!(scene.send(AtLeastOnce, doubt).await.unwrap(), sent(None, false));
    }
    assert_eq!(scene.stub.graph_asked(), ["POST sendMail"; 3]);
    let asked = scene.stub.asked().pop().unwrap();
    assert_eq!(asked.target, "/v1.0/users/noreply@contoso.com/sendMail");
    assert_eq!(asked.header("authorization"), Some("Bearer t"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert!(asked.header("user-agent").unwrap().starts_with("mailbridge/"));
    assert!(uuid::Uuid::try_parse(asked.header("client-request-id").unwrap()).is_ok());
    assert_eq!(asked.json()["message"]["toRecipients"][0]["emailAddress"]["address"], "bob@x.org");
    assert!(asked.json().get("saveToSentItems").is_none());
}

#[tokio::test]
async fn text_with_html_goes_as_mime_in_base64() {
    let scene = Scene::new(|_| Reply::status(202)).await;
    let request = r#"{"id":"1","to":"bob@x.org","bcc":"secret@x.org","subject":"Hi",
        "text":"hello","html":"<p>hello</p>"}"#;
    scene.send_from(MAILBOX, request, AtLeastOnce, Doubt::None).await.unwrap();
    let asked = scene.stub.asked().pop().unwrap();
    assert_eq!(asked.header("content-type"), Some("text/plain"));
    let raw = STANDARD.decode(&asked.body).unwrap();
    let mail = mail_parser::MessageParser::new().parse(&raw).unwrap();
    assert_eq!(mail.body_html(0).unwrap().trim(), "<p>hello</p>");
    assert_eq!(mail.bcc().unwrap().first().unwrap().address(), Some("secret@x.org"));
}

#[tokio::test]
async fn what_mime_does_not_say_is_said_by_a_draft() {
    let scene = Scene::new(|asked| match asked.what().as_str() {
        "POST messages" => draft(),
        "PATCH draft" => Reply::json(200, "{}"),
        _ => Reply::status(202),
    })
    .await;
    scene.send_from(MAILBOX, BOTH, AtLeastOnce, Doubt::None).await.unwrap();
    assert_eq!(scene.stub.graph_asked(), ["POST messages", "PATCH draft", "POST send"]);
}

#[tokio::test]
async fn a_ready_message_goes_as_it_is() {
    let raw = "From: a@x.org\r\nTo: b@x.org\r\nBcc: c@x.org\r\n\r\nhi";
    let request = json!({ "id": "1", "mime": STANDARD.encode(raw) }).to_string();
    let scene = Scene::new(|_| Reply::status(202)).await;
    scene.send_from(MAILBOX, &request, AtLeastOnce, Doubt::None).await.unwrap();
    let asked = scene.stub.asked().pop().unwrap();
    assert_eq!(STANDARD.decode(asked.body).unwrap(), raw.as_bytes());
}

#[tokio::test]
async fn each_failure_has_its_code_verdict_and_ids() {
    let cases = [
        (
            Reply::error(400, "ErrorInvalidRecipients"),
            Code::GraphRecipientsRefused,
            Verdict::Permanent,
        ),
        (Reply::error(404, "ErrorNonExistentMailbox"), Code::MailboxNotFound, Verdict::Permanent),
        (Reply::error(413, "X"), Code::GraphTooLarge, Verdict::Permanent),
        (Reply::error(500, "UnknownError"), Code::GraphUnavailable, Verdict::InDoubt),
        (Reply::error(503, "ErrorServerBusy"), Code::GraphUnavailable, Verdict::InDoubt),
        (Reply::json(504, "<html>gateway</html>"), Code::GraphUnavailable, Verdict::InDoubt),
        (Reply::Cut, Code::GraphCut, Verdict::InDoubt),
    ];
    for (reply, code, verdict) in cases {
        let answer = reply.clone();
        let scene = Scene::new(move |_| answer.clone()).await;
        let error = scene.send(AtLeastOnce, Doubt::None).await.unwrap_err();
        assert_eq!((error.code(), error.verdict()), (code, verdict), "{reply:?}");
        assert_eq!(scene.stub.graph_asked().len(), 1, "nothing is sent twice: {reply:?}");
        let shown = format!("{error:?}");
        assert!(!shown.contains("secret words") && !shown.contains("bob@"), "{shown}");
        assert!(error.field("client-request-id").is_some());
        if let Reply::Answer { status, .. } = reply {
            assert_eq!(error.field("status"), Some(status.to_string().as_str()));
            let id = error.field("request-id");
            assert!(status == 504 || id == Some("0b5f3a0e-aaaa-4000-8000-00000000abcd"));
        }
    }
}

#[tokio::test]
async fn silence_is_in_doubt_when_the_deadline_comes() {
    let scene = Scene::new(|_| Reply::Silence).await;
    scene.graph_ready().await;
    let within = Duration::from_millis(200);
    let result = perform(&scene.graph, MAILBOX, PLAIN, AtLeastOnce, Doubt::None, within).await;
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::GraphTimeout, Verdict::InDoubt));
}

#[tokio::test]
async fn one_request_has_its_own_time_limit_too() {
    let request_timeout = Duration::from_millis(200);
    let options = Options { request_timeout, ..Options::default() };
    let scene = Scene::with(options, json!("s"), |_| Reply::Silence).await;
    let error = scene.send(AtLeastOnce, Doubt::None).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::GraphTimeout, Verdict::InDoubt));
}

#[tokio::test]
async fn no_connection_is_not_sent() {
    let scene = Scene::new(|_| Reply::status(202)).await;
    scene.graph_ready().await;
    let Scene { stub, graph } = scene;
    stub.stop().await;
    let within = Duration::from_secs(5);
    let result = perform(&graph, MAILBOX, PLAIN, AtLeastOnce, Doubt::None, within).await;
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::GraphUnreachable);
    assert_eq!(error.verdict(), Verdict::Transient { after: None });
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_in_a_url_is_refused_here() {
    let scene = Scene::new(|_| Reply::status(202)).await;
    for mailbox in ["..", ".", ""] {
        let error = scene.send_from(mailbox, PLAIN, AtLeastOnce, Doubt::None).await.unwrap_err();
        assert_eq!(error.code(), Code::MailboxNotFound);
    }
    scene.send_from("a/../b?c#d@x.org", PLAIN, AtLeastOnce, Doubt::None).await.unwrap();
    let asked = scene.stub.asked().pop().unwrap();
    assert_eq!(asked.target, "/v1.0/users/a%2F..%2Fb%3Fc%23d@x.org/sendMail");
}
