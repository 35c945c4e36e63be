//! Streams, consumers and buckets: what is missing, what is made, what is refused, what is
//! repaired.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, pull, push},
    stream::RetentionPolicy,
};
use mailbridge_core::{Code, Keep, LIST_MAX, Needs, plugin::Plugin};
use mailbridge_testkit::server::NatsServer;
use serde_json::json;

use crate::rig::{NEEDS, PROMPT, consumer, failed, nats, source, stranger, target};

/// The stream MAIL with the subject that sources read, and one more.
async fn stream(stranger: &jetstream::Context) -> jetstream::stream::Stream {
    let config = jetstream::stream::Config {
        name: "MAIL".to_owned(),
        subjects: vec!["mail.send".to_owned(), "mail.other".to_owned()],
        ..jetstream::stream::Config::default()
    };
    stranger.create_stream(config).await.unwrap()
}

fn plain() -> pull::Config {
    pull::Config {
        durable_name: Some("worker".to_owned()),
        ack_policy: AckPolicy::Explicit,
        filter_subject: "mail.send".to_owned(),
        ..pull::Config::default()
    }
}

#[tokio::test]
async fn what_is_missing_is_refused_with_the_command_that_makes_it() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));

    let error = failed(nats.input(&source(json!({})), &NEEDS).await);
    assert_eq!(
        (error.code(), error.field("command")),
        (
            Code::BusStreamMissing,
            Some(
                "nats stream add MAIL --subjects mail.send --storage file --retention work \
                 --defaults"
            ),
        )
    );
    stream(&stranger).await;
    let error = failed(nats.input(&source(json!({})), &NEEDS).await);
    assert_eq!(
        (error.code(), error.field("command")),
        (
            Code::BusConsumerMissing,
            Some(
                "nats consumer add MAIL worker --pull --filter mail.send --ack explicit --wait 1m \
             --max-deliver=-1 --max-pending 100000 --deliver all --replay instant --defaults"
            ),
        )
    );
    let error = failed(nats.output(&target(json!({ "subject": "post.outcome" }))).await);
    assert_eq!(
        (error.code(), error.field("command")),
        (
            Code::BusStreamMissing,
            Some(
                "nats stream add POST --subjects post.outcome --storage file --retention limits \
             --defaults"
            ),
        )
    );
    let store = serde_json::from_value(json!({ "bucket": "state" })).unwrap();
    let error = failed(nats.store(&store, Keep::Forever).await);
    assert_eq!(error.field("command"), Some("nats kv add state --storage file"));
}

#[tokio::test]
async fn values_that_age_have_a_bucket_of_their_own_that_keeps_them_long_enough() {
    const DAY: Duration = Duration::from_hours(24);
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let store = serde_json::from_value(json!({ "bucket": "state", "create": true })).unwrap();
    nats.store(&store, Keep::Forever).await.unwrap();
    nats.store(&store, Keep::AtLeast(DAY)).await.unwrap();
    let age = async |bucket: &str| {
        stranger.get_key_value(bucket).await.unwrap().status().await.unwrap().max_age()
    };
    assert_eq!((age("state").await, age("state_ageing").await), (Duration::ZERO, DAY));
    // for a shorter time it will do, for a longer one it will not
    nats.store(&store, Keep::AtLeast(DAY / 2)).await.unwrap();
    let error = failed(nats.store(&store, Keep::AtLeast(DAY * 2)).await);
    let command = "nats stream edit KV_state_ageing --max-age 48h --force";
    assert_eq!((error.code(), error.field("command")), (Code::BusMismatch, Some(command)));
}

#[tokio::test]
async fn what_has_aged_out_is_not_listed() {
    let server = NatsServer::start().await.unwrap();
    let nats = nats(server.url(), json!({}));
    let store = serde_json::from_value(json!({ "bucket": "state", "create": true })).unwrap();
    let lasting = nats.store(&store, Keep::Forever).await.unwrap();
    let ageing = nats.store(&store, Keep::AtLeast(Duration::from_secs(2))).await.unwrap();
    lasting.put("k.lasting", "v".into(), None).await.unwrap();
    ageing.put("k.ageing", "v".into(), None).await.unwrap();
    assert_eq!(ageing.list("k.").await.unwrap(), ["k.ageing"]);
    let aged_out = async { while !ageing.list("k.").await.unwrap().is_empty() {} };
    tokio::time::timeout(PROMPT, aged_out).await.expect("it ages out");
    assert_eq!(ageing.get("k.ageing").await.unwrap(), None);
    assert_eq!(lasting.list("k.").await.unwrap(), ["k.lasting"]);
}

#[tokio::test]
async fn more_keys_than_can_be_listed_are_an_error_and_not_a_part_of_them() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let store = serde_json::from_value(json!({ "bucket": "state", "create": true })).unwrap();
    let store = nats.store(&store, Keep::Forever).await.unwrap();
    store.put("few.1", "v".into(), None).await.unwrap();
    for number in 0..=LIST_MAX {
        let stored = stranger.publish(format!("$KV.state.many.{number}"), "".into()).await.unwrap();
        // a server that is sent too many at once lets some go
        if number % 1000 == 0 {
            stored.await.unwrap();
        }
    }
    let error = store.list("many.").await.unwrap_err();
    assert_eq!((error.code(), error.field("max")), (Code::StateFailed, Some("100000")));
    assert_eq!(store.list("few.").await.unwrap(), ["few.1"]);
}

