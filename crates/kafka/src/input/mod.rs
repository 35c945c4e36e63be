//! Records from a consumer group.
//!
//! One thread polls the consumer (`driver`), another commits (`committer`); what librdkafka calls back for is in
//! `context`; what both share with the input and its receipts is in `shared`. An offset is committed
//! once everything below it is done, with a note of what is done above it. What is to come again is
//! parked by `Redeliver` while its offset stays open; at `open_max` open records a partition is
//! paused, alone.

mod ahead;
mod back;
mod committer;
mod context;
mod driver;
mod find;
mod out;
mod receipt;
mod shared;

use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use async_trait::async_trait;
use mailbridge_core::{
    Code, Delivery, Error, Input, Needs, Result,
    adapter::{Bounded, Redeliver},
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

pub(crate) use self::back::{WriteBack, read as read_back};
use self::{context::Context, driver::Driver, out::Counted, shared::Shared};
use crate::{
    client::{Connector, blocking, unusable},
    config::Source,
    setup,
    threads::Threads,
};

/// Records as they stand in the log.
struct Log(Arc<Shared>);

#[async_trait]
impl Input for Log {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            if let Some(delivery) = self.0.take()? {
                return Ok(Some(delivery));
            }
            self.0.arrived.notified().await;
        }
    }
}

/// Joins the group.
pub(crate) async fn join(
    connector: &Connector,
    threads: &Threads,
    source: &Source,
    needs: &Needs,
) -> Result<Box<dyn Input>> {
    let link = connector.link().await?;
    for topic in &source.topics {
        setup::topic(connector, &link, topic, &source.create, &[]).await?;
    }
    let shared = Arc::new(Shared::new(source.open_max as usize));
    let context = context(connector, source, &shared).await?;
    let client = consumer(connector, source).await?;
    let consumer = subscribe(client, context, source).await?;
    drive(threads, consumer, source)?;
    // each partition bounds what it has open, so nothing is left for this bound to do
    let input = Redeliver::new(Log(Arc::clone(&shared)), usize::MAX);
    Ok(Box::new(Counted { inner: Bounded::new(input, needs.in_flight + needs.concluding), shared }))
}

async fn context(connector: &Connector, source: &Source, shared: &Arc<Shared>) -> Result<Context> {
    Ok(Context {
        watch: connector.watch().await?,
        shared: Arc::clone(shared),
        start: source.start,
        anew: false,
        drain: source.drain.get(),
        called: AtomicBool::new(false),
    })
}

async fn subscribe(
    client: ClientConfig,
    context: Context,
    source: &Source,
) -> Result<BaseConsumer<Context>> {
    let topics = source.topics.clone();
    let consumer = blocking(move || {
        let mut consumer: BaseConsumer<Context> = client.create_with_context(context)?;
        let waker = Arc::clone(&consumer.context().shared);
        consumer.set_nonempty_callback(move || waker.wake());
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(consumer)
    });
    consumer.await?.map_err(|failure| unusable(&failure))
}

/// Starts the threads of a consumer. They end when its input is dropped.
fn drive(threads: &Threads, consumer: BaseConsumer<Context>, source: &Source) -> Result<()> {
    let driver = Driver {
        shared: Arc::clone(&consumer.context().shared),
        consumer: Arc::new(consumer),
        topic: source.topics.first().cloned().unwrap_or_default(),
        paused: HashSet::new(),
        away: None,
    };
    let thread = thread::Builder::new().name("kafka-input".to_owned()).spawn(|| driver.run());
    let thread = thread.map_err(|cause| {
        Error::transient(Code::Internal, "no thread for a consumer").with("cause", cause)
    })?;
    threads.add(thread);
    Ok(())
}

/// The configuration of a consumer.
async fn consumer(connector: &Connector, source: &Source) -> Result<ClientConfig> {
    let mut client = connector.client().await?;
    for (name, value) in [
        ("partition.assignment.strategy", "cooperative-sticky"),
        // what is fetched ahead is fetched again after a pause
        ("queued.max.messages.kbytes", "8192"),
        ("queued.min.messages", "2000"),
        // librdkafka's second would be spent waiting with nothing left to hand out
        ("fetch.queue.backoff.ms", "10"),
        // a partition that was paused is read again after this long; new records come at once
        ("fetch.wait.max.ms", "100"),
    ] {
        // the consumer protocol of KIP-848 knows no strategy
        let has = client.get(name).is_some()
            || (name == "partition.assignment.strategy"
                && client.get("group.protocol") == Some("consumer"));
        if !has {
            client.set(name, value);
        }
    }
    client
        .set("group.id", &source.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // where reading begins is always said; a place that is gone must not be left in silence
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    if let Some(instance) = &source.instance {
        client.set("group.instance.id", instance);
    }
    Ok(client)
}
