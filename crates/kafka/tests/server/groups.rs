//! Partitions that come and go.

use std::{collections::BTreeSet, time::Duration};

use mailbridge_core::{Code, Disposition, SeenBefore, Settled, plugin::Plugin};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::rig::{NEEDS, PROMPT, done, make, next, plugin, rig, source, take, unique};

/// What a group has committed for a partition.
fn committed(broker: &str, group: &str, topic: &str, partition: i32) -> Option<i64> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker).set("group.id", group);
    let consumer: BaseConsumer = client.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition(topic, partition);
    let found = consumer.committed_offsets(list, PROMPT).unwrap();
    found.elements()[0].offset().to_raw().filter(|offset| *offset >= 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_goes_waits_for_what_is_in_flight_and_gives_up_what_is_parked() {
    let rig = rig().await;
    let (first, second, topic) = (rig.kafka(), rig.kafka(), unique("share"));
    make(&first, &topic, json!({ "partitions": 2 })).await;
    let from = source(json!({ "topics": [topic], "group": topic, "drain": "3s" }));
    let mut one = first.input(&from, &NEEDS).await.unwrap();
    rig.produce(&topic, 0, 0..3).await;
    rig.produce(&topic, 1, 10..13).await;
    // of each partition: one done, one in flight, one parked
    let mut in_flight = Vec::new();
    for (text, delivery) in take(&mut one, 6).await {
        match text.as_str() {
            "0" | "10" => assert_eq!(done(delivery).await, Settled::Yes),
            "1" | "11" => in_flight.push(delivery),
            _ => {
                let later = Disposition::Again { after: Duration::from_secs(5) };
                delivery.receipt.settle(later).await.unwrap();
            }
        }
    }
    let mut two = second.input(&from, &NEEDS).await.unwrap();
    // what is settled while the partition waits is committed with it
    let settling = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut settled = Vec::new();
        for delivery in in_flight {
            settled.push(done(delivery).await);
        }
        settled
    };
    // its own parked one comes back to the first worker; the other's to the second, once
    let (settled, from_two) = tokio::join!(settling, take(&mut two, 1));
    assert_eq!(settled, [Settled::Yes, Settled::Yes]);
    let (text, delivery) = from_two.into_iter().next().unwrap();
    assert!(text == "2" || text == "12", "{text}");
    assert_eq!(delivery.seen_before, SeenBefore::Maybe);
    assert_eq!(done(delivery).await, Settled::Yes);
    let (text_of_one, delivery) = take(&mut one, 1).await.remove(0);
    assert_ne!(text_of_one, text, "it was handed out on both sides");
    assert_eq!(done(delivery).await, Settled::Yes);
    for input in [&mut one, &mut two] {
        let more = timeout(Duration::from_secs(6), input.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
    for partition in [0, 1] {
        assert_eq!(committed(&rig.server.broker(), &topic, &topic, partition), Some(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_after_its_partition_went_is_stale_and_not_committed() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("stale"));
    make(&kafka, &topic, json!({ "partitions": 1 })).await;
    let from = source(json!({ "topics": [topic], "group": topic, "drain": "100ms" }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    rig.produce(&topic, 0, 0..2).await;
    let mut held = take(&mut input, 2).await;
    assert_eq!(done(held.remove(0).1).await, Settled::Yes);
    drop(input);
    let since = Instant::now();
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    let again = next(&mut input).await;
    assert!(since.elapsed() < Duration::from_secs(10));
    let late = held.remove(0).1;
    assert!(late.receipt.is_stale());
    assert_eq!(done(late).await, Settled::Stale);
    assert_eq!(committed(&rig.server.broker(), &topic, &topic, 0), Some(1));
    assert_eq!((&*again.message.payload, again.seen_before), (&b"1"[..], SeenBefore::Maybe));
    assert_eq!(done(again).await, Settled::Yes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_partition_is_paused_and_the_others_go_on() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("full"));
    make(&kafka, &topic, json!({ "partitions": 2 })).await;
    rig.produce(&topic, 0, 0..200).await;
    let from = source(json!({ "topics": [topic], "group": topic, "open_max": 20 }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    let long = Disposition::Again { after: Duration::from_hours(1) };
    let mut parked = 0;
    while let Ok(delivery) = timeout(Duration::from_secs(2), input.next()).await {
        delivery.unwrap().unwrap().receipt.settle(long).await.unwrap();
        parked += 1;
    }
    // what was read ahead before the pause comes on top
    assert!((20..=60).contains(&parked), "{parked}");
    rig.produce(&topic, 1, 1000..1100).await;
    let texts: BTreeSet<String> = {
        let mut texts = BTreeSet::new();
        for _ in 0..100 {
            let delivery = next(&mut input).await;
            texts.insert(String::from_utf8(delivery.message.payload.to_vec()).unwrap());
            done(delivery).await;
        }
        texts
    };
    assert!(texts.iter().all(|text| text.len() == 4), "only of the other partition: {texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_took_back_is_not_read() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("transactions"));
    make(&kafka, &topic, json!({ "partitions": 1 })).await;
    let from = source(json!({ "topics": [topic], "group": topic }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", rig.server.broker()).set("transactional.id", &topic);
    let producer: ThreadedProducer<_> = client.create().unwrap();
    producer.init_transactions(PROMPT).unwrap();
    for (text, keep) in [("kept", true), ("taken back", false), ("kept too", true)] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to(&topic).payload(text)).unwrap();
        if keep {
            producer.commit_transaction(PROMPT).unwrap();
        } else {
            producer.abort_transaction(PROMPT).unwrap();
        }
    }
    for expected in ["kept", "kept too"] {
        let (text, delivery) = take(&mut input, 1).await.remove(0);
        assert_eq!(text, expected);
        done(delivery).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_group_protocol_works_too() {
    let rig = rig().await;
    let options = json!({ "options": { "group.protocol": "consumer" } });
    let (kafka, topic) = (plugin(&rig.server.broker(), options), unique("kip848"));
    make(&kafka, &topic, json!({ "partitions": 3 })).await;
    let from = source(json!({ "topics": [topic], "group": topic }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    for partition in 0..3 {
        rig.produce(&topic, partition, 0..5).await;
    }
    for (_, delivery) in take(&mut input, 3).await {
        assert_eq!(done(delivery).await, Settled::Yes);
    }
    drop(input);
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    for (_, delivery) in take(&mut input, 8).await {
        done(delivery).await;
    }
    for (_, delivery) in take(&mut input, 4).await {
        done(delivery).await;
    }
    let more = timeout(Duration::from_secs(1), input.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_may_begin_at_the_end_and_stays_where_it_began() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("latest"));
    make(&kafka, &topic, json!({ "partitions": 1 })).await;
    rig.produce(&topic, 0, 0..5).await;
    let from = source(json!({ "topics": [topic], "group": topic, "start": "latest" }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    assert!(timeout(Duration::from_secs(5), input.next()).await.is_err(), "it begins at the end");
    drop(input);
    rig.produce(&topic, 0, 5..6).await;
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    let (text, delivery) = take(&mut input, 1).await.remove(0);
    // the worker before has said on its way out that nobody has had it
    assert_eq!((&*text, delivery.seen_before), ("5", SeenBefore::No));
    done(delivery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_with_the_same_instance_are_told_apart() {
    let rig = rig().await;
    let (first, second, topic) = (rig.kafka(), rig.kafka(), unique("instance"));
    make(&first, &topic, json!({ "partitions": 1 })).await;
    let from = source(json!({ "topics": [topic], "group": topic, "instance": "worker-1" }));
    let mut one = first.input(&from, &NEEDS).await.unwrap();
    rig.produce(&topic, 0, 0..1).await;
    done(next(&mut one).await).await;
    let mut two = second.input(&from, &NEEDS).await.unwrap();
    let ended = async {
        tokio::select! { ended = one.next() => ended, ended = two.next() => ended }
    };
    let error = timeout(PROMPT, ended).await.expect("one of them ends").unwrap_err();
    assert_eq!(error.code(), Code::BusMismatch, "{error:?}");
    assert!(error.to_string().contains("`instance`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_before_it_was_read_is_passed_over() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("deleted"));
    make(&kafka, &topic, json!({ "partitions": 1 })).await;
    let from = source(json!({ "topics": [topic], "group": topic }));
    rig.produce(&topic, 0, 0..10).await;
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    let (text, delivery) = take(&mut input, 1).await.remove(0);
    assert_eq!((text.as_str(), done(delivery).await), ("0", Settled::Yes));
    drop(input);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", rig.server.broker());
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(6)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    let left: Vec<_> = take(&mut input, 4).await.into_iter().map(|(text, _)| text).collect();
    assert_eq!(left, ["6", "7", "8", "9"]);
}
