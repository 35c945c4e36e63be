//! The figures as a page: ratios first, then what they were made of and how to repeat them.

use std::{fmt::Write as _, time::Duration};

use crate::{Failure, send::Options};

/// Mails a second of each contender, a value a round.
#[derive(Clone, Default)]
pub struct Rates {
    bare: Vec<f64>,
    worker: Vec<f64>,
    mailbridge: Vec<f64>,
}

pub struct Figures {
    pub at_least_once: Rates,
    pub once: Rates,
    /// Sorted.
    pub worker_latency: Vec<Duration>,
    /// Sorted.
    pub mailbridge_latency: Vec<Duration>,
    /// Requests so far, resident KiB.
    pub memory: Vec<(usize, u64)>,
    /// Sorted.
    pub ready: Vec<Duration>,
}

impl Rates {
    pub fn push(&mut self, bare: f64, worker: f64, mailbridge: f64) {
        self.bare.push(bare);
        self.worker.push(worker);
        self.mailbridge.push(mailbridge);
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

pub fn ms(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}

/// The measured part of `docs/benchmarks.md`.
pub fn markdown(options: &Options, figures: &Figures) -> String {
    let mut text = String::new();
    let Options { requests, mailboxes, concurrency, rounds, long, .. } = options;
    let mut line = |words: String| {
        if writeln!(text, "{words}").is_err() {
            unreachable!("a string takes every line");
        }
    };
    line(format!(
        "{requests} requests of 2 KB, {mailboxes} mailboxes, {concurrency} at once, median of {rounds} rounds; \
         {}.\n",
        machine()
    ));
    line("| | (a) bare client | (b) shortest worker | mailbridge | **of (b)** | of (a) |".into());
    line("|---|---|---|---|---|---|".into());
    for (name, rates) in [("`at_least_once`", &figures.at_least_once), ("`once`", &figures.once)] {
        let (bare, worker, ours) =
            (median(&rates.bare), median(&rates.worker), median(&rates.mailbridge));
        line(format!(
            "| {name} | {bare:.0}/s | {worker:.0}/s | {ours:.0}/s | **{:.2}** | {:.2} |",
            ours / worker,
            ours / bare
        ));
    }
    let (theirs, ours) = (&figures.worker_latency, &figures.mailbridge_latency);
    line(String::new());
    line("| request stored → outcome stored, 500 a second | p50 | p99 |".into());
    line("|---|---|---|".into());
    line(format!("| (b) shortest worker | {:.2} ms | {:.2} ms |", ms(theirs, 50), ms(theirs, 99)));
    line(format!("| mailbridge | {:.2} ms | {:.2} ms |", ms(ours, 50), ms(ours, 99)));
    line(format!(
        "| **added** | **{:.2} ms** | {:.2} ms |",
        ms(ours, 50) - ms(theirs, 50),
        ms(ours, 99) - ms(theirs, 99)
    ));
    line(format!("\nResident memory over {long} requests with `once`:\n"));
    line("| requests | MiB |".into());
    line("|---|---|".into());
    for (count, kib) in &figures.memory {
        line(format!("| {count} | {}.{} |", kib / 1024, kib % 1024 * 10 / 1024));
    }
    line(format!(
        "\nStart to ready (exec to the first 200 of `/readyz`, local bus, sandbox in the process): median \
         {:.0} ms of {} starts.",
        ms(&figures.ready, 50),
        figures.ready.len()
    ));
    line("\nEvery round, mails a second (bare, worker, mailbridge):\n".into());
    for (name, rates) in [("at_least_once", &figures.at_least_once), ("once", &figures.once)] {
        for ((bare, worker), ours) in rates.bare.iter().zip(&rates.worker).zip(&rates.mailbridge) {
            line(format!("- {name}: {bare:.0}, {worker:.0}, {ours:.0}"));
        }
    }
    text
}

pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{cores} cores, {}", model.trim_start_matches(['\t', ' ', ':']))
}

/// How busy the machine is with other things, if this is asked before anything begins: tasks that
/// want to run, on average over one, five and fifteen minutes.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Puts a measured part between its marks.
pub fn write(name: &str, text: &str) -> Result<(), Failure> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md");
    let page = std::fs::read_to_string(file)?;
    let (before, rest) = page.split_once(&begin).ok_or("the page has no begin mark")?;
    let (_, after) = rest.split_once(&end).ok_or("the page has no end mark")?;
    std::fs::write(file, format!("{before}{begin}\n\n{text}\n{end}{after}"))?;
    Ok(())
}
