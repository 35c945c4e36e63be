//! The same requests from Kafka and from NATS to the same sandbox.

use std::{fmt::Write as _, process::Child, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    Options,
    broker::{Broker, Record, millis, span},
};
use crate::{
    Failure,
    floor::Mode,
    peers::process::cpu_seconds,
    report::median,
    rig::{Rig, end, nanos},
    send::{payload, rate},
};

/// Sends at once, from either: what a pipeline has that says nothing of it.
const CONCURRENCY: usize = 256;
/// How long Graph takes to answer where it takes time at all; none real is faster.
const LATENCY: &str = "100ms";
pub const PARTITIONS: i32 = 12;

/// One run.
#[derive(Clone, Copy)]
struct Run {
    mails_a_second: f64,
    /// The program's own, of all cores.
    cpu_seconds: f64,
}

pub async fn measure(options: &Options) -> Result<String, Failure> {
    let Options { requests, mailboxes, rounds, .. } = options;
    let mut page = format!(
        "{requests} requests of 2 KB, {mailboxes} mailboxes, {CONCURRENCY} at once, {PARTITIONS} \
         partitions, median of {rounds} rounds:\n\n\
         | Graph answers | | from NATS | from Kafka | **ratio** | CPU s per 1,000 mails, NATS | \
         Kafka |\n|---|---|---|---|---|---|---|\n"
    );
    let mut every = String::from("\nEvery round, mails a second (NATS, Kafka):\n\n");
    for latency in [Some(LATENCY), None] {
        let arguments: Vec<_> = latency.into_iter().flat_map(|it| ["--latency", it]).collect();
        let mut rig = Rig::start_with(&arguments).await?;
        let broker = Broker::start().await?;
        let answers = latency.map_or("at once".to_owned(), |it| format!("after {it}"));
        for mode in [Mode::AtLeastOnce, Mode::Once] {
            let (mut nats, mut kafka) = (Vec::new(), Vec::new());
            let name = mode.as_str();
            for round in 1..=*rounds {
                nats.push(from_nats(&mut rig, options, mode).await?);
                kafka.push(from_kafka(&rig, &broker, options, mode, round).await?);
                let speed = |runs: &[Run]| runs[round - 1].mails_a_second;
                let (nats, kafka) = (speed(&nats), speed(&kafka));
                eprintln!("round {round} {answers}, {name}: nats {nats:.0}/s, kafka {kafka:.0}/s");
                writeln!(every, "- {answers}, {name}: {nats:.0}, {kafka:.0}")?;
            }
            let speed =
                |runs: &[Run]| median(&runs.iter().map(|it| it.mails_a_second).collect::<Vec<_>>());
            let cost = |runs: &[Run]| {
                let seconds = median(&runs.iter().map(|it| it.cpu_seconds).collect::<Vec<_>>());
                seconds * 1_000.0 / f64::from(u32::try_from(*requests).unwrap_or(u32::MAX))
            };
            let (from_nats, from_kafka) = (speed(&nats), speed(&kafka));
            let (nats, kafka) = (cost(&nats), cost(&kafka));
            writeln!(
                page,
                "| {answers} | `{name}` | {from_nats:.0}/s | {from_kafka:.0}/s | **{:.2}** | \
                 {nats:.3} | {kafka:.3} |",
                from_kafka / from_nats
            )?;
        }
    }
    Ok(page + &every)
}

async fn from_nats(rig: &mut Rig, options: &Options, mode: Mode) -> Result<Run, Failure> {
    let streams = rig.streams().await?;
    let payloads: Vec<_> =
        (0..options.requests).map(|n| payload(n, n % options.mailboxes)).collect();
    rig.publish_all(&streams, &payloads).await?;
    let config = rig.config(&streams, mode, CONCURRENCY);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("nats.yaml");
    std::fs::write(&file, config)?;
    let mut command = std::process::Command::new(&rig.program);
    command.args(["--log", "error", "run"]).arg(&file);
    let mut child = command.stdout(std::process::Stdio::null()).spawn()?;
    let stored = rig.read(&streams.outcomes, options.requests).await;
    let cpu_seconds = cpu_seconds(&child);
    end(&mut child);
    let (stored, cpu_seconds) = (stored?, cpu_seconds?);
    rig.remove(&streams).await?;
    let times = || stored.iter().map(|stored| stored.nanos);
    let took = times().max().unwrap_or_default() - times().min().unwrap_or_default();
    Ok(Run { mails_a_second: rate(options.requests, nanos(took)), cpu_seconds })
}

