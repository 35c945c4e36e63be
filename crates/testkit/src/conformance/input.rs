//! The promises of `Input`, `Receipt` and `Delivery`.
//!
//! Each function is one promise. The first argument of every wait is how long the bus is given; a
//! wait for *nothing to come* lasts somewhat longer than the bus would need to bring it.

use std::{collections::BTreeSet, time::Duration};

use mailbridge_core::{Delivery, Disposition, Headers, Input, Message, Needs, SeenBefore, Settled};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Broken, Kept, World, ensure, patiently};

mod stop;

pub use stop::after_stop_others_have_what_was_not_handed_out;

/// How long a message that is there may take to be handed out.
const PROMPT: Duration = Duration::from_secs(10);

const fn needs(in_flight: usize) -> Needs {
    Needs { in_flight, concluding: 0, deadline: Duration::from_millis(200) }
}

/// Payloads in the order of their number. The text is not JSON on purpose: a bus carries bytes.
async fn fill(world: &dyn World, count: usize) -> Kept {
    for number in 0..count {
        let payload = format!("request {number}").into();
        world.publish(Message { payload, ..Message::default() }).await?;
    }
    Ok(())
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.payload).into_owned()
}

/// The next delivery, which must come soon.
async fn take(input: &mut Box<dyn Input>) -> Result<Delivery, Broken> {
    take_within(input, PROMPT).await?.ok_or_else(|| Broken::new("nothing was delivered"))
}

/// The next delivery if it comes in time. The end of a source counts as nothing coming.
async fn take_within(
    input: &mut Box<dyn Input>,
    within: Duration,
) -> Result<Option<Delivery>, Broken> {
    match timeout(within, input.next()).await {
        Ok(delivery) => Ok(delivery?),
        Err(_) => Ok(None),
    }
}

/// Takes `count` deliveries, each settled `Done`, and gives their texts.
async fn take_done(input: &mut Box<dyn Input>, count: usize) -> Result<Vec<String>, Broken> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let delivery = take(input).await?;
        texts.push(text(&delivery));
        settle(delivery, Disposition::Done).await?;
    }
    Ok(texts)
}

async fn settle(delivery: Delivery, disposition: Disposition) -> Kept {
    let settled = delivery.receipt.settle(disposition).await?;
    ensure!(settled == Settled::Yes, "a fresh delivery settled as {settled:?} for {disposition:?}");
    Ok(())
}

/// Nothing comes, neither here nor from a new input.
async fn nothing_comes(world: &dyn World, mut input: Box<dyn Input>) -> Kept {
    let late = world.comes_back_within() * 3 / 2;
    for place in ["here", "after a restart"] {
        if let Some(delivery) = take_within(&mut input, late).await? {
            return Err(Broken::new(format!("{:?} came again {place}", text(&delivery))));
        }
        drop(input);
        input = patiently(world, needs(4)).await?;
    }
    Ok(())
}

/// What was left comes back: here, or from a new input.
async fn comes_back(
    world: &dyn World,
    mut input: Box<dyn Input>,
) -> Result<(Delivery, Box<dyn Input>), Broken> {
    if let Some(delivery) = take_within(&mut input, world.comes_back_within()).await? {
        return Ok((delivery, input));
    }
    drop(input);
    let mut input = patiently(world, needs(4)).await?;
    match take_within(&mut input, world.comes_back_within()).await? {
        Some(delivery) => Ok((delivery, input)),
        None => Err(Broken::new("it did not come back, neither here nor after a restart")),
    }
}

/// A call to `next` that is dropped loses no message.
pub async fn next_is_cancel_safe(world: &dyn World) -> Kept {
    const COUNT: usize = 40;
    let mut input = world.input(needs(COUNT)).await?;
    let mut seen = BTreeSet::new();
    for number in 0..COUNT {
        // Dropped at its first await, and a little later, with messages on their way.
        let payload = format!("request {number}").into();
        world.publish(Message { payload, ..Message::default() }).await?;
        for micros in [0, 0, 50 * number, 0] {
            let short = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
            if let Some(delivery) = take_within(&mut input, short).await? {
                ensure!(seen.insert(text(&delivery)), "{:?} came twice", text(&delivery));
                settle(delivery, Disposition::Done).await?;
            }
        }
    }
    let give_up = Instant::now() + PROMPT;
    while seen.len() < COUNT {
        ensure!(Instant::now() < give_up, "only {} of {COUNT} messages came", seen.len());
        if let Some(delivery) = take_within(&mut input, Duration::from_millis(100)).await? {
            ensure!(seen.insert(text(&delivery)), "{:?} came twice", text(&delivery));
            settle(delivery, Disposition::Done).await?;
        }
    }
    Ok(())
}

