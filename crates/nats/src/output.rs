//! Publishing, confirmed by the stream that stores it.

use async_nats::jetstream::{context::PublishErrorKind, message::PublishMessage};
use async_trait::async_trait;
use mailbridge_core::{Message, Output, Result};
use tokio::time::Instant;

use crate::{client::Link, config::Target, error, headers, setup};

/// The output. A message's own address is its subject, in place of the target's.
pub(crate) struct NatsOutput {
    link: Link,
    target: Target,
}

impl NatsOutput {
    pub fn new(link: Link, target: Target) -> Self {
        Self { link, target }
    }
}

#[async_trait]
impl Output for NatsOutput {
    /// Returns once the stream has confirmed. A message whose id the stream has seen within its
    /// duplicate window is confirmed and not stored again.
    async fn publish(&self, message: Message) -> Result<()> {
        let since = Instant::now();
        let subject = match &message.address {
            Some(address) => address.clone(),
            None => self.target.subject(&message.labels),
        };
        let headers = headers::outgoing(&message);
        let publish = PublishMessage::build().payload(message.payload);
        let publish = if headers.is_empty() { publish } else { publish.headers(headers) };
        let jetstream = &self.link.jetstream;
        let confirmed = async { jetstream.send_publish(subject.clone(), publish).await?.await };
        let confirmed = tokio::select! {
            biased;
            confirmed = confirmed => confirmed,
            () = self.link.lost() => Err(PublishErrorKind::BrokenPipe.into()),
        };
        confirmed.map(drop).map_err(|failure| match failure.kind() {
            PublishErrorKind::StreamNotFound => setup::nothing_keeps(&subject),
            PublishErrorKind::TimedOut => {
                self.link.silence(since, error::publish(&failure)).with("subject", subject)
            }
            _ => error::publish(&failure).with("subject", subject),
        })
    }
}
