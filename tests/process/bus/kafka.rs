//! Topics on a Kafka broker, and clients as a stranger has them.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use mailbridge_core::{Headers, Message};
use mailbridge_testkit::server::{InUse, shared_kafka};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
    topic_partition_list::TopicPartitionListElem,
    util::Timeout,
};

use super::{EVENTS, REQUESTS};
use crate::rig::{SOON, until};

/// Of requests.
pub const PARTITIONS: i32 = 3;
/// The header that is a message's id.
const ID: &str = "message-id";
/// How long a question may take.
const ASK: Duration = Duration::from_secs(10);

/// Where a record stands.
pub type Place = (i32, i64);

pub struct Topics {
    pub broker: String,
    /// Nobody restarts a broker that is shared while this is there.
    _in_use: Option<InUse>,
    pub producer: FutureProducer,
    /// Asks what the group has committed, and is no member of it.
    asking: BaseConsumer,
    /// What the names of topics begin with, and that of the group.
    name: String,
    /// Of topics that are made from now on: bytes of the largest message.
    payload_max: Option<usize>,
}

impl Topics {
    /// On the broker that all tests of this process share.
    pub async fn shared(payload_max: Option<usize>) -> Self {
        let shared = shared_kafka().await.expect("a broker");
        let in_use = shared.in_use().await;
        Self { payload_max, _in_use: Some(in_use), ..Self::at(shared.broker()) }
    }

    /// On a broker that is somebody else's business.
    pub fn at(broker: &str) -> Self {
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker);
        let asking = client.clone().set("group.id", &name).create().expect("a consumer");
        client.set("enable.idempotence", "true").set("message.max.bytes", "16777216");
        let producer = client.create().expect("a producer");
        let broker = broker.to_owned();
        Self { broker, _in_use: None, producer, asking, name, payload_max: None }
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

    pub async fn make_topic(&self, what: &str, partitions: i32) {
        let admin = self.admin();
        let (topic, bytes) = (self.topic(what), self.payload_max.map(|bytes| bytes.to_string()));
        let mut topic = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        if let Some(bytes) = &bytes {
            topic = topic.set("max.message.bytes", bytes);
        }
        let known = AdminOptions::new().operation_timeout(Some(SOON));
        let made = admin.create_topics([&topic], &known).await.expect("an answer");
        for topic in made {
            topic.expect("a topic");
        }
    }

    /// Deletes the requests of the first partition below an offset, as retention does.
    pub async fn delete_before(&self, offset: i64) {
        let mut before = TopicPartitionList::new();
        let at = Offset::Offset(offset);
        before.add_partition_offset(&self.topic(REQUESTS), 0, at).expect("an offset");
        let deleted = self.admin().delete_records(&before, &AdminOptions::new()).await;
        deleted.expect("an answer");
    }

    /// Who was killed is given up soon.
    pub fn section(&self) -> String {
        let options = "{ session.timeout.ms: 2000, heartbeat.interval.ms: 300 }";
        format!("{{ kafka: {{ brokers: [\"{}\"], options: {options} }} }}", self.broker)
    }

    pub fn source(&self) -> String {
        let (topic, group) = (self.topic(REQUESTS), &self.name);
        format!("{{ bus: events, topics: [\"{topic}\"], group: \"{group}\" }}")
    }

    pub fn target(&self, what: &str) -> String {
        let key = if what == EVENTS { ", key: \"{mailbox}\"" } else { "" };
        format!("{{ bus: events, topic: \"{}\"{key} }}", self.topic(what))
    }

    pub async fn publish(&self, message: Message) {
        let mut headers = OwnedHeaders::new();
        for (key, value) in message.headers.iter() {
            headers = headers.insert(Header { key, value: Some(value.as_ref()) });
        }
        if let Some(id) = &message.id {
            headers = headers.insert(Header { key: ID, value: Some(id) });
        }
        let topic = self.topic(REQUESTS);
        let payload: &[u8] = &message.payload;
        let record = FutureRecord::<(), [u8]>::to(&topic).payload(payload).headers(headers);
        self.producer.send(record, Timeout::Never).await.expect("it is stored");
    }

