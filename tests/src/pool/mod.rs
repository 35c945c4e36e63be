//! Workers that share requests and mailboxes over one nats-server, and what happens to them.
//!
//! The process tests run this with small [`Sizes`], `cargo xtask bench pool-storm` with the full
//! ones. What was really sent is asked of the sandbox, what was really told of the stream; whose a
//! mailbox is, of the records in the bucket and of which processes are awake. Nothing is asked of
//! the workers.

pub mod asleep;
mod owned;
pub mod rolling;
pub mod storm;
mod truth;
mod worker;
mod world;

use std::time::Duration;

/// How large a pool is, and its load.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// Workers that there are to be.
    pub workers: usize,
    /// Mailboxes, of which each is read, and sends.
    pub mailboxes: usize,
    /// How long a worker that falls silent keeps its share.
    pub lease: Duration,
    /// How often a mailbox is looked at; at least a second.
    pub every: Duration,
    /// How long Graph takes for an answer: so long at least, and twice that at most.
    pub latency: Duration,
    /// Requests a second.
    pub requests: usize,
    /// Mails that arrive in a second.
    pub arrivals: usize,
    /// More arguments for each worker.
    pub args: Vec<&'static str>,
}

/// What so much of it does not exceed; of what is sorted.
fn at(sorted: &[Duration], part: f64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousand"
    )]
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}
