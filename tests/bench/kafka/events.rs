//! Events to Kafka, against a bare idempotent producer that is fed the records they became.
//!
//! mailbridge reads the mailboxes for it, page by page, and keeps cursors on the same broker. Its output
//! alone is fed the same records from memory, as the bare producer is: what mailbridge reads of a
//! mailbox in a second, or 4 MiB of it, and the cursor in one transaction, one after the other.

use std::{
    collections::HashMap,
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
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mailbridge_core::{Commit, Headers, Message, Put, plugin::Plugin as _};
use rdkafka::{
    Message as _,
    message::{Headers as _, OwnedMessage},
};
use serde_json::json;

const MAILBOXES: usize = 50;
const PARTITIONS: i32 = 12;
/// Mails in a page, mailboxes that are told at once, and shares of the mailboxes on Kafka.
const PAGE: usize = 100;
const AT_ONCE: usize = 16;
const SHARES: usize = 32;
/// What waits for the end of its mailbox's pages is committed when it is so many bytes.
const COMMITTED_BYTES: usize = 4 << 20;
/// About as long as a delta link is.
const CURSOR_BYTES: usize = 500;

pub async fn measure(options: &Options) -> Result<String, Failure> {
    let rig = Rig::start().await?;
    let broker = Broker::start().await?;
    let each = options.messages.div_ceil(MAILBOXES);
    let count = each * MAILBOXES;
    fill(&rig, each).await?;
    let mut page = format!(
        "{count} mails of 2 KB in {MAILBOXES} mailboxes as events, {PARTITIONS} partitions, median of {} \
         rounds:\n\n| bare producer | mailbridge's output alone | **ratio** | mailbridge, from the mailboxes | \
         ratio |\n|---|---|---|---|---|\n",
        options.rounds
    );
    let mut every =
        String::from("\nEvery round, events a second (bare, output alone, mailbridge):\n\n");
    let (mut bare, mut alone, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let (records, took) = backfill(&rig, &broker, &format!("events{round}"), count).await?;
        let records: Vec<_> = records.iter().map(again).collect();
        let topic = format!("bare{round}");
        broker.topic(&topic, PARTITIONS).await?;
        let bare_took = broker.produce(&topic, &records).await?;
        let output_took = output_alone(&broker, &format!("alone{round}"), &records).await?;
        let (theirs, mine) = (rate(count, bare_took), rate(count, took));
        let output = rate(count, output_took);
        eprintln!(
            "round {round}: bare {theirs:.0}/s, output {output:.0}/s, mailbridge {mine:.0}/s"
        );
        writeln!(every, "- {theirs:.0}, {output:.0}, {mine:.0}")?;
        bare.push(theirs);
        alone.push(output);
        ours.push(mine);
    }
    let (bare, alone, ours) = (median(&bare), median(&alone), median(&ours));
    writeln!(
        page,
        "| {bare:.0}/s | {alone:.0}/s | **{:.2}** | {ours:.0}/s | {:.2} |",
        alone / bare,
        ours / bare
    )?;
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
      page_size: {PAGE}
      at_once: {AT_ONCE}
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

/// What the output makes of the same records, if nobody has to read them first. Returns how long it
/// took.
async fn output_alone(
    broker: &Broker,
    topic: &str,
    records: &[Record],
) -> Result<Duration, Failure> {
    broker.topic(topic, PARTITIONS).await?;
    let kafka = broker.plugin()?;
    let target = serde_json::from_value(json!({ "topic": topic }))?;
    let state = json!({ "topic": format!("{topic}.state"), "create": true });
    let output = kafka.output_with_store(&target, &serde_json::from_value(state)?).await?;
    let mut of: HashMap<&[u8], Vec<Message>> = HashMap::new();
    for record in records {
        of.entry(&record.key).or_default().push(message(record));
    }
    let value = || json!({ "link": "x".repeat(CURSOR_BYTES) }).to_string().into();
    let commit = async |number: usize, messages: &[Message], key: &[u8], expected| {
        let (share, key) = (format!("bench/{}", number % SHARES), String::from_utf8_lossy(key));
        let commit = Commit { share: &share, messages, key: &key, value: value(), expected };
        match output.commit(commit).await? {
            Put::Stored(revision) => Ok(Some(revision)),
            Put::Conflict => Err(Failure::from("nobody else commits here")),
        }
    };
    // a share's first commit makes its client
    let mut revisions = Vec::new();
    for (key, number) in of.keys().zip(0_usize..) {
        revisions.push(commit(number, &[], key, None).await?);
    }
    let start = Instant::now();
    let numbered = of.iter().zip(revisions).zip(0_usize..);
    let told = stream::iter(numbered).map(async |(((key, messages), mut revision), number)| {
        for together in joined(messages) {
            revision = commit(number, together, key, revision).await?;
        }
        Ok::<_, Failure>(())
    });
    told.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(start.elapsed())
}

/// Pages as they are committed together.
fn joined(mut messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let full = messages.iter().position(|message| {
            bytes += message.payload.len();
            bytes >= COMMITTED_BYTES
        });
        let (together, rest) = messages.split_at(full.map_or(messages.len(), |at| at + 1));
        messages = rest;
        (!together.is_empty()).then_some(together)
    })
}

fn message(record: &Record) -> Message {
    let mut headers = Headers::new();
    for header in record.headers.iter().flat_map(|headers| headers.iter()) {
        headers.push(header.key, header.value.unwrap_or_default().to_vec());
    }
    let (key, payload) = (Some(record.key.clone().into()), record.payload.clone().into());
    Message { key, payload, headers, ..Message::default() }
}
