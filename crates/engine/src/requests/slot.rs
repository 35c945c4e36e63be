//! What bounds the deliveries in hand: so many are worked on at once, and up to as many again are
//! past that, and only wait for their outcome and their settling to be confirmed.
//!
//! A bus may take its time to confirm. Were that to cost a place at work, mail would wait for the bus
//! and the bus for mail, by turns.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places of a pipeline.
pub(super) struct Slots {
    at_work: Arc<Semaphore>,
    concluding: Arc<Semaphore>,
    max: usize,
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(max));
        Self { at_work: semaphore(), concluding: semaphore(), max }
    }

    /// Waits for a place at work. Cancel safe.
    pub(super) async fn acquire(&self) -> Slot {
        let permit = permit(&self.at_work).await;
        Slot { place: Mutex::new(Place::AtWork(permit)), concluding: Arc::clone(&self.concluding) }
    }

    /// How many are at work.
    pub(super) fn at_work(&self) -> usize {
        self.max - self.at_work.available_permits()
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }
}

/// One delivery's place, until it is settled.
pub(super) struct Slot {
    place: Mutex<Place>,
    concluding: Arc<Semaphore>,
}

enum Place {
    AtWork(#[expect(dead_code, reason = "is given back when dropped")] OwnedSemaphorePermit),
    Concluding(#[expect(dead_code, reason = "is given back when dropped")] OwnedSemaphorePermit),
}

impl Slot {
    /// The work is done, and only its end has to be published and settled: leaves the place at work
    /// to somebody else, as soon as not too many conclude already.
    pub(super) async fn conclude(&self) {
        let is_at_work = || matches!(*self.lock(), Place::AtWork(_));
        if is_at_work() {
            let permit = permit(&self.concluding).await;
            *self.lock() = Place::Concluding(permit);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_owned().await {
        Ok(permit) => permit,
        // nobody closes it
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_concludes_leaves_its_place_at_work_and_no_more_may_conclude_than_work() {
        let slots = Slots::new(2);
        let (first, second) = (slots.acquire().await, slots.acquire().await);
        assert_eq!((slots.at_work(), slots.acquire().now_or_never().is_some()), (2, false));
        for slot in [&first, &first, &second] {
            slot.conclude().await;
        }
        assert_eq!(slots.at_work(), 0, "twice is once");
        let third = slots.acquire().await;
        assert!(third.conclude().now_or_never().is_none(), "two conclude already");
        assert_eq!(slots.at_work(), 1, "so it keeps its place");
        drop(first);
        third.conclude().await;
        assert_eq!(slots.at_work(), 0);
    }
}
