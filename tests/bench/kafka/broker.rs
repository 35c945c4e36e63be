//! Topics on a broker: making them, filling them, reading them to the end.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mailbridge_core::plugin::Plugin as _;
use mailbridge_kafka::Kafka;
use mailbridge_testkit::server::KafkaServer;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    message::{OwnedHeaders, OwnedMessage},
    metadata::MetadataTopic,
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};

use serde_json::json;

use crate::{Failure, rig::Rig};

/// How long anything here may take before it is given up.
const PATIENCE: Duration = Duration::from_mins(5);
/// Records on their way at once, where all are there from the start.
const AT_ONCE: usize = 10_000;

pub struct Broker {
    server: KafkaServer,
    producer: FutureProducer,
    folder: tempfile::TempDir,
}

/// A record to be produced.
#[derive(Clone)]
pub struct Record {
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    pub headers: Option<OwnedHeaders>,
}

impl Broker {
    pub async fn start() -> Result<Self, Failure> {
        let server = KafkaServer::start().await?;
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", server.broker()).set("enable.idempotence", "true");
        Ok(Self { producer: client.create()?, server, folder: tempfile::tempdir()? })
    }

    /// Where clients connect to.
    pub fn address(&self) -> String {
        self.server.broker()
    }

    /// The buses of a configuration, and where a topic may be made, as its lines.
    pub fn buses(&self) -> String {
        format!("buses:\n  events: {{ kafka: {{ brokers: ['{}'] }} }}\n", self.server.broker())
    }

    /// mailbridge's own plugin, outside of the program.
    pub fn plugin(&self) -> Result<Kafka, Failure> {
        let config = serde_json::from_value(json!({ "brokers": [self.server.broker()] }))?;
        Ok(Kafka::new("events", config)?)
    }

    pub async fn topic(&self, name: &str, partitions: i32) -> Result<(), Failure> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.server.broker());
        let admin: AdminClient<DefaultClientContext> = client.create()?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        for made in admin.create_topics([&topic], &options).await? {
            made.map_err(|(name, code)| format!("the topic {name} cannot be made: {code}"))?;
        }
        Ok(())
    }

    /// Produces all, as fast as an idempotent producer does, each one confirmed in the end. Returns
    /// how long it took.
    pub async fn produce(&self, topic: &str, records: &[Record]) -> Result<Duration, Failure> {
        let start = Instant::now();
        let sent = stream::iter(records).map(async |one| {
            let record = FutureRecord::to(topic).key(&one.key).payload(&one.payload);
            let record = FutureRecord { headers: one.headers.clone(), ..record };
            let sent = self.producer.send(record, Timeout::Never).await;
            sent.map(drop).map_err(|(error, _)| Failure::from(error))
        });
        sent.buffered(AT_ONCE).try_collect::<()>().await?;
        Ok(start.elapsed())
    }

    /// Reads a topic from its beginning until it has given so many records.
    pub fn read(&self, topic: &str, count: usize) -> Result<Vec<OwnedMessage>, Failure> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.server.broker()).set("group.id", "bench-reader");
        client.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create()?;
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
        let mut all = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            all.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
        consumer.assign(&all)?;
        let until = Instant::now() + PATIENCE;
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                records.push(record?.detach());
            }
            if Instant::now() > until {
                let have = records.len();
                return Err(format!("{topic} has {have} records after {PATIENCE:?}").into());
            }
        }
        Ok(records)
    }

    /// A mailbridge with this configuration.
    pub fn run(&self, rig: &Rig, name: &str, config: &str) -> Result<Child, Failure> {
        let file = self.folder.path().join(format!("{name}.yaml"));
        std::fs::write(&file, config)?;
        let mut command = Command::new(&rig.program);
        command.args(["--log", "error", "run"]).arg(&file);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?)
    }
}

/// When a record was made, in milliseconds since 1970.
pub fn millis(record: &OwnedMessage) -> i64 {
    record.timestamp().to_millis().unwrap_or_default()
}

/// From the first record made to the last.
pub fn span(records: &[OwnedMessage]) -> Duration {
    let times = || records.iter().map(millis);
    let span = times().max().unwrap_or_default() - times().min().unwrap_or_default();
    Duration::from_millis(u64::try_from(span).unwrap_or_default())
}
