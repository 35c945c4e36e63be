//! A topic the other way round: what was published to a target is read up to its end, and what a
//! source reads is published.
//!
//! A reader is a consumer group by its name. Nothing comes twice to one reader: what is settled
//! `Again`, or dropped, stays open, and the next reader of the name has it from the note.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use mailbridge_core::{
    Code, Delivery, Error, Input, Message, Output, Result, Span,
    plugin::{Begin, ReadBack},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
};

use super::{consumer, context, drive, find, out::Counted, shared::Shared, subscribe};
use crate::{
    client::{ASK_TIMEOUT, Connector, Watch, blocking, unusable},
    config::{Create, Source, Start, Target, wrong},
    error,
    output::KafkaOutput,
    partition::Place,
    setup,
    threads::Threads,
};

/// How long it is looked whether the brokers want a token. It is asked for at once.
const TOKEN_WITHIN: Duration = Duration::from_millis(20);

/// What stands in a topic.
struct Back(Arc<Shared>);

#[async_trait]
impl Input for Back {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            if let Some(delivery) = self.0.take()? {
                return Ok(Some(delivery));
            }
            if self.0.is_read() {
                return Ok(None);
            }
            self.0.arrived.notified().await;
        }
    }
}

/// Reads what stands at a target now.
pub(crate) async fn read(
    connector: &Connector,
    threads: &Threads,
    target: &Target,
    name: &str,
    begin: Begin,
) -> Result<ReadBack> {
    let Some(topic) = target.topic.plain() else {
        return Err(wrong("topic", "one topic, without a template, to be read back"));
    };
    let link = connector.link().await?;
    let partitions = setup::topic(connector, &link, topic, &Create::default(), &[]).await?;
    let source = Source {
        topics: vec![topic.to_owned()],
        group: name.to_owned(),
        start: Start::Earliest,
        create: Create::default(),
        instance: None,
        open_max: u32::MAX,
        drain: Span::from_secs(2),
    };
    let mut client = consumer(connector, &source).await?;
    client.set("enable.partition.eof", "true");
    let asked = (client.clone(), connector.watch().await?, topic.to_owned());
    let stands = blocking(move || {
        let (client, watch, topic) = asked;
        let consumer: BaseConsumer<Watch> =
            client.create_with_context(watch).map_err(|failure| unusable(&failure))?;
        // it is here that the brokers' token is asked for, if they want one
        drop(consumer.poll(TOKEN_WITHIN));
        find::patiently(|| stands(&consumer, &topic, partitions))
            .map_err(|failure| error::failed("what stands in the topic is not told", &failure))
    });
    let (until, count) = stands.await??;
    let shared = Arc::new(Shared::new(usize::MAX));
    let anew = begin == Begin::Anew;
    let count = (!anew).then_some(count);
    shared.lot().until = Some(until);
    let mut context = context(connector, &source, &shared).await?;
    context.anew = anew;
    let consumer = subscribe(client, context, &source).await?;
    drive(threads, consumer, &source)?;
    let input = Box::new(Counted { inner: Back(Arc::clone(&shared)), shared });
    Ok(ReadBack { input, count })
}

/// The end of each partition, and how many records stand before it that are not below what is
/// committed.
fn stands(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    partitions: usize,
) -> KafkaResult<(HashMap<Place, u64>, u64)> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, i32::try_from(partitions).unwrap_or(i32::MAX) - 1);
    let ask = |offset| {
        let mut list = list.clone();
        list.set_all_offsets(offset)?;
        consumer.offsets_for_times(list, ASK_TIMEOUT)
    };
    let (begins, ends) = (ask(Offset::Beginning)?, ask(Offset::End)?);
    let committed = consumer.committed_offsets(list.clone(), ASK_TIMEOUT)?;
    let at = |list: &TopicPartitionList, number| {
        let raw = list.find_partition(topic, number)?.offset().to_raw()?;
        u64::try_from(raw).ok()
    };
    let (mut until, mut count) = (HashMap::new(), 0);
    for it in ends.elements() {
        it.error()?;
        let number = it.partition();
        let end = at(&ends, number).unwrap_or_default();
        let begin = at(&committed, number).max(at(&begins, number)).unwrap_or_default();
        count += end.saturating_sub(begin);
        until.insert(Place { topic: topic.into(), number }, end);
    }
    Ok((until, count))
}

/// Publishes to what a source reads.
pub(crate) struct WriteBack {
    output: KafkaOutput,
    topics: Vec<String>,
}

impl WriteBack {
    /// To the first of the topics, unless a message names another of them.
    pub async fn new(connector: &Arc<Connector>, source: &Source) -> Result<Self> {
        let Some(first) = source.topics.first() else {
            let detail = "a source without topics cannot be written back";
            return Err(Error::permanent(Code::ConfigInvalid, detail));
        };
        let target = Target::to(first, source.create.clone())?;
        let output = KafkaOutput::new(connector, &target, None).await?;
        Ok(Self { output, topics: source.topics.clone() })
    }
}

#[async_trait]
impl Output for WriteBack {
    async fn publish(&self, mut message: Message) -> Result<()> {
        message.address = message.address.filter(|address| self.topics.contains(address));
        self.output.publish(message).await
    }
}
