use std::time::Duration;

use mailbridge_core::plugin::parse;
use serde_json::{Value, json};

use super::*;

const NEEDS: Needs = Needs { in_flight: 64, deadline: Duration::from_secs(30) };

fn source(value: Value) -> Result<()> {
    parse::<Source>(value).unwrap().check(&NEEDS)
}

#[test]
fn a_source_is_checked_offline() {
    assert!(source(json!({ "topics": ["mail.send"], "group": "mailbridge" })).is_ok());
    for (value, key) in [
        (json!({ "topics": [], "group": "g" }), "topics"),
        (json!({ "topics": ["mail send"], "group": "g" }), "topics"),
        (json!({ "topics": [".."], "group": "g" }), "topics"),
        (json!({ "topics": ["a"], "group": " " }), "group"),
        (json!({ "topics": ["a"], "group": "g", "open_max": 10 }), "open_max"),
    ] {
        let error = source(value).unwrap_err();
        assert_eq!(error.field("key"), Some(key), "{error}");
    }
}

#[test]
fn brokers_are_addresses_without_scheme_and_credentials() {
    let check = |broker: &str| {
        parse::<Config>(json!({ "brokers": [broker] })).unwrap().check().map_err(|e| e.to_string())
    };
    for good in ["kafka:9092", "127.0.0.1:9092", "[::1]:9092"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in ["kafka", "kafka:0", ":9092", "kafka://kafka:9092", "a:b@kafka:9092", "a:1,b:2"] {
        let text = check(bad).unwrap_err();
        assert!(text.contains("`brokers`") && !text.contains("a:b@"), "{text}");
    }
}

#[test]
fn what_is_missing_is_made_when_asked_for_with_what_is_given() {
    let create = |value| parse::<Create>(value).unwrap();
    assert_eq!(create(json!(false)).settings(), None);
    assert_eq!(create(json!(true)).settings(), Some(&TopicSettings::default()));
    let given = json!({ "partitions": 12, "settings": { "retention.ms": 1000, "a": true } });
    let settings = create(given).settings().cloned().unwrap();
    assert_eq!(settings.partitions, Some(12));
    assert_eq!(settings.settings["retention.ms"].text(), "1000");
    assert_eq!(settings.settings["a"].text(), "true");
}

#[test]
fn a_store_has_one_partition() {
    let store = json!({ "topic": "state", "create": { "partitions": 3 } });
    let error = parse::<Store>(store).unwrap_err();
    assert!(error.detail.contains("create.partitions"), "{error:?}");
}

#[test]
fn a_target_may_name_what_a_message_is_about() {
    let target = |value| parse::<Target>(value);
    let found = target(json!({ "topic": "mail.{change}.{mailbox}", "key": "{mailbox}" })).unwrap();
    let labels = Labels::default().with("change", "received").with("mailbox", "a+b@x.org");
    assert_eq!(topic_of(&found.topic, &labels), "mail.received.a_b_x.org");
    assert_eq!(found.key.unwrap().fill(&labels, "", str::to_owned), "a+b@x.org");
    for (value, key) in [
        (json!({ "topic": "mail {mailbox}" }), "topic"),
        (json!({ "topic": "mail.{who}" }), "topic"),
        (json!({ "topic": "mail", "key": "{who}" }), "key"),
    ] {
        let error = target(value).unwrap_err();
        assert!(error.detail.contains(key), "{error:?}");
    }
}
