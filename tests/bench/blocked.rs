//! `bench blocked`: one mailbox is throttled for ten minutes, in a partition that it shares with all
//! others, while a hundred thousand requests of those arrive.
//!
//! What is counted is the sandbox's truth; how long a request took is the time between its record
//! and its outcome's, as the broker has them.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use mailbridge_sandbox::DEMO_DOMAIN;
use rdkafka::{Message as _, message::OwnedMessage};
use serde_json::json;
use tokio::task::block_in_place;

use crate::{
    Failure,
    floor::Mode,
    kafka::{
        broker::{Broker, Record, millis},
        requests::{config, record},
    },
    peers::graph::Graph,
    report,
    rig::{Rig, end, number, status_kib},
};

/// What a pipeline has at once that says nothing of it.
const IN_FLIGHT: usize = 256;
/// Requests of the throttled mailbox, which come first.
const HELD: usize = 100;
/// Mailboxes of the others.
const MAILBOXES: usize = 300;
/// Batches of them in a second.
const TICK: Duration = Duration::from_millis(100);
const RETRY_AFTER_SECONDS: u32 = 2;
/// How long what was held may take once it is not.
const PATIENCE: Duration = Duration::from_mins(5);
const NAME: &str = "blocked";

struct Options {
    others: usize,
    time: Duration,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self { others: 100_000, time: Duration::from_mins(10), write: false };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--write" {
                options.write = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--others" => options.others = value.parse()?,
                "--seconds" => options.time = Duration::from_secs(value.parse()?),
                other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
            }
        }
        Ok(options)
    }
}

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    let Options { others, time, .. } = options;
    let rig = Rig::start_remembering().await?;
    let (graph, broker) = (Graph::new(&rig.sandbox.url)?, Broker::start().await?);
    for what in ["send", "out", "dead"] {
        broker.topic(&format!("{NAME}.{what}"), 1).await?;
    }
    let mailbox = format!("m0@{DEMO_DOMAIN}");
    let kind = json!({ "answer": { "status": 429, "retry_after": RETRY_AFTER_SECONDS } });
    graph.faults(&json!({ "match": { "mailbox": mailbox }, "kind": kind })).await?;
    let mut child = broker.run(&rig, NAME, &config(&rig, &broker, NAME, Mode::Once, IN_FLIGHT))?;
    // from its first mail on; that one was there before the group, and is looked for first
    broker.produce(&format!("{NAME}.send"), &[request(HELD)]).await?;
    until(&graph, &mailbox, (0, 1)).await?;
    let (start, idle) = (Instant::now(), status_kib(child.id(), "VmRSS")?);
    produce(&broker, &options, start).await?;
    tokio::time::sleep_until((start + time).into()).await;
    let (held_sent, others_sent) = graph.sent_from(&mailbox).await?;
    let most = status_kib(child.id(), "VmHWM")?;
    graph.no_faults().await?;
    let (freed, all) = (Instant::now(), others + HELD);
    until(&graph, &mailbox, (HELD as u64, others as u64)).await?;
    let freed = freed.elapsed();
    let read = |what, count| block_in_place(|| broker.read(&format!("{NAME}.{what}"), count));
    let (asked, told) = (read("send", all)?, read("out", all)?);
    end(&mut child);
    let numbers = graph.numbers().await?;
    let doubled = numbers.values().filter(|times| **times > 1).count();
    let took = took(&asked, &told);
    let mut page = format!("{}; load average {}.\n\n", report::machine(), report::load());
    writeln!(
        page,
        "One partition. {HELD} requests of a mailbox that answers 429 for {:.0} s come first; {others} \
         of {MAILBOXES} other mailboxes come behind them over that time.\n\n| | |\n|---|---|\n\
         | of the others, sent while it was throttled | **{others_sent}** |\n\
         | of the throttled one, sent meanwhile | {held_sent} |\n\
         | a request of the others, from its record to its outcome, p50 | {:.0} ms |\n\
         | p99 | {:.0} ms |\n| longest | {:.0} ms |\n\
         | memory at most, above what it had after the first mail | **{:.1} MiB** |\n\
         | until all that was held was sent, once it was free | {:.1} s |\n\
         | requests lost | **{}** |\n| mails sent twice | **{doubled}** |",
        time.as_secs_f64(),
        report::ms(&took, 50),
        report::ms(&took, 99),
        report::ms(&took, 100),
        f64::from(u32::try_from(most.saturating_sub(idle))?) / 1024.0,
        freed.as_secs_f64(),
        all - numbers.len(),
    )?;
    println!("{page}");
    if options.write {
        report::write(NAME, &page)?;
    }
    Ok(())
}

/// The requests of the throttled mailbox at once, then all others but the first, evenly, until nine
/// tenths of the time are over.
async fn produce(broker: &Broker, options: &Options, start: Instant) -> Result<(), Failure> {
    let topic = format!("{NAME}.send");
    let held: Vec<_> = (0..HELD).map(request).collect();
    broker.produce(&topic, &held).await?;
    let ticks = options.time.mul_f64(0.9).div_duration_f64(TICK).max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
    let each = options.others.div_ceil(ticks as usize);
    let rest: Vec<_> = (HELD + 1..HELD + options.others).map(request).collect();
    for (batch, tick) in rest.chunks(each).zip(1..) {
        broker.produce(&topic, batch).await?;
        tokio::time::sleep_until((start + TICK * tick).into()).await;
    }
    Ok(())
}

/// The throttled mailbox has the first ones.
fn request(number: usize) -> Record {
    record(number, if number < HELD { 0 } else { 1 + number % MAILBOXES })
}

/// Waits until so many were sent, from the mailbox and from all others.
async fn until(graph: &Graph, mailbox: &str, sent: (u64, u64)) -> Result<(), Failure> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let now = graph.sent_from(mailbox).await?;
        if now.0 >= sent.0 && now.1 >= sent.1 {
            return Ok(());
        }
        if Instant::now() > give_up {
            return Err(format!("{now:?} were sent after {PATIENCE:?}, not {sent:?}").into());
        }
        tokio::time::sleep(TICK).await;
    }
}

/// From each of the others' records to its outcome's, sorted.
fn took(asked: &[OwnedMessage], told: &[OwnedMessage]) -> Vec<Duration> {
    let number_of = |record: &OwnedMessage| number(record.payload()?);
    let asked: HashMap<_, _> =
        asked.iter().filter_map(|record| Some((number_of(record)?, millis(record)))).collect();
    let others = told.iter().filter_map(|record| Some((number_of(record)?, millis(record))));
    let others = others.filter(|(number, _)| *number > HELD);
    let took = others.filter_map(|(number, told)| u64::try_from(told - asked.get(&number)?).ok());
    let mut took: Vec<_> = took.map(Duration::from_millis).collect();
    took.sort_unstable();
    took
}
