//! Inbound over Kafka alone: events, and how far was read, in one transaction.

mod pool;

use std::{collections::BTreeMap, process::Stdio};

use mailbridge_core::contract::{MailCloudEvent, decode};
use mailbridge_sandbox::{Arrival, Budgets, Bulk, Running, Sandbox};
use mailbridge_testkit::{
    program::{Launch, Program},
    server::{KafkaServer, shared_kafka},
};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::rig::{Plan, Rig};
use crate::rig::{LOAD, SOON, mailbox, secret, until};

const MAILBOXES: usize = 12;
const KILLS: u64 = 20;
/// Mails that arrive in each mailbox before each kill: 4,800 in all.
const EACH: u64 = 20;

/// A pipeline whose events and state are on one broker.
struct Inbound {
    rig: Rig,
    sandbox: Running,
}

impl Inbound {
    async fn new(partitions: i32) -> Self {
        let rig = Rig::new(Plan { topics: false, ..Plan::default() }).await;
        rig.make_topic("events", partitions).await;
        let sandbox = Sandbox::builder().seed(7).budgets(Budgets::graph());
        Self { rig, sandbox: sandbox.start_local().await.expect("a sandbox") }
    }

    fn start(&self, pipeline: &str) -> Program {
        self.start_with("      body: none", pipeline)
    }

    fn start_with(&self, body: &str, pipeline: &str) -> Program {
        let launch = Launch::mailbridge().expect("the program").args(["run"]);
        let (identity, _) = secret(&self.sandbox, launch.folder());
        let (broker, sandbox) = (&self.rig.broker, self.sandbox.base_url());
        let (events, state) = (self.rig.topic("events"), self.rig.topic("state"));
        let mailboxes: Vec<_> = (0..MAILBOXES).map(mailbox).collect();
        let config = format!(
            r#"
connections:
  contoso:
{identity}
    cloud: {{ login: "{sandbox}", graph: "{sandbox}" }}
buses:
  log: {{ kafka: {{ brokers: ["{broker}"] }} }}
state: {{ bus: log, topic: "{state}", create: true }}
pipelines:
  support:
    events:
      connection: contoso
      mailboxes: [{}]
      every: 1s
      start: all
      page_size: 10
{body}
      to: {{ bus: log, topic: "{events}", key: "{{mailbox}}" }}
{pipeline}
"#,
            mailboxes.join(", ")
        );
        launch.config(&config).expect("a configuration").start().expect("it starts")
    }

    fn arrive(&self, name: &str) {
        for number in 0..MAILBOXES {
            let seed = name.bytes().fold(number as u64, |seed, byte| seed * 31 + u64::from(byte));
            let one = Bulk::new(mailbox(number), EACH);
            let bulk = Bulk { seed, subject: name.to_owned(), ..one };
            self.sandbox.handle().receive_many(&bulk).expect("they arrive");
        }
    }

    /// How many records are committed, or, for whoever reads what is not, were ever written.
    fn read(&self, isolation: &str) -> Vec<Vec<u8>> {
        let topic = self.rig.topic("events");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.rig.broker).set("group.id", "reader");
        client.set("enable.partition.eof", "true").set("isolation.level", isolation);
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(&topic), SOON).expect("metadata");
        let mut open = metadata.topics()[0].partitions().len();
        let mut all = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            all.add_partition_offset(&topic, partition.id(), Offset::Beginning).expect("an offset");
        }
        consumer.assign(&all).expect("assigned");
        let mut records = Vec::new();
        while open > 0 {
            match consumer.poll(SOON).expect("records or their end") {
                Ok(record) => records.push(record.payload().expect("a value").to_vec()),
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{error}"),
            }
        }
        records
    }

    async fn committed(&self, count: u64) {
        let what = format!("{count} events are committed");
        until(LOAD, &what, async || self.read("read_committed").len() as u64 >= count).await;
    }

    /// Each mail of each inbox once, in the folder's order.
    fn assert_as_in_inboxes(&self, values: &[Vec<u8>]) {
        let mut told = BTreeMap::<String, Vec<String>>::new();
        for value in values {
            let event: MailCloudEvent = decode::read(value).expect("an event");
            let mail = event.event.data;
            told.entry(mail.mailbox.to_string()).or_default().push(mail.message_id.0);
        }
        for number in 0..MAILBOXES {
            let held = self.sandbox.handle().contents(&mailbox(number), "inbox").expect("an inbox");
            let there: Vec<_> = held.into_iter().map(|mail| mail.immutable_id).collect();
            let told = told.remove(&mailbox(number)).unwrap_or_default();
            assert!(told == there, "mailbox {number}: {} told, {} there", told.len(), there.len());
        }
        assert!(told.is_empty(), "of mailboxes that nobody named");
    }
}

