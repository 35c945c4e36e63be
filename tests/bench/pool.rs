//! `bench pool`: as many workers on one consumer, and on the same mailboxes, of which each takes four
//! requests at once, as in Graph, so that Graph is the limit and not the processor. Requests only.
//!
//! A worker alone is made slow by what it may have in flight and by how long the sandbox takes. No
//! worker knows of the others, unless `--told` tells each its part of the four. Then one of two is
//! killed.

use std::{
    fmt::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream::consumer::pull;

use crate::{
    Failure,
    budgets::{answers, payloads},
    floor::Mode,
    report,
    rig::{Rig, Stored, Streams, end, nanos, now},
    send::rate,
};

/// Of each worker, with `LATENCY`: some 80 mails a second.
const IN_FLIGHT: usize = 16;
const LATENCY: Duration = Duration::from_millis(200);
/// Of an app in a mailbox (learn.microsoft.com, graph throttling-limits, Outlook).
const AT_ONCE: usize = 4;
/// Together these take 400 mails a second: as much as five workers that nothing holds back.
const MAILBOXES: usize = 20;
/// Until a killed worker's deliveries come back.
const ACK_WAIT: Duration = Duration::from_secs(10);

struct Options {
    requests: usize,
    most: usize,
    told: bool,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self { requests: 24_000, most: 8, told: false, write: false };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--write" => options.write = true,
                "--told" => options.told = true,
                _ => options.set(name, args.next())?,
            }
        }
        // as many to each mailbox
        options.requests -= options.requests % MAILBOXES;
        Ok(options)
    }

    fn set(&mut self, name: &str, value: Option<&String>) -> Result<(), Failure> {
        let value = value.ok_or_else(|| format!("{name} needs a value"))?.parse()?;
        match name {
            "--requests" => self.requests = value,
            "--workers" => self.most = value,
            other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
        }
        Ok(())
    }
}

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    let latency = format!("{}ms", LATENCY.as_millis());
    let mut rig = Rig::start_over(&["--latency", &latency]).await?;
    let budget = rate(MAILBOXES * AT_ONCE, LATENCY);
    let mut page = format!(
        "{} requests to {MAILBOXES} mailboxes, which may take {budget:.0} a second together; workers of \
         {IN_FLIGHT} at once, Graph answers after {latency}; {}; load average {}.\n\n\
         | workers | mails a second | of linear | of the budget | answers 429 |\n|---|---|---|---|---|\n",
        options.requests,
        report::machine(),
        report::load()
    );
    let mut alone = 0.0;
    for workers in [1, 2, 4, 8].into_iter().filter(|workers| *workers <= options.most) {
        let (speed, refused) = measure(&mut rig, &options, workers).await?;
        if workers == 1 {
            alone = speed;
        }
        eprintln!("{workers}: {speed:.0}/s, {refused:.2} % refused");
        writeln!(
            page,
            "| {workers} | {speed:.0} | {:.2} | {:.2} | {refused:.2} % |",
            speed / (alone * rate(workers, Duration::from_secs(1))),
            speed / budget
        )?;
    }
    let late = failover(&mut rig, &options).await?;
    writeln!(
        page,
        "\nOne of two workers is killed; its deliveries come back after {} s (`ack_wait`): the last of \
         them is sent **{:.2} s** after the kill.",
        ACK_WAIT.as_secs(),
        late.as_secs_f64()
    )?;
    println!("{page}");
    if options.write {
        report::write("pool", &page)?;
    }
    Ok(())
}

/// Mails a second, and the share of 429 in percent.
async fn measure(rig: &mut Rig, options: &Options, workers: usize) -> Result<(f64, f64), Failure> {
    let streams = fill(rig, options.requests).await?;
    let before = answers(rig).await?;
    let mut children = Vec::new();
    for number in 0..workers {
        children.push(start(rig, &streams, number, options.told.then_some(workers))?);
    }
    let stored = rig.read(&streams.outcomes, options.requests).await;
    children.iter_mut().for_each(end);
    let after = answers(rig).await?;
    rig.remove(&streams).await?;
    let requests = usize::try_from(after.0 - before.0)?;
    let refused = usize::try_from(after.1 - before.1)?;
    let second = Duration::from_secs(1);
    let share = rate(refused, second) / rate(requests.max(1), second) * 100.0;
    Ok((steady(&stored?), share))
}

/// Mails a second in the middle: budgets are full when it begins, and mailboxes run dry at its end.
fn steady(stored: &[Stored]) -> f64 {
    let mut times: Vec<_> = stored.iter().map(|stored| stored.nanos).collect();
    times.sort_unstable();
    let (from, to) = (times.len() / 4, times.len() * 3 / 4);
    rate(to - from, nanos(times[to] - times[from]))
}

/// From the kill of one of two workers to the last mail.
async fn failover(rig: &mut Rig, options: &Options) -> Result<Duration, Failure> {
    // what the other one does alone while it waits
    let requests = options.requests.min(2_000);
    let streams = fill(rig, requests).await?;
    let mut killed = start(rig, &streams, 0, None)?;
    let mut other = start(rig, &streams, 1, None)?;
    rig.read(&streams.outcomes, requests / 2).await?;
    let begun = now();
    end(&mut killed);
    let stored = rig.read(&streams.outcomes, requests).await;
    end(&mut other);
    rig.remove(&streams).await?;
    let last = stored?.iter().map(|stored| stored.nanos).max().unwrap_or_default();
    Ok(nanos(last - begun))
}

async fn fill(rig: &mut Rig, requests: usize) -> Result<Streams, Failure> {
    let streams = rig.streams().await?;
    let consumer = pull::Config {
        durable_name: Some("worker".to_owned()),
        ack_wait: ACK_WAIT,
        max_ack_pending: 10_000,
        ..pull::Config::default()
    };
    rig.jetstream.get_stream(&streams.requests).await?.create_consumer(consumer).await?;
    rig.publish_all(&streams, &payloads(&[requests / MAILBOXES; MAILBOXES])).await?;
    Ok(streams)
}

/// A worker, which may be told that it is one of so many.
fn start(rig: &Rig, streams: &Streams, number: usize, of: Option<usize>) -> Result<Child, Failure> {
    let file = std::env::temp_dir().join(format!("bench-{}-{number}.yaml", streams.requests));
    let mut config = rig.config(streams, Mode::AtLeastOnce, IN_FLIGHT);
    if let Some(workers) = of {
        let slots = (AT_ONCE / workers).max(1);
        let limits = format!("    limits: {{ mailbox_requests_at_once: {slots} }}");
        config = config.replace("buses:", &format!("{limits}\nbuses:"));
    }
    // less than what is left of `ACK_WAIT`
    let config = format!("{}\n      deadline: 5s\n", config.trim_end());
    std::fs::write(&file, config)?;
    let mut command = Command::new(&rig.program);
    command.args(["--log", "error", "run"]).arg(&file);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?)
}
