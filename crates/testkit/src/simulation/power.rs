//! A worker's power supply: cut it, and the worker never touches the world again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// The power of one worker. Clones are one.
#[derive(Clone)]
pub struct Power(Arc<Inner>);

struct Inner {
    /// Steps taken.
    taken: AtomicU64,
    /// The step at which the power goes, for good.
    cut_at: u64,
    gone: Notify,
}

impl Power {
    /// Power that goes at the `cut_at`-th step (counted from 0).
    pub fn until(cut_at: u64) -> Self {
        Self(Arc::new(Inner { taken: AtomicU64::new(0), cut_at, gone: Notify::new() }))
    }

    /// Power that stays.
    pub fn forever() -> Self {
        Self::until(u64::MAX)
    }

    /// One step. Never returns once the power is gone.
    pub async fn step(&self) {
        if self.0.taken.fetch_add(1, Ordering::SeqCst) >= self.0.cut_at {
            self.0.gone.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the power has gone.
    pub async fn gone(&self) {
        self.0.gone.notified().await;
    }

    /// Steps taken so far.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::SeqCst)
    }

    /// Whether the power is still there.
    pub fn is_on(&self) -> bool {
        self.taken() <= self.0.cut_at
    }
}
