//! Events and a value in one transaction: all of it, or nothing, and nothing of who was fenced.

use std::time::Duration;

use mailbridge_core::{
    Code, Commit, Keep, Message, Output, Put, Revision, StateStore, plugin::Plugin,
};
use mailbridge_kafka::{Kafka, Store};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{Consumer as _, StreamConsumer},
    producer::{FutureProducer, FutureRecord, Producer as _},
    util::Timeout,
};
use serde_json::json;

use crate::rig::{PROMPT, Rig, make, rig, target, unique};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A worker: what it commits with, and what it finds.
struct Worker {
    output: Box<dyn Output>,
    store: Box<dyn StateStore>,
    _kafka: Kafka,
}

/// Workers on one topic of events and one of state.
async fn workers(rig: &Rig, name: &str, count: usize) -> Vec<Worker> {
    let store: Store =
        serde_json::from_value(json!({ "topic": format!("{name}-state"), "create": true }))
            .unwrap();
    let settings = json!({ "max.message.bytes": 100_000 });
    make(&rig.kafka(), name, json!({ "partitions": 1, "settings": settings })).await;
    let mut workers = Vec::new();
    for _ in 0..count {
        let kafka = rig.kafka();
        let to = target(json!({ "topic": name }));
        let output = kafka.output_with_store(&to, &store).await.unwrap();
        let store = kafka.store(&store, Keep::Forever).await.unwrap();
        workers.push(Worker { output, store, _kafka: kafka });
    }
    workers
}

fn messages(texts: &[&str]) -> Vec<Message> {
    let of = |text: &&str| Message { payload: (*text).to_owned().into(), ..Message::default() };
    texts.iter().map(of).collect()
}

impl Worker {
    async fn commit(
        &self,
        texts: &[&str],
        value: &str,
        expected: Option<Revision>,
    ) -> mailbridge_core::Result<Put> {
        let messages = messages(texts);
        let value = value.to_owned().into();
        let commit = Commit { share: "p/1", messages: &messages, key: "k", value, expected };
        self.output.commit(commit).await
    }

    async fn value(&self) -> Option<(String, Revision)> {
        let found = self.store.get("k").await.unwrap();
        found.map(|(value, at)| (String::from_utf8(value.to_vec()).unwrap(), at))
    }
}

fn stored(put: Put) -> Revision {
    match put {
        Put::Stored(revision) => revision,
        Put::Conflict => panic!("another was first"),
    }
}

/// What somebody reads who reads what is committed, up to a last text.
async fn read(rig: &Rig, topic: &str, isolation: &str, last: &str) -> Vec<String> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", rig.server.broker())
        .set("group.id", unique("reader"))
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", isolation)
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut read = Vec::new();
    while read.last().is_none_or(|text| text != last) {
        let record = tokio::time::timeout(PROMPT, consumer.recv()).await;
        let record = record.unwrap_or_else(|_| panic!("`{last}` comes after {read:?}")).unwrap();
        read.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
    }
    read
}

