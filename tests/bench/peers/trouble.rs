//! Things go wrong: answers that refuse or lie, a process killed twice, a mailbox that is
//! throttled for long, a secret that has expired.

use std::time::{Duration, Instant};

use mailbridge_sandbox::DEMO_DOMAIN;
use serde::Serialize;
use serde_json::json;

use super::{
    contender::{Who, Work},
    stage::{Stage, Tally, requests},
};
use crate::{Failure, rig::Streams, send::payload};

/// How long a contender has in the end, when nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_mins(4);
/// Of ten requests, one is of the throttled mailbox.
const THROTTLED_ONE_IN: usize = 10;
/// What Graph says that the throttled mailbox should wait.
const RETRY_AFTER_SECONDS: u32 = 30;

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Faults {
    pub requests: usize,
    pub kills: u32,
    /// Until the stream was empty.
    pub seconds: f64,
    #[serde(flatten)]
    pub tally: Tally,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Throttled {
    pub requests: usize,
    /// How long the mailbox was throttled.
    pub seconds: u64,
    /// Requests of other mailboxes, and how many of them were sent in that time.
    pub others: usize,
    pub others_sent_meanwhile: u64,
    /// Requests of the throttled one, and how many of them were sent in the end.
    pub of_mailbox: usize,
    pub mailbox_sent: u64,
    #[serde(flatten)]
    pub tally: Tally,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Secret {
    pub requests: usize,
    /// How long the secret was expired, from the contender's start.
    pub seconds: u64,
    /// From the secret prolonged to the stream empty; nothing if something was left.
    pub recovered_seconds: Option<f64>,
    #[serde(flatten)]
    pub tally: Tally,
}

/// One answer of ten is 429, one of twenty 503, and one of twenty mails is accepted with 504 for an
/// answer. The contender is killed after a third of the mails and after two thirds.
pub async fn faults(stage: &mut Stage, who: Who, count: usize) -> Result<Faults, Failure> {
    let streams = stage.ready(who, &requests(count, 50)).await?;
    let posts = json!({ "method": "POST", "path": "/v1.0/*" });
    let answer = |status: u16| json!({ "answer": { "status": status, "retry_after": 1 } });
    let lie = json!({ "answer": { "status": 504 } });
    let one_in = |n: f64| json!({ "probability": 1.0 / n });
    let faults = json!([
        { "match": posts, "often": one_in(10.0), "kind": answer(429) },
        { "match": posts, "often": one_in(20.0), "kind": answer(503) },
        { "match": posts, "often": one_in(20.0), "kind": lie, "when": "after" },
    ]);
    stage.graph.faults(&faults).await?;
    let start = Instant::now();
    let mut process = stage.start(who, &Work::Nats(&streams))?;
    for third in 1..=2 {
        // one that does not come so far is killed all the same
        stage.until_sent(count * third / 3, PATIENCE).await.ok();
        drop(process);
        process = stage.start(who, &Work::Nats(&streams))?;
    }
    stage.settle(&streams, PATIENCE).await?;
    let seconds = start.elapsed().as_secs_f64();
    drop(process);
    let tally = stage.tally(&streams, count).await?;
    Ok(Faults { requests: count, kills: 2, seconds, tally })
}

/// One mailbox is throttled for so many seconds, and has one of ten requests.
pub async fn throttled(
    stage: &mut Stage,
    who: Who,
    count: usize,
    seconds: u64,
) -> Result<Throttled, Failure> {
    let of = |n: usize| if n.is_multiple_of(THROTTLED_ONE_IN) { 0 } else { 1 + n % 200 };
    let all: Vec<_> = (0..count).map(|n| payload(n, of(n))).collect();
    let of_mailbox = count.div_ceil(THROTTLED_ONE_IN);
    let streams = stage.ready(who, &all).await?;
    let mailbox = format!("m0@{DEMO_DOMAIN}");
    let kind = json!({ "answer": { "status": 429, "retry_after": RETRY_AFTER_SECONDS } });
    stage.graph.faults(&json!({ "match": { "mailbox": mailbox }, "kind": kind })).await?;
    let process = stage.start(who, &Work::Nats(&streams))?;
    // from the first mail, so that nobody's start counts; of those who send none, from their start
    let first = stage.until_sent(1, Duration::from_secs(seconds)).await;
    if first.is_ok() {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    let (_, meanwhile) = stage.graph.sent_from(&mailbox).await?;
    stage.graph.no_faults().await?;
    stage.settle(&streams, PATIENCE).await?;
    drop(process);
    let (mailbox_sent, _) = stage.graph.sent_from(&mailbox).await?;
    Ok(Throttled {
        requests: count,
        seconds,
        others: count - of_mailbox,
        others_sent_meanwhile: meanwhile,
        of_mailbox,
        mailbox_sent,
        tally: stage.tally(&streams, count).await?,
    })
}

/// The secret has expired when the contender starts, and is prolonged after so many seconds.
pub async fn secret(
    stage: &mut Stage,
    who: Who,
    count: usize,
    seconds: u64,
) -> Result<Secret, Failure> {
    let streams = stage.ready(who, &requests(count, 50)).await?;
    let outcome = expired(stage, who, &streams, seconds).await;
    // whatever came of it, the next one has a secret
    stage.graph.secret_until(hours_from_now(1)).await?;
    let recovered_seconds = outcome?;
    let tally = stage.tally(&streams, count).await?;
    Ok(Secret { requests: count, seconds, recovered_seconds, tally })
}

async fn expired(
    stage: &Stage,
    who: Who,
    streams: &Streams,
    seconds: u64,
) -> Result<Option<f64>, Failure> {
    stage.graph.secret_until(hours_from_now(-1)).await?;
    let process = stage.start(who, &Work::Nats(streams))?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stage.graph.secret_until(hours_from_now(1)).await?;
    let start = Instant::now();
    let settled = stage.settle(streams, PATIENCE).await?;
    drop(process);
    Ok(settled.then(|| start.elapsed().as_secs_f64()))
}

fn hours_from_now(hours: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours)
}
