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
    report::median,
    rig::{Rig, end, nanos},
    send::{payload, rate},
};

/// Sends at once, from either.
const CONCURRENCY: usize = 64;
pub const PARTITIONS: i32 = 12;

pub async fn measure(options: &Options) -> Result<String, Failure> {
    let Options { requests, mailboxes, rounds, .. } = options;
    let mut rig = Rig::start().await?;
    let broker = Broker::start().await?;
    let mut page = format!(
        "{requests} requests of 2 KB, {mailboxes} mailboxes, {CONCURRENCY} at once, {PARTITIONS} \
         partitions, median of {rounds} rounds:\n\n\
         | | from NATS | from Kafka | **ratio** |\n|---|---|---|---|\n"
    );
    let mut every = String::from("\nEvery round, mails a second (NATS, Kafka):\n\n");
    for mode in [Mode::AtLeastOnce, Mode::Once] {
        let (mut nats, mut kafka) = (Vec::new(), Vec::new());
        for round in 1..=*rounds {
            nats.push(from_nats(&mut rig, options, mode).await?);
            kafka.push(from_kafka(&rig, &broker, options, mode, round).await?);
            let (nats, kafka) = (nats[round - 1], kafka[round - 1]);
            eprintln!("round {round} {}: nats {nats:.0}/s, kafka {kafka:.0}/s", mode.as_str());
            writeln!(every, "- {}: {nats:.0}, {kafka:.0}", mode.as_str())?;
        }
        let (nats, kafka) = (median(&nats), median(&kafka));
        let name = mode.as_str();
        writeln!(page, "| `{name}` | {nats:.0}/s | {kafka:.0}/s | **{:.2}** |", kafka / nats)?;
    }
    Ok(page + &every)
}

async fn from_nats(rig: &mut Rig, options: &Options, mode: Mode) -> Result<f64, Failure> {
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
    end(&mut child);
    let stored = stored?;
    rig.remove(&streams).await?;
    let times = || stored.iter().map(|stored| stored.nanos);
    let took = times().max().unwrap_or_default() - times().min().unwrap_or_default();
    Ok(rate(options.requests, nanos(took)))
}

async fn from_kafka(
    rig: &Rig,
    broker: &Broker,
    options: &Options,
    mode: Mode,
    round: usize,
) -> Result<f64, Failure> {
    let name = format!("{}-{round}", mode.as_str());
    let records: Vec<_> = (0..options.requests).map(|n| record(n, n % options.mailboxes)).collect();
    let config = config(rig, broker, &name, mode, CONCURRENCY);
    prime(rig, broker, &name, &config, options.mailboxes).await?;
    broker.produce(&format!("{name}.send"), &records).await?;
    let mut child: Child = broker.run(rig, &name, &config)?;
    let count = options.requests + options.mailboxes;
    let outcomes = tokio::task::block_in_place(|| broker.read(&format!("{name}.out"), count));
    end(&mut child);
    let mut outcomes = outcomes?;
    outcomes.sort_by_key(millis);
    Ok(rate(options.requests, span(&outcomes[options.mailboxes..])))
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
