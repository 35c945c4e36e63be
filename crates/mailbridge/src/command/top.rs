//! `mailbridge top`: a pool of workers as it is now, in a terminal.
//!
//! Asks `/status` of one worker, which knows the others from where they share their mailboxes. What
//! is not shared (requests) is in `/readyz` and `/metrics`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{self, Write as _},
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use mailbridge_core::Span;
use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{exit::Exit, run::report::tell};

/// How long a worker has for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Mailboxes that are shown of those that are behind or in trouble.
const TROUBLED: usize = 12;
/// The terminal's other screen, without a cursor, and back again.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the top left, and all below is cleared.
const CLEAR: &str = "\x1b[H\x1b[J";

const AFTER_HELP: &str = "\
Examples:
  mailbridge top                               the worker on this machine, http://127.0.0.1:8080
  mailbridge top http://mailbridge-0:8080      any worker of the pool shows all of it
  mailbridge top --once                        once, for scripts and for a look

Ctrl-C ends it. Exit codes: 0 done, 1 nobody answers, 2 wrong usage.";

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Top {
    /// Where a worker's HTTP side is (`http.listen`)
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// How often it is asked
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: Span,
    /// Ask once, and end
    #[arg(long)]
    once: bool,
}

/// `/status`, as far as it is shown.
#[derive(Deserialize)]
struct Status {
    pipelines: Vec<Pipeline>,
}

#[derive(Deserialize)]
struct Pipeline {
    #[serde(rename = "pipeline")]
    name: String,
    state: String,
    published: u64,
    counts: BTreeMap<String, u64>,
    mailboxes: Vec<Mailbox>,
    #[serde(default)]
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Mailbox {
    #[serde(rename = "mailbox")]
    address: String,
    state: String,
    #[serde(default)]
    lag_seconds: Option<i64>,
    #[serde(default)]
    error: Option<Trouble>,
}

#[derive(Deserialize)]
struct Trouble {
    code: String,
}

#[derive(Deserialize)]
struct Worker {
    name: String,
    /// Its host and process.
    #[serde(rename = "worker")]
    place: String,
    slices: usize,
    mailboxes: BTreeMap<String, u64>,
    published: u64,
}

/// Events by worker and pipeline, and when they were counted.
type Counted = HashMap<(String, String), (u64, Instant)>;

impl Top {
    /// Shows it until Ctrl-C, or once.
    pub async fn run(self) -> Exit {
        let Ok(client) = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build() else {
            return failed("this machine cannot ask over HTTP");
        };
        let shows = !self.once && io::stdout().is_terminal();
        if !shows {
            return match self.ask(&client).await {
                Ok(status) => {
                    tell(format_args!("{}", Screen { status: &status, before: &Counted::new() }));
                    Exit::Done
                }
                Err(error) => failed(&error),
            };
        }
        print(ENTER);
        let exit = tokio::select! {
            _ = tokio::signal::ctrl_c() => Exit::Done,
            ended = self.show(&client) => ended,
        };
        print(LEAVE);
        exit
    }

    async fn show(&self, client: &reqwest::Client) -> Exit {
        let mut before = Counted::new();
        loop {
            match self.ask(client).await {
                Ok(status) => {
                    print(&format!("{CLEAR}{}", Screen { status: &status, before: &before }));
                    before = status.counted();
                }
                Err(error) => print(&format!("{CLEAR}{error}\n")),
            }
            tokio::time::sleep(self.every.get().max(Duration::from_millis(100))).await;
        }
    }

    async fn ask(&self, client: &reqwest::Client) -> Result<Status, String> {
        let url = self.url.join("/status").map_err(|_| format!("{} is no address", self.url))?;
        let nobody = |_| {
            format!(
                "nobody answers at {url}: give the address of a worker whose file has `http: {{ \
                 listen: … }}`"
            )
        };
        let answer = client.get(url.clone()).send().await.map_err(nobody)?;
        let no_worker = |_| format!("what answers at {url} is no worker of mailbridge");
        answer.error_for_status().map_err(no_worker)?.json().await.map_err(no_worker)
    }
}

fn failed(what: &str) -> Exit {
    eprintln!("{what}");
    Exit::Failed
}

fn print(text: &str) {
    // whoever closed the terminal does not want to know
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

impl Status {
    fn counted(&self) -> Counted {
        let now = Instant::now();
        let of = |pipeline: &Pipeline| {
            let name = pipeline.name.clone();
            let all = pipeline.workers.iter();
            all.map(|it| ((name.clone(), it.name.clone()), (it.published, now))).collect::<Vec<_>>()
        };
        self.pipelines.iter().flat_map(of).collect()
    }
}

/// One look at a pool.
struct Screen<'a> {
    status: &'a Status,
    before: &'a Counted,
}

impl fmt::Display for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status.pipelines.is_empty() {
            return writeln!(f, "this worker has no pipeline of events; see /readyz and /metrics");
        }
        for pipeline in &self.status.pipelines {
            self.pipeline(pipeline, f)?;
        }
        Ok(())
    }
}

