//! Bounds how many deliveries are out at once.
//!
//! Stands outside of [`Redeliver`](super::Redeliver), so that what is
//! parked takes no place: a mailbox whose requests wait does not stop the others. For the same
//! reason a delivery that is to come again at once lets others go first.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Code, Delivery, Disposition, Error, Input, Receipt, Result, Settle, Settled};

/// How long a delivery stays away at least, so that it cannot come again and again before all
/// others.
const AGAIN_MIN: Duration = Duration::from_millis(20);

/// An input with at most so many deliveries out.
pub struct Bounded<I> {
    inner: I,
    slots: Arc<Semaphore>,
}

impl<I> Bounded<I> {
    /// Wraps an input.
    pub fn new(inner: I, in_flight: usize) -> Self {
        Self { inner, slots: Arc::new(Semaphore::new(in_flight.max(1))) }
    }
}

#[async_trait]
impl<I: Input> Input for Bounded<I> {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| closed())?;
        let Some(delivery) = self.inner.next().await? else { return Ok(None) };
        let receipt = Receipt::new(Slotted { receipt: delivery.receipt, _slot: slot });
        Ok(Some(Delivery { receipt, ..delivery }))
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
    }
}

fn closed() -> Error {
    Error::transient(Code::Internal, "the bound of an input was closed")
}

/// A receipt that keeps its slot until it has gone itself.
struct Slotted {
    receipt: Receipt,
    _slot: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for Slotted {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        let Self { receipt, _slot } = *self;
        let disposition = match disposition {
            Disposition::Again { after } => Disposition::Again { after: after.max(AGAIN_MIN) },
            Disposition::Done | Disposition::Rejected => disposition,
        };
        receipt.settle(disposition).await
    }

    async fn extend(&mut self) -> Result<()> {
        self.receipt.extend().await
    }

    fn is_stale(&self) -> bool {
        self.receipt.is_stale()
    }
}