    /// Produces a record; where it stands.
    pub async fn produce(&self, key: &str, payload: &[u8]) -> Place {
        self.produce_to(REQUESTS, key, payload).await
    }

    /// The same to another topic.
    pub async fn produce_to(&self, what: &str, key: &str, payload: &[u8]) -> Place {
        let topic = self.topic(what);
        let record = FutureRecord::to(&topic).key(key).payload(payload);
        let sent = self.producer.send(record, Timeout::Never).await.expect("it is stored");
        (sent.partition, sent.offset)
    }

    /// Every committed record of a topic, partition by partition.
    pub fn records(&self, what: &str) -> Vec<OwnedMessage> {
        self.read(what, "read_committed")
    }

    /// How many records were ever written, also in transactions that came to nothing.
    pub fn written(&self, what: &str) -> usize {
        self.read(what, "read_uncommitted").len()
    }

    fn read(&self, what: &str, isolation: &str) -> Vec<OwnedMessage> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.broker).set("group.id", "stranger");
        client.set("enable.partition.eof", "true").set("isolation.level", isolation);
        client.set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let mut all = self.partitions(what);
        let mut open = all.count();
        all.set_all_offsets(Offset::Beginning).expect("an offset");
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

    fn partitions(&self, what: &str) -> TopicPartitionList {
        let topic = self.topic(what);
        let metadata = self.asking.fetch_metadata(Some(&topic), SOON).expect("metadata");
        let mut all = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            all.add_partition(&topic, partition.id());
        }
        all
    }

    /// What the group has committed; nothing while nobody can say.
    pub fn committed(&self) -> HashMap<i32, i64> {
        let Ok(found) = self.asking.committed_offsets(self.partitions(REQUESTS), ASK) else {
            return HashMap::new();
        };
        let offset = |it: &TopicPartitionListElem<'_>| {
            Some((it.partition(), it.offset().to_raw().filter(|offset| *offset >= 0)?))
        };
        found.elements().iter().filter_map(offset).collect()
    }

    /// Offsets in a topic: its records, and the marks of transactions.
    pub fn length(&self, what: &str) -> u64 {
        let (topic, partitions) = (self.topic(what), self.partitions(what));
        let length = |it: &TopicPartitionListElem<'_>| {
            let ends = self.asking.fetch_watermarks(&topic, it.partition(), ASK);
            let (begin, end) = ends.expect("watermarks");
            u64::try_from(end - begin).expect("the end is behind the beginning")
        };
        partitions.elements().iter().map(length).sum()
    }

    /// How many requests are not committed.
    pub fn waiting(&self) -> u64 {
        let (topic, committed) = (self.topic(REQUESTS), self.committed());
        let partitions = self.partitions(REQUESTS);
        let partitions = partitions.elements();
        let waiting = partitions.iter().map(|it| {
            let ends = self.asking.fetch_watermarks(&topic, it.partition(), ASK);
            let (begin, end) = ends.expect("watermarks");
            end - committed.get(&it.partition()).copied().unwrap_or(begin)
        });
        u64::try_from(waiting.sum::<i64>()).expect("nothing is committed that is not there")
    }

    pub async fn drained(&self, within: Duration) {
        until(within, "all offsets are committed", async || self.waiting() == 0).await;
    }

    pub fn messages(&self, what: &str) -> Vec<Message> {
        self.records(what).iter().map(as_core_has_it).collect()
    }

    pub fn stored(&self, what: &str) -> u64 {
        self.records(what).len() as u64
    }
}

fn as_core_has_it(record: &OwnedMessage) -> Message {
    let mut headers = Headers::new();
    for header in record.headers().iter().flat_map(|headers| headers.iter()) {
        headers.push(header.key, header.value.unwrap_or_default().to_vec());
    }
    let id = headers.get(ID).map(str::to_owned);
    headers.set(ID, None);
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let payload = record.payload().map(copy).unwrap_or_default();
    Message { id, key: record.key().map(copy), headers, payload, ..Message::default() }
}
