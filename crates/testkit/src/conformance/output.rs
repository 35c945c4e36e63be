//! The promises of `Output`.

use std::collections::BTreeSet;

use bytes::Bytes;
use mailbridge_core::{Headers, Message, Output};
use tokio::task::JoinSet;

use super::{Broken, Kept, World, ensure, input::same_headers};

fn numbered(number: usize) -> Message {
    Message {
        id: Some(format!("id-{number}")),
        payload: format!(r#"{{"number":{number}}}"#).into(),
        ..Message::default()
    }
}

async fn payloads(world: &dyn World) -> Result<Vec<Bytes>, Broken> {
    Ok(world.published().await?.into_iter().map(|message| message.payload).collect())
}

/// `publish` returns once the bus has durably accepted the message.
pub async fn what_publish_confirmed_is_there(world: &dyn World) -> Kept {
    let output = world.output().await?;
    for number in 0..3 {
        output.publish(numbered(number)).await?;
        let found = payloads(world).await?;
        let expected: Vec<_> = (0..=number).map(|number| numbered(number).payload).collect();
        ensure!(found == expected, "{found:?} stands there instead of {expected:?}");
    }
    Ok(())
}

/// A dead letter holds the original's bytes and headers, whatever they were.
pub async fn headers_and_any_bytes_are_kept(world: &dyn World) -> Kept {
    let headers = Headers::new()
        .with("content-type", "application/octet-stream")
        .with("mailbridge-reason", "it was ünusual, 100 % so")
        .with("x-tag", "one")
        .with("x-tag", "two");
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let sent = [every_byte, b"one\ntwo\r\n\0".to_vec(), Vec::new(), vec![b'x'; 200_000]];
    let output = world.output().await?;
    for payload in &sent {
        let payload = Bytes::copy_from_slice(payload);
        let message = Message { headers: headers.clone(), payload, ..Message::default() };
        output.publish(message).await?;
    }
    let found = world.published().await?;
    ensure!(found.len() == sent.len(), "{} messages stand there, not {}", found.len(), sent.len());
    for (message, payload) in found.iter().zip(&sent) {
        ensure!(message.payload == *payload, "{} bytes did not survive", payload.len());
        same_headers(&headers, &message.headers)?;
    }
    Ok(())
}

/// A message with an id that was published before is accepted, and not stored twice where the bus
/// remembers ids.
pub async fn a_repeated_id_is_accepted_and_stored_once(world: &dyn World) -> Kept {
    let output = world.output().await?;
    output.publish(numbered(1)).await?;
    output.publish(numbered(1)).await?;
    world.output().await?.publish(numbered(1)).await?;
    output.publish(numbered(2)).await?;
    let found = payloads(world).await?;
    let expected = if world.drops_repeats() { 2 } else { 4 };
    ensure!(found.len() == expected, "{} messages stand there, not {expected}", found.len());
    Ok(())
}

/// An output is shared: many publish at once, and each is confirmed by itself.
pub async fn many_can_publish_at_once(world: &dyn World) -> Kept {
    const COUNT: usize = 100;
    let output: std::sync::Arc<dyn Output> = world.output().await?.into();
    let mut tasks = JoinSet::new();
    for number in 0..COUNT {
        let output = std::sync::Arc::clone(&output);
        tasks.spawn(async move { output.publish(numbered(number)).await });
    }
    while let Some(task) = tasks.join_next().await {
        task.map_err(|error| Broken::new(error.to_string()))??;
    }
    let found: BTreeSet<_> = payloads(world).await?.into_iter().collect();
    ensure!(found.len() == COUNT, "{} of {COUNT} messages stand there", found.len());
    Ok(())
}

/// What was confirmed is there after the bus was stopped and started.
pub async fn what_was_confirmed_survives_a_restart(world: &dyn World) -> Kept {
    let output = world.output().await?;
    for number in 0..5 {
        output.publish(numbered(number)).await?;
    }
    drop(output);
    world.restart().await?;
    let found = payloads(world).await?;
    ensure!(found.len() == 5, "{} of 5 messages stand there", found.len());
    Ok(())
}
