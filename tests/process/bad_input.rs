//! Every request that is not one is dead-lettered as it came, and the next one flows on.

use mailbridge_core::{Headers, Message, contract::Status};

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig, mailbox, plain, request},
};

over_each_bus!(malformed_requests_are_kept_named_and_passed_by);

/// A malformed payload and the code that names what is wrong.
fn malformed() -> Vec<(String, &'static str)> {
    let with = |fields: &str| format!(r#"{{"to":"ann@example.org",{fields}}}"#);
    let many: Vec<_> = (0..501).map(|n| format!("\"u{n}@example.org\"")).collect();
    vec![
        ("this is not JSON".to_owned(), "request_not_json"),
        (String::new(), "request_empty"),
        (with(r#""subject":5"#), "request_invalid"),
        (with(r#""sujet":"x""#), "request_invalid"),
        (r#"{"subject":"nobody"}"#.to_owned(), "request_no_recipient"),
        (r#"{"to":"not an address"}"#.to_owned(), "request_bad_address"),
        (with(&format!(r#""subject":"{}""#, "s".repeat(256))), "request_subject_too_long"),
        (format!(r#"{{"to":[{}]}}"#, many.join(",")), "request_too_many_recipients"),
        (with(r#""headers":{"Subject":"x"}"#), "request_bad_header"),
        (with(r#""headers":{"x-a":"1\r\nx-b: 2"}"#), "request_bad_header"),
        (with(r#""mailbox":"boss@elsewhere.example""#), "request_mailbox_not_allowed"),
        (with(&format!(r#""text":"{}""#, "t".repeat(4_200_000))), "request_too_large"),
        (with(r#""not_after":"2020-01-01T00:00:00Z""#), "request_expired"),
        (with(r#""attachments":[{"name":"a","content":"%%"}]"#), "request_bad_attachment"),
        (with(r#""save_to_sent_items":false"#), "request_needs_at_least_once"),
    ]
}

async fn malformed_requests_are_kept_named_and_passed_by(on: On) {
    let payload_max = Some(8 * 1024 * 1024);
    let rig = Rig::new(on, Plan { payload_max, ..Plan::default() }).await;
    let malformed = malformed();
    for (n, (payload, _)) in malformed.iter().enumerate() {
        let (id, headers) = (Some(format!("bad-{n}")), Headers::new().with("x-origin", "test"));
        let payload = payload.clone().into();
        rig.publish(Message { id, headers, payload, ..Message::default() }).await;
        rig.publish(plain(request(n, &mailbox(0)))).await;
    }
    let _program = rig.start();
    rig.drained(LOAD).await;

    assert_eq!(rig.copies().len(), malformed.len(), "the good ones flow on");
    let outcomes = rig.outcomes().await;
    let dead = rig.dead().await;
    assert_eq!(dead.len(), malformed.len());
    for (n, (payload, code)) in malformed.iter().enumerate() {
        let key = format!("bad-{n}");
        let outcome = &outcomes[&key][0].data;
        let late = *code == "request_expired";
        let status = if late { Status::Expired } else { Status::Rejected };
        assert_eq!(outcome.status, status, "{key}");
        assert_eq!(outcome.code.as_deref(), Some(*code), "{key}: {:?}", outcome.reason);
        let letter = dead
            .iter()
            .find(|letter| letter.headers.get("mailbridge-key") == Some(&key))
            .unwrap_or_else(|| panic!("{key} has a dead letter"));
        assert!(letter.payload == payload.as_bytes(), "{key}: the original bytes");
        let header = |name: &str| letter.headers.get(name);
        assert_eq!(header("x-origin"), Some("test"), "{key}: the original headers");
        assert_eq!(header("mailbridge-code"), Some(*code), "{key}");
        assert!(header("mailbridge-reason").is_some_and(|reason| !reason.is_empty()), "{key}");
        let original = if on == On::Nats { "nats-msg-id" } else { "message-id" };
        let original = header(&format!("mailbridge-original-{original}"));
        assert_eq!(original, Some(key.as_str()), "{key}: its own id");
    }
}
