//! From a mail in a mailbox to its event in the stream, where Graph calls: the call, the page and the
//! publication together.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::json;

use super::{
    Options, World,
    world::{Plan, mailboxes},
};
use crate::{Failure, report::ms, rig};

/// Mails a second.
const RATE: u32 = 100;
/// The first ones find everything connected, and do not count.
const WARM_UP: usize = 200;

pub async fn measure(options: &Options) -> Result<String, Failure> {
    let mut world = World::new(&[]).await?;
    let http = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mailboxes = mailboxes("wake", options.mailboxes);
    let pipeline = format!(
        "http: {{ listen: '{http}' }}\npipelines:\n  bench:\n    events:\n      every: 10m\n      \
         backstop: 10m\n      wake: {{ webhook: {{ public_url: 'http://{http}' }} }}"
    );
    let run = world.start(&Plan { mailboxes: mailboxes.clone(), pipeline }).await?;
    subscribed(&world, mailboxes.len()).await?;
    let count = WARM_UP + options.mails;
    let asked = arrive(&world, &mailboxes, count).await?;
    let stored = world.rig.read(&run.stream, count).await?;
    world.end(run).await?;
    let counted = stored.iter().filter(|stored| stored.number >= WARM_UP);
    let mut took: Vec<_> =
        counted.map(|stored| rig::nanos(stored.nanos - asked[stored.number])).collect();
    took.sort_unstable();
    Ok(format!(
        "From a mail's arrival to its event in the stream, {RATE} mails a second over {} mailboxes, Graph \
         calls, {} mails: p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms.\n",
        mailboxes.len(),
        took.len(),
        ms(&took, 50),
        ms(&took, 99),
        ms(&took, 100),
    ))
}

/// Waits until Graph calls for every mailbox, and each was looked at.
async fn subscribed(world: &World, count: usize) -> Result<(), Failure> {
    let all = async {
        loop {
            let there = world.get("subscriptions").await?;
            if there["subscriptions"].as_array().is_some_and(|all| all.len() == count) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all).await?
}

/// Mails arrive one after the other, in one mailbox after the other. When each did, in nanoseconds.
async fn arrive(world: &World, mailboxes: &[String], count: usize) -> Result<Vec<i128>, Failure> {
    let mut asked = Vec::with_capacity(count);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut under_way = FuturesUnordered::new();
    while asked.len() < count {
        tokio::select! {
            biased;
            _ = tick.tick() => {
                let number = asked.len();
                asked.push(rig::now());
                let arrival = json!({
                    "mailbox": mailboxes[number % mailboxes.len()],
                    "message": {
                        "subject": format!("r{number}"),
                        "body": { "contentType": "text", "content": "All work and no play. ".repeat(90) },
                        "from": { "emailAddress": { "address": "someone@example.org" } },
                    },
                });
                under_way.push(async move { world.post("messages/receive", &arrival).await });
            }
            Some(done) = under_way.next() => done?,
        }
    }
    while let Some(done) = under_way.next().await {
        done?;
    }
    Ok(asked)
}
