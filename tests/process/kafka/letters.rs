//! Dead letters in a topic: what they say, in our own words and in those of Kafka Connect, and how
//! they become requests again.

use std::collections::BTreeMap;

use mailbridge_core::contract::Status;
use mailbridge_sandbox::{Budgets, Fault, Operation, Sandbox};
use mailbridge_testkit::program::{Launch, Stream};
use rdkafka::{
    Message as _,
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
    producer::FutureRecord,
    util::Timeout,
};

use super::rig::{Plan, Rig, Worker};
use crate::rig::{LOAD, SOON, mailbox, request};

/// A record's headers, each by its name.
fn headers(record: &OwnedMessage) -> BTreeMap<String, Vec<u8>> {
    let headers = record.headers().expect("headers");
    let header = |it: Header<'_, &[u8]>| (it.key.to_owned(), it.value.unwrap_or(b"").to_vec());
    headers.iter().map(header).collect()
}

/// Runs `mailbridge replay` with the configuration of this worker, and gives what it said last.
async fn replay(worker: &Worker) -> String {
    let launch = Launch::mailbridge().expect("the program").args(["replay"]);
    let launch = launch.args([&worker.config]).args(["--format", "json"]);
    let mut program = launch.start().expect("it starts");
    let status = program.wait_exit(SOON).await.expect("it ends");
    assert!(status.success(), "{:?}", program.lines());
    let mut lines = program.lines().into_iter().filter(|line| line.from == Stream::Stdout);
    lines.next_back().expect("a summary").text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_says_where_it_came_from_and_goes_back_there_as_it_was() {
    let sandbox = Sandbox::builder().seed(7).budgets(Budgets::off());
    let pipeline = "      deadline: 5s\n      settle_time: 5s\n      retry: { attempts_max: 1 }";
    let rig = Rig::new(Plan { sandbox, pipeline, partitions: 1, ..Plan::default() }).await;
    rig.handle().add_fault(Fault::answer(400).on(Operation::CreateMessage));
    let worker = rig.start();
    let (topic, body) = (rig.topic("send"), request(0, &mailbox(0)));
    let own = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("t-1") })
        .insert(Header { key: "latin-1", value: Some(&b"gr\xfc\xdfe"[..]) });
    let record = FutureRecord::<str, str>::to(&topic).key("k").payload(&body).headers(own);
    rig.producer.send(record, Timeout::Never).await.expect("it is stored");
    rig.drained(&[(0, 1)].into(), LOAD).await;

    let dead = rig.records("dead");
    let [letter] = &dead[..] else { panic!("{} dead letters", dead.len()) };
    assert_eq!((letter.key(), letter.payload()), (Some(&b"k"[..]), Some(body.as_bytes())));
    let said = headers(letter);
    let of = |name: &str| said.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    for (name, value) in [
        ("__connect.errors.topic", topic.as_str()),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "0"),
        ("__connect.errors.connector.name", "orders"),
        ("__connect.errors.exception.class.name", "graph_refused"),
        ("mailbridge-code", "graph_refused"),
        ("mailbridge-status", "rejected"),
        ("mailbridge-attempts", "1"),
        ("mailbridge-pipeline", "orders"),
        ("mailbridge-address", &topic),
        ("trace", "t-1"),
    ] {
        assert_eq!(of(name).as_deref(), Some(value), "{name} in {:?}", said.keys());
    }
    assert_eq!(of("__connect.errors.exception.message"), of("mailbridge-reason"));
    let position = of("mailbridge-position").expect("a position");
    assert!(position.starts_with(&format!("kafka:{topic}/0/0@")), "{position}");
    assert_eq!(said["latin-1"], b"gr\xfc\xdfe", "as the producer wrote it");

    // the cause is gone, and somebody puts the letter back beside the running worker
    rig.handle().clear_faults(None);
    for count in [1, 0] {
        let summary = replay(&worker).await;
        assert!(summary.contains(&format!("\"replayed\":{count}")), "{summary}");
    }
    rig.sent(1, LOAD).await;
    rig.drained(&[(0, 2)].into(), LOAD).await;
    let records = rig.records("send");
    let back = headers(&records[1]);
    assert_eq!((records[1].key(), records[1].payload()), (letter.key(), letter.payload()));
    assert_eq!((&back["trace"], &back["latin-1"]), (&said["trace"], &said["latin-1"]));
    assert!(!back.keys().any(|name| name.starts_with("__connect.")), "{:?}", back.keys());
    assert_eq!(rig.copies().into_values().collect::<Vec<_>>(), [1]);
    let statuses: Vec<_> = rig.all_outcomes().into_iter().map(|it| it.data.status).collect();
    assert_eq!(statuses, [Status::Rejected, Status::Accepted]);
    worker.stop().await;
}