/// A delivery that is dropped unsettled comes back, here or after a restart.
pub async fn what_is_dropped_unsettled_comes_back(world: &dyn World) -> Kept {
    fill(world, 1).await?;
    let mut input = world.input(needs(4)).await?;
    let first = take(&mut input).await?;
    let told = text(&first);
    drop(first);
    let (second, _input) = comes_back(world, input).await?;
    ensure!(text(&second) == told, "{:?} came instead of {told:?}", text(&second));
    settle(second, Disposition::Done).await
}

/// What an input has read ahead or handed out is not lost with it.
pub async fn what_an_input_held_comes_back_after_it_is_dropped(world: &dyn World) -> Kept {
    fill(world, 6).await?;
    let mut input = world.input(needs(6)).await?;
    let held = (take(&mut input).await?, take(&mut input).await?);
    drop((held, input));
    let mut input = patiently(world, needs(6)).await?;
    let mut texts = BTreeSet::new();
    let give_up = Instant::now() + PROMPT;
    while texts.len() < 6 {
        ensure!(Instant::now() < give_up, "only {texts:?} came back");
        if let Some(delivery) = take_within(&mut input, PROMPT).await? {
            texts.insert(text(&delivery));
            settle(delivery, Disposition::Done).await?;
        }
    }
    Ok(())
}

/// Deliveries may be settled in any order, from any task, while `next` is being called.
pub async fn deliveries_are_settled_in_any_order_while_next_is_called(world: &dyn World) -> Kept {
    fill(world, 12).await?;
    let mut input = world.input(needs(6)).await?;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(take(&mut input).await?);
    }
    let mut tasks = JoinSet::new();
    for index in [3, 0, 3, 1, 1, 0] {
        tasks.spawn(settle(held.remove(index), Disposition::Done));
    }
    for _ in 0..6 {
        tasks.spawn(settle(take(&mut input).await?, Disposition::Done));
    }
    while let Some(task) = tasks.join_next().await {
        task.map_err(|error| Broken::new(error.to_string()))??;
    }
    nothing_comes(world, input).await
}

/// `Done`: never deliver it again.
pub async fn done_is_never_delivered_again(world: &dyn World) -> Kept {
    fill(world, 3).await?;
    let mut input = world.input(needs(4)).await?;
    take_done(&mut input, 3).await?;
    nothing_comes(world, input).await
}

/// `Rejected`: never deliver it again.
pub async fn rejected_is_never_delivered_again(world: &dyn World) -> Kept {
    fill(world, 1).await?;
    let mut input = world.input(needs(4)).await?;
    settle(take(&mut input).await?, Disposition::Rejected).await?;
    nothing_comes(world, input).await
}

/// `Again`: deliver it again, not sooner than `after`; others go on meanwhile.
pub async fn again_comes_back_and_not_sooner(world: &dyn World) -> Kept {
    fill(world, 2).await?;
    let mut input = world.input(needs(4)).await?;
    let after = world.comes_back_within() + Duration::from_millis(300);
    let first = take(&mut input).await?;
    let told = text(&first);
    let since = Instant::now();
    settle(first, Disposition::Again { after }).await?;
    let other = take(&mut input).await?;
    ensure!(text(&other) != told, "it came at once");
    settle(other, Disposition::Done).await?;
    let again = take(&mut input).await?;
    let waited = since.elapsed();
    ensure!(text(&again) == told, "{:?} came instead", text(&again));
    ensure!(waited >= after, "it came after {waited:?}, asked for not before {after:?}");
    settle(again, Disposition::Done).await
}

/// What was handed out before says so; what was not says it is new or that nobody knows.
pub async fn a_redelivery_says_that_it_was_seen_before(world: &dyn World) -> Kept {
    fill(world, 1).await?;
    let mut input = world.input(needs(4)).await?;
    let first = take(&mut input).await?;
    let before = first.seen_before;
    ensure!(!matches!(before, SeenBefore::Times(_)), "the first delivery said {before:?}");
    settle(first, Disposition::Again { after: Duration::ZERO }).await?;
    let again = take(&mut input).await?;
    ensure!(again.seen_before != SeenBefore::No, "the second delivery said it was the first");
    drop(again);
    let (third, _input) = comes_back(world, input).await?;
    ensure!(third.seen_before != SeenBefore::No, "a dropped delivery came back as the first");
    settle(third, Disposition::Done).await
}

/// A position is stable over redeliveries, and no two messages share one.
pub async fn a_position_is_stable_and_its_own(world: &dyn World) -> Kept {
    fill(world, 3).await?;
    let mut input = world.input(needs(4)).await?;
    let mut positions = BTreeSet::new();
    for _ in 0..3 {
        let delivery = take(&mut input).await?;
        positions.insert((text(&delivery), delivery.position.clone()));
        settle(delivery, Disposition::Again { after: Duration::ZERO }).await?;
    }
    let own: BTreeSet<_> = positions.iter().map(|(_, position)| position).collect();
    ensure!(own.len() == 3, "three messages share positions: {positions:?}");
    for _ in 0..3 {
        let delivery = take(&mut input).await?;
        let pair = (text(&delivery), delivery.position.clone());
        ensure!(positions.contains(&pair), "{pair:?} is not among {positions:?}");
        settle(delivery, Disposition::Done).await?;
    }
    Ok(())
}

