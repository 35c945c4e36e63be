//! All workers of a pool replaced one after the other, as a rolling deploy does, under load.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Sizes, at, owned::Owned, worker::Pool, world::World};

/// A rolling restart.
#[derive(Clone, Debug)]
pub struct Rolling {
    /// Over what.
    pub sizes: Sizes,
    /// How long the load goes on without one, before and in between.
    pub quiet: Duration,
}

/// How long requests took, from their publication until the outcome stood in the stream.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// How many.
    pub requests: usize,
    /// Half of them.
    pub median: Duration,
    /// All but a hundredth.
    pub p99: Duration,
    /// All.
    pub longest: Duration,
}

impl Rolling {
    /// Four workers, a hundred mailboxes.
    pub fn full() -> Self {
        let storm = super::storm::Storm::full();
        let sizes = Sizes { workers: 4, mailboxes: 100, requests: 50, ..storm.sizes };
        Self { sizes, quiet: Duration::from_mins(1) }
    }

    /// What a test has time for.
    pub fn short() -> Self {
        let sizes = Sizes { workers: 3, mailboxes: 30, ..Self::full().sizes };
        Self { sizes, quiet: Duration::from_secs(5) }
    }

    /// Checks that each request was sent once, with no other outcome than `accepted`, and each mail
    /// told once; how long requests took while nothing happened, and while workers were replaced.
    pub async fn run(&self) -> (Took, Took) {
        let mut world = World::start(self.sizes.clone()).await;
        let owned = Owned::watch(&world.jetstream).await;
        let mut pool = Pool::start(&world, &owned, 0).await;
        // what is done once after a start
        world.load_for(self.quiet / 5).await;
        let from = world.requested.len();
        world.load_for(self.quiet).await;
        let quiet = world.requested.len();
        for _ in 0..self.sizes.workers {
            let replaced = CancellationToken::new();
            let replace = async {
                pool.replace().await;
                replaced.cancel();
            };
            tokio::join!(replace, world.load(|| replaced.is_cancelled()));
            world.load_for(self.quiet / 5).await;
        }
        let rolled = world.requested.len();
        world.settled().await;
        let took = world.assert_sent_once().await;
        world.assert_told_once().await;
        (Took::of(&took[from..quiet]), Took::of(&took[quiet..rolled]))
    }
}

impl Took {
    fn of(took: &[Duration]) -> Self {
        let mut sorted = took.to_vec();
        sorted.sort_unstable();
        let [median, p99, longest] = [0.5, 0.99, 1.0].map(|part| at(&sorted, part));
        Self { requests: sorted.len(), median, p99, longest }
    }
}
