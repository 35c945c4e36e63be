//! Requests as clients that nobody here wrote publish them.

use mailbridge_core::{Headers, Message, contract::Status};

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig},
};

over_each_bus!(cloud_events_plain_json_and_mime_are_all_sent);

fn message(id: &str, headers: &[(&'static str, &'static str)], payload: &'static str) -> Message {
    let headers = headers.iter().fold(Headers::new(), |all, (name, value)| all.with(*name, *value));
    Message { id: Some(id.to_owned()), headers, payload: payload.into(), ..Message::default() }
}

async fn cloud_events_plain_json_and_mime_are_all_sent(on: On) {
    let rig = Rig::new(on, Plan::default()).await;
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "42"),
        ("ce-source", "/shop"),
        ("ce-type", "order.created"),
        ("content-type", "application/json"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let payload = r#"{"to":"ann@example.org","subject":"binary","text":"hi"}"#;
    rig.publish(message("msg-1", &binary, payload)).await;
    let structured = r#"{"specversion":"1.0","id":"43","source":"/shop","type":"order.created",
        "data":{"to":"ann@example.org","subject":"structured","html":"<p>hi</p>"}}"#;
    let content_type = [("content-type", "application/cloudevents+json")];
    rig.publish(message("msg-4", &content_type, structured)).await;
    let plain =
        r#"{"to":"Änn <ann@example.org>","subject":"grüße","text":"hi","html":"<b>hi</b>"}"#;
    rig.publish(message("msg-2", &[], plain)).await;
    let mime =
        "From: noreply@contoso.example\r\nTo: Ann <ann@example.org>\r\nSubject: mime\r\n\r\nhi\r\n";
    rig.publish(message("msg-3", &[("content-type", "message/rfc822")], mime)).await;
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
