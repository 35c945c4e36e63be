//! Kafka, on one real broker for all promises, with topics and a group of its own for each.
//!
//! Requests are produced and outcomes are read with a bare client, as a stranger would.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{
    Code, Error, Headers, Input, Keep, Message, Needs, Output, Result, StateStore,
    plugin::{Begin, Plugin, ReadBack},
};
use mailbridge_kafka::{Kafka, Source, Target};
use mailbridge_testkit::{
    conformance::World,
    server::{InUse, SharedKafka, shared_kafka},
};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{Header, Headers as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use serde_json::json;
use tokio::sync::Mutex;

mailbridge_testkit::promises!(KafkaWorld::start().await);
mailbridge_testkit::promises_of_reading_back!(KafkaWorld::start().await);

/// How long the stranger waits for the broker.
const PROMPT: Duration = Duration::from_secs(10);

/// Topics for a source, a target and a store, and the right to the broker.
struct KafkaWorld {
    shared: &'static SharedKafka,
    in_use: Mutex<Option<InUse>>,
    kafka: Kafka,
    stranger: FutureProducer,
    name: String,
}

impl KafkaWorld {
    async fn start() -> Self {
        let shared = shared_kafka().await.unwrap();
        let in_use = Mutex::new(Some(shared.in_use().await));
        let broker = shared.broker();
        let config = json!({ "brokers": [broker], "options": { "session.timeout.ms": 6000 } });
        let kafka = Kafka::new("events", serde_json::from_value(config).unwrap()).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker).set("linger.ms", "0");
        let stranger = client.create().unwrap();
        let name = format!("conformance-{}", uuid::Uuid::new_v4().simple());
        let world = Self { shared, in_use, kafka, stranger, name };
        world.create_topics().await;
        world
    }

    /// One partition, since the suite reads in the order in which it wrote.
    async fn create_topics(&self) {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.shared.broker());
        let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
        let names = [self.topic("requests"), self.topic("outcomes")];
        let topics = names.each_ref().map(|it| NewTopic::new(it, 1, TopicReplication::Fixed(1)));
        let known = AdminOptions::new().operation_timeout(Some(PROMPT));
        let made = admin.create_topics(&topics, &known).await.unwrap();
        for topic in made {
            topic.unwrap();
        }
    }

    fn topic(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    fn source(&self) -> Source {
        let source = json!({ "topics": [self.topic("requests")], "group": self.name });
        serde_json::from_value(source).unwrap()
    }

    fn target(&self) -> Target {
        serde_json::from_value(json!({ "topic": self.topic("outcomes") })).unwrap()
    }

    /// Everything that stands on the target.
    fn read_all(&self) -> Result<Vec<Message>, KafkaError> {
        let topic = self.topic("outcomes");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.shared.broker()).set("group.id", "stranger");
        client.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        let consumer: BaseConsumer = client.create()?;
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&topic, 0, Offset::Beginning)?;
        consumer.assign(&all)?;
        let mut messages = Vec::new();
        loop {
            match consumer.poll(PROMPT) {
                Some(Ok(record)) => messages.push(message(&record)),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(messages),
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
    }
}

fn message(record: &rdkafka::message::BorrowedMessage<'_>) -> Message {
    let mut headers = Headers::new();
    for header in record.headers().iter().flat_map(|headers| headers.iter()) {
        headers.push(header.key, header.value.unwrap_or_default().to_vec());
    }
    let payload = Bytes::copy_from_slice(record.payload().unwrap_or_default());
    Message { headers, payload, ..Message::default() }
}

fn broken(what: &'static str, cause: &dyn std::fmt::Display) -> Error {
    Error::transient(Code::Internal, what).with("cause", cause)
}

#[async_trait]
impl World for KafkaWorld {
    fn comes_back_within(&self) -> Duration {
        Duration::from_millis(1500)
    }

    fn drops_repeats(&self) -> bool {
        false
    }

    async fn input(&self, needs: Needs) -> Result<Box<dyn Input>> {
        let source = self.source();
        self.kafka.check_source(&source, &needs)?;
        self.kafka.input(&source, &needs).await
    }

    async fn publish(&self, message: Message) -> Result<()> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in message.headers.iter() {
            headers = headers.insert(Header { key, value: Some(value.as_ref()) });
        }
        let topic = self.topic("requests");
        let payload: &[u8] = &message.payload;
        let record = FutureRecord::<(), [u8]>::to(&topic).payload(payload).headers(headers);
        let sent = self.stranger.send(record, Timeout::After(PROMPT)).await;
        sent.map(drop).map_err(|(error, _)| broken("the stranger cannot publish", &error))
    }

    async fn output(&self) -> Result<Box<dyn Output>> {
        self.kafka.output(&self.target()).await
    }

    async fn published(&self) -> Result<Vec<Message>> {
        self.read_all().map_err(|error| broken("the target cannot be read", &error))
    }

    async fn read_back(&self, name: &str, begin: Begin) -> Result<ReadBack> {
        // the names are the suite's, and the broker is everybody's
        let name = format!("{}-{name}", self.name);
        self.kafka.read_back(&self.target(), &name, begin).await
    }

    async fn write_back(&self) -> Result<Box<dyn Output>> {
        self.kafka.write_back(&self.source()).await
    }

    async fn store(&self) -> Result<Box<dyn StateStore>> {
        let store = json!({ "topic": self.topic("state"), "create": true });
        self.kafka.store(&serde_json::from_value(store).unwrap(), Keep::Forever).await
    }

    /// Waits for the tests that run beside this one, since they have the same broker.
    async fn restart(&self) -> Result<()> {
        let mut in_use = self.in_use.lock().await;
        drop(in_use.take());
        self.shared
            .restart()
            .await
            .map_err(|error| broken("the broker does not restart", &error))?;
        *in_use = Some(self.shared.in_use().await);
        // The suite asks for ports at once, as no host does: wait until there is a connection.
        while self.output().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
