//! `cargo xtask bench NAME`: measures mailbridge against floors, in one run, on one machine.
//!
//! A figure is a ratio to a floor that did the same work in the same run against the same servers:
//! absolute numbers are shown, and say more of the machine than of the program. Not a test: nothing
//! here passes or fails by the clock.

mod blocked;
mod budgets;
mod floor;
mod inbound;
mod kafka;
mod large;
mod leases;
mod peers;
mod pool;
mod report;
mod rig;
mod send;
mod storm;

use std::process::ExitCode;

use floor::{Graph, Mode, Work};

/// Whatever went wrong, in its own words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "\
usage: cargo xtask bench send [options]

  --requests N      requests in each run (20000)
  --mailboxes N     mailboxes they go to (500)
  --concurrency N   sends at once, for every contender (64)
  --rounds N        runs of each contender, of which the median counts (3)
  --long N          requests of the memory run (100000)
  --write           put the result into docs/benchmarks.md

       cargo xtask bench inbound [options]

  --messages N      mails of the backfill (100000)
  --mailboxes N     mailboxes they are in (50)
  --rounds N        runs of each contender, of which the median counts (3)
  --long N          mails of the memory run's larger mailbox (100000)
  --idle N          idle mailboxes (10000)
  --mails N         mails that arrive while Graph calls (3000)
  --only PART       backfill, memory, idle or wake
  --write           put the result into docs/benchmarks.md

       cargo xtask bench budgets [options]

  --requests N      mails (10000)
  --mailboxes N     mailboxes they are from, the n-th one's share as 1/n (200)
  --scale N         how many times faster than in Graph the budgets come back (60)
  --rounds N        runs, of which the median counts (3)
  --write           put the result into docs/benchmarks.md

       cargo xtask bench kafka [options]        (wants `cargo xtask services`)

  --requests N      requests in each run (20000)
  --mailboxes N     mailboxes they go to (500)
  --messages N      mails of the backfill, in 50 mailboxes (30000)
  --rounds N        runs of each contender, of which the median counts (3)
  --only PART       requests, events or rebalance
  --write           put the result into docs/benchmarks.md

       cargo xtask bench blocked [options]      (wants `cargo xtask services`; eleven minutes)

  --others N        requests behind those of a throttled mailbox (100000)
  --seconds N       how long it is throttled (600)
  --write           put the result into docs/benchmarks.md

       cargo xtask bench peers [options]        (wants go, python3 and `cargo xtask services`)

  --requests N      requests in each run in which nothing goes wrong (20000)
  --faulty N        requests in each run in which something does (1500)
  --rounds N        runs in which nothing goes wrong, of which the median counts (3)
  --seconds N       how long a mailbox is throttled, and a secret expired (60)
  --only PART       nats, kafka, faults, throttled or secret
  --write           put the result into docs/benchmarks.md and docs/benchmarks/

       cargo xtask bench pool [options]

  --requests N      requests in each run (10000)
  --workers N       workers at most, of 1, 2, 4 and 8 (8)
  --told            each worker is told its part of a mailbox's slots
  --apart           each worker has mailboxes of its own, by the stream's partitions
  --write           put the result into docs/benchmarks.md

       cargo xtask bench pool-storm [options]  (eight workers, ten minutes)

  --only PART       storm or rolling
  --seconds N       how long the storm lasts (600)
  --write           put the result into docs/benchmarks.md

       cargo xtask bench leases [--write]       (virtual time: seconds on any machine)

       cargo xtask bench large [options]

  --at-once N       sends of 150 MB at once (20)
  --rounds N        runs of one send, of which the median counts (9)
  --write           put the result into docs/benchmarks.md";

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some("budgets") => budgets::run(&args[1..]).await,
        Some("send") => send::run(&args[1..]).await,
        Some("inbound") => inbound::run(&args[1..]).await,
        Some("blocked") => blocked::run(&args[1..]).await,
        Some("kafka") => kafka::run(&args[1..]).await,
        Some("peers") => peers::run(&args[1..]).await,
        Some("pool") => pool::run(&args[1..]).await,
        Some("pool-storm") => storm::run(&args[1..]).await,
        Some("large") => large::run(&args[1..]).await,
        // in time of its own, on a thread of its own
        Some("leases") => tokio::task::spawn_blocking(move || leases::run(&args[1..]))
            .await
            .unwrap_or_else(|error| Err(error.into())),
        Some("worker") => worker(&args[1..]).await,
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Floor (b) as a process of its own, as mailbridge is.
async fn worker(args: &[String]) -> Result<(), Failure> {
    let [nats, graph, token, stream, outcome, mode, concurrency] = args else {
        return Err("worker NATS GRAPH TOKEN STREAM OUTCOME MODE CONCURRENCY".into());
    };
    let work = Work {
        nats: nats.clone(),
        stream: stream.clone(),
        outcome: outcome.clone(),
        mode: Mode::parse(mode)?,
        concurrency: concurrency.parse()?,
    };
    floor::worker(Graph::new(graph, token)?, work).await
}
