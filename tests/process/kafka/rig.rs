//! One test's world: topics on a broker, a sandbox, and as many workers as the test starts.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    time::Duration,
};

use mailbridge_core::contract::{Outcome, Status, decode};
use mailbridge_sandbox::{Budgets, Builder, DEMO_DOMAIN, Handle, Running, Sandbox};
use mailbridge_testkit::{
    program::{Launch, Program},
    server::{InUse, shared_kafka},
};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::OwnedMessage,
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};

use crate::rig::{SOON, free_port, http_client, secret, until};

pub struct Rig {
    pub broker: String,
    /// Nobody restarts a broker that is shared while this is there.
    _in_use: Option<InUse>,
    pub sandbox: Running,
    pub producer: FutureProducer,
    plan: Plan,
    /// What the names of topics begin with.
    name: String,
}

/// What differs from test to test.
#[derive(Clone)]
pub struct Plan {
    pub partitions: i32,
    /// Whether the topics are there before the program starts.
    pub topics: bool,
    /// Whether state is kept on the same broker.
    pub state: bool,
    /// More keys for the pipeline's `from`.
    pub from: &'static str,
    /// Lines for the pipeline, six spaces deep.
    pub pipeline: &'static str,
    /// More sections of the file.
    pub sections: String,
    pub sandbox: Builder,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            partitions: 3,
            topics: true,
            state: false,
            from: "",
            pipeline: "      deadline: 5s\n      settle_time: 5s",
            sections: String::new(),
            sandbox: Sandbox::builder().seed(7).budgets(Budgets::graph()),
        }
    }
}

/// One running program.
pub struct Worker {
    pub program: Program,
    /// The file that it runs.
    pub config: PathBuf,
    http: std::net::SocketAddr,
}

/// Where a record stands.
pub type Place = (i32, i64);

impl Rig {
    /// On the broker that all tests of this process share.
    pub async fn new(plan: Plan) -> Self {
        let shared = shared_kafka().await.expect("a broker");
        let in_use = shared.in_use().await;
        Self { _in_use: Some(in_use), ..Self::over(shared.broker(), plan).await }
    }