impl Screen<'_> {
    fn pipeline(&self, pipeline: &Pipeline, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pipeline { name, state, counts, workers, published, .. } = pipeline;
        writeln!(f, "{name}  {state}  {} workers", workers.len().max(1))?;
        writeln!(
            f,
            "  {:<28} {:>6} {:>9} {:>11} {:>9} {:>6} {:>7} {:>9} {:>8}",
            "WORKER",
            "SLICES",
            "MAILBOXES",
            "CATCHING UP",
            "THROTTLED",
            "PARKED",
            "FAILING",
            "PUBLISHED",
            "EVENTS/S"
        )?;
        let mut rows: Vec<_> = workers.iter().collect();
        rows.sort_by(|one, other| one.place.cmp(&other.place));
        for worker in rows {
            let key = (name.clone(), worker.name.clone());
            let rate = self.before.get(&key).map(|(count, at)| {
                #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
                let events = worker.published.saturating_sub(*count) as f64;
                events / at.elapsed().as_secs_f64().max(0.001)
            });
            let slices = worker.slices.to_string();
            row(f, (&worker.place, &slices), &worker.mailboxes, worker.published, rate)?;
        }
        if workers.is_empty() {
            row(f, ("(this one)", "all"), counts, *published, None)?;
        }
        pipeline.troubled(f)
    }
}

impl Pipeline {
    /// The mailboxes of the worker that was asked which are in trouble, or farthest behind.
    fn troubled(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let well = |it: &&Mailbox| it.state != "steady" && it.state != "waiting";
        let mut all: Vec<_> = self.mailboxes.iter().filter(well).collect();
        all.sort_by_key(|it| std::cmp::Reverse(it.lag_seconds));
        if all.is_empty() {
            return writeln!(f);
        }
        writeln!(
            f,
            "\n  {:<40} {:<12} {:>8}  CODE",
            "MAILBOX, OF THE WORKER ASKED", "STATE", "LAG"
        )?;
        for it in all.iter().take(TROUBLED) {
            let lag = it.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag}s"));
            let code = it.error.as_ref().map_or("", |error| error.code.as_str());
            writeln!(f, "  {:<40} {:<12} {lag:>8}  {code}", it.address, it.state)?;
        }
        if all.len() > TROUBLED {
            writeln!(f, "  … and {} more", all.len() - TROUBLED)?;
        }
        writeln!(f)
    }
}

fn row(
    f: &mut fmt::Formatter<'_>,
    (worker, slices): (&str, &str),
    counts: &BTreeMap<String, u64>,
    published: u64,
    rate: Option<f64>,
) -> fmt::Result {
    let of = |state: &str| counts.get(state).copied().unwrap_or_default();
    let all: u64 = counts.values().sum();
    let mut rated = String::new();
    match rate {
        Some(rate) => write!(rated, "{rate:.0}")?,
        None => rated.push('-'),
    }
    let [catching_up, throttled, parked, failing] =
        ["catching_up", "throttled", "parked", "failing"].map(of);
    writeln!(
        f,
        "  {worker:<28} {slices:>6} {all:>9} {catching_up:>11} {throttled:>9} {parked:>6} \
         {failing:>7} {published:>9} {rated:>8}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_and_its_troubles_are_on_one_screen() {
        let status = serde_json::json!({ "pipelines": [{
            "pipeline": "support", "state": "ready", "published": 7, "read": 9,
            "counts": { "steady": 2, "throttled": 1 }, "left_off": 0,
            "mailboxes": [
                { "mailbox": "a@x.org", "state": "steady", "lag_seconds": 1 },
                { "mailbox": "b@x.org", "state": "throttled", "lag_seconds": 90,
                  "error": { "code": "graph_throttled", "reason": "", "cure": "", "since": "" } },
            ],
            "workers": [
                { "name": "2", "worker": "two/1", "since": "", "slices": 128, "published": 5,
                  "mailboxes": { "steady": 3 } },
                { "name": "1", "worker": "one/1", "since": "", "slices": 128, "published": 7,
                  "mailboxes": { "steady": 2, "throttled": 1 } },
            ],
        }] });
        let status: Status = serde_json::from_value(status).unwrap();
        let before = Counted::new();
        let screen = Screen { status: &status, before: &before }.to_string();
        insta::assert_snapshot!(screen);
    }
}
