//! Publishing: where to, how large, and when nothing takes it.

use mailbridge_core::{Code, Message, Verdict, plugin::Plugin};
use mailbridge_testkit::server::NatsServer;
use serde_json::json;

use crate::rig::{nats, stranger, target};

fn message(address: Option<&str>, payload: impl Into<bytes::Bytes>) -> Message {
    let address = address.map(str::to_owned);
    Message { address, payload: payload.into(), ..Message::default() }
}

#[tokio::test]
async fn a_message_may_name_its_own_subject() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let limits = json!({ "subject": "mail.outcome", "stream": "OUT", "create": true });
    let output = nats.output(&target(limits)).await.unwrap();
    nats.output(&target(json!({ "subject": "mail.dead", "stream": "OUT", "create": true })))
        .await
        .unwrap();
    output.publish(message(None, "one")).await.unwrap();
    output.publish(message(Some("mail.dead"), "two")).await.unwrap();
    let out = stranger.get_stream("OUT").await.unwrap();
    assert_eq!(out.get_raw_message(1).await.unwrap().subject.as_str(), "mail.outcome");
    assert_eq!(out.get_raw_message(2).await.unwrap().subject.as_str(), "mail.dead");

    let error = output.publish(message(Some("post.x"), "three")).await.unwrap_err();
    assert_eq!(error.code(), Code::BusStreamMissing);
    assert!(error.field("command").unwrap().contains("--subjects post.x"), "{error:?}");
}

#[tokio::test]
async fn what_is_too_large_is_permanent_and_names_the_sizes() {
    let server = NatsServer::with_config("max_payload: 2048").await.unwrap();
    let nats = nats(server.url(), json!({}));
    let out = json!({ "subject": "mail.outcome", "stream": "OUT", "create": true });
    let output = nats.output(&target(out)).await.unwrap();
    output.publish(message(None, vec![0; 2048])).await.unwrap();
    let error = output.publish(message(None, vec![0; 2049])).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::BusPayloadTooLarge, Verdict::Permanent));
    assert!(error.field("cause").unwrap().contains("2049"), "{error:?}");
}
