use serde_json::{Value, json};

use super::*;

fn section(extra: &Value) -> EventsSection {
    let mut section = json!({ "connection": "c", "mailboxes": ["a@b.org"], "to": {} });
    let (Value::Object(all), Value::Object(extra)) = (&mut section, extra) else { panic!() };
    all.extend(extra.clone());
    serde_json::from_value(section).unwrap()
}

#[test]
fn each_rule_names_its_key() {
    let hub = |url: &str| json!({ "wake": { "event_hub": { "url": url, "from": {} } } });
    let hook = |url: &str| json!({ "wake": { "webhook": { "public_url": url } } });
    for right in [
        json!({}),
        json!({ "mailboxes": { "users": "department eq 'x'", "rediscover": "5m" } }),
        json!({ "mailboxes": { "group": "00000000-0000-4000-8000-000000000001" } }),
        json!({ "folders": ["inbox/**", "archive/2026", "Orders/*"], "start": "all" }),
        hook("https://mail.example.org/bridge"),
        hook("http://127.0.0.1:8080"),
        hub("EventHub:https://ns.servicebus.windows.net/eventhubname/h?tenantId=contoso.com"),
        hub("EventHub:https://kv.vault.azure.net/secrets/hub?tenantId=contoso.com"),
        json!({ "attachments": { "inline": "64KiB" }, "mime": "inline" }),
        json!({ "attachments": "store", "mime": "store", "store": "s3://bucket/x/" }),
    ] {
        assert_eq!(events(&section(&right), true), [], "{right}");
    }
    for (extra, key) in [
        (json!({ "mailboxes": [] }), "mailboxes"),
        (json!({ "mailboxes": ["a@b", " "] }), "mailboxes.1"),
        (json!({ "mailboxes": ["*@b.org"] }), "mailboxes.0"),
        (json!({ "mailboxes": ["a@b.org", "A@b.org"] }), "mailboxes.1"),
        (json!({ "mailboxes": { "rediscover": "1h" } }), "mailboxes"),
        (json!({ "mailboxes": { "users": "x", "group": "y" } }), "mailboxes"),
        (json!({ "mailboxes": { "users": "" } }), "mailboxes.users"),
        (json!({ "mailboxes": { "group": "Support" } }), "mailboxes.group"),
        (json!({ "mailboxes": { "users": "x", "rediscover": "1s" } }), "mailboxes.rediscover"),
        (json!({ "folders": [] }), "folders"),
        (json!({ "folders": ["inbox", "inbox//x"] }), "folders.1"),
        (json!({ "folders": ["inbox/**/x"] }), "folders.0"),
        (json!({ "folders": ["inbox/ab*"] }), "folders.0"),
        (json!({ "folders": ["inbox", "Inbox"] }), "folders.1"),
        (json!({ "changes": [] }), "changes"),
        (json!({ "changes": ["moved", "moved"] }), "changes"),
        (json!({ "every": "10ms" }), "every"),
        (json!({ "backstop": "10m" }), "backstop"),
        (hook("http://mail.example.org"), "wake.webhook.public_url"),
        (hook("mail.example.org"), "wake.webhook.public_url"),
        (hook("https://mail.example.org/?a=b"), "wake.webhook.public_url"),
        (hub("https://ns.servicebus.windows.net/eventhubname/h?tenantId=a"), "wake.event_hub.url"),
        (hub("EventHub:https://ns.servicebus.windows.net/h?tenantId=a"), "wake.event_hub.url"),
        (hub("EventHub:https://ns.servicebus.windows.net/eventhubname/h"), "wake.event_hub.url"),
        (json!({ "attachments": "store" }), "attachments"),
        (json!({ "mime": "store" }), "mime"),
        (json!({ "after": {} }), "after"),
        (json!({ "after": { "move": "archive", "delete": true } }), "after.delete"),
        (json!({ "after": { "move": " " } }), "after.move"),
        (json!({ "after": { "categorize": [""] } }), "after.categorize"),
        (json!({ "page_size": 0 }), "page_size"),
        (json!({ "page_size": 1001 }), "page_size"),
        (json!({ "at_once": 0 }), "at_once"),
    ] {
        let wrong = events(&section(&extra), true);
        assert_eq!(wrong.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), [key], "{extra}");
    }
    let hub = hub("EventHub:https://ns.servicebus.windows.net/eventhubname/h?tenantId=a.org");
    assert_eq!(events(&section(&hub), false), [], "nothing is reached from outside");
    let deaf = events(&section(&hook("https://mail.example.org")), false);
    assert_eq!(deaf.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["wake"]);
}

#[test]
fn what_after_does_may_be_told_again() {
    let told = |changes: &[&str], after: Value| {
        let section = section(&json!({ "changes": changes, "after": after }));
        doubtful(&section).map(|it| it.0)
    };
    assert_eq!(told(&["received"], json!({ "mark_read": true })), None);
    assert_eq!(told(&["received", "updated"], json!({ "mark_read": true })), Some("after"));
    assert_eq!(told(&["received", "moved"], json!({ "move": "archive" })), Some("after.move"));
    assert_eq!(told(&["received", "deleted"], json!({ "delete": true })), Some("after.delete"));
}

#[test]
fn mailboxes_are_named_at_their_place() {
    let section = section(&json!({ "mailboxes": ["it@contoso.com", "me@outlook.com"] }));
    assert_eq!(personal(&section)[0].0, "mailboxes.1");
    let tenants = json!({ "tenants": { "contoso.com": ["*@contoso.com"] } });
    let connection: Connection = serde_json::from_value(tenants).unwrap();
    let lost = out_of_reach(&section, &connection);
    assert_eq!(lost.len(), 1);
    assert!(lost[0].0 == "mailboxes.1" && lost[0].1.contains("`me@outlook.com`"), "{lost:?}");
}
