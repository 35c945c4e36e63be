use serde_json::json;

use super::*;

const NEEDS: Needs = Needs { in_flight: 64, concluding: 0, deadline: Duration::from_secs(30) };

fn source(more: &serde_json::Value) -> Source {
    let mut all = json!({ "stream": "MAIL", "consumer": "mailbridge" });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

#[test]
fn a_source_is_checked_offline() {
    source(&json!({ "subjects": ["mail.send.>", "mail.*.now"] })).check(&NEEDS).unwrap();
    source(&json!({ "ack_wait": "38s", "max_ack_pending": 64 })).check(&NEEDS).unwrap();
    for (wrong, key) in [
        (json!({ "stream": "MAIL.A" }), "stream"),
        (json!({ "consumer": "" }), "consumer"),
        (json!({ "subjects": ["mail..send"] }), "subjects"),
        (json!({ "subjects": ["mail.>.send"] }), "subjects"),
        (json!({ "ack_wait": "30s" }), "ack_wait"),
        (json!({ "max_ack_pending": 63 }), "max_ack_pending"),
    ] {
        let error = source(&wrong).check(&NEEDS).unwrap_err();
        assert_eq!((error.code(), error.field("key")), (Code::ConfigInvalid, Some(key)));
    }
}

#[test]
fn create_is_a_switch_or_limits() {
    let create = |value| serde_json::from_value::<Create>(value);
    assert!(!create(json!(false)).unwrap().asked());
    assert_eq!(create(json!(true)).unwrap().limits(), Some(&Limits::default()));
    let limits = create(json!({ "replicas": 3, "max_age": "24h" })).unwrap();
    assert_eq!(limits.limits().unwrap().replicas, Some(3));
    let error = create(json!({ "replica": 3 })).unwrap_err().to_string();
    assert!(error.contains("`replica`") && error.contains("replicas"), "{error}");
    assert!(create(json!("yes")).unwrap_err().to_string().contains("`true`, `false`"));
}

#[test]
fn a_target_is_one_subject_and_names_the_stream_it_makes() {
    let target = |value| serde_json::from_value::<Target>(value);
    target(json!({ "subject": "mail.outcome" })).unwrap();
    target(json!({ "subject": "mail.outcome", "stream": "MAIL", "create": true })).unwrap();
    for (wrong, says) in [
        (json!({ "subject": "mail.*" }), "without wildcards"),
        (json!({ "subject": "mail.outcome", "create": true }), "`stream` must be"),
        (json!({ "subject": "mail.outcome", "streams": "MAIL" }), "streams"),
    ] {
        let error = target(wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
