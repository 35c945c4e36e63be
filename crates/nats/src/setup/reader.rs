//! The durable pull consumer that a target is read back by.
//!
//! It belongs to one reader alone, so it is made without being asked for, in the stream that keeps
//! the target's subject, and never changed. How far the reader has come is the consumer's own
//! state.

use std::time::Duration;

use async_nats::jetstream::{
    ErrorCode,
    consumer::{AckPolicy, Config, DeliverPolicy, Info, IntoConsumerConfig, ReplayPolicy, pull},
};
use mailbridge_core::{Code, Error, Result, plugin::Begin};
use serde_json::json;

use super::{command, consumer, stream};
use crate::{client::Link, config::Target, error};

/// How long a message that nobody has settled stays away. Longer than putting one back and settling
/// it may take; short enough to wait for after a crash.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(20);

/// A consumer for a reader, and what there is to read.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub stream: String,
    pub consumer: String,
    /// How many messages it has not settled.
    pub unsettled: u64,
    /// The last of them stands here or before.
    pub last: u64,
}

/// Finds or makes the consumer.
pub(crate) async fn ready(
    link: &Link,
    target: &Target,
    name: &str,
    begin: Begin,
) -> Result<Reader> {
    let stream = stream::keeper(link, target).await?;
    if begin == Begin::Anew {
        forget(link, &stream, name).await?;
    }
    let info = match consumer::find(link, &stream, name).await? {
        Some(info) => info,
        None => consumer::put(link, &stream, wanted(name, &target.filter()), "create").await?,
    };
    if !fits(&info.config, &target.filter()) {
        return Err(Error::blocked(
            Code::BusMismatch,
            "the reader's consumer reads something else",
        )
        .with("consumer", format_args!("{stream}/{name}"))
        .with("command", command::consumer_remove(&stream, name)));
    }
    // Counted before the end is looked up, so that no more is counted than stands before it.
    let unsettled = unsettled(&info);
    let last = stream::last(link, &stream).await?;
    Ok(Reader { stream, consumer: name.to_owned(), unsettled, last })
}

/// How many messages the consumer still has to settle.
fn unsettled(info: &Info) -> u64 {
    info.num_pending + info.num_ack_pending as u64
}

/// How many messages are out, here or elsewhere.
pub(crate) async fn out(link: &Link, reader: &Reader) -> Result<u64> {
    let info = consumer::find(link, &reader.stream, &reader.consumer).await?;
    Ok(info.map_or(0, |info| info.num_ack_pending as u64))
}

async fn forget(link: &Link, stream: &str, name: &str) -> Result<()> {
    let subject = format!("CONSUMER.DELETE.{stream}.{name}");
    match link.ask::<serde_json::Value>(subject, &json!({})).await? {
        Ok(_) => Ok(()),
        Err(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => Ok(()),
        Err(error) => Err(error::refused("the reader's consumer cannot be deleted", &error)
            .with("consumer", format_args!("{stream}/{name}"))),
    }
}

fn wanted(name: &str, subject: &str) -> Config {
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        description: Some("made by mailbridge, to read back".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        filter_subject: subject.to_owned(),
        replay_policy: ReplayPolicy::Instant,
        deliver_policy: DeliverPolicy::All,
        // What is left for another time is held until the end.
        max_ack_pending: -1,
        ..pull::Config::default()
    };
    config.into_consumer_config()
}

fn fits(found: &Config, subject: &str) -> bool {
    let filters = &found.filter_subjects;
    let one = if filters.is_empty() { vec![found.filter_subject.clone()] } else { filters.clone() };
    one == [subject] && found.ack_policy == AckPolicy::Explicit && found.max_deliver <= 0
}
