//! `bench pool`: one, two, four, eight workers on one consumer, and on the same mailboxes, of which
//! each takes four requests at once, as in Graph. Requests only.
//!
//! First few requests in flight and many mailboxes, so that it is the worker that is slow; then many
//! in flight and few mailboxes, so that it is Graph. No worker knows of the others, unless `--told`
//! tells each its part of the four, or `--apart` gives each its own mailboxes. Then one of two is
//! killed.

use std::{
    fmt::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream::{consumer::pull, stream::SubjectTransform};

use crate::{
    Failure,
    budgets::{answers, payloads},
    floor::Mode,
    report,
    rig::{Rig, Stored, Streams, end, nanos, now},
    send::rate,
};

/// How long Graph takes.
const LATENCY: Duration = Duration::from_millis(200);
/// Of an app in a mailbox (learn.microsoft.com, graph throttling-limits, Outlook).
const AT_ONCE: usize = 4;
/// It is the workers that are slow: 40 mails a second each, of 4,000.
const SLOW_WORKERS: Case = Case { in_flight: 8, mailboxes: 200, requests_part: 4 };
/// It is the mailboxes that are slow: 200 mails a second together.
const SLOW_MAILBOXES: Case = Case { in_flight: 256, mailboxes: 10, requests_part: 1 };
/// Until a killed worker's deliveries come back.
const ACK_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct Case {
    /// Of each worker.
    in_flight: usize,
    mailboxes: usize,
    /// One in so many of the requests is enough.
    requests_part: usize,
}

impl Case {
    /// Mails a second that the mailboxes take together.
    fn budget(self) -> f64 {
        rate(self.mailboxes * AT_ONCE, LATENCY)
    }

    /// As many to each mailbox.
    fn requests(self, options: &Options) -> usize {
        let requests = options.requests / self.requests_part;
        (requests - requests % self.mailboxes).max(self.mailboxes)
    }
}

/// What workers know of each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// Each is told its part of a mailbox's slots.
    Told,
    /// Each has mailboxes of its own: a subject for each, and the stream's partitions of these.
    Apart,
}

