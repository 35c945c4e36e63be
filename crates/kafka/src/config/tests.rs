use std::time::Duration;

use mailbridge_core::plugin::parse;
use serde_json::{Value, json};

use super::*;

const NEEDS: Needs = Needs { in_flight: 64, concluding: 0, deadline: Duration::from_secs(30) };

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

fn hubs(sasl: &Value) -> Config {
    let brokers = json!(["ns.servicebus.windows.net:9093"]);
    parse(json!({ "brokers": brokers, "tls": {}, "sasl": sasl })).unwrap()
}

#[test]
fn tokens_of_a_connection_are_for_the_namespace_unless_something_else_is_said() {
    let wants = |sasl: Value| {
        let config = hubs(&sasl);
        config.check().unwrap();
        config.wants_tokens()
    };
    let sasl = |more: Value| {
        let mut sasl = json!({ "mechanism": "oauthbearer" });
        sasl.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sasl
    };
    let wanted = wants(sasl(json!({ "connection": "c" }))).unwrap();
    assert_eq!(
        (&*wanted.connection, &*wanted.resource),
        ("c", "https://ns.servicebus.windows.net")
    );
    let given = sasl(json!({ "connection": "c", "scope": "api://x/.default" }));
    assert_eq!(wants(given).unwrap().resource, "api://x");
    assert_eq!(wants(sasl(json!({ "token": { "file": "t" } }))), None);
    for (more, key) in [
        (json!({}), "sasl.connection"),
        (json!({ "connection": "c", "token": { "file": "t" } }), "sasl.token"),
        (json!({ "connection": "c", "scope": "api://x" }), "sasl.scope"),
        (json!({ "connection": "c", "scope": "/.default" }), "sasl.scope"),
        (json!({ "token": { "file": "t" }, "scope": "api://x/.default" }), "sasl.scope"),
        (json!({ "connection": "c", "user": "u" }), "sasl.user"),
        (json!({ "connection": "c", "password": { "file": "p" } }), "sasl.password"),
    ] {
        let error = hubs(&sasl(more)).check().unwrap_err();
        assert_eq!(error.field("key"), Some(key), "{error}");
    }
}

#[test]
fn what_a_mechanism_has_no_use_for_is_refused() {
    for (more, key) in [
        (json!({}), "sasl.user"),
        (json!({ "user": "u" }), "sasl.password"),
        (json!({ "user": "u", "password": "p", "connection": "c" }), "sasl.connection"),
        (json!({ "user": "u", "password": "p", "token": "t" }), "sasl.token"),
        (json!({ "user": "u", "password": "p", "scope": "s/.default" }), "sasl.scope"),
    ] {
        let mut sasl = json!({ "mechanism": "plain" });
        sasl.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = hubs(&sasl).check().unwrap_err();
        assert_eq!(error.field("key"), Some(key), "{error}");
    }
}

#[test]
fn brokers_elsewhere_need_a_scope_and_event_hubs_tls() {
    let sasl = json!({ "mechanism": "oauthbearer", "connection": "c" });
    let kafka = json!({ "brokers": ["kafka:9093"], "tls": {}, "sasl": sasl });
    let error = parse::<Config>(kafka).unwrap().check().unwrap_err();
    assert_eq!(error.field("key"), Some("sasl.scope"), "{error}");
    let plain = json!({ "brokers": ["ns.servicebus.windows.net:9093"], "sasl": sasl });
    let error = parse::<Config>(plain).unwrap().check().unwrap_err();
    assert_eq!(error.field("key"), Some("tls"), "{error}");
}
