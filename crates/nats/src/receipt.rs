//! Letting a JetStream delivery go.
//!
//! | disposition | answer | |
//! |---|---|---|
//! | `Done` | `+ACK` | confirmed by the server |
//! | `Again` | `-NAK` with the delay | confirmed |
//! | `Rejected` | `+TERM` with a reason | confirmed |
//! | extend | `+WPI` | confirmed, so that our clock is right |
//!
//! JetStream confirms an acknowledgement also when the message was handed out again meanwhile; it
//! never says *stale*. So staleness is told by our own clock, which starts when the message can
//! have left the server at the earliest and is a little ahead of the server's. A stale `Done` or
//! `Rejected` is sent all the same, because it spares the redelivery if there was none yet; a stale
//! `Again` is not, because it would put a redelivery that runs elsewhere back into the queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Subject,
    client::{Request, RequestErrorKind},
};
use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Disposition, Error, Result, Settle, Settled};
use tokio::{sync::Notify, time::Instant};

use crate::{
    client::{CONFIRM_TIMEOUT, Link},
    error,
};

const ACK: Bytes = Bytes::from_static(b"+ACK");
/// It comes again at once.
pub(crate) const NAK: Bytes = Bytes::from_static(b"-NAK");
const IN_PROGRESS: Bytes = Bytes::from_static(b"+WPI");
/// The reason shows in the server's advisory, for whoever watches those.
const TERM: Bytes = Bytes::from_static(b"+TERM rejected, its dead letter is stored");
/// The server reads the delay as signed nanoseconds; this is well below, and long enough.
const DELAY_MAX: Duration = Duration::from_hours(24 * 365);

/// What the deliveries of one input share.
pub(crate) struct Shared {
    pub link: Link,
    pub ack_wait: Duration,
    /// Deliveries that were handed out, and those of them that were let go.
    handed_out: AtomicU64,
    let_go: AtomicU64,
    /// One of them was let go.
    pub released: Notify,
}

impl Shared {
    pub fn new(link: Link, ack_wait: Duration) -> Self {
        let (handed_out, let_go) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { link, ack_wait, handed_out, let_go, released: Notify::new() }
    }

    /// How many deliveries are out.
    pub fn out(&self) -> usize {
        let out = self.handed_out.load(Ordering::Acquire) - self.settled();
        usize::try_from(out).unwrap_or(usize::MAX)
    }

    /// How many have been let go so far, settled or not.
    pub fn settled(&self) -> u64 {
        self.let_go.load(Ordering::Acquire)
    }

    /// Tells the server something about a delivery, and waits until it has noted it.
    async fn tell(&self, reply: &Subject, answer: Bytes) -> Result<()> {
        let since = Instant::now();
        let request = Request::new().payload(answer).timeout(Some(CONFIRM_TIMEOUT));
        let told = tokio::select! {
            biased;
            told = self.link.client.send_request(reply.clone(), request) => told,
            () = self.link.lost() => {
                let detail = "the connection was lost before an acknowledgement was confirmed";
                return Err(Error::transient(Code::BusLost, detail));
            }
        };
        told.map(drop).map_err(|failure| match failure.kind() {
            RequestErrorKind::TimedOut => {
                let detail = "the server did not confirm an acknowledgement in time";
                self.link.silence(since, Error::transient(Code::BusLost, detail))
            }
            RequestErrorKind::NoResponders => Error::transient(
                Code::BusLost,
                "nobody takes the acknowledgement: the consumer is gone, or has no leader now",
            ),
            _ => error::failed("an acknowledgement could not be sent", &failure),
        })
    }

    /// The same for what may be said twice: once more, if the connection was lost meanwhile. The
    /// client library keeps it until there is another connection.
    async fn tell_surely(&self, reply: &Subject, answer: Bytes) -> Result<()> {
        let losses = self.link.status.borrow().losses;
        match self.tell(reply, answer.clone()).await {
            Err(_) if self.link.status.borrow().losses != losses => self.tell(reply, answer).await,
            told => told,
        }
    }
}

/// The right to settle one delivery.
pub(crate) struct NatsReceipt {
    shared: Arc<Shared>,
    reply: Subject,
    /// Until when the server has surely not handed it out again.
    ours_until: Instant,
}

impl NatsReceipt {
    /// Counts as out until it is dropped.
    pub fn new(shared: &Arc<Shared>, reply: Subject, received_at: Instant) -> Self {
        shared.handed_out.fetch_add(1, Ordering::AcqRel);
        let ours_until = received_at + shared.ack_wait;
        Self { shared: Arc::clone(shared), reply, ours_until }
    }
}

impl Drop for NatsReceipt {
    fn drop(&mut self) {
        self.shared.let_go.fetch_add(1, Ordering::AcqRel);
        self.shared.released.notify_one();
    }
}

#[async_trait]
impl Settle for NatsReceipt {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        let stale = Instant::now() >= self.ours_until;
        match disposition {
            Disposition::Done => self.shared.tell_surely(&self.reply, ACK).await?,
            Disposition::Rejected => self.shared.tell_surely(&self.reply, TERM).await?,
            Disposition::Again { .. } if stale => return Ok(Settled::Stale),
            Disposition::Again { after } => self.shared.tell(&self.reply, not_now(after)).await?,
        }
        Ok(if stale { Settled::Stale } else { Settled::Yes })
    }

    async fn extend(&mut self) -> Result<()> {
        let since = Instant::now();
        self.shared.tell(&self.reply, IN_PROGRESS).await?;
        self.ours_until = since + self.shared.ack_wait;
        Ok(())
    }
}

fn not_now(after: Duration) -> Bytes {
    if after.is_zero() {
        return NAK;
    }
    format!("-NAK {{\"delay\":{}}}", after.min(DELAY_MAX).as_nanos()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_told_in_nanoseconds() {
        assert_eq!(not_now(Duration::ZERO), "-NAK");
        assert_eq!(not_now(Duration::from_millis(1500)), "-NAK {\"delay\":1500000000}");
        assert_eq!(not_now(Duration::MAX), "-NAK {\"delay\":31536000000000000}");
    }
}
