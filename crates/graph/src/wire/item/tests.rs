use mailbridge_core::Verdict;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(json: &Value, select: &Select) -> Item {
    item(&RawValue::from_string(json.to_string()).unwrap(), select)
}

fn present(item: Item) -> Found {
    match item {
        Item::Present(found) => *found,
        other => panic!("{other:?}"),
    }
}

fn full() -> Value {
    let person =
        |name: &str, address: &str| json!({ "emailAddress": { "name": name, "address": address } });
    json!({
        "@odata.etag": "W/\"CQAAABYA\"",
        "id": "AAkALg/x+=",
        "receivedDateTime": "2026-03-01T10:00:00Z",
        "sentDateTime": "2026-03-01T09:59:58Z",
        "lastModifiedDateTime": "2026-03-01T10:00:01.5Z",
        "changeKey": "CQAAABYA",
        "parentFolderId": "AQMk",
        "internetMessageId": "<1@x.org>",
        "conversationId": "c1",
        "subject": "Order 7",
        "bodyPreview": "hello",
        "from": person("Bob", "bob@x.org"),
        "sender": person("Bob", "bob@x.org"),
        "toRecipients": [person("support@contoso.com", "support@contoso.com")],
        "ccRecipients": [],
        "bccRecipients": [],
        "replyTo": [person("", "answers@x.org")],
        "importance": "high",
        "categories": ["Red"],
        "isRead": false,
        "isDraft": false,
        "flag": { "flagStatus": "flagged" },
        "hasAttachments": true,
        "webLink": "https://outlook.example/1",
        "body": { "contentType": "text", "content": "hello" },
        "internetMessageHeaders": [{ "name": "X-A", "value": "1" }, { "name": "X-A", "value": "2" }],
    })
}

#[test]
fn a_message_with_everything() {
    let select = Select { headers: true, ..Select::default() };
    let found = present(of(&full(), &select));
    assert!(found.complete && found.raw.is_none());
    assert_eq!(found.id.0, "AAkALg/x+=");
    assert_eq!(found.version.as_deref(), Some("CQAAABYA"));
    assert_eq!(found.folder.as_deref(), Some("AQMk"));
    assert_eq!(found.received, Some("2026-03-01T10:00:00Z".parse().unwrap()));
    assert_eq!(found.modified, Some("2026-03-01T10:00:01.5Z".parse().unwrap()));
    assert!(found.properties.contains(&"isRead".to_owned()));
    assert!(!found.properties.iter().any(|name| name.contains('@') || name == "id"));
    let mail = found.content;
    assert_eq!(
        mail.from,
        Some(Address { name: Some("Bob".into()), ..Address::parse("bob@x.org") })
    );
    assert_eq!(mail.sender, None, "it is the same");
    assert_eq!(mail.to, [Address::parse("support@contoso.com")]);
    assert_eq!(mail.reply_to, [Address::parse("answers@x.org")]);
    assert_eq!((mail.text.as_deref(), mail.html), (Some("hello"), None));
    assert_eq!(mail.importance, Some(Importance::High));
    assert_eq!(mail.flag.as_deref(), Some("flagged"));
    assert_eq!((mail.is_read, mail.has_attachments), (Some(false), Some(true)));
    let values: Vec<_> = mail.headers.iter().map(|header| header.value.as_str()).collect();
    assert_eq!(values, ["1", "2"]);
}

#[test]
fn raw_is_what_graph_said() {
    let select = Select { raw: true, ..Select::default() };
    let found = present(of(&full(), &select));
    let raw: Value = serde_json::from_str(found.raw.unwrap().get()).unwrap();
    assert_eq!(raw, full());
}

#[test]
fn what_is_left_out_makes_it_partial_unless_a_message_need_not_have_it() {
    let without = |names: &[&str]| {
        let mut json = full();
        for name in names {
            json.as_object_mut().unwrap().remove(*name);
        }
        present(of(&json, &Select::default()))
    };
    assert!(without(&["from", "sender", "internetMessageHeaders", "webLink"]).complete);
    for name in ["receivedDateTime", "isRead", "body"] {
        assert!(!without(&[name]).complete, "{name}");
    }
    let changed = json!({ "id": "1", "@odata.etag": "W/\"x\"", "isRead": true, "changeKey": "y" });
    let changed = present(of(&changed, &Select::default()));
    assert!(!changed.complete);
    assert_eq!(changed.properties, ["isRead"]);
    assert_eq!(changed.content.is_read, Some(true));
    let no_body = Select { bodies: Bodies::None, ..Select::default() };
    let mut json = full();
    json.as_object_mut().unwrap().remove("body");
    assert!(present(of(&json, &no_body)).complete);
}

#[test]
fn removed_of_either_kind() {
    for reason in ["deleted", "changed"] {
        let json = json!({ "id": "1", "@removed": { "reason": reason } });
        let Item::Removed(id) = of(&json, &Select::default()) else { panic!("{reason}") };
        assert_eq!(id.0, "1");
    }
}