async fn from_kafka(
    rig: &Rig,
    broker: &Broker,
    options: &Options,
    mode: Mode,
    round: usize,
) -> Result<Run, Failure> {
    let name = format!("{}-{round}", mode.as_str());
    let records: Vec<_> = (0..options.requests).map(|n| record(n, n % options.mailboxes)).collect();
    let config = config(rig, broker, &name, mode, CONCURRENCY);
    prime(rig, broker, &name, &config, options.mailboxes).await?;
    broker.produce(&format!("{name}.send"), &records).await?;
    let mut child: Child = broker.run(rig, &name, &config)?;
    let count = options.requests + options.mailboxes;
    let outcomes = tokio::task::block_in_place(|| broker.read(&format!("{name}.out"), count));
    let cpu_seconds = cpu_seconds(&child);
    end(&mut child);
    let (mut outcomes, cpu_seconds) = (outcomes?, cpu_seconds?);
    outcomes.sort_by_key(millis);
    let took = span(&outcomes[options.mailboxes..]);
    Ok(Run { mails_a_second: rate(options.requests, took), cpu_seconds })
}

/// Makes the topics of a name, and has a worker send a mail from each mailbox and stop. Without a
/// commit of its group mailbridge takes what is there for possibly sent, and looks for each mail
/// first: right after offsets have expired, and not what is to be measured.
pub async fn prime(
    rig: &Rig,
    broker: &Broker,
    name: &str,
    config: &str,
    mailboxes: usize,
) -> Result<(), Failure> {
    for (what, partitions) in [("send", PARTITIONS), ("out", 1), ("dead", 1)] {
        broker.topic(&format!("{name}.{what}"), partitions).await?;
    }
    let mut child = broker.run(rig, &format!("{name}-first"), config)?;
    // once it is in the group, so that nothing was there before it
    tokio::time::sleep(Duration::from_secs(6)).await;
    let records: Vec<_> = (0..mailboxes).map(|n| record(n, n)).collect();
    broker.produce(&format!("{name}.send"), &records).await?;
    let read = || broker.read(&format!("{name}.out"), mailboxes);
    let told = tokio::task::block_in_place(read);
    stop(&child)?;
    tokio::task::block_in_place(|| child.wait())?;
    told.map(drop)
}

/// As an operator stops it.
pub fn stop(member: &Child) -> Result<(), Failure> {
    let id = Pid::from_raw(i32::try_from(member.id())?).ok_or("no process")?;
    kill_process(id, Signal::TERM)?;
    Ok(())
}

/// A request, keyed by its mailbox.
pub fn record(number: usize, mailbox: usize) -> Record {
    let key = format!("m{mailbox}").into_bytes();
    Record { key, payload: payload(number, mailbox).into_bytes(), headers: None }
}

/// A mailbridge that takes requests from the topics of a name.
pub fn config(rig: &Rig, broker: &Broker, name: &str, mode: Mode, in_flight: usize) -> String {
    format!(
        "{connection}{buses}pipelines:
  bench:
    requests:
      from: {{ bus: events, topics: ['{name}.send'], group: '{name}' }}
      connection: bench
      allow_mailboxes: ['*']
      guarantee: {mode}
      in_flight: {in_flight}
      outcomes: {{ bus: events, topic: '{name}.out' }}
      dead_letters: {{ bus: events, topic: '{name}.dead' }}
",
        connection = rig.connection(),
        buses = broker.buses(),
        mode = mode.as_str(),
    )
}
