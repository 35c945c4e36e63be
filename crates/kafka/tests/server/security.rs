//! Who is let in, and how those are told who are not.

use std::process::Stdio;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mailbridge_core::{
    Code, Error, Keep, Message, Put,
    plugin::{Begin, Plugin},
};
use mailbridge_kafka::{Kafka, Store};
use serde_json::json;

use crate::rig::{NEEDS, failed, make, plugin, rig, source, take, target, unique};

/// Publishes one message through this plugin.
async fn lets_in(kafka: &Kafka, topic: &str) -> Result<(), Error> {
    let output = kafka.output(&target(json!({ "topic": topic }))).await?;
    output.publish(Message { payload: "x".into(), ..Message::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_let_in_by_password_scram_and_token_and_refused_by_name() {
    let rig = rig().await;
    let topic = unique("users");
    make(&rig.kafka(), &topic, json!(true)).await;
    let door = rig.server.door("USERS").unwrap();
    let sasl = |mechanism: &str, password: &str| {
        let sasl = json!({ "mechanism": mechanism, "user": "bridge", "password": password });
        plugin(&door, json!({ "sasl": sasl }))
    };
    lets_in(&sasl("plain", "secret"), &topic).await.unwrap();
    lets_in(&sasl("scram_sha_256", "scrambled"), &topic).await.unwrap();
    for mechanism in ["plain", "scram_sha_256"] {
        let error = lets_in(&sasl(mechanism, "wrong"), &topic).await.unwrap_err();
        assert_eq!(error.code(), Code::BusUnauthorized, "{error:?}");
        assert!(error.field("kafka_error").is_some() && !format!("{error:?}").contains("wrong\""));
    }

    write_token(&rig.path("token"));
    let sasl = json!({ "mechanism": "oauthbearer", "token": { "file": rig.path("token") } });
    lets_in(&plugin(&door, json!({ "sasl": sasl })), &topic).await.unwrap();
    let sasl = json!({ "mechanism": "oauthbearer", "token": { "file": rig.path("none") } });
    let error = lets_in(&plugin(&door, json!({ "sasl": sasl })), &topic).await.unwrap_err();
    assert_eq!(error.code(), Code::CredentialUnreadable, "{error:?}");
}

/// One that needs no signature, good for ten minutes.
fn write_token(path: &str) {
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let (now, soon) = (soon.as_secs(), soon.as_secs() + 600);
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(json!({ "sub": "bridge", "iat": now, "exp": soon }));
    let token = format!("{}.{claims}.", part(json!({ "alg": "none" })));
    std::fs::write(path, token).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_token_topics_are_read_and_read_back_and_state_is_kept() {
    let rig = rig().await;
    let (topic, state) = (unique("tokens"), unique("state"));
    make(&rig.kafka(), &topic, json!({ "partitions": 1 })).await;
    let store = json!({ "topic": state, "create": true });
    let store: Store = serde_json::from_value(store).unwrap();
    // who has a token makes no topics
    rig.kafka().store(&store, Keep::Forever).await.unwrap();
    write_token(&rig.path("reader"));
    let sasl = json!({ "mechanism": "oauthbearer", "token": { "file": rig.path("reader") } });
    let kafka = plugin(&rig.server.door("USERS").unwrap(), json!({ "sasl": sasl }));
    lets_in(&kafka, &topic).await.unwrap();
    let read = source(json!({ "topics": [topic], "group": unique("readers") }));
    let mut input = kafka.input(&read, &NEEDS).await.unwrap();
    assert_eq!(take(&mut input, 1).await[0].0, "x");
    let target = target(json!({ "topic": topic }));
    let mut back = kafka.read_back(&target, &unique("back"), Begin::Anew).await.unwrap();
    assert_eq!(take(&mut back.input, 1).await[0].0, "x");
    let kept = kafka.store(&store, Keep::Forever).await.unwrap();
    assert!(matches!(kept.put("key", "value".into(), None).await.unwrap(), Put::Stored(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_checked_against_the_certificates_that_are_trusted_and_may_ask_for_ours() {
    let rig = rig().await;
    let topic = unique("tls");
    make(&rig.kafka(), &topic, json!(true)).await;
    let (trusted, mutual) =
        (rig.server.door("TRUSTED").unwrap(), rig.server.door("MUTUAL").unwrap());
    let ca = rig.path("ca.pem");
    lets_in(&plugin(&trusted, json!({ "tls": { "ca": ca } })), &topic).await.unwrap();
    let ours = json!({ "ca": ca, "cert": rig.path("client.crt"), "key": rig.path("client.key") });
    lets_in(&plugin(&mutual, json!({ "tls": ours })), &topic).await.unwrap();
    for (door, tls) in [(&trusted, json!({})), (&mutual, json!({ "ca": ca }))] {
        let error = lets_in(&plugin(door, json!({ "tls": tls })), &topic).await.unwrap_err();
        assert_eq!(error.code(), Code::BusUnreachable, "{error:?}");
        // with TLS 1.3, a client learns only afterwards that its certificate was wanted
        assert!(error.field("cause").unwrap().contains("certificate"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_denied_is_named_and_the_others_go_on() {
    let rig = rig().await;
    let (denied, open) = (unique("denied"), unique("open"));
    make(&rig.kafka(), &denied, json!(true)).await;
    make(&rig.kafka(), &open, json!(true)).await;
    let mut tool = rig.server.tool("org.apache.kafka.tools.AclCommand");
    tool.args(["--bootstrap-server", &rig.server.broker(), "--add"]);
    tool.args(["--deny-principal", "User:guest", "--operation", "All", "--topic", &denied]);
    assert!(tool.stdout(Stdio::null()).status().unwrap().success());
    let sasl = json!({ "mechanism": "plain", "user": "guest", "password": "guest" });
    let guest = plugin(&rig.server.door("USERS").unwrap(), json!({ "sasl": sasl }));
    let error = failed(guest.output(&target(json!({ "topic": denied }))).await);
    assert_eq!(error.code(), Code::BusUnauthorized, "{error:?}");
    assert_eq!(error.field("kafka_error"), Some("TOPIC_AUTHORIZATION_FAILED"));
    assert_eq!(error.field("topic"), Some(&*denied));
    lets_in(&guest, &open).await.unwrap();
}