/// A worker that is stopped in the middle: its events are with the brokers, its commit is not.
async fn half(rig: &Rig, share: &str, topic: &str, text: &str) -> FutureProducer {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", rig.server.broker())
        .set("transactional.id", share)
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    let record = FutureRecord::to(topic).key("").payload(text);
    producer.send(record, Timeout::Never).await.unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_the_value_come_together_or_not_at_all() {
    let (rig, name) = (rig().await, unique("together"));
    let workers = workers(rig, &name, 1).await;
    let worker = &workers[0];
    let first = stored(worker.commit(&["a", "b"], "1", None).await.unwrap());
    assert_eq!(worker.value().await, Some(("1".to_owned(), first)));
    assert_eq!(worker.commit(&["no"], "x", None).await.unwrap(), Put::Conflict);
    let too_large = "x".repeat(200_000);
    let error = worker.commit(&["no", &too_large, "no"], "x", Some(first)).await.unwrap_err();
    assert_eq!((error.code(), error.field("message")), (Code::BusPayloadTooLarge, Some("1")));
    assert_eq!(worker.value().await, Some(("1".to_owned(), first)));
    let second = stored(worker.commit(&["c"], "2", Some(first)).await.unwrap());
    let third = stored(worker.commit(&[], "3", Some(second)).await.unwrap());
    stored(worker.commit(&["end"], "4", Some(third)).await.unwrap());
    assert_eq!(read(rig, &name, "read_committed", "end").await, ["a", "b", "c", "end"]);
    // the reader that does not mind shows that there was something to be kept from the other
    let all = read(rig, &name, "read_uncommitted", "end").await;
    assert!(all.contains(&"no".to_owned()), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_over_from_commits_nothing() {
    let (rig, name) = (rig().await, unique("taken"));
    let workers = workers(rig, &name, 2).await;
    let first = stored(workers[0].commit(&["a"], "1", None).await.unwrap());
    let second = stored(workers[1].commit(&["b"], "2", Some(first)).await.unwrap());
    assert_eq!(workers[0].commit(&["no"], "x", Some(first)).await.unwrap(), Put::Conflict);
    // it has seen what the other did, and takes over in its turn: it begins, is refused, begins anew
    let mut put = Put::Conflict;
    while put == Put::Conflict {
        put = workers[0].commit(&["late"], "late", Some(second)).await.unwrap();
    }
    assert_eq!(workers[1].commit(&["no"], "x", Some(second)).await.unwrap(), Put::Conflict);
    assert_eq!(workers[1].value().await.unwrap().0, "late");
    assert_eq!(read(rig, &name, "read_committed", "late").await, ["a", "b", "late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_left_open_is_aborted_and_refused_however_late() {
    let (rig, name) = (rig().await, unique("sleeper"));
    let workers = workers(rig, &name, 1).await;
    let sleeper = half(rig, &format!("{name}-state/p/1"), &name, "asleep").await;
    let first = stored(workers[0].commit(&["a"], "1", None).await.unwrap());
    let late = tokio::task::spawn_blocking(move || sleeper.commit_transaction(TIMEOUT));
    assert!(late.await.unwrap().is_err(), "it is fenced");
    stored(workers[0].commit(&["end"], "2", Some(first)).await.unwrap());
    assert_eq!(read(rig, &name, "read_committed", "end").await, ["a", "end"]);
    let all = read(rig, &name, "read_uncommitted", "end").await;
    assert_eq!(all, ["asleep", "a", "end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_has_open_in_the_state_holds_up_no_reader() {
    let (rig, name) = (rig().await, unique("open"));
    let workers = workers(rig, &name, 1).await;
    stored(workers[0].commit(&["a"], "1", None).await.unwrap());
    let open = half(rig, &unique("somebody"), &format!("{name}-state"), "open").await;
    let found = tokio::time::timeout(Duration::from_secs(3), workers[0].value()).await;
    assert_eq!(found.expect("it does not wait for what is open").unwrap().0, "1");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_what_another_left_open_is_known_before_anything_is_committed() {
    let (rig, name) = (rig().await, unique("behind"));
    let both = workers(rig, &name, 2).await;
    let first = stored(both[0].commit(&["a"], "1", None).await.unwrap());
    // somebody dies in the middle; behind that, one more commit stands that its writer never saw
    let open = half(rig, &unique("somebody"), &format!("{name}-state"), "open").await;
    let second = async {
        let late = both[0].commit(&["b"], "2", Some(first));
        let late = tokio::time::timeout(Duration::from_secs(2), late).await;
        assert!(late.is_err(), "it cannot be read back");
        both[1].commit(&["no"], "x", Some(first)).await
    };
    let abort = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let ended = tokio::task::spawn_blocking(move || open.abort_transaction(TIMEOUT));
        ended.await.unwrap().unwrap();
    };
    let (put, ()) = tokio::join!(second, abort);
    assert_eq!(put.unwrap(), Put::Conflict, "the other has committed");
    let worker = workers(rig, &name, 1).await.remove(0);
    let (value, at) = worker.value().await.unwrap();
    assert_eq!(value, "2");
    stored(worker.commit(&["end"], "3", Some(at)).await.unwrap());
    assert_eq!(read(rig, &name, "read_committed", "end").await, ["a", "b", "end"]);
}
