//! A worker that sleeps so long that the others have done what came to it meanwhile.

use std::time::Duration;

use super::{Sizes, owned::Owned, storm::Storm, worker::Pool, world::World};

/// While it sleeps, and again once it is awake.
const LOAD: Duration = Duration::from_secs(3);

/// Of two workers one sleeps until the other has sent all mails; then it wakes. Checks that each was
/// sent once: what has come to the sleeper is not new any more when it wakes.
pub async fn run() {
    let sizes = Sizes { workers: 2, mailboxes: 20, ..Storm::short().sizes };
    let mut world = World::start(sizes).await;
    let owned = Owned::watch(&world.jetstream).await;
    let mut pool = Pool::start(&world, &owned, 0).await;
    world.load_for(LOAD).await;
    pool.sleep();
    world.load_for(LOAD).await;
    world.settled().await;
    pool.wake(true);
    world.load_for(LOAD).await;
    world.settled().await;
    world.assert_sent_once().await;
    world.assert_told_once().await;
}