/// What Apache Kafka's own console consumer reads that reads what is committed.
fn console(server: &KafkaServer, broker: &str, topic: &str, count: usize) -> Vec<Vec<u8>> {
    let mut tool = server.tool("org.apache.kafka.tools.consumer.ConsoleConsumer");
    tool.args(["--bootstrap-server", broker, "--topic", topic, "--from-beginning"]);
    tool.args(["--isolation-level", "read_committed", "--timeout-ms", "20000"]);
    tool.args(["--max-messages", &count.to_string()]);
    let output = tool.stderr(Stdio::null()).output().expect("the console consumer");
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|it| !it.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_what_is_committed_sees_each_mail_once_through_twenty_kills() {
    let inbound = Inbound::new(3).await;
    let round = EACH * MAILBOXES as u64;
    for kill in 1..=KILLS {
        let mut program = inbound.start("");
        inbound.arrive(&format!("kill{kill}"));
        // in the middle of the transactions of this round
        inbound.committed((kill - 1) * round + round * (kill % 10) / 10 + 1).await;
        program.kill9().expect("it runs");
        program.wait_exit(SOON).await.expect("it is gone");
    }
    let _program = inbound.start("");
    inbound.committed(KILLS * round).await;
    let (committed, written) = (inbound.read("read_committed"), inbound.read("read_uncommitted"));
    assert_eq!(committed.len() as u64, KILLS * round);
    inbound.assert_as_in_inboxes(&committed);
    println!("{} events, {} written", committed.len(), written.len());
    assert!(written.len() > committed.len(), "no kill fell into a transaction");
    let shared = shared_kafka().await.expect("a broker");
    let server = shared.in_use().await;
    let topic = inbound.rig.topic("events");
    inbound.assert_as_in_inboxes(&console(&server, &inbound.rig.broker, &topic, committed.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_above_the_topics_limit_refers_to_its_body_and_those_beside_it_have_theirs() {
    let inbound = Inbound::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mails = [("small", 1_000), ("large", 3_000_000), ("last", 1_000)];
    let body = |bytes: usize| "0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(bytes / 38);
    for (subject, bytes) in mails {
        let text = body(bytes);
        let mime = format!("From: a@example.org\r\nSubject: {subject}\r\n\r\n{text}");
        let arrival = Arrival::mime(mailbox(0), mime);
        inbound.sandbox.handle().receive(&arrival).expect("it arrives");
    }
    // the body is to be inside, and the topic takes a megabyte
    let store =
        format!("      body_max: 10MiB\n      store: \"file://{}/\"", folder.path().display());
    let _program = inbound.start_with(&store, "");
    inbound.committed(3).await;
    let values = inbound.read("read_committed");
    inbound.assert_as_in_inboxes(&values);
    let events: Vec<MailCloudEvent> =
        values.iter().map(|value| decode::read(value).expect("an event")).collect();
    for (event, (subject, bytes)) in events.iter().zip(mails) {
        let mail = &event.event.data;
        assert_eq!(mail.content.subject.as_deref(), Some(subject));
        if bytes < 1_000_000 {
            assert!(mail.content.text.is_some() && mail.left_out.is_empty(), "{subject}");
            continue;
        }
        assert_eq!(mail.content.text, None);
        let [left_out] = &mail.left_out[..] else { panic!("{:?}", mail.left_out) };
        assert_eq!(left_out.what, "text");
        let stored = left_out.stored.as_ref().expect("it is stored");
        let url = stored.url.as_deref().expect("a URL");
        let path = url.strip_prefix("file://").expect("a file's");
        let text = std::fs::read_to_string(path).expect("it is there");
        assert_eq!((text.len() as u64, text.trim_end()), (stored.bytes, body(bytes).trim_end()));
    }
}
