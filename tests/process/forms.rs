//! Requests as clients that nobody here wrote publish them.

use async_nats::HeaderMap;
use mailbridge_core::contract::Status;

use crate::rig::{LOAD, Plan, Rig};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, *value);
    }
    headers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloud_events_plain_json_and_mime_are_all_sent() {
    let rig = Rig::new(Plan::default()).await;
    let binary = headers(&[
        ("Nats-Msg-Id", "msg-1"),
        ("ce-specversion", "1.0"),
        ("ce-id", "42"),
        ("ce-source", "/shop"),
        ("ce-type", "order.created"),
        ("content-type", "application/json"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]);
    rig.publish(r#"{"to":"ann@example.org","subject":"binary","text":"hi"}"#, binary).await;
    let structured = r#"{"specversion":"1.0","id":"43","source":"/shop","type":"order.created",
        "data":{"to":"ann@example.org","subject":"structured","html":"<p>hi</p>"}}"#;
    let content_type = headers(&[("content-type", "application/cloudevents+json")]);
    rig.publish(structured, content_type).await;
    let plain =
        r#"{"to":"Änn <ann@example.org>","subject":"grüße","text":"hi","html":"<b>hi</b>"}"#;
    rig.publish(plain, headers(&[("Nats-Msg-Id", "msg-2")])).await;
    let mime =
        "From: noreply@contoso.example\r\nTo: Ann <ann@example.org>\r\nSubject: mime\r\n\r\nhi\r\n";
    let rfc822 = headers(&[("content-type", "message/rfc822"), ("Nats-Msg-Id", "msg-3")]);
    rig.publish(mime, rfc822).await;
    let _program = rig.start();
    rig.drained(LOAD).await;

    let mut subjects: Vec<_> =
        rig.handle().truth().sent().into_iter().map(|sent| sent.subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["binary", "grüße", "mime", "structured"]);
    let outcomes = rig.outcomes().await;
    let keys: Vec<_> = outcomes.keys().map(String::as_str).collect();
    assert_eq!(keys, ["/shop#42", "/shop#43", "msg-2", "msg-3"]);
    for outcome in outcomes.values().flatten() {
        assert_eq!(outcome.data.status, Status::Accepted, "{:?}", outcome.data);
    }
    let trace = outcomes["/shop#42"][0].traceparent.as_deref();
    assert_eq!(trace, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
}
