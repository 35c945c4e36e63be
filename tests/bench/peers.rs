//! `bench peers`: the same requests, from the same nats-server and Kafka, to the same sandbox,
//! through mailbridge and through what one would take else.
//!
//! Peers are Redpanda Connect with a sensible file and a worker on Microsoft's SDK for Python, as
//! good as whoever wrote this could make them: what they lack, they lack for want of a place to do
//! it, not for want of care. Every figure comes from the sandbox's own record of what was sent and
//! from `/proc`. It gets the peers itself, and needs the Go module proxy and PyPI for that, once.

mod contender;
mod fetch;
pub mod graph;
mod page;
mod plain;
mod plot;
pub mod process;
mod stage;
mod trouble;

use std::collections::BTreeMap;

use serde::Serialize;

use self::{
    contender::Who, fetch::said, plain::Plain, stage::Stage, trouble::Faults, trouble::Secret,
    trouble::Throttled,
};
use crate::{Failure, kafka::broker::Broker, report};

/// Mails at once, for everyone.
const AT_ONCE: usize = 64;
/// Mailboxes of the runs in which nothing goes wrong.
const MAILBOXES: usize = 200;
const RAW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks");

struct Options {
    requests: usize,
    faulty: usize,
    rounds: usize,
    seconds: u64,
    only: Option<String>,
    write: bool,
}

/// One line of the raw data.
#[derive(Serialize)]
struct Line<T> {
    scenario: &'static str,
    who: Who,
    #[serde(flatten)]
    figures: T,
}

/// Everything that was measured, and each run as a line of JSON.
#[derive(Default)]
pub struct Results {
    pub nats: BTreeMap<Who, Vec<Plain>>,
    pub kafka: BTreeMap<Who, Vec<Plain>>,
    pub faults: BTreeMap<Who, Faults>,
    pub throttled: BTreeMap<Who, Throttled>,
    pub secret: BTreeMap<Who, Secret>,
    pub lines: BTreeMap<Who, usize>,
    pub environment: Vec<String>,
    raw: String,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            requests: 12_000,
            faulty: 1_500,
            rounds: 2,
            seconds: 60,
            only: None,
            write: false,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--write" {
                options.write = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--requests" => options.requests = value.parse()?,
                "--faulty" => options.faulty = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--only" => options.only = Some(value.clone()),
                other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
            }
        }
        if options.write && options.only.is_some() {
            return Err("--write wants every part: leave out --only".into());
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

impl Results {
    fn note<T: Serialize>(
        &mut self,
        scenario: &'static str,
        who: Who,
        figures: T,
    ) -> Result<(), Failure> {
        let line = serde_json::to_string(&Line { scenario, who, figures })?;
        eprintln!("{line}");
        self.raw += &line;
        self.raw.push('\n');
        Ok(())
    }
}

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    let load = report::load();
    let mut stage = Stage::new(AT_ONCE).await?;
    let mut results = Results { environment: environment(&stage, &load)?, ..Results::default() };
    measure_plain(&mut stage, &options, &mut results).await?;
    measure_trouble(&mut stage, &options, &mut results).await?;
    let streams = stage.ready(Who::Python, &[]).await?;
    for who in Who::ALL {
        let lines = who.lines(&stage.rig, &streams)?;
        results.lines.insert(who, lines);
        results.note("lines", who, BTreeMap::from([("lines", lines)]))?;
    }
    let page = page::markdown(&results, AT_ONCE, MAILBOXES)?;
    println!("{page}");
    if options.write {
        std::fs::create_dir_all(RAW)?;
        let environment = serde_json::json!({ "environment": results.environment });
        std::fs::write(format!("{RAW}/peers.ndjson"), format!("{environment}\n{}", results.raw))?;
        std::fs::write(format!("{RAW}/peers.svg"), plot::svg(&results)?)?;
        report::write("peers", &page)?;
    }
    Ok(())
}

async fn measure_plain(
    stage: &mut Stage,
    options: &Options,
    results: &mut Results,
) -> Result<(), Failure> {
    let size = (options.requests, MAILBOXES);
    if options.wants("nats") {
        for round in 1..=options.rounds {
            for who in Who::ALL {
                let plain = plain::nats(stage, who, round, size).await?;
                results.note("nats", who, plain)?;
                results.nats.entry(who).or_default().push(plain);
            }
        }
    }
    if options.wants("kafka") {
        let broker = Broker::start().await?;
        for round in 1..=options.rounds {
            for who in Who::ALL {
                let plain = plain::kafka(stage, &broker, who, round, size).await?;
                results.note("kafka", who, plain)?;
                results.kafka.entry(who).or_default().push(plain);
            }
        }
    }
    Ok(())
}

async fn measure_trouble(
    stage: &mut Stage,
    options: &Options,
    results: &mut Results,
) -> Result<(), Failure> {
    let (count, seconds) = (options.faulty, options.seconds);
    for who in Who::ALL {
        if options.wants("faults") {
            let faults = trouble::faults(stage, who, count).await?;
            results.note("faults", who, faults)?;
            results.faults.insert(who, faults);
        }
        if options.wants("throttled") {
            let throttled = trouble::throttled(stage, who, count, seconds).await?;
            results.note("throttled", who, throttled)?;
            results.throttled.insert(who, throttled);
        }
        if options.wants("secret") {
            let secret = trouble::secret(stage, who, count, seconds).await?;
            results.note("secret", who, secret)?;
            results.secret.insert(who, secret);
        }
    }
    Ok(())
}

/// The machine and everything on it, with its version.
fn environment(stage: &Stage, load: &str) -> Result<Vec<String>, Failure> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut all = vec![
        report::machine(),
        format!("Linux {}", release.trim()),
        format!("load average before {load}"),
        jiff::Zoned::now().date().to_string(),
        said(std::process::Command::new(&stage.rig.program).arg("--version"))?,
    ];
    all.extend(stage.tools.versions()?);
    Ok(all)
}
