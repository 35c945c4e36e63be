//! Running pipelines until their inputs end or somebody asks to stop.

pub mod latency;
pub mod notify;
pub mod report;
pub mod signals;
pub mod wiring;

use mailbridge_engine::Requests;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use signals::Signals;

/// Runs all pipelines. The first signal stops them softly: nothing new is taken, what is in flight
/// is finished. The second one ends at once.
pub async fn until_done(pipelines: Vec<Requests>, mut signals: Signals) -> Exit {
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for pipeline in pipelines {
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
