//! Counts what is in the hands of the engine, partition by partition, so that a partition that goes
//! waits for that and not for what is only parked. Stands outside of `Redeliver`.

use std::sync::Arc;

use async_trait::async_trait;
use mailbridge_core::{Delivery, Disposition, Input, Position, Receipt, Result, Settle, Settled};

use super::shared::Shared;
use crate::partition::{Partition, Place};

/// An input whose deliveries are counted.
pub(super) struct Counted<I> {
    pub inner: I,
    pub shared: Arc<Shared>,
}

#[async_trait]
impl<I: Input> Input for Counted<I> {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let Some(delivery) = self.inner.next().await? else { return Ok(None) };
        let Delivery { message, position, seen_before, receipt } = delivery;
        let out = Out::new(&self.shared, &position);
        let receipt = Receipt::new(CountedReceipt { receipt, _out: out });
        Ok(Some(Delivery { message, position, seen_before, receipt }))
    }

    async fn stop(&mut self) {
        self.shared.leave();
    }
}

/// Nobody waits for the thread that the input leaves behind; it lets its partitions go by itself.
impl<I> Drop for Counted<I> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

struct CountedReceipt {
    receipt: Receipt,
    /// Goes last: after the receipt was settled, or parked again.
    _out: Option<Out>,
}

#[async_trait]
impl Settle for CountedReceipt {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        let Self { receipt, _out } = *self;
        receipt.settle(disposition).await
    }

    async fn extend(&mut self) -> Result<()> {
        self.receipt.extend().await
    }

    fn is_stale(&self) -> bool {
        self.receipt.is_stale()
    }
}

/// One delivery that is in the engine's hands until this goes.
struct Out {
    shared: Arc<Shared>,
    place: Place,
    epoch: u64,
}

impl Out {
    fn new(shared: &Arc<Shared>, position: &Position) -> Option<Self> {
        let place = place(position)?;
        let mut lot = shared.lot();
        let partition: &mut Partition = lot.partitions.get_mut(&place)?;
        partition.out += 1;
        let epoch = partition.epoch;
        drop(lot);
        Some(Self { shared: Arc::clone(shared), place, epoch })
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if let Some(partition) = self.shared.lot().of(&self.place, self.epoch) {
            partition.out -= 1;
        }
        self.shared.wake();
    }
}

/// The partition in a position: `kafka:TOPIC/PARTITION/…`.
fn place(position: &Position) -> Option<Place> {
    let mut parts = position.as_str().strip_prefix("kafka:")?.split('/');
    let topic = parts.next()?.into();
    Some(Place { topic, number: parts.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_names_its_partition() {
        let place = place(&Position::new("kafka:mail.send/3/42@1790230470084")).unwrap();
        assert_eq!((&*place.topic, place.number), ("mail.send", 3));
    }
}