/// At most as many deliveries as the host asked for are out at once.
pub async fn at_most_in_flight_are_out(world: &dyn World) -> Kept {
    fill(world, 20).await?;
    let mut input = world.input(needs(3)).await?;
    // A while of steady work first: whoever reads ahead by then must not hand out more for it.
    for _ in 0..12 {
        take_done(&mut input, 1).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(take(&mut input).await?);
    }
    let early = take_within(&mut input, Duration::from_millis(200)).await?;
    ensure!(early.is_none(), "a fourth delivery came while three were out");
    let settled = held.pop().ok_or_else(|| Broken::new("nothing is held"))?;
    settle(settled, Disposition::Done).await?;
    held.push(take(&mut input).await?);
    // A dropped receipt makes room as well as a settled one does.
    drop(held.pop());
    take(&mut input).await?;
    Ok(())
}

/// `extend` tells the bus that work goes on: the delivery is not handed out again meanwhile.
pub async fn extend_holds_a_delivery_past_its_deadline(world: &dyn World) -> Kept {
    fill(world, 1).await?;
    let mut input = world.input(needs(4)).await?;
    let mut delivery = take(&mut input).await?;
    let until = Instant::now() + world.comes_back_within() * 5 / 2;
    while Instant::now() < until {
        delivery.receipt.extend().await?;
        let other = take_within(&mut input, needs(1).deadline).await?;
        ensure!(other.is_none(), "it was handed out again although it was extended");
    }
    settle(delivery, Disposition::Done).await?;
    nothing_comes(world, input).await
}

/// A message arrives with its headers and its bytes as they were.
pub async fn headers_and_bytes_arrive_as_they_were_sent(world: &dyn World) -> Kept {
    let headers = Headers::new()
        .with("content-type", "application/json")
        .with("x-Tag", "one")
        .with("x-Tag", "two words: ünïcode")
        .with("ce-id", "a/b#1");
    let long = format!(r#"{{"text":"\u00fc ü \\ 'quoted' {}"}}"#, "x".repeat(100_000));
    for payload in [long.as_str(), "{", " \t spaces around \t ", "ü 日本 \u{1F4E7}"] {
        let payload = payload.to_owned().into();
        let sent = Message { headers: headers.clone(), payload, ..Message::default() };
        world.publish(sent).await?;
    }
    let mut input = world.input(needs(4)).await?;
    for expected in [long.as_str(), "{", " \t spaces around \t ", "ü 日本 \u{1F4E7}"] {
        let delivery = take(&mut input).await?;
        ensure!(text(&delivery) == expected, "the bytes of {expected:.40?} did not survive");
        same_headers(&headers, &delivery.message.headers)?;
        settle(delivery, Disposition::Done).await?;
    }
    Ok(())
}

/// Every header that was sent is there, with its values in order. A bus may add its own, and keep
/// no order between names.
pub(super) fn same_headers(sent: &Headers, found: &Headers) -> Kept {
    for (name, _) in sent.iter() {
        let values = |headers: &Headers| -> Vec<_> {
            let same = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            same.map(|(_, value)| value.clone()).collect()
        };
        let (sent, found) = (values(sent), values(found));
        ensure!(sent == found, "header {name} was sent as {sent:?} and found as {found:?}");
    }
    Ok(())
}

/// After the bus was stopped and started, what was not done comes, and what was done does not.
pub async fn a_restart_of_the_bus_loses_nothing_and_repeats_nothing_done(
    world: &dyn World,
) -> Kept {
    fill(world, 6).await?;
    let mut input = world.input(needs(2)).await?;
    let done: BTreeSet<_> = take_done(&mut input, 2).await?.into_iter().collect();
    world.restart().await?;
    drop(input);
    let mut input = patiently(world, needs(2)).await?;
    let mut rest = BTreeSet::new();
    let give_up = Instant::now() + PROMPT * 2;
    while rest.len() < 4 {
        ensure!(Instant::now() < give_up, "only {rest:?} came after the restart");
        // An error ends an instance; the host builds another.
        let Ok(next) = take_within(&mut input, PROMPT).await else {
            input = patiently(world, needs(2)).await?;
            continue;
        };
        let Some(delivery) = next else { continue };
        ensure!(!done.contains(&text(&delivery)), "{:?} was done", text(&delivery));
        rest.insert(text(&delivery));
        settle(delivery, Disposition::Done).await?;
    }
    Ok(())
}