#[test]
fn odd_mails_are_mails() {
    let mut json = full();
    let all = json.as_object_mut().unwrap();
    all.remove("from");
    all.insert("sender".into(), json!({ "emailAddress": {} }));
    all.insert("subject".into(), Value::Null);
    all.insert("receivedDateTime".into(), json!("1601-01-01T00:00:00Z"));
    all.insert("sentDateTime".into(), json!("9999-12-31T23:59:59.9999999Z"));
    all.insert("importance".into(), json!("urgent"));
    all.insert(
        "ccRecipients".into(),
        json!([
            { "emailAddress": { "name": "Undisclosed" } }, { "emailAddress": null }, {}
        ]),
    );
    let many: Vec<_> = (0..5000)
        .map(|number| json!({ "emailAddress": { "address": format!("{number}@x.org") } }))
        .collect();
    all.insert("toRecipients".into(), many.into());
    let found = present(of(&json, &Select::default()));
    assert!(found.complete);
    assert_eq!(found.received, Some("1601-01-01T00:00:00Z".parse().unwrap()));
    let mail = found.content;
    assert_eq!((mail.from, mail.sender, mail.subject), (None, None, None));
    assert_eq!(mail.sent_at, Some(Timestamp::MAX));
    assert_eq!((mail.importance, mail.to.len(), mail.cc.len()), (None, 5000, 1));
}

#[test]
fn half_of_an_emoji_does_not_cost_the_mail() {
    let text = full().to_string().replace("\"hello\"", r#""hel\ud83d""#);
    let raw = RawValue::from_string(text).unwrap();
    let select = Select { raw: true, ..Select::default() };
    let found = present(item(&raw, &select));
    assert_eq!(found.content.preview.as_deref(), Some("hel\u{fffd}"));
    assert!(serde_json::from_str::<Value>(found.raw.unwrap().get()).is_ok());
}

#[test]
fn what_cannot_be_read_says_which_property_and_not_what_is_in_it() {
    for (name, value) in [
        ("subject", json!({ "secret": 1 })),
        ("isRead", json!("secret")),
        ("toRecipients", json!("secret")),
        ("body", json!(["secret"])),
        ("receivedDateTime", json!(5)),
        ("categories", json!([{ "secret": 1 }])),
    ] {
        let mut json = full();
        json[name] = value;
        let Item::Unreadable { id, error } = of(&json, &Select::default()) else {
            panic!("{name}")
        };
        assert_eq!(id.unwrap().0, "AAkALg/x+=");
        assert_eq!(
            (error.code(), error.verdict()),
            (Code::GraphItemUnreadable, Verdict::Permanent)
        );
        assert_eq!(error.field("property"), Some(name));
        assert!(!format!("{error:?}").contains("secret"));
    }
    for nothing in
        [json!(null), json!([]), json!(5), json!({}), json!({ "id": 5 }), json!({ "id": "" })]
    {
        let Item::Unreadable { id: None, .. } = of(&nothing, &Select::default()) else {
            panic!("{nothing}")
        };
    }
}

#[test]
fn times() {
    for (text, expected) in [
        ("2026-03-01T10:00:00Z", Some("2026-03-01T10:00:00Z")),
        ("2026-03-01T10:00:00.1234567Z", Some("2026-03-01T10:00:00.1234567Z")),
        ("2026-03-01T11:00:00+01:00", Some("2026-03-01T10:00:00Z")),
        ("2026-03-01T10:00:00", Some("2026-03-01T10:00:00Z")),
        ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
        ("", None),
        ("yesterday", None),
        ("2026-13-45T99:00:00Z", None),
    ] {
        assert_eq!(moment(text), expected.map(|text| text.parse().unwrap()), "{text}");
    }
}

#[test]
fn only_what_is_wanted_is_selected() {
    let selected = |select: Select| selected(&select);
    let plain = Select::default();
    let names = selected(plain.clone()).unwrap();
    assert!(names.starts_with("id,receivedDateTime,") && names.ends_with(",body"));
    let none = Select { bodies: Bodies::None, ..plain.clone() };
    assert!(!selected(none).unwrap().contains("body,") && !names.contains("Headers"));
    let headers = Select { headers: true, ..plain.clone() };
    assert!(selected(headers).unwrap().ends_with(",internetMessageHeaders"));
    let raw = Select { raw: true, ..plain };
    assert_eq!(selected(raw.clone()), None);
    let more = selected(Select { headers: true, ..raw }).unwrap();
    assert!(more.contains("conversationIndex") && more.contains("internetMessageHeaders"));
}

proptest! {
    #[test]
    fn whatever_graph_says_of_a_message_it_is_an_item(
        name in prop::sample::select(PROPERTIES.to_vec()),
        value in prop_oneof![
            Just(json!(null)), Just(json!(-1)), Just(json!({})), Just(json!([])), Just(json!([null])),
            "\\PC{0,20}".prop_map(Value::from),
        ],
    ) {
        let mut json = full();
        json[name] = value;
        let known = match of(&json, &Select::default()) {
            Item::Present(_) => true,
            Item::Unreadable { id, .. } => id.is_some(),
            Item::Removed(_) => false,
        };
        prop_assert!(known);
    }
}