    /// On a broker of the test's own.
    pub async fn over(broker: &str, plan: Plan) -> Self {
        let sandbox = plan.sandbox.clone().start_local().await.expect("a sandbox");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker).set("enable.idempotence", "true");
        let producer = client.create().expect("a producer");
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let broker = broker.to_owned();
        let rig = Self { broker, _in_use: None, sandbox, producer, plan, name };
        if rig.plan.topics {
            rig.make_topic("send", rig.plan.partitions).await;
            rig.make_topic("outcome", 1).await;
            rig.make_topic("dead", 1).await;
        }
        rig
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.name
    }

    pub fn topic(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.broker);
        client.create().expect("an admin client")
    }

    /// Deletes the requests of the first partition below an offset, as retention does.
    pub async fn delete_before(&self, offset: i64) {
        let mut before = TopicPartitionList::new();
        let at = Offset::Offset(offset);
        before.add_partition_offset(&self.topic("send"), 0, at).expect("an offset");
        let deleted = self.admin().delete_records(&before, &AdminOptions::new()).await;
        deleted.expect("an answer");
    }

    pub async fn make_topic(&self, what: &str, partitions: i32) {
        let admin = self.admin();
        let topic = self.topic(what);
        let topic = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        let known = AdminOptions::new().operation_timeout(Some(SOON));
        let made = admin.create_topics([&topic], &known).await.expect("an answer");
        for topic in made {
            topic.expect("a topic");
        }
    }

    pub fn handle(&self) -> &Handle {
        self.sandbox.handle()
    }

    /// Starts one more worker.
    pub fn start(&self) -> Worker {
        self.start_with(&[])
    }

    pub fn start_with(&self, args: &[&str]) -> Worker {
        let http = free_port();
        let launch = Launch::mailbridge().expect("the program").args(["run"]).args(args);
        let (identity, _) = secret(&self.sandbox, launch.folder());
        let launch = launch.config(&self.config(&identity, http)).expect("a configuration");
        let config = launch.folder().join("config.yaml");
        Worker { program: launch.start().expect("the program starts"), config, http }
    }

    fn config(&self, identity: &str, http: std::net::SocketAddr) -> String {
        let Plan { from, pipeline, sections, .. } = &self.plan;
        let (broker, name) = (&self.broker, &self.name);
        let sandbox = self.sandbox.base_url();
        let state = format!("state: {{ bus: log, topic: \"{name}.state\", create: true }}");
        let state = if self.plan.state { state } else { String::new() };
        format!(
            r#"
http: {{ listen: "{http}" }}
{state}
{sections}
connections:
  contoso:
    provider: microsoft365
    grant_type: client_credentials
{identity}
    cloud: {{ login: "{sandbox}", graph: "{sandbox}" }}
buses:
  log:
    kafka:
      brokers: ["{broker}"]
      options: {{ session.timeout.ms: 2000, heartbeat.interval.ms: 300 }}
pipelines:
  orders:
    requests:
      from: {{ bus: log, topics: ["{name}.send"], group: "{name}"{from} }}
      connection: contoso
      mailbox: noreply@{DEMO_DOMAIN}
      allow_mailboxes: ["*@{DEMO_DOMAIN}"]
      outcomes: {{ bus: log, topic: "{name}.outcome" }}
      dead_letters: {{ bus: log, topic: "{name}.dead" }}
{pipeline}
"#
        )
    }

    /// Produces a record; where it stands.
    pub async fn produce(&self, key: &str, payload: &[u8]) -> Place {
        self.produce_to("send", key, payload).await
    }

    /// The same to another topic.
    pub async fn produce_to(&self, what: &str, key: &str, payload: &[u8]) -> Place {
        let topic = self.topic(what);
        let record = FutureRecord::to(&topic).key(key).payload(payload);
        let sent = self.producer.send(record, Timeout::Never).await.expect("it is stored");
        (sent.partition, sent.offset)
    }

    /// Every record of a topic.
    pub fn records(&self, what: &str) -> Vec<OwnedMessage> {
        let topic = self.topic(what);
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.broker).set("group.id", "stranger");
        client.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
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
                Ok(record) => records.push(record.detach()),
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{error}"),
            }
        }
        records
    }

    /// What the group has committed.
    pub fn committed(&self) -> HashMap<i32, i64> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.broker).set("group.id", &self.name);
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let mut all = TopicPartitionList::new();
        all.add_partition_range(&self.topic("send"), 0, self.plan.partitions - 1);
        let Ok(found) = consumer.committed_offsets(all, Duration::from_secs(10)) else {
            return HashMap::new();
        };
        let offset = |it: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            Some((it.partition(), it.offset().to_raw().filter(|offset| *offset >= 0)?))
        };
        found.elements().iter().filter_map(offset).collect()
    }

    /// Waits until everything that was produced is committed.
    pub async fn drained(&self, ends: &HashMap<i32, i64>, within: Duration) {
        until(within, "all offsets are committed", async || {
            let committed = self.committed();
            ends.iter().all(|(partition, end)| committed.get(partition) == Some(end))
        })
        .await;
    }

    pub async fn sent(&self, count: u64, within: Duration) {
        let what = format!("{count} mails are sent");
        until(within, &what, async || self.handle().truth().sent_total() >= count).await;
    }

    /// How often each subject was really sent.
    pub fn copies(&self) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for sent in self.handle().truth().sent() {
            *copies.entry(sent.subject).or_default() += 1;
        }
        copies
    }

    /// Every outcome, as they stand in the topic.
    pub fn all_outcomes(&self) -> Vec<Outcome> {
        let records = self.records("outcome");
        let outcome =
            |it: &OwnedMessage| decode::read(it.payload().expect("a payload")).expect("an outcome");
        records.iter().map(outcome).collect()
    }

    /// The outcomes by key. One that was published by a worker that died before its commit is
    /// published again, with the same id.
    pub fn outcomes(&self) -> BTreeMap<String, Outcome> {
        let mut outcomes = BTreeMap::new();
        for record in self.records("outcome") {
            let payload = record.payload().expect("a payload");
            let outcome: Outcome = decode::read(payload).expect("an outcome");
            let key = outcome.data.key.clone();
            assert_eq!(record.key(), Some(key.as_bytes()), "keyed by what it is about");
            let known = outcomes.entry(key).or_insert_with(|| outcome.clone());
            assert_eq!((&known.id, known.data.status), (&outcome.id, outcome.data.status));
        }
        outcomes
    }

    /// Every request r0..r`count` was sent exactly once, and is told as accepted.
    pub fn assert_exactly_once(&self, count: usize) {
        let copies = self.copies();
        let doubled: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
        assert!(doubled.is_empty(), "sent more than once: {doubled:?}");
        assert_eq!(copies.len(), count, "every mail was sent");
        let outcomes = self.outcomes();
        assert_eq!(outcomes.len(), count, "every request has an outcome");
        assert!(outcomes.values().all(|outcome| outcome.data.status == Status::Accepted));
        assert!(self.records("dead").is_empty(), "nothing is dead-lettered");
    }
}

impl Worker {
    /// Ends it at once, and waits until it is gone.
    pub async fn kill(mut self) {
        self.program.kill9().expect("killed");
        self.program.wait_exit(SOON).await.expect("it is gone");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.program.sigterm().expect("asked to stop");
        assert!(self.program.wait_exit(SOON).await.expect("it stops").success());
    }

    /// Waits until `/readyz` answers so, with this in it.
    pub async fn ready(&self, status: u16, because: &str) -> String {
        let mut last = String::new();
        until(SOON, &format!("/readyz says {status}: {because}"), async || {
            let answer = http_client().get(format!("http://{}/readyz", self.http)).send().await;
            let Ok(answer) = answer else { return false };
            let found = answer.status().as_u16();
            last = answer.text().await.unwrap_or_default();
            found == status && last.contains(because)
        })
        .await;
        last
    }

    /// What it answers to that.
    pub async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.http);
        let answer = http_client().get(url).send().await.expect("an answer");
        answer.text().await.expect("a text")
    }
}
