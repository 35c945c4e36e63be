//! What must be there before a port can work: a stream, a consumer, a bucket.
//!
//! Each is looked up, compared with what was asked for, and refused with the exact `nats` command
//! that puts it right; or made and repaired, if the configuration says `create`, and then compared
//! all the same, because servers drop settings that they do not know.

mod bucket;
mod command;
mod consumer;
mod reader;
mod stream;

use std::time::Duration;

use mailbridge_core::{Needs, Result};

pub(crate) use bucket::ready as bucket;
pub(crate) use command::object_add;
pub(crate) use reader::{
    ACK_WAIT as READER_ACK_WAIT, Reader as ReaderReady, out as reader_out, ready as reader,
};
pub(crate) use stream::{covers, nothing_keeps};

use crate::{
    client::Link,
    config::{Source, Target},
};

/// A consumer that is what the engine needs.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub stream: String,
    pub consumer: String,
    /// How long the server waits for an acknowledgement.
    pub ack_wait: Duration,
    /// The most messages that one pull may ask for, where the consumer limits it.
    pub pull_max: Option<usize>,
    /// The longest that one pull may wait, where the consumer limits it.
    pub expires_max: Option<Duration>,
}

/// Sees to a source's stream and consumer.
pub(crate) async fn source(link: &Link, source: &Source, needs: &Needs) -> Result<Ready> {
    stream::for_source(link, source).await?;
    consumer::ready(link, source, needs).await
}

/// The subjects that a source reads, for whoever publishes to it.
pub(crate) async fn subjects(link: &Link, source: &Source) -> Result<Vec<String>> {
    let stream = stream::for_source(link, source).await?;
    Ok(if source.subjects.is_empty() { stream.subjects } else { source.subjects.clone() })
}

/// Sees to a target's stream.
pub(crate) async fn target(link: &Link, target: &Target) -> Result<()> {
    stream::for_target(link, target).await
}
