//! Events to Kafka, against a bare idempotent producer that is fed the records they became.
//!
//! mailbridge reads the mailboxes for it, page by page, and keeps cursors on the same broker; the bare
//! producer has its records in memory. (b) is a delta reader that makes nothing of what it reads:
//! what the mailboxes cost alone.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{
    Options,
    broker::{Broker, Record, millis},
};
use crate::{
    Failure,
    report::median,
    rig::{Rig, end},
    send::rate,
};
use rdkafka::{Message as _, message::OwnedMessage};
use serde_json::json;

const MAILBOXES: usize = 50;
const PARTITIONS: i32 = 12;

pub async fn measure(options: &Options) -> Result<String, Failure> {
    let rig = Rig::start().await?;
    let broker = Broker::start().await?;
    let each = options.messages.div_ceil(MAILBOXES);
    let count = each * MAILBOXES;
    fill(&rig, each).await?;
    let mut page = format!(
        "{count} mails of 2 KB in {MAILBOXES} mailboxes as events, {PARTITIONS} partitions, median of {} \
         rounds:\n\n| bare producer | mailbridge | **ratio** |\n|---|---|---|\n",
        options.rounds
    );
    let mut every = String::from("\nEvery round, events a second (bare, mailbridge):\n\n");
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let (records, took) = backfill(&rig, &broker, &format!("events{round}"), count).await?;
        let records: Vec<_> = records.iter().map(again).collect();
        let topic = format!("bare{round}");
        broker.topic(&topic, PARTITIONS).await?;
        let bare_took = broker.produce(&topic, &records).await?;
        let (theirs, mine) = (rate(count, bare_took), rate(count, took));
        eprintln!("round {round}: bare {theirs:.0}/s, mailbridge {mine:.0}/s");
        writeln!(every, "- {theirs:.0}, {mine:.0}")?;
        bare.push(theirs);
        ours.push(mine);
    }
    let (bare, ours) = (median(&bare), median(&ours));
    writeln!(page, "| {bare:.0}/s | {ours:.0}/s | **{:.2}** |", ours / bare)?;
    Ok(page + &every)
}

async fn fill(rig: &Rig, each: usize) -> Result<(), Failure> {
    let http = reqwest::Client::builder().build()?;
    for mailbox in mailboxes() {
        let bulk = json!({
            "mailbox": mailbox, "count": each, "seed": each, "body_bytes": [500, 3_500],
            "received": "2026-01-01T00:00:00Z", "step_seconds": 1,
        });
        let url = format!("{}/_sandbox/messages/bulk", rig.sandbox.url);
        http.post(url).json(&bulk).send().await?.error_for_status()?;
    }
    Ok(())
}

fn mailboxes() -> impl Iterator<Item = String> {
    (0..MAILBOXES).map(|n| format!("k{n}@{}", mailbridge_sandbox::DEMO_DOMAIN))
}

/// From the first event to the last.
async fn backfill(
    rig: &Rig,
    broker: &Broker,
    topic: &str,
    count: usize,
) -> Result<(Vec<OwnedMessage>, Duration), Failure> {
    broker.topic(topic, PARTITIONS).await?;
    let mut config = format!(
        "{}{}state: {{ bus: events, topic: {topic}.state, create: true }}
pipelines:
  bench:
    events:
      start: all
      every: 1h
      page_size: 100
      at_once: 16
      to: {{ bus: events, topic: {topic} }}
      connection: bench
      mailboxes:
",
        rig.connection(),
        broker.buses()
    );
    for mailbox in mailboxes() {
        writeln!(config, "        - {mailbox}")?;
    }
    let began = Instant::now();
    let mut child = broker.run(rig, topic, &config)?;
    let records = tokio::task::block_in_place(|| broker.read(topic, count));
    end(&mut child);
    let records = records?;
    let (first, last) = (records.iter().map(millis).min(), records.iter().map(millis).max());
    let took = last.zip(first).map_or(0, |(last, first)| last - first);
    eprintln!("{topic}: {:?} with its start", began.elapsed());
    Ok((records, Duration::from_millis(u64::try_from(took)?)))
}

fn again(record: &OwnedMessage) -> Record {
    Record {
        key: record.key().unwrap_or_default().to_vec(),
        payload: record.payload().unwrap_or_default().to_vec(),
        headers: record.headers().cloned(),
    }
}
