//! The pace of each mailbox: so many requests at once, so many in ten minutes, so many bytes
//! uploaded in five, and none before the time Graph asked to wait for.
//!
//! One mailbox never waits for another. A wait here is short and bounded by the attempt's deadline;
//! a longer one is handed back as *blocked* for that mailbox, so that nobody holds a slot while
//! waiting. Nothing is counted over several workers: each finds its share by what Graph refuses.

mod lane;
mod page_size;
pub(crate) mod retry_after;
mod share;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mailbridge_core::{Mailbox, Result};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};

use crate::config::Limits;
use lane::{Lane, wait_longer};
pub(crate) use share::Limit;

/// Mailboxes remembered before idle ones are forgotten.
const LANES_MAX: usize = 10_000;

pub(crate) struct Pacing {
    limits: Limits,
    patience: Duration,
    lanes: Mutex<HashMap<Mailbox, Arc<Lane>>>,
    /// The directory has limits of its own (learn.microsoft.com, graph throttling-limits): it is
    /// kept to the pace of one mailbox, which is far below them.
    directory: Arc<Lane>,
}

impl Pacing {
    pub(crate) fn new(limits: Limits, patience: Duration) -> Self {
        let directory = Arc::new(Lane::new(&limits));
        Self { limits, patience, lanes: Mutex::default(), directory }
    }

    /// Waits, not long, for a place among the mailbox's requests.
    ///
    /// # Errors
    /// *Blocked* for the mailbox, with how long to stay away.
    pub(crate) async fn enter(&self, mailbox: &Mailbox, deadline: Instant) -> Result<Permit> {
        self.enter_lane(self.lane(mailbox), deadline).await
    }

    /// The same among the requests to the directory.
    pub(crate) async fn enter_directory(&self, deadline: Instant) -> Result<Permit> {
        self.enter_lane(Arc::clone(&self.directory), deadline).await
    }

    async fn enter_lane(&self, lane: Arc<Lane>, deadline: Instant) -> Result<Permit> {
        let now = Instant::now();
        let slot = lane.slot(now, deadline.min(now + self.patience)).await?;
        Ok(Permit { lane, patience: self.patience, slot: Some(slot) })
    }

    /// See [`Mail::share`](mailbridge_core::Mail::share).
    pub(crate) fn share(&self, mailbox: &Mailbox) -> f64 {
        self.lane(mailbox).share()
    }

    fn lane(&self, mailbox: &Mailbox) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(mailbox) {
            return Arc::clone(lane);
        }
        if lanes.len() >= LANES_MAX {
            // a lane in use is also held by its permits
            let now = Instant::now();
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle(now));
        }
        if lanes.len() >= LANES_MAX {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        let lane = Arc::new(Lane::new(&self.limits));
        lanes.insert(mailbox.clone(), Arc::clone(&lane));
        lane
    }
}

/// A place among a mailbox's requests, given back when dropped. Held over all requests of an
/// attempt, which makes them one after the other.
pub(crate) struct Permit {
    lane: Arc<Lane>,
    patience: Duration,
    /// Until it is dropped.
    slot: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// Waits, not long, until the mailbox may be asked once more and take so many bytes, and counts
    /// both.
    pub(crate) async fn request(&self, bytes: usize, deadline: Instant) -> Result<()> {
        let until = deadline.min(Instant::now() + self.patience);
        loop {
            let Err(open_at) = self.lane.take(bytes, Instant::now()) else { return Ok(()) };
            if open_at > until {
                return Err(wait_longer(open_at - Instant::now()));
            }
            sleep_until(open_at).await;
        }
    }

    /// Whether so many bytes may be uploaded without a long wait on the way; to be asked before an
    /// upload of many pieces is begun. Counts nothing.
    ///
    /// # Errors
    /// *Blocked* for the mailbox, with how long to stay away.
    pub(crate) fn room_for(&self, bytes: u64) -> Result<()> {
        let now = Instant::now();
        self.lane.room_for(bytes, now).map_err(|open_at| wait_longer(open_at - now))
    }

    /// Notes that Graph throttled the mailbox, and of what there was too much, if it was that.
    /// Returns how long it has to wait: as Graph asked, or longer each time in a row when Graph does
    /// not say.
    pub(crate) fn throttled(&self, asked: Option<Duration>, limit: Option<Limit>) -> Duration {
        self.lane.throttled(asked, limit, Instant::now())
    }

    /// Notes that Graph did not throttle.
    pub(crate) fn passed(&self) {
        self.lane.passed(Instant::now());
    }

    /// How many messages a page may have, where so many were asked for: fewer, after pages of this
    /// mailbox were too large.
    pub(crate) fn page_size(&self, asked: u32) -> u32 {
        self.lane.page_size.lock().unwrap_or_else(PoisonError::into_inner).of(asked)
    }

    /// Notes what became of a page of so many messages.
    pub(crate) fn page_told(&self, size: u32, fits: bool) {
        self.lane.page_size.lock().unwrap_or_else(PoisonError::into_inner).told(size, fits);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.lane.release(slot);
        }
    }
}

#[cfg(test)]
mod tests;
