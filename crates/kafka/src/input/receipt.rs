//! Letting a record go.
//!
//! | disposition | what happens |
//! |---|---|
//! | `Done`, `Rejected` | it is no longer open; the commit that says so is confirmed |
//! | `Again` | its offset stays open; where a record can come again here, `Redeliver` keeps it |
//! | extend | nothing: a group's member keeps its partitions as long as it lives |
//!
//! A commit says what is done above an open record too, in its note. Where that note had to be cut,
//! `Settled::Yes` still means that the record is handed out again only after a crash, as one that
//! may have been seen.

use std::sync::Arc;

use async_trait::async_trait;
use mailbridge_core::{Disposition, Result, Settle, Settled};

use super::shared::Shared;
use crate::partition::Place;

/// The right to settle one record.
pub(super) struct KafkaReceipt {
    pub shared: Arc<Shared>,
    pub place: Place,
    pub epoch: u64,
    pub offset: u64,
    pub bytes: usize,
}

#[async_trait]
impl Settle for KafkaReceipt {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        if let Disposition::Again { .. } = disposition {
            return Ok(if self.is_stale() { Settled::Stale } else { Settled::Yes });
        }
        let Self { shared, place, epoch, offset, bytes } = &*self;
        let change =
            shared.lot().of(place, *epoch).and_then(|partition| partition.settle(*offset, *bytes));
        let Some(change) = change else { return Ok(Settled::Stale) };
        shared.commit();
        shared.confirmed(place, *epoch, change).await
    }

    async fn extend(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_stale(&self) -> bool {
        let mut lot = self.shared.lot();
        lot.of(&self.place, self.epoch).is_none_or(|partition| partition.is_revoked())
    }
}
