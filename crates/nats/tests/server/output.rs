//! Publishing: where to, how large, and when nothing takes it.

use async_nats::jetstream::stream;
use mailbridge_core::{
    Code, Headers, Labels, Message, Verdict,
    plugin::{Begin, Plugin},
};
use mailbridge_testkit::server::NatsServer;
use serde_json::json;

use crate::rig::{failed, nats, stranger, target};

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

/// Nothing of a message that is too large is sent: the server would close the connection.
#[tokio::test]
async fn headers_count_and_a_message_that_is_too_large_is_not_sent() {
    let server = NatsServer::with_config("max_payload: 2048").await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let out = json!({ "subject": "mail.outcome", "stream": "OUT", "create": true });
    let output = nats.output(&target(out)).await.unwrap();
    let with_header = |bytes| {
        let headers = Headers::new().with("x-note", "n".repeat(1000));
        Message { headers, ..message(None, vec![0; bytes]) }
    };
    output.publish(with_header(1000)).await.unwrap();
    let error = output.publish(with_header(1048)).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::BusPayloadTooLarge, Verdict::Permanent));
    output.publish(message(None, vec![0; 1048])).await.unwrap();
    let mut out = stranger.get_stream("OUT").await.unwrap();
    assert_eq!(out.info().await.unwrap().state.messages, 2);
    assert!(!server.log().to_lowercase().contains("maximum payload"), "{}", server.log());
}

#[tokio::test]
async fn what_the_stream_finds_too_large_is_permanent_too() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let small = stream::Config {
        name: "OUT".to_owned(),
        subjects: vec!["mail.outcome".to_owned()],
        max_message_size: 500,
        ..stream::Config::default()
    };
    stranger.create_stream(small).await.unwrap();
    let output = nats.output(&target(json!({ "subject": "mail.outcome" }))).await.unwrap();
    let error = output.publish(message(None, vec![0; 600])).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::BusPayloadTooLarge, Verdict::Permanent));
    output.publish(message(None, vec![0; 100])).await.unwrap();
}

fn about(mailbox: &str, change: &str) -> Message {
    let labels = Labels::default().with("mailbox", mailbox).with("change", change);
    Message { labels, ..message(None, "{}") }
}

#[tokio::test]
async fn each_mailbox_has_a_subject_and_the_stream_that_is_made_takes_all_of_them() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let to = json!({ "subject": "mail.{change}.{mailbox}", "stream": "OUT", "create": true });
    let output = nats.output(&target(to)).await.unwrap();
    let mut out = stranger.get_stream("OUT").await.unwrap();
    assert_eq!(out.info().await.unwrap().config.subjects, ["mail.*.*"]);
    output.publish(about("ann@contoso.com", "received")).await.unwrap();
    output.publish(about("*.> o'x\r\n", "moved")).await.unwrap();
    output.publish(message(None, "{}")).await.unwrap();
    for (number, subject) in
        [(1, "mail.received.ann@contoso_com"), (2, "mail.moved.____o_x__"), (3, "mail._._")]
    {
        assert_eq!(out.get_raw_message(number).await.unwrap().subject.as_str(), subject);
    }
}

#[tokio::test]
async fn a_stream_that_takes_only_some_mailboxes_is_refused_or_widened() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let narrow = stream::Config {
        name: "OUT".to_owned(),
        subjects: vec!["mail.received.ann".to_owned()],
        ..stream::Config::default()
    };
    stranger.create_stream(narrow).await.unwrap();
    let subject = "mail.received.{mailbox}";
    let named = json!({ "subject": subject, "stream": "OUT" });
    let error = failed(nats.output(&target(named)).await);
    assert_eq!(error.code(), Code::BusMismatch);
    assert_eq!(error.field("missing"), Some("mail.received.*"));
    let made = json!({ "subject": subject, "stream": "OUT", "create": true });
    let output = nats.output(&target(made)).await.unwrap();
    output.publish(about("bob", "received")).await.unwrap();
    let out = stranger.get_stream("OUT").await.unwrap();
    assert_eq!(out.get_raw_message(1).await.unwrap().subject.as_str(), "mail.received.bob");
}

/// A stream for each mailbox is somebody's way, so some mailboxes may be published; what is read back
/// is all of a target.
#[tokio::test]
async fn streams_that_take_some_mailboxes_get_those_and_cannot_be_read_back_as_one() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let every = target(json!({ "subject": "mail.received.{mailbox}" }));
    let stream = |name: &str, subject: &str| stream::Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        ..stream::Config::default()
    };
    stranger.create_stream(stream("ANN", "mail.received.ann")).await.unwrap();
    for more in [None, Some("bob")] {
        if let Some(name) = more {
            let subject = format!("mail.received.{name}");
            stranger.create_stream(stream("BOB", &subject)).await.unwrap();
        }
        let output = nats.output(&every).await.unwrap();
        output.publish(about("ann", "received")).await.unwrap();
        let error = output.publish(about("eve", "received")).await.unwrap_err();
        assert_eq!(error.code(), Code::BusStreamMissing);
        assert_eq!(error.field("subject"), Some("mail.received.eve"));
        let error = nats.read_back(&every, "reader", Begin::Anew).await.err().unwrap();
        assert_eq!(error.code(), Code::BusMismatch, "{error:?}");
    }
    stranger.delete_stream("ANN").await.unwrap();
    stranger.delete_stream("BOB").await.unwrap();
    stranger.create_stream(stream("ALL", "mail.>")).await.unwrap();
    nats.output(&every).await.unwrap().publish(about("eve", "received")).await.unwrap();
    let back = nats.read_back(&every, "reader", Begin::Anew).await.unwrap();
    assert_eq!(back.count, Some(1));
}
