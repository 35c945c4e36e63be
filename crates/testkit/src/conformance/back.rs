//! The promises of `read_back` and `write_back`.

use std::time::Duration;

use mailbridge_core::{
    Delivery, Disposition, Headers, Input, Message, Needs, Position, SeenBefore, Settled,
    plugin::Begin,
};
use tokio::time::timeout;

use super::{Broken, Kept, World, ensure, patiently};

/// The reader's name.
const NAME: &str = "mailbridge-replay-conformance";
/// How long a reader may take, also where it waits for what a dead one held.
const PATIENCE: Duration = Duration::from_mins(1);

/// Publishes `from..to` to the target.
async fn fill(world: &dyn World, from: usize, to: usize) -> Kept {
    let output = world.output().await?;
    for number in from..to {
        let id = Some(format!("id-{number}"));
        let payload = format!(r#"{{"number":{number}}}"#).into();
        output.publish(Message { id, payload, ..Message::default() }).await?;
    }
    Ok(())
}

async fn next(input: &mut Box<dyn Input>) -> Result<Option<Delivery>, Broken> {
    let delivery = timeout(PATIENCE, input.next()).await;
    Ok(delivery.map_err(|_| Broken::new("the reader neither reads nor ends"))??)
}

async fn settle(delivery: Delivery, disposition: Disposition) -> Kept {
    let settled = delivery.receipt.settle(disposition).await?;
    ensure!(settled == Settled::Yes, "{disposition:?} came to {settled:?}");
    Ok(())
}

fn number(delivery: &Delivery) -> Result<usize, Broken> {
    let text = String::from_utf8_lossy(&delivery.message.payload);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().map_err(|_| Broken::new(format!("{text} is none of ours")))
}

/// Reads all, settles each as `disposition` says, and gives the numbers.
async fn read(
    world: &dyn World,
    name: &str,
    begin: Begin,
    disposition: impl Fn(usize) -> Disposition,
) -> Result<Vec<usize>, Broken> {
    let mut back = world.read_back(name, begin).await?;
    let (mut numbers, mut left) = (Vec::new(), Vec::new());
    while let Some(delivery) = next(&mut back.input).await? {
        let number = number(&delivery)?;
        numbers.push(number);
        match disposition(number) {
            Disposition::Again { .. } => left.push(delivery),
            disposition => settle(delivery, disposition).await?,
        }
    }
    for delivery in left {
        settle(delivery, AGAIN).await?;
    }
    Ok(numbers)
}

const AGAIN: Disposition = Disposition::Again { after: Duration::ZERO };

fn all_done(_: usize) -> Disposition {
    Disposition::Done
}

/// A reader that begins here ends after what stands there, also when more is published meanwhile.
pub async fn reading_back_ends_after_what_stands_there(world: &dyn World) -> Kept {
    fill(world, 0, 3).await?;
    let mut back = world.read_back(NAME, Begin::WhereLeft).await?;
    ensure!(back.count.is_none_or(|count| count == 3), "{:?} counted of 3", back.count);
    let mut numbers = Vec::new();
    while let Some(delivery) = next(&mut back.input).await? {
        numbers.push(number(&delivery)?);
        settle(delivery, Disposition::Done).await?;
        // what is read is published again, as what is replayed and fails again is
        fill(world, 3 + numbers.len(), 4 + numbers.len()).await?;
    }
    ensure!(numbers == [0, 1, 2], "{numbers:?} were read of the three that stood there");
    ensure!(next(&mut back.input).await?.is_none(), "a reader that has ended goes on");
    drop(back);
    let numbers = read(world, NAME, Begin::WhereLeft, all_done).await?;
    ensure!(numbers == [4, 5, 6], "{numbers:?} were read of what came later");
    Ok(())
}

/// What was settled is not read again under the name, also after a restart, until somebody begins
/// anew; and other names have nothing to do with it.
pub async fn what_was_settled_is_not_read_back_again(world: &dyn World) -> Kept {
    fill(world, 0, 4).await?;
    let settled = |number| if number == 2 { Disposition::Rejected } else { Disposition::Done };
    let numbers = read(world, NAME, Begin::WhereLeft, settled).await?;
    ensure!(numbers == [0, 1, 2, 3], "{numbers:?} were read first");
    world.restart().await?;
    let numbers = read(world, NAME, Begin::WhereLeft, all_done).await?;
    ensure!(numbers.is_empty(), "{numbers:?} were read again");
    let numbers = read(world, "another-name", Begin::WhereLeft, all_done).await?;
    ensure!(numbers == [0, 1, 2, 3], "{numbers:?} were read under another name");
    let numbers = read(world, NAME, Begin::Anew, all_done).await?;
    ensure!(numbers == [0, 1, 2, 3], "{numbers:?} were read from the beginning");
    Ok(())
}

/// What was settled `Again` stays, is not met twice by the same reader, and says the next time that
/// it was out before.
pub async fn what_was_left_is_read_back_the_next_time(world: &dyn World) -> Kept {
    fill(world, 0, 5).await?;
    let odd_stay = |number| if number % 2 == 1 { AGAIN } else { Disposition::Done };
    let numbers = read(world, NAME, Begin::WhereLeft, odd_stay).await?;
    ensure!(numbers == [0, 1, 2, 3, 4], "{numbers:?} were read first");
    fill(world, 5, 6).await?;
    let mut back = world.read_back(NAME, Begin::WhereLeft).await?;
    let mut seen = Vec::new();
    while let Some(delivery) = next(&mut back.input).await? {
        seen.push((number(&delivery)?, delivery.seen_before != SeenBefore::No));
        settle(delivery, Disposition::Done).await?;
    }
    seen.sort_unstable();
    ensure!(seen == [(1, true), (3, true), (5, false)], "{seen:?} were read the second time");
    Ok(())
}

/// What was dropped, or read ahead, when a reader died is read by the next one.
pub async fn what_a_dead_reader_held_is_read_back(world: &dyn World) -> Kept {
    fill(world, 0, 4).await?;
    let mut back = world.read_back(NAME, Begin::WhereLeft).await?;
    let mut first = None;
    for _ in 0..2 {
        let delivery = next(&mut back.input).await?.ok_or_else(|| Broken::new("nothing came"))?;
        first.get_or_insert((number(&delivery)?, delivery.position.clone()));
    }
    drop(back);
    let mut back = world.read_back(NAME, Begin::WhereLeft).await?;
    let mut found = Vec::<(usize, Position)>::new();
    while let Some(delivery) = next(&mut back.input).await? {
        found.push((number(&delivery)?, delivery.position.clone()));
        settle(delivery, Disposition::Done).await?;
    }
    let mut numbers: Vec<_> = found.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    ensure!(numbers == [0, 1, 2, 3], "{numbers:?} were read after the reader died");
    ensure!(first.is_some_and(|first| found.contains(&first)), "a position has changed");
    Ok(())
}

/// What is written back is read by the source, with all that it is; and an output to the same place
/// drops its id's repeats as the bus does.
pub async fn what_is_written_back_is_read_by_the_source(world: &dyn World) -> Kept {
    let needs = Needs { in_flight: 8, concluding: 0, deadline: Duration::from_millis(200) };
    let mut input = patiently(world, needs).await?;
    world.publish(Message { payload: "a stranger's".into(), ..Message::default() }).await?;
    let theirs = next(&mut input).await?.ok_or_else(|| Broken::new("nothing came"))?;
    let address = theirs.message.address.clone();
    settle(theirs, Disposition::Done).await?;
    let headers = Headers::new().with("x-tag", "one").with("mailbridge-replay-position", "here");
    let output = world.write_back().await?;
    let id = Some("replay:1".to_owned());
    let payload = bytes::Bytes::from_static(b"{\"to\":\"bob@example.org\"}");
    for address in [address.clone(), Some("nowhere.of.its".to_owned())] {
        let message = Message {
            address,
            id: id.clone(),
            key: None,
            headers: headers.clone(),
            payload: payload.clone(),
            ..Message::default()
        };
        output.publish(message).await?;
    }
    let copies = if world.drops_repeats() { 1 } else { 2 };
    for _ in 0..copies {
        let delivery = next(&mut input).await?.ok_or_else(|| Broken::new("nothing came"))?;
        let message = &delivery.message;
        ensure!(message.payload == payload, "another payload came");
        ensure!(message.id == id, "the id became {:?}", message.id);
        ensure!(message.address == address, "it came from {:?}", message.address);
        for (name, value) in headers.iter() {
            let same = message.headers.iter().any(|header| header == (name, value));
            ensure!(same, "the header {name} is lost");
        }
        settle(delivery, Disposition::Done).await?;
    }
    Ok(())
}