struct Options {
    requests: usize,
    most: usize,
    known: Known,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self { requests: 10_000, most: 8, known: Known::Nothing, write: false };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--write" => options.write = true,
                "--told" => options.known = Known::Told,
                "--apart" => options.known = Known::Apart,
                _ => options.set(name, args.next())?,
            }
        }
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
    let mut page = format!(
        "Graph answers after {latency}, and takes {AT_ONCE} requests of a mailbox at once; {}; load \
         average {}.\n",
        report::machine(),
        report::load()
    );
    for case in [SLOW_WORKERS, SLOW_MAILBOXES] {
        page += &table(&mut rig, &options, case).await?;
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

async fn table(rig: &mut Rig, options: &Options, case: Case) -> Result<String, Failure> {
    let budget = case.budget();
    let mut table = format!(
        "\n{} requests to {} mailboxes, which may take {budget:.0} a second together; `in_flight` {}:\n\n\
         | workers | mails a second | of linear | of the budget | answers 429 |\n|---|---|---|---|---|\n",
        case.requests(options),
        case.mailboxes,
        case.in_flight,
    );
    let mut alone = 0.0;
    for workers in [1, 2, 4, 8].into_iter().filter(|workers| *workers <= options.most) {
        let (speed, refused) = measure(rig, options, case, workers).await?;
        if workers == 1 {
            alone = speed;
        }
        eprintln!("{workers}: {speed:.0}/s of {budget:.0}, {refused:.2} % refused");
        writeln!(
            table,
            "| {workers} | {speed:.0} | {:.2} | {:.2} | {refused:.2} % |",
            speed / (alone * rate(workers, Duration::from_secs(1))),
            speed / budget
        )?;
    }
    Ok(table)
}

/// Mails a second, and the share of 429 in percent.
async fn measure(
    rig: &mut Rig,
    options: &Options,
    case: Case,
    workers: usize,
) -> Result<(f64, f64), Failure> {
    let requests = case.requests(options);
    let partitions = (options.known == Known::Apart).then_some(workers);
    let streams = fill(rig, requests, case.mailboxes, partitions).await?;
    let before = answers(rig).await?;
    let mut children = Vec::new();
    for number in 0..workers {
        let slots = if options.known == Known::Told { (AT_ONCE / workers).max(1) } else { AT_ONCE };
        let consumer = partitions.map_or("worker".to_owned(), |_| consumer_of(number));
        children.push(start(rig, &streams, number, &consumer, case.in_flight, slots)?);
    }
    let stored = rig.read(&streams.outcomes, requests).await;
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
    // so few that the other one is done with the rest before they come back
    let requests = options.requests.min(400);
    let Case { mailboxes, in_flight, .. } = SLOW_WORKERS;
    let streams = fill(rig, requests, mailboxes, None).await?;
    let mut killed = start(rig, &streams, 0, "worker", in_flight, AT_ONCE)?;
    let mut other = start(rig, &streams, 1, "worker", in_flight, AT_ONCE)?;
    rig.read(&streams.outcomes, requests / 2).await?;
    let begun = now();
    end(&mut killed);
    let stored = rig.read(&streams.outcomes, requests).await;
    end(&mut other);
    rig.remove(&streams).await?;
    let last = stored?.iter().map(|stored| stored.nanos).max().unwrap_or_default();
    Ok(nanos(last - begun))
}

/// A stream with as many requests to each mailbox, and the consumer of all workers, or one for each
/// of so many partitions.
async fn fill(
    rig: &mut Rig,
    requests: usize,
    mailboxes: usize,
    partitions: Option<usize>,
) -> Result<Streams, Failure> {
    let streams = rig.streams().await?;
    let mut stream = rig.jetstream.get_stream(&streams.requests).await?;
    let consumer = |name: String, filter_subject: String| pull::Config {
        durable_name: Some(name),
        filter_subject,
        ack_wait: ACK_WAIT,
        max_ack_pending: 10_000,
        ..pull::Config::default()
    };
    let payloads = payloads(&vec![requests / mailboxes; mailboxes]);
    let Some(partitions) = partitions else {
        stream.create_consumer(consumer("worker".to_owned(), String::new())).await?;
        rig.publish_all(&streams, &payloads).await?;
        return Ok(streams);
    };
    let name = &streams.requests;
    let mut config = stream.info().await?.config.clone();
    config.subject_transform = Some(SubjectTransform {
        source: format!("{name}.send.*"),
        destination: format!("{name}.{{{{partition({partitions},1)}}}}.{{{{wildcard(1)}}}}"),
    });
    rig.jetstream.update_stream(config).await?;
    // a work queue has one consumer for a subject
    stream.delete_consumer("worker").await?;
    for number in 0..partitions {
        let filter = format!("{name}.{number}.*");
        stream.create_consumer(consumer(consumer_of(number), filter)).await?;
    }
    for payload in payloads {
        let mailbox = payload.split('@').next().and_then(|to| to.rsplit('"').next());
        let subject = format!("{name}.send.{}", mailbox.ok_or("a request without a mailbox")?);
        rig.jetstream.publish(subject, payload.clone().into()).await?.await?;
    }
    Ok(streams)
}

fn consumer_of(partition: usize) -> String {
    format!("worker-{partition}")
}

fn start(
    rig: &Rig,
    streams: &Streams,
    number: usize,
    consumer: &str,
    in_flight: usize,
    slots: usize,
) -> Result<Child, Failure> {
    let file = std::env::temp_dir().join(format!("bench-{}-{number}.yaml", streams.requests));
    let limits = format!("    limits: {{ mailbox_requests_at_once: {slots} }}\nbuses:");
    let config = rig.config(streams, Mode::AtLeastOnce, in_flight).replace("buses:", &limits);
    let filter = match consumer.strip_prefix("worker-") {
        Some(partition) => format!(", subjects: ['{}.{partition}.*']", streams.requests),
        None => String::new(),
    };
    let config = config.replace("consumer: worker", &format!("consumer: {consumer}{filter}"));
    // less than what is left of `ACK_WAIT`
    let config = format!("{}\n      deadline: 5s\n", config.trim_end());
    std::fs::write(&file, config)?;
    let mut command = Command::new(&rig.program);
    command.args(["--log", "error", "run"]).arg(&file);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?)
}
