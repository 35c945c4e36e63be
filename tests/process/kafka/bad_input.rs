//! What should not happen, told so that somebody can cure it, and harmless to everything else.

use std::time::Duration;

use mailbridge_core::contract::Status;
use mailbridge_testkit::server::KafkaServer;
use rdkafka::{Message as _, producer::FutureRecord, util::Timeout};

use super::rig::{Plan, Rig};
use crate::rig::{LOAD, mailbox, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_topic_is_named_with_the_command_that_makes_it_and_waited_for() {
    let rig = Rig::new(Plan { topics: false, ..Plan::default() }).await;
    let worker = rig.start();
    let said = worker.ready(503, "bus_stream_missing").await;
    // the sides of a pipeline tell of their own topics, whichever comes first
    let named = ["send", "outcome", "dead"].iter().any(|side| said.contains(&rig.topic(side)));
    assert!(named && said.contains("kafka-topics.sh"), "{said}");
    worker.ready(503, "UNKNOWN_TOPIC_OR_PARTITION").await;
    for (what, partitions) in [("send", 3), ("outcome", 1), ("dead", 1)] {
        rig.make_topic(what, partitions).await;
    }
    worker.ready(200, "").await;
    rig.produce("a", request(0, &mailbox(0)).as_bytes()).await;
    rig.sent(1, LOAD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn started_before_its_broker_it_waits_and_says_so_and_later_outages_pass() {
    let mut server = KafkaServer::start().await.expect("a broker");
    let rig = Rig::over(&server.broker(), Plan::default()).await;
    rig.produce("a", request(0, &mailbox(0)).as_bytes()).await;
    server.stop().await.expect("it stops");
    let worker = rig.start();
    let said = worker.ready(503, "bus_unreachable").await;
    assert!(said.contains("kafka_error"), "{said}");
    server.start_again().await.expect("it starts again");
    rig.sent(1, LOAD).await;
    worker.ready(200, "").await;
    server.kill().await.expect("it is killed");
    worker.ready(503, "bus_lost").await;
    server.start_again().await.expect("it starts again");
    worker.ready(200, "").await;
    rig.produce("a", request(1, &mailbox(0)).as_bytes()).await;
    rig.sent(2, LOAD).await;
    rig.drained(&[(rig.records("send")[0].partition(), 2)].into(), LOAD).await;
    rig.assert_exactly_once(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_no_requests_are_dead_lettered_as_they_are_and_stop_nobody() {
    let rig = Rig::new(Plan { partitions: 1, ..Plan::default() }).await;
    let _worker = rig.start();
    rig.produce("a", b"{ no JSON").await;
    rig.produce("a", b"").await;
    rig.produce("a", &[0xff, 0xfe, 0]).await;
    let topic = rig.topic("send");
    let tombstone = FutureRecord::<str, [u8]>::to(&topic).key("a");
    rig.producer.send(tombstone, Timeout::Never).await.expect("it is stored");
    rig.produce("a", request(0, &mailbox(0)).as_bytes()).await;
    rig.sent(1, LOAD).await;
    rig.drained(&[(0, 5)].into(), LOAD).await;
    let dead = rig.records("dead");
    assert_eq!(dead.len(), 4);
    let payloads: Vec<&[u8]> = dead.iter().map(|it| it.payload().unwrap_or_default()).collect();
    for original in [&b"{ no JSON"[..], b"", &[0xff, 0xfe, 0]] {
        assert!(payloads.contains(&original), "{payloads:?}");
    }
    let statuses: Vec<_> = rig.outcomes().into_values().map(|it| it.data.status).collect();
    assert_eq!(statuses.iter().filter(|it| **it == Status::Rejected).count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_in_the_same_group_is_named_and_waited_for() {
    use rdkafka::{
        ClientConfig,
        consumer::{BaseConsumer, Consumer as _},
    };
    let rig = Rig::new(Plan::default()).await;
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &rig.broker).set("group.id", rig.group());
    client.set("partition.assignment.strategy", "range");
    let other: BaseConsumer = client.create().expect("a consumer");
    other.subscribe(&[&rig.topic("send")]).expect("subscribed");
    while other.assignment().expect("an assignment").count() == 0 {
        drop(other.poll(Duration::from_millis(100)));
    }
    let worker = rig.start();
    let stays = async {
        loop {
            drop(other.poll(Duration::ZERO));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let said = tokio::select! {
        said = worker.ready(503, "bus_mismatch") => said,
        () = stays => String::new(),
    };
    assert!(said.contains("INCONSISTENT_GROUP_PROTOCOL"), "{said}");
    // it leaves, and nobody has to do anything here
    drop(other);
    worker.ready(200, "").await;
    rig.produce("a", request(0, &mailbox(0)).as_bytes()).await;
    rig.sent(1, LOAD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_retention_deleted_are_counted_and_named_and_the_rest_is_sent() {
    let rig = Rig::new(Plan { partitions: 1, ..Plan::default() }).await;
    let worker = rig.start();
    rig.produce("a", request(0, &mailbox(0)).as_bytes()).await;
    rig.drained(&[(0, 1)].into(), LOAD).await;
    worker.stop().await;
    for n in 1..6 {
        rig.produce("a", request(n, &mailbox(0)).as_bytes()).await;
    }
    rig.delete_before(4).await;
    let worker = rig.start();
    rig.sent(3, LOAD).await;
    rig.drained(&[(0, 6)].into(), LOAD).await;
    assert_eq!(rig.copies().into_keys().collect::<Vec<_>>(), ["r0", "r4", "r5"]);
    let lines = worker.program.lines();
    let said = lines.iter().find(|line| line.text.contains("OFFSET_OUT_OF_RANGE"));
    let said = &said.expect("it is in the log").text;
    for part in [rig.topic("send").as_str(), "\"lost\":3", "\"committed\":1", "\"begin\":4"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let metrics = worker.get("/metrics").await;
    let counted = metrics.lines().find(|it| it.starts_with("mailbridge_kafka_records_lost_total{"));
    assert!(counted.is_some_and(|it| it.ends_with(" 3")), "{counted:?}");
}
