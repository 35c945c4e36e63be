//! How a message is held and let go.
//!
//! A [`Delivery`] is a message with a [`Receipt`]. Whoever holds the receipt decides what becomes of
//! the message; a receipt dropped unsettled means that the message comes back. So forgetting never
//! counts as success, and a crash, a panic and a full stop take the same path.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::{Message, Result};

/// A message that a bus has handed out and still answers for.
#[derive(Debug)]
pub struct Delivery {
    /// What was delivered.
    pub message: Message,
    /// Where it stands on its bus. Stable over redeliveries.
    pub position: Position,
    /// Whether the bus has handed it out before.
    pub seen_before: SeenBefore,
    /// The right, and the duty, to settle it.
    pub receipt: Receipt,
}

/// A message's place on its bus, such as `nats:MAIL/42@1790230470084404000` (stream, sequence, when
/// it was stored) or `local:requests.ndjson/17@5f0c9e1d3a`. The same at every delivery, and never
/// that of another message, also not when a stream or a file is made again under the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(String);

impl Position {
    /// A position by its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a bus knows of earlier deliveries of one message. Costs nothing on the happy path and is
/// what makes crash recovery look in the mailbox first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenBefore {
    /// This is the first time.
    No,
    /// It was handed out this many times before (JetStream's delivery count less one).
    Times(u64),
    /// It was handed out this many times before, and each time given back with nothing begun.
    Untouched(u64),
    /// The bus cannot tell (a file read on after a crash, a Kafka record below the end offset
    /// that was read at assignment, a consumer that has lost its memory): whoever says so now may
    /// not know of a delivery to somebody else a moment ago. Said once for each such loss; what
    /// comes again after it is counted by `Times`.
    Maybe,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is done: never deliver it again.
    Done,
    /// Deliver it again, not sooner than `after`.
    Again {
        /// How long to wait at least.
        after: Duration,
    },
    /// It is at fault, and its dead letter is durable: never deliver it again.
    Rejected,
}

/// What settling came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The bus has noted it.
    Yes,
    /// The delivery was no longer ours (acknowledgement deadline passed, partition revoked); it comes
    /// back, here or elsewhere.
    Stale,
}

/// What a bus implements for each delivery it hands out.
///
/// - `settle` returns `Settled::Yes` only once the bus has confirmed it.
/// - Dropping the value without `settle` lets the message come back.
/// - `settle` may fail: then the message may come back, and must be expected to.
#[async_trait]
pub trait Settle: Send {
    /// Lets the delivery go.
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled>;

    /// Tells the bus that work goes on, so that it does not hand the message to somebody else.
    /// Buses without a deadline do nothing.
    async fn extend(&mut self) -> Result<()>;

    /// Whether it is known here that the delivery is no longer ours, so that settling could only be
    /// stale. Asks nobody.
    fn is_stale(&self) -> bool {
        false
    }
}

/// The right to settle one delivery, once.
#[must_use = "a receipt that is dropped unsettled makes the message come back"]
pub struct Receipt(Box<dyn Settle>);

impl Receipt {
    /// Wraps a bus's own way of settling.
    pub fn new(settle: impl Settle + 'static) -> Self {
        Self(Box::new(settle))
    }

    /// Lets the delivery go. See [`Settle::settle`].
    pub async fn settle(self, disposition: Disposition) -> Result<Settled> {
        self.0.settle(disposition).await
    }

    /// Asks the bus for more time. See [`Settle::extend`].
    pub async fn extend(&mut self) -> Result<()> {
        self.0.extend().await
    }

    /// Whether the delivery is known to be no longer ours. See [`Settle::is_stale`].
    pub fn is_stale(&self) -> bool {
        self.0.is_stale()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}
