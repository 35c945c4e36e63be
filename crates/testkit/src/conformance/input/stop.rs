//! The promise of `Input::stop`.

use std::collections::BTreeSet;

use mailbridge_core::{Disposition, Input, SeenBefore};
use tokio::task::JoinSet;

use super::{
    super::{Broken, Kept, World, ensure, patiently},
    fill, needs, settle, take, take_done, text,
};

/// After `stop`, what was not handed out is free for others at once, and not taken for begun.
/// Deliveries that are out are settled as ever.
pub async fn after_stop_others_have_what_was_not_handed_out(world: &dyn World) -> Kept {
    // a machine that stands still lets a deadline pass instead; not time and again
    for _ in 0..5 {
        if stop_with_one_out(world).await? {
            return Ok(());
        }
    }
    Err(Broken::new("what was never handed out came as if it had been begun"))
}

/// Stops an input that has four deliveries, and has handed out one. Whether the others are known to
/// be untouched.
async fn stop_with_one_out(world: &dyn World) -> Result<bool, Broken> {
    fill(world, 1).await?;
    let mut stops = patiently(world, needs(4)).await?;
    // what stood there before there was a reader, a bus may know nothing of
    take_done(&mut stops, 1).await?;
    fill(world, 4).await?;
    let held = take(&mut stops).await?;
    let mut expected: BTreeSet<_> = (0..4).map(|number| format!("request {number}")).collect();
    expected.remove(&text(&held));
    // who waits already can hear; where only one may read, it is the next one
    let mut waiting = JoinSet::new();
    if let Ok(other) = world.input(needs(4)).await {
        waiting.spawn(take_untouched(other, 3));
        tokio::task::yield_now().await;
    }
    stops.stop().await;
    settle(held, Disposition::Done).await?;
    let (taken, untouched) = if let Some(taken) = waiting.join_next().await {
        taken.map_err(|error| Broken::new(error.to_string()))??
    } else {
        drop(stops);
        take_untouched(patiently(world, needs(4)).await?, 3).await?
    };
    ensure!(taken == expected, "{taken:?} came instead of {expected:?}");
    Ok(untouched)
}

/// Takes `count` deliveries, and gives their texts, and whether none may have been begun.
async fn take_untouched(
    mut input: Box<dyn Input>,
    count: usize,
) -> Result<(BTreeSet<String>, bool), Broken> {
    let (mut texts, mut untouched) = (BTreeSet::new(), true);
    for _ in 0..count {
        let delivery = take(&mut input).await?;
        untouched &= matches!(delivery.seen_before, SeenBefore::No | SeenBefore::Untouched(_));
        texts.insert(text(&delivery));
        settle(delivery, Disposition::Done).await?;
    }
    Ok((texts, untouched))
}
