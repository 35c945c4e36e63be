use mailbridge_core::{plugin::Plugin, *};
use mailbridge_kafka::Kafka;
use serde_json::json;
#[tokio::test(flavor = "multi_thread")]
async fn debug() {
    tracing_subscriber::fmt().with_env_filter("debug").init();
    let shared = mailbridge_testkit::server::shared_kafka().await.unwrap();
    let config =
        json!({ "brokers": [shared.broker()], "options": {"debug": "cgrp,fetch,consumer"} });
    let kafka = Kafka::new("events", serde_json::from_value(config).unwrap()).unwrap();
    let out = kafka
        .output(&serde_json::from_value(json!({"topic":"t","create":true})).unwrap())
        .await
        .unwrap();
    out.publish(Message { payload: "x".into(), ..Message::default() }).await.unwrap();
    let needs = Needs { in_flight: 4, deadline: std::time::Duration::from_millis(200) };
    let mut input = kafka
        .input(&serde_json::from_value(json!({"topics":["t"],"group":"g"})).unwrap(), &needs)
        .await
        .unwrap();
    let d = tokio::time::timeout(std::time::Duration::from_secs(5), input.next()).await;
    println!("{d:?}");
}
