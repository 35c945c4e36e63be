//! Everything that is in mailboxes, from the first page to the last event: how fast, with how many
//! requests, and in how much memory.

use std::{fmt::Write as _, time::Duration};

use super::{
    Options, World,
    floor::Floor,
    real,
    world::{Plan, mailboxes},
};
use crate::{Failure, report::median};

const PAGE_SIZE: usize = 100;
/// Mailboxes in a turn at a time, for the floors too: the default.
const AT_ONCE: usize = 16;
/// What Graph takes for an answer at the very least.
const LATENCY: &str = "100ms";

/// A value a round.
#[derive(Default)]
struct Rates {
    bare: Vec<f64>,
    worker: Vec<f64>,
    ours: Vec<f64>,
    requests: u64,
    least: u64,
}

/// Mails a second against the floors, with a Graph that answers at once and with one that takes its
/// time.
pub async fn measure(options: &Options) -> Result<String, Failure> {
    let Options { messages, mailboxes, rounds, .. } = options;
    let mut text = format!(
        "Backfill of {messages} mails of 2 KB in {mailboxes} mailboxes, pages of {PAGE_SIZE}, \
         {AT_ONCE} mailboxes at once, median of {rounds} rounds:\n\n\
         | Graph answers | (a) bare client | (b) shortest worker | mailbridge | **of (a)** | of (b) | \
         Graph requests to the least possible |\n|---|---|---|---|---|---|---|\n"
    );
    let mut every = String::from("\nEvery round, mails a second (bare, worker, mailbridge):\n\n");
    for latency in [None, Some(LATENCY)] {
        let name = latency.map_or("at once".to_owned(), |it| format!("after {it}"));
        let rates = rates(options, latency).await?;
        let Rates { requests, least, .. } = rates;
        let (bare, worker, ours) =
            (median(&rates.bare), median(&rates.worker), median(&rates.ours));
        writeln!(
            text,
            "| {name} | {bare:.0}/s | {worker:.0}/s | {ours:.0}/s | **{:.2}** | {:.2} | \
             {requests} to {least}: {:.3} |",
            ours / bare,
            ours / worker,
            real(requests) / real(least),
        )?;
        for ((bare, worker), ours) in rates.bare.iter().zip(&rates.worker).zip(&rates.ours) {
            writeln!(every, "- {name}: {bare:.0}, {worker:.0}, {ours:.0}")?;
        }
    }
    Ok(text + &every)
}

async fn rates(options: &Options, latency: Option<&str>) -> Result<Rates, Failure> {
    let latency: Vec<_> = latency.into_iter().flat_map(|it| ["--latency", it]).collect();
    let mut world = World::new(&latency).await?;
    let each = options.messages / options.mailboxes;
    let mailboxes = mailboxes("m", options.mailboxes);
    for mailbox in &mailboxes {
        world.fill(mailbox, each).await?;
    }
    let least = options.mailboxes * each.div_ceil(PAGE_SIZE);
    let mut rates = Rates { least: u64::try_from(least)?, ..Rates::default() };
    for round in 1..=options.rounds {
        let bare = floor(&world, &mailboxes, false).await?;
        let worker = floor(&world, &mailboxes, true).await?;
        let before = world.requests().await?;
        let run = world.start(&plan(mailboxes.clone())).await?;
        world.wait_for(&run, options.mailboxes * each).await?;
        let ours = rate(options.mailboxes * each, world.took(&run).await?);
        rates.requests = rates.requests.max(world.requests().await? - before);
        world.end(run).await?;
        eprintln!(
            "round {round} {latency:?}: bare {bare:.0}/s, worker {worker:.0}/s, mailbridge {ours:.0}/s"
        );
        rates.bare.push(bare);
        rates.worker.push(worker);
        rates.ours.push(ours);
    }
    Ok(rates)
}

fn plan(mailboxes: Vec<String>) -> Plan {
    let pipeline = format!(
        "pipelines:\n  bench:\n    events:\n      start: all\n      every: 1h\n      \
         page_size: {PAGE_SIZE}\n      at_once: {AT_ONCE}"
    );
    Plan { mailboxes, pipeline }
}

async fn floor(world: &World, mailboxes: &[String], publishes: bool) -> Result<f64, Failure> {
    const STREAM: &str = "FLOOR";
    let jetstream = &world.rig.jetstream;
    let floor = Floor {
        http: &world.http,
        base: &world.rig.sandbox.url,
        token: &world.rig.sandbox.token,
        at_once: AT_ONCE,
        page_size: PAGE_SIZE,
    };
    if !publishes {
        let (count, took) = floor.run(mailboxes, None).await?;
        return Ok(rate(count, took));
    }
    let config = async_nats::jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec![STREAM.to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(config).await?;
    let done = floor.run(mailboxes, Some((jetstream, STREAM))).await;
    jetstream.delete_stream(STREAM).await?;
    let (count, took) = done?;
    Ok(rate(count, took))
}

fn rate(count: usize, took: Duration) -> f64 {
    real(count as u64) / took.as_secs_f64()
}

/// Resident memory while one large mailbox is read.
pub async fn memory(options: &Options) -> Result<String, Failure> {
    let mut text = String::from("Resident memory (MiB) while one mailbox is read:\n\n| mails |");
    for part in 1..=10 {
        write!(text, " {part}0 % |")?;
    }
    text += " at most | mails a second |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    let mut world = World::new(&[]).await?;
    for count in [options.long / 5, options.long] {
        let mailbox = format!("large{count}@{}", mailbridge_sandbox::DEMO_DOMAIN);
        world.fill(&mailbox, count).await?;
        let run = world.start(&plan(vec![mailbox])).await?;
        write!(text, "| {count} |")?;
        for part in 1..=10 {
            world.wait_for(&run, count * part / 10).await?;
            write!(text, " {:.1} |", real(run.kib("VmRSS")?) / 1024.0)?;
        }
        let most = real(run.kib("VmHWM")?) / 1024.0;
        writeln!(text, " {most:.1} | {:.0} |", rate(count, world.took(&run).await?))?;
        world.end(run).await?;
    }
    Ok(text)
}
