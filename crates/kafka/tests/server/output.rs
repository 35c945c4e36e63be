//! Publishing, beyond what every bus promises.

use mailbridge_core::{Code, Headers, Labels, Message, Verdict, plugin::Plugin};
use serde_json::json;

use crate::rig::{NEEDS, done, failed, make, next, plugin, rig, source, target, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_above_the_topics_limit_is_at_fault_and_the_next_one_goes() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("large"));
    make(&kafka, &topic, json!({ "settings": { "max.message.bytes": 100_000 } })).await;
    let output = kafka.output(&target(json!({ "topic": topic }))).await.unwrap();
    let of = |bytes: usize| Message { payload: vec![b'x'; bytes].into(), ..Message::default() };
    output.publish(of(50_000)).await.unwrap();
    let error = output.publish(of(200_000)).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::BusPayloadTooLarge, Verdict::Permanent));
    assert!(error.field("kafka_error").is_some(), "{error:?}");
    output.publish(of(50_000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_wait_for_a_full_queue_and_are_all_stored() {
    let rig = rig().await;
    let topic = unique("full");
    make(&rig.kafka(), &topic, json!({ "partitions": 1 })).await;
    let options = json!({ "queue.buffering.max.messages": 10, "linger.ms": 50 });
    let kafka = plugin(&rig.server.broker(), json!({ "options": options }));
    let output = kafka.output(&target(json!({ "topic": topic }))).await.unwrap();
    let publish =
        |n: u32| output.publish(Message { payload: n.to_string().into(), ..Message::default() });
    let all = futures_util::future::join_all((0..200).map(publish)).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_keys_are_filled_in_and_an_event_is_bound_as_kafka_has_it() {
    let rig = rig().await;
    let (kafka, name) = (rig.kafka(), unique("mail"));
    let to = json!({ "topic": format!("{name}.{{mailbox}}"), "key": "{change}", "create": true });
    let output = kafka.output(&target(to)).await.unwrap();
    let labels = Labels::default().with("mailbox", "a@b.org").with("change", "received");
    let headers = Headers::new().with("ce-specversion", "1.0").with("ce-id", "7");
    let (id, key) = (Some("e7".to_owned()), Some("other".into()));
    output
        .publish(Message { id, key, headers, labels, payload: "x".into(), ..Message::default() })
        .await
        .unwrap();
    let topic = format!("{name}.a_b.org");
    let from = source(json!({ "topics": [topic], "group": name }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    let delivery = next(&mut input).await;
    assert_eq!(delivery.message.key.as_deref(), Some(&b"received"[..]));
    assert_eq!(delivery.message.id.as_deref(), Some("e7"));
    assert_eq!(delivery.message.headers.get("ce_id"), Some("7"));
    assert_eq!(delivery.message.address.as_deref(), Some(&*topic));
    done(delivery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_not_made_unless_asked_for() {
    let rig = rig().await;
    let topic = unique("missing");
    let error = failed(rig.kafka().output(&target(json!({ "topic": topic }))).await);
    assert_eq!(error.code(), Code::BusStreamMissing);
    assert!(error.field("command").unwrap().contains(&topic), "{error:?}");
}
