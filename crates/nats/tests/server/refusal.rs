//! Servers and permissions that cannot work.

use async_nats::jetstream;
use mailbridge_core::{Code, Verdict, plugin::Plugin};
use mailbridge_testkit::server::NatsServer;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::rig::{NEEDS, failed, lets_in, nats, quick, target};

/// Greets one client as an old server does, and answers its first ping.
async fn old_server(listener: TcpListener) {
    let (socket, _) = listener.accept().await.unwrap();
    let (reader, mut writer) = socket.into_split();
    let info = json!({
        "server_id": "A", "server_name": "old", "version": "2.9.25", "go": "go1.20",
        "host": "127.0.0.1", "port": 4222, "max_payload": 1_048_576, "proto": 1, "headers": true,
    });
    writer.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "PING" {
            writer.write_all(b"PONG\r\n").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_by_name_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let nats = nats(&url, json!({}));
    let error = tokio::select! {
        error = lets_in(&nats) => error.unwrap_err(),
        () = old_server(listener) => panic!("the client went away"),
    };
    assert_eq!(error.code(), Code::BusServerTooOld);
    assert!(matches!(error.verdict(), Verdict::Blocked { .. }));
    let text = error.to_string();
    for part in ["version: 2.9.25", "server: old", "2.10", "filter_subjects"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = lets_in(&nats(&url, json!({}))).await.unwrap_err();
    assert_eq!((error.code(), error.field("bus")), (Code::BusUnreachable, Some("events")));
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    let config = "authorization { users: [
        { user: admin, password: a },
        { user: bridge, password: b, permissions: { publish: { deny: \"$JS.API.CONSUMER.>\" } } },
    ] }";
    let server = NatsServer::with_config(config).await.unwrap();
    let auth = json!({ "user": "bridge", "password": "b" });
    let nats = nats(server.url(), json!({ "auth": auth }));
    let error = failed(nats.input(&quick(), &NEEDS).await);
    assert_eq!(error.code(), Code::BusUnauthorized, "{error:?}");
    assert!(error.field("cause").unwrap().contains("$JS.API.CONSUMER"), "{error:?}");
}

#[tokio::test]
async fn an_account_without_jetstream_is_named() {
    let config = "accounts { PLAIN { users: [{ user: bridge, password: b }] } }";
    let server = NatsServer::with_config(config).await.unwrap();
    let auth = json!({ "user": "bridge", "password": "b" });
    let nats = nats(server.url(), json!({ "auth": auth }));
    let error = failed(nats.output(&target(json!({ "subject": "mail.outcome" }))).await);
    assert_eq!(error.code(), Code::BusMismatch, "{error:?}");
    assert!(error.to_string().to_lowercase().contains("jetstream"), "{error:?}");
}

#[tokio::test]
async fn a_wrong_domain_is_named_and_a_right_one_works() {
    let server = NatsServer::with_config("jetstream { domain: hub }").await.unwrap();
    lets_in(&nats(server.url(), json!({ "domain": "hub" }))).await.unwrap();
    let error = lets_in(&nats(server.url(), json!({ "domain": "edge" }))).await.unwrap_err();
    assert_eq!((error.code(), error.field("api")), (Code::BusMismatch, Some("$JS.edge.API")));
    let client = async_nats::connect(server.url()).await.unwrap();
    jetstream::with_domain(client, "hub").get_stream("MAIL").await.unwrap();
}
