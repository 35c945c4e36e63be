use std::collections::BTreeSet;

use mailbridge_core::contract::MailContent;
use serde_json::json;

use super::*;

fn id(text: &str) -> MessageId {
    MessageId(text.to_owned())
}

fn data() -> MailEvent {
    MailEvent {
        change: Change::Received,
        mailbox: Mailbox::new("Support@Contoso.com"),
        folder: "inbox/Größe \"1\"".to_owned(),
        message_id: id("AAk=/+"),
        changed: Vec::new(),
        moved_to: None,
        content: MailContent { subject: Some("hello".to_owned()), ..MailContent::default() },
        attachments: None,
        mime: None,
        left_out: Vec::new(),
    }
}

fn event() -> MailCloudEvent {
    envelope("support", Uuid::nil(), "2026-05-01T10:00:00Z".parse().unwrap(), data())
}

#[test]
fn ids_are_the_same_again_and_differ_with_everything_that_matters() {
    let mailbox = Mailbox::new("a@x.org");
    let all = [
        event_id(&mailbox, &id("1"), Change::Received, None),
        event_id(&Mailbox::new("b@x.org"), &id("1"), Change::Received, None),
        event_id(&mailbox, &id("2"), Change::Received, None),
        event_id(&mailbox, &id("1"), Change::Updated, Some("v1")),
        event_id(&mailbox, &id("1"), Change::Updated, Some("v2")),
        event_id(&mailbox, &id("1"), Change::Moved, Some("v2")),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    // stable for ever: consumers and buses know events by it
    assert_eq!(all[0].to_string(), "143188b6-ae72-5685-a202-8049041ea6fb");
    assert_eq!(event_id(&Mailbox::new("A@X.org"), &id("1"), Change::Received, None), all[0]);
    assert_ne!(event_id(&mailbox, &id("A"), Change::Received, None), {
        // ids of messages are case-sensitive
        event_id(&mailbox, &id("a"), Change::Received, None)
    });
}

#[test]
fn a_structured_event_has_everything_inside() {
    let message = message("support", Form::Structured, &event(), None).unwrap();
    assert_eq!(message.headers.get("content-type"), Some("application/cloudevents+json"));
    let payload: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(
        payload,
        json!({
            "specversion": "1.0",
            "id": "00000000-0000-0000-0000-000000000000",
            "source": "/mailbridge/support",
            "type": "mailbridge.mail.received",
            "subject": "AAk=/+",
            "time": "2026-05-01T10:00:00Z",
            "datacontenttype": "application/json",
            "mailbox": "support@contoso.com",
            "folder": "inbox/Größe \"1\"",
            "change": "received",
            "data": {
                "change": "received",
                "mailbox": "Support@Contoso.com",
                "folder": "inbox/Größe \"1\"",
                "message_id": "AAk=/+",
                "subject": "hello",
            },
        })
    );
    assert_eq!(message.key.as_deref(), Some(b"support@contoso.com".as_slice()));
    assert_eq!(message.labels.get("mailbox"), Some("support@contoso.com"));
    assert_eq!(message.labels.get("pipeline"), Some("support"));
    assert_eq!(message.labels.get("change"), Some("received"));
    assert_eq!(message.labels.get("folder"), Some("inbox/Größe \"1\""));
    // what was written is read again
    serde_json::from_value::<MailCloudEvent>(payload).unwrap();
}

#[test]
fn a_binary_event_has_its_attributes_in_headers_that_any_bus_takes() {
    let message = message("support", Form::Binary, &event(), None).unwrap();
    assert_eq!(message.headers.get("content-type"), Some("application/json"));
    assert_eq!(message.headers.get("ce-specversion"), Some("1.0"));
    assert_eq!(message.headers.get("ce-type"), Some("mailbridge.mail.received"));
    assert_eq!(message.headers.get("ce-subject"), Some("AAk=/+"));
    assert_eq!(message.headers.get("ce-folder"), Some("inbox/Gr%C3%B6%C3%9Fe%20%221%22"));
    assert_eq!(message.headers.get("ce-mailbox"), Some("support@contoso.com"));
    let payload: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(payload["subject"], "hello");
}

#[test]
fn a_plain_event_is_its_data() {
    let message = message("support", Form::Plain, &event(), None).unwrap();
    assert_eq!(message.headers.len(), 1);
    let payload: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(payload["message_id"], "AAk=/+");
}

#[test]
fn two_pipelines_that_tell_of_one_mail_are_not_repeats_of_each_other() {
    let one = message("one", Form::Plain, &event(), None).unwrap();
    let other = message("other", Form::Plain, &event(), None).unwrap();
    assert_ne!(one.id, other.id);
    assert_eq!(one.id, message("one", Form::Structured, &event(), None).unwrap().id);
}

#[test]
fn graphs_own_json_stays_as_it_is_with_one_annotation() {
    for (raw, rest) in [
        (r#"{"z": 1.50, "a":"ü"}"#, r#"{"z": 1.50, "a":"ü","@mailbridge.event":{"#),
        ("{ } ", r#"{ "@mailbridge.event":{"#),
    ] {
        let raw = RawValue::from_string(raw.trim().to_owned()).unwrap();
        let message = message("support", Form::Plain, &event(), Some(&raw)).unwrap();
        let text = std::str::from_utf8(&message.payload).unwrap();
        assert!(text.starts_with(rest), "{text}");
        let payload: Value = serde_json::from_str(text).unwrap();
        assert_eq!(payload[ANNOTATION]["change"], "received");
    }
    let raw = RawValue::from_string(r#"{"id":"1"}"#.to_owned()).unwrap();
    let message = message("support", Form::Structured, &event(), Some(&raw)).unwrap();
    let payload: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(payload["data"]["id"], "1");
    assert_eq!(payload["type"], "mailbridge.mail.received");
}

#[test]
fn graphs_json_that_is_no_object_is_refused() {
    let raw = RawValue::from_string("[]".to_owned()).unwrap();
    let error = message("support", Form::Plain, &event(), Some(&raw)).unwrap_err();
    assert_eq!(error.code(), Code::GraphItemUnreadable);
}

#[test]
fn a_body_can_be_taken_out_of_graphs_json() {
    let raw = r#"{"id":"1","body":{"contentType":"html","content":"long"},"toRecipients":[]}"#;
    let raw = RawValue::from_string(raw.to_owned()).unwrap();
    let without = raw_without(&raw, &["toRecipients"], true).unwrap();
    let without: Value = serde_json::from_str(without.get()).unwrap();
    assert_eq!(without, json!({ "id": "1", "body": { "contentType": "html" } }));
}

#[test]
fn debug_shows_no_mail() {
    let message = message("support", Form::Binary, &event(), None).unwrap();
    assert!(!format!("{message:?}").contains("hello"));
}
