//! `bench pool`: as many workers on one consumer, against budgets that come back some times faster
//! than in Graph, so that Graph is the limit and not the processor. Requests only.
//!
//! A worker alone is made slow by what it may have in flight and by how long the sandbox takes. Each
//! worker knows its share of the budgets, as the reference asks for. Then one of two is killed.

use std::{
    fmt::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream::consumer::pull;

use crate::{
    Failure,
    budgets::{MAILS_PER_MINUTE, answers, payloads},
    floor::Mode,
    report,
    rig::{Rig, Stored, Streams, end, nanos, now},
    send::rate,
};

/// Minutes are seconds.
const SCALE: usize = 60;
/// Of each worker, with `LATENCY`: some 160 mails a second.
const IN_FLIGHT: usize = 16;
const LATENCY: &str = "100ms";
/// Together these may send 600 mails a second: as much as four workers that nothing holds back.
const MAILBOXES: usize = 20;
/// Until a killed worker's deliveries come back.
const ACK_WAIT: Duration = Duration::from_secs(10);

struct Options {
    requests: usize,
    most: usize,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self { requests: 8_000, most: 8, write: false };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--write" {
                options.write = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?.parse()?;
            match name.as_str() {
                "--requests" => options.requests = value,
                "--workers" => options.most = value,
                other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
            }
        }
        // as many to each mailbox
        options.requests -= options.requests % MAILBOXES;
        Ok(options)
    }
}

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    let scale = SCALE.to_string();
    let mut rig = Rig::start_over(&["--budgets-scale", &scale, "--latency", LATENCY]).await?;
    let budget = rate(MAILBOXES * MAILS_PER_MINUTE * SCALE, Duration::from_mins(1));
    let mut page = format!(
        "{} requests to {MAILBOXES} mailboxes, which may take {budget:.0} a second together; workers of \
         {IN_FLIGHT} at once, Graph answers after {LATENCY}; {}; load average {}.\n\n\
         | workers | mails a second | of linear | of the budget | answers 429 |\n|---|---|---|---|---|\n",
        options.requests,
        report::machine(),
        report::load()
    );
    let mut alone = 0.0;
    for workers in [1, 2, 4, 8].into_iter().filter(|workers| *workers <= options.most) {
        // windows are empty when a round begins
        tokio::time::sleep(Duration::from_mins(10) / u32::try_from(SCALE)?).await;
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
        children.push(start(rig, &streams, workers, number)?);
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
    let mut killed = start(rig, &streams, 2, 0)?;
    let mut other = start(rig, &streams, 2, 1)?;
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

/// One of so many workers, with its share of the budgets.
fn start(rig: &Rig, streams: &Streams, workers: usize, number: usize) -> Result<Child, Failure> {
    let file = std::env::temp_dir().join(format!("bench-{}-{number}.yaml", streams.requests));
    let share = |all: usize| (all / workers).max(1);
    let limits = format!(
        "    limits: {{ mailbox_requests_at_once: {}, mailbox_requests_in_10_minutes: {}, scale: {SCALE} }}",
        share(4),
        share(10_000)
    );
    let config = rig.config(streams, Mode::AtLeastOnce, IN_FLIGHT);
    let config = config.replace("buses:", &format!("{limits}\nbuses:"));
    let mails = share(MAILS_PER_MINUTE);
    let config = format!(
        "{}\n      deadline: 5s\n      budgets: {{ mails_per_minute: {mails}, scale: {SCALE} }}\n",
        config.trim_end()
    );
    std::fs::write(&file, config)?;
    let mut command = Command::new(&rig.program);
    command.args(["--log", "error", "run"]).arg(&file);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?)
}
