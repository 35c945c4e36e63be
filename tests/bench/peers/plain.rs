//! Nothing goes wrong: how fast, for how much, in how much memory.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    contender::{Who, Work},
    process::Ticks,
    stage::{Stage, requests},
};
use crate::{
    Failure,
    kafka::{
        broker::Broker,
        requests::{PARTITIONS, prime, record},
    },
};

/// How long a run may take before it is given up.
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plain {
    pub round: usize,
    pub mails: usize,
    /// From the first mail that was seen sent to the last.
    pub seconds: f64,
    pub mails_per_second: f64,
    /// Of the contender, in the same time.
    pub cpu_seconds_per_1000: f64,
    /// How many cores' time that was.
    pub cores: f64,
    /// Of the whole machine, servers and sandbox too.
    pub idle_percent: f64,
    pub peak_mib: f64,
    /// From exec to the first mail.
    pub start_seconds: f64,
}

impl Plain {
    /// What kept it from being faster.
    pub fn bottleneck(&self) -> &'static str {
        if self.idle_percent < 10.0 {
            "the machine: all cores busy"
        } else if (0.85..1.15).contains(&self.cores) {
            "its one thread"
        } else {
            "waiting: cores were idle"
        }
    }
}

pub async fn nats(
    stage: &mut Stage,
    who: Who,
    round: usize,
    (mails, mailboxes): (usize, usize),
) -> Result<Plain, Failure> {
    let streams = stage.ready(who, &requests(mails, mailboxes)).await?;
    let plain = run(stage, who, &Work::Nats(&streams), round, mails).await?;
    stage.rig.remove(&streams).await?;
    Ok(plain)
}

/// Topics are fresh too. mailbridge has sent a mail of each mailbox first: without a commit of its
/// group it looks for each mail before it sends it.
pub async fn kafka(
    stage: &Stage,
    broker: &Broker,
    who: Who,
    round: usize,
    (mails, mailboxes): (usize, usize),
) -> Result<Plain, Failure> {
    let name = format!("{who:?}-{round}").to_lowercase();
    let work = Work::Kafka(broker, &name);
    if who.mode().is_some() {
        let config = who.config(&stage.rig, &work, stage.at_once);
        prime(&stage.rig, broker, &name, &config, mailboxes).await?;
    } else {
        for (what, partitions) in [("send", PARTITIONS), ("out", 1), ("dead", 1)] {
            broker.topic(&format!("{name}.{what}"), partitions).await?;
        }
    }
    stage.graph.reset().await?;
    let records: Vec<_> = (0..mails).map(|n| record(n, n % mailboxes)).collect();
    broker.produce(&format!("{name}.send"), &records).await?;
    run(stage, who, &work, round, mails).await
}

#[expect(clippy::cast_precision_loss, reason = "counts here are small")]
async fn run(
    stage: &Stage,
    who: Who,
    work: &Work<'_>,
    round: usize,
    mails: usize,
) -> Result<Plain, Failure> {
    let exec = Instant::now();
    let process = stage.start(who, work)?;
    let before = stage.until_sent(1, PATIENCE).await?;
    let (first, cpu, ticks) = (Instant::now(), process.cpu_seconds()?, Ticks::now()?);
    let after = stage.until_sent(mails, PATIENCE).await?;
    let seconds = first.elapsed().as_secs_f64();
    let cpu = process.cpu_seconds()? - cpu;
    let sent = (after - before).max(1) as f64;
    Ok(Plain {
        round,
        mails,
        seconds,
        mails_per_second: sent / seconds,
        cpu_seconds_per_1000: cpu / sent * 1000.0,
        cores: cpu / seconds,
        idle_percent: Ticks::now()?.idle_percent_since(ticks),
        peak_mib: process.peak_mib()?,
        start_seconds: (first - exec).as_secs_f64(),
    })
}
