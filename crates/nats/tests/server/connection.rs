//! The server goes, and comes back.

use mailbridge_core::{Code, Disposition, Keep, Settled, plugin::Plugin};
use mailbridge_testkit::server::NatsServer;
use serde_json::json;

use crate::rig::{NEEDS, PROMPT, end, failed, nats, next, publish, quick, stranger, target};

#[tokio::test]
async fn a_lost_connection_ends_the_input_and_a_new_one_goes_on() {
    let mut server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    publish(&stranger, 2).await;
    let held = next(&mut input).await;
    next(&mut input).await.receipt.settle(Disposition::Done).await.unwrap();

    server.stop().await.unwrap();
    assert_eq!(end(&mut input).await.code(), Code::BusLost);
    let error = failed(nats.input(&quick(), &NEEDS).await);
    assert_eq!(error.code(), Code::BusLost, "told at once, without asking a server that is away");

    server.start_again().await.unwrap();
    let mut input = loop {
        match nats.input(&quick(), &NEEDS).await {
            Ok(input) => break input,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let again = next(&mut input).await;
    assert_eq!(again.position, held.position);
    assert_eq!(again.receipt.settle(Disposition::Done).await.unwrap(), Settled::Yes);
}

#[tokio::test]
async fn what_is_settled_while_the_server_is_away_is_settled_when_it_is_back() {
    let mut server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let source = crate::rig::source(json!({ "create": true }));
    let mut input = nats.input(&source, &NEEDS).await.unwrap();
    publish(&stranger, 1).await;
    let held = next(&mut input).await;
    server.stop().await.unwrap();
    end(&mut input).await;
    let settle = held.receipt.settle(Disposition::Done);
    let (settled, started) = tokio::join!(settle, server.start_again());
    started.unwrap();
    assert_eq!(settled.unwrap(), Settled::Yes);
}

#[tokio::test]
async fn a_publication_while_the_server_is_away_is_confirmed_when_it_is_back() {
    let mut server = NatsServer::start().await.unwrap();
    let nats = nats(server.url(), json!({}));
    let out = json!({ "subject": "mail.outcome", "stream": "OUT", "create": true });
    let output = nats.output(&target(out)).await.unwrap();
    server.kill().await.unwrap();
    let out = json!({ "subject": "mail.outcome" });
    // What is sent before the client has noticed is lost with the connection, and told so.
    while nats.output(&target(out.clone())).await.is_ok() {}
    let message = mailbridge_core::Message { payload: "one".into(), ..Default::default() };
    let (published, started) = tokio::join!(output.publish(message), server.start_again());
    started.unwrap();
    published.unwrap();
    let out = stranger(&server).await.get_stream("OUT").await.unwrap();
    assert_eq!(out.get_raw_message(1).await.unwrap().payload, "one");
}

#[tokio::test]
async fn a_consumer_that_is_deleted_ends_the_input_by_name() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    let deletion = async {
        // The pull stands once the consumer counts it.
        while crate::rig::consumer(&stranger).await.num_waiting == 0 {}
        let stream = stranger.get_stream("MAIL").await.unwrap();
        stream.delete_consumer("worker").await.unwrap();
    };
    let (error, ()) = tokio::join!(end(&mut input), deletion);
    assert_eq!(
        (error.code(), error.field("consumer")),
        (Code::BusConsumerMissing, Some("MAIL/worker"),)
    );
}

#[tokio::test]
async fn ports_share_one_connection() {
    let server = NatsServer::with_config("max_connections: 1").await.unwrap();
    let nats = nats(server.url(), json!({}));
    let _input = nats.input(&quick(), &NEEDS).await.unwrap();
    let out = json!({ "subject": "mail.outcome", "stream": "OUT", "create": true });
    let _output = nats.output(&target(out)).await.unwrap();
    let store = serde_json::from_value(json!({ "bucket": "state", "create": true })).unwrap();
    let _store = nats.store(&store, Keep::Forever).await.unwrap();
    assert!(async_nats::connect(server.url()).await.is_err(), "the server takes more than one");
}

#[tokio::test]
async fn what_was_under_way_when_the_connection_was_lost_is_told_at_once() {
    let mut server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    let out = json!({ "subject": "mail.outcome", "stream": "OUT", "create": true });
    let output = nats.output(&target(out)).await.unwrap();
    publish(&stranger, 1).await;
    let held = next(&mut input).await;
    pause(&server);
    let publish = output.publish(mailbridge_core::Message::default());
    let again = held.receipt.settle(Disposition::Again { after: std::time::Duration::ZERO });
    let lost = async {
        let (published, settled) = tokio::join!(publish, again);
        (published.unwrap_err(), settled.unwrap_err())
    };
    let (lost, killed) = tokio::join!(tokio::time::timeout(PROMPT / 2, lost), server.kill());
    killed.unwrap();
    let (published, settled) = lost.expect("neither waits for its own deadline");
    assert_eq!((published.code(), settled.code()), (Code::BusPublishFailed, Code::BusLost));
}

/// Stops the server's process without ending it, so that it answers nothing.
fn pause(server: &NatsServer) {
    let id = server.id().unwrap().to_string();
    let paused = std::process::Command::new("kill").args(["-STOP", &id]).status().unwrap();
    assert!(paused.success());
}
