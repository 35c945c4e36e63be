//! Mailboxes where nothing happens: what they cost in memory, and whether they are asked evenly.

use std::time::{Duration, Instant};

use super::{
    Options, World, real,
    world::{Plan, mailboxes},
};
use crate::Failure;

const EVERY: Duration = Duration::from_secs(30);
/// How long requests are counted, second by second.
const SECONDS: usize = 60;

pub async fn measure(options: &Options) -> Result<String, Failure> {
    let mut world = World::new(&[]).await?;
    let pipeline = format!("pipelines:\n  bench:\n    events:\n      every: {}s", EVERY.as_secs());
    let plan = Plan { mailboxes: mailboxes("idle", options.idle), pipeline };
    let before = world.requests().await?;
    let run = world.start(&plan).await?;
    let idle = options.idle as u64;
    while world.requests().await? - before < idle {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // the second round, which is like all later ones
    tokio::time::sleep(EVERY).await;
    let mut rates = Vec::with_capacity(SECONDS);
    let (mut last, mut at) = (world.requests().await?, Instant::now());
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.tick().await;
    let (mut resident, mut processor) = (0, run.processor()?);
    for _ in 0..SECONDS {
        tick.tick().await;
        let (count, now) = (world.requests().await?, Instant::now());
        rates.push(real(count - last) / (now - at).as_secs_f64());
        (last, at) = (count, now);
        resident = run.kib("VmRSS")?.max(resident);
    }
    processor = run.processor()?.saturating_sub(processor);
    let most = run.kib("VmHWM")?;
    world.end(run).await?;
    let (mean, spread) = spread(&rates);
    let (low, high) =
        rates.iter().fold((f64::MAX, 0_f64), |(low, high), rate| (low.min(*rate), high.max(*rate)));
    Ok(format!(
        "{idle} idle mailboxes, each looked at every {} s: resident {:.1} MiB ({:.1} MiB at most, the \
         start included); {mean:.0} requests a second, from {low:.0} to {high:.0} in any one of {SECONDS} \
         seconds, coefficient of variation {spread:.3} (chance alone: {:.3}); {:.0} % of a core.\n",
        EVERY.as_secs(),
        real(resident) / 1024.0,
        real(most) / 1024.0,
        1.0 / mean.sqrt(),
        processor.as_secs_f64() / real(SECONDS as u64) * 100.0,
    ))
}

/// Mean, and standard deviation by mean.
fn spread(rates: &[f64]) -> (f64, f64) {
    let count = real(rates.len() as u64);
    let mean = rates.iter().sum::<f64>() / count;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt() / mean)
}