#[tokio::test]
async fn what_may_be_made_is_made_as_it_should_be_and_found_again() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let source =
        source(json!({ "create": { "max_age": "24h" }, "subjects": ["mail.a.>", "mail.b"] }));
    for _ in 0..2 {
        nats.input(&source, &NEEDS).await.unwrap();
        let out = json!({ "subject": "mail.outcome", "stream": "OUT", "create": true });
        nats.output(&target(out)).await.unwrap();
        // Two targets share a stream: it is given the second subject.
        let dead = json!({ "subject": "mail.dead", "stream": "OUT", "create": true });
        nats.output(&target(dead)).await.unwrap();
    }
    let mut made = stranger.get_stream("MAIL").await.unwrap();
    let made = made.info().await.unwrap().config.clone();
    assert_eq!(
        (made.retention, made.max_age),
        (RetentionPolicy::WorkQueue, Duration::from_hours(24),)
    );
    let config = consumer(&stranger).await.config;
    assert_eq!(
        (config.ack_wait, config.max_deliver, config.max_ack_pending),
        (Duration::from_mins(1), -1, 100_000)
    );
    assert_eq!(config.filter_subjects, ["mail.a.>", "mail.b"]);
    let mut out = stranger.get_stream("OUT").await.unwrap();
    assert_eq!(out.info().await.unwrap().config.subjects, ["mail.outcome", "mail.dead"]);
}

#[tokio::test]
async fn timing_that_loses_or_doubles_is_refused_and_repaired_only_where_that_is_allowed() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let stream = stream(&stranger).await;
    let wrong = pull::Config {
        max_deliver: 7,
        backoff: vec![Duration::from_millis(100), Duration::from_mins(1)],
        max_ack_pending: 2,
        ..plain()
    };
    stream.create_consumer(wrong).await.unwrap();

    let error = failed(nats.input(&source(json!({})), &NEEDS).await);
    assert_eq!(error.code(), Code::BusMismatch);
    assert_eq!(
        error.field("command"),
        Some(
            "nats consumer edit MAIL worker --max-deliver=-1 --backoff none --wait 1m \
             --max-pending 100000 --force"
        )
    );
    let found = error.field("found").unwrap();
    assert!(found.contains("max_deliver is 7") && found.contains("backoff has 100ms"), "{found}");

    nats.input(&source(json!({ "create": true })), &NEEDS).await.unwrap();
    let config = consumer(&stranger).await.config;
    assert_eq!((config.max_deliver, config.max_ack_pending), (-1, 100_000));
    assert_eq!((config.backoff, config.ack_wait), (Vec::new(), Duration::from_mins(1)));
    nats.input(&source(json!({})), &NEEDS).await.unwrap();
}

#[tokio::test]
async fn a_server_default_is_enough_for_short_attempts_and_not_for_long_ones() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    stream(&stranger).await.create_consumer(plain()).await.unwrap();
    nats.input(&source(json!({})), &NEEDS).await.unwrap();
    let slow = Needs { deadline: Duration::from_secs(30), ..NEEDS };
    let error = failed(nats.input(&source(json!({})), &slow).await);
    assert_eq!(error.field("command"), Some("nats consumer edit MAIL worker --wait 1m --force"));
}

#[tokio::test]
async fn what_somebody_meant_otherwise_is_never_repaired() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let stream = stream(&stranger).await;
    let create = source(json!({ "create": true }));

    let other = pull::Config { filter_subject: "mail.other".to_owned(), ..plain() };
    stream.create_consumer(other).await.unwrap();
    let error = failed(nats.input(&create, &NEEDS).await);
    assert_eq!(
        (error.code(), error.field("command")),
        (Code::BusMismatch, Some("nats consumer edit MAIL worker --filter mail.send --force"),)
    );

    stream.delete_consumer("worker").await.unwrap();
    let pushing = push::Config {
        durable_name: Some("worker".to_owned()),
        deliver_subject: "somewhere".to_owned(),
        filter_subject: "mail.send".to_owned(),
        ..push::Config::default()
    };
    stream.create_consumer(pushing).await.unwrap();
    let error = failed(nats.input(&create, &NEEDS).await);
    assert!(error.field("found").unwrap().contains("pushes"), "{error:?}");
    assert!(error.field("command").unwrap().starts_with("nats consumer rm MAIL worker"));
}

#[tokio::test]
async fn a_stream_that_does_not_hold_the_subject_is_refused_or_given_it() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    stream(&stranger).await;
    let elsewhere = json!({ "subjects": ["post.send"] });
    let error = failed(nats.input(&source(elsewhere), &NEEDS).await);
    assert_eq!(
        (error.code(), error.field("command")),
        (
            Code::BusMismatch,
            Some(
                "nats stream edit MAIL --subjects mail.send --subjects mail.other \
             --subjects post.send --force"
            ),
        )
    );
    let elsewhere = json!({ "subjects": ["post.send"], "create": true });
    nats.input(&source(elsewhere), &NEEDS).await.unwrap();
}
