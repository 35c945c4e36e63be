//! Running pipelines until their inputs end or somebody asks to stop.

pub mod latency;
pub mod notify;
mod place;
pub mod progress;
pub mod report;
pub mod signals;
pub mod told;
pub mod wiring;

use mailbridge_engine::{Requests, events::Events};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use signals::Signals;

/// Pipelines that are ready to run.
#[derive(Default)]
pub struct Ready {
    /// Those of requests.
    pub requests: Vec<Requests>,
    /// Those of events.
    pub events: Vec<Events>,
}

impl Ready {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.requests.len() + self.events.len()
    }
}

/// Runs all pipelines. The first signal stops them softly: nothing new is taken, what is in flight
/// is finished. The second one ends at once.
pub async fn until_done(ready: Ready, mut signals: Signals) -> Exit {
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for pipeline in ready.requests {
        running.spawn(pipeline.run(stop.clone()));
    }
    for pipeline in ready.events {
        running.spawn(pipeline.run(stop.clone()));
    }
    let mut exit = Exit::Done;
    loop {
        tokio::select! {
            biased;
            asked = signals.next() => {
                if stop.is_cancelled() {
                    let signal = asked.name;
                    tracing::warn!(signal, "ended at once; what was in flight comes back");
                    return Exit::Signal(asked.number);
                }
                tracing::info!(
                    signal = asked.name,
                    "stopping: what is in flight is finished first; a second signal ends at once"
                );
                stop.cancel();
            }
            ended = running.join_next() => match ended {
                None => return exit,
                Some(Ok(Ok(()))) => {}
                // One pipeline that fails stops all: whoever supervises the program starts it anew.
                Some(Ok(Err(error))) => {
                    let (code, cure) = (error.code(), error.code().cure());
                    tracing::error!(%code, %error, cure, "a pipeline failed");
                    exit = Exit::Failed;
                    stop.cancel();
                }
                Some(Err(cause)) => {
                    tracing::error!(%cause, "a pipeline broke off");
                    exit = Exit::Failed;
                    stop.cancel();
                }
            },
        }
    }
}
