//! State, beyond what every store promises.

use std::time::Duration;

use mailbridge_core::{Code, Keep, Put, StateStore, plugin::Plugin};
use mailbridge_kafka::Store;
use serde_json::{Value, json};

use crate::rig::{failed, make, rig, unique};

fn store(value: Value) -> Store {
    serde_json::from_value(value).unwrap()
}

/// Adds one, as often as it takes.
async fn add(store: &dyn StateStore, key: &str) {
    loop {
        let found = store.get(key).await.unwrap();
        let count: u32 = found
            .as_ref()
            .map_or(0, |(value, _)| std::str::from_utf8(value).unwrap().parse().unwrap());
        let put = store.put(key, (count + 1).to_string().into(), found.map(|(_, at)| at)).await;
        if let Put::Stored(_) = put.unwrap() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_lose_no_count() {
    let rig = rig().await;
    let topic = unique("count");
    let state = store(json!({ "topic": topic, "create": true }));
    let (mut workers, mut stores) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let kafka = rig.kafka();
        stores.push(kafka.store(&state, Keep::Forever).await.unwrap());
        workers.push(kafka);
    }
    let adding = stores.iter().map(|store| async {
        for _ in 0..20 {
            add(store.as_ref(), "shared").await;
        }
    });
    futures_util::future::join_all(adding).await;
    let late = rig.kafka().store(&state, Keep::Forever).await.unwrap();
    assert_eq!(late.get("shared").await.unwrap().unwrap().0, "80");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ages_has_a_topic_of_its_own() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("ageing"));
    let state = store(json!({ "topic": topic, "create": true }));
    let hour = Keep::AtLeast(Duration::from_hours(1));
    let (forever, ageing) = (
        kafka.store(&state, Keep::Forever).await.unwrap(),
        kafka.store(&state, hour).await.unwrap(),
    );
    forever.put("k", "f".into(), None).await.unwrap();
    ageing.put("k", "a".into(), None).await.unwrap();
    assert_eq!(forever.get("k").await.unwrap().unwrap().0, "f");
    assert_eq!(ageing.get("k").await.unwrap().unwrap().0, "a");
    let day = Keep::AtLeast(Duration::from_hours(24));
    let error = failed(kafka.store(&state, day).await);
    assert_eq!((error.code(), error.field("setting")), (Code::BusMismatch, Some("retention.ms")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_would_lose_values_or_order_is_refused_with_the_command() {
    let rig = rig().await;
    let (kafka, many, plain) = (rig.kafka(), unique("many"), unique("plain"));
    make(&kafka, &many, json!({ "partitions": 3 })).await;
    make(&kafka, &plain, json!({ "partitions": 1 })).await;
    let open = async |topic| kafka.store(&store(json!({ "topic": topic })), Keep::Forever).await;
    let error = failed(open(many).await);
    assert_eq!((error.code(), error.field("partitions")), (Code::BusMismatch, Some("3")));
    let error = failed(open(plain).await);
    assert_eq!(error.field("setting"), Some("cleanup.policy"), "{error:?}");
    assert!(error.field("command").unwrap().contains("kafka-configs.sh"), "{error:?}");
    let error = failed(open(unique("none")).await);
    assert_eq!(error.code(), Code::BusStreamMissing, "{error:?}");
    assert!(error.field("command").unwrap().contains("cleanup.policy=compact"), "{error:?}");
}
