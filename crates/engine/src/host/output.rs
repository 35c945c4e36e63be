//! An output's host: many publish at once, and nobody waits for long.
//!
//! Those who publish while an output is built wait for that one build. After a build that failed,
//! or a second failure in a row, whoever comes before the next try is due has the last error at
//! once. Each failure and each recovery is told to the pipeline's health; an output that nobody
//! publishes to is tried every now and then, so that what is told is true also of those.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use mailbridge_core::{Commit, Error, Message, Output, Put, Result, Verdict, plugin::Build};
use tokio::time::Instant;

use super::pause;
use crate::{
    health::{Reporter, Side},
    spans,
};

/// How often an output is tried that nobody publishes to.
const CHECK: Duration = Duration::from_secs(15);
/// Who failed to publish is back well within this time. Until then the word of a build, which has
/// published nothing, is not enough for a recovery.
const BACK_WITHIN: Duration = Duration::from_mins(1);

/// An output that is rebuilt when it fails.
pub struct OutputHost {
    side: Side,
    pipeline: String,
    build: Arc<dyn Build<dyn Output>>,
    health: Reporter,
    slot: Mutex<Slot>,
}

type Building = Shared<BoxFuture<'static, Result<Arc<dyn Output>>>>;

struct Slot {
    state: State,
    /// In a row.
    failures: u32,
    /// When a message could not be published, if none was since.
    unpublished_at: Option<Instant>,
    /// What health was told last, if anything.
    well: Option<bool>,
}

enum State {
    Empty,
    Building(Building),
    Built(Arc<dyn Output>),
    /// Not tried again before this time.
    Failed(Error, Instant),
}

impl OutputHost {
    /// A host that has built nothing yet. `side` names it to whoever asks how the pipeline is.
    pub fn new(
        side: Side,
        pipeline: &str,
        build: Arc<dyn Build<dyn Output>>,
        health: Reporter,
    ) -> Self {
        health.unproven(side);
        let slot = Slot { state: State::Empty, failures: 0, unpublished_at: None, well: None };
        Self { side, pipeline: pipeline.to_owned(), build, health, slot: Mutex::new(slot) }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes a message; an error leaves it to the caller to come again.
    pub async fn publish(&self, mut message: Message) -> Result<()> {
        let scope = spans::publishing(&self.pipeline, self.side, &mut message);
        let published = async {
            let output = self.output().await?;
            let published = output.publish(message).await;
            self.noted(&output, published)
        };
        published.await.inspect_err(|error| scope.failed(error))
    }

    /// A message that is to be committed, with its span, which ends here: when that is, others decide.
    pub fn traced(&self, mut message: Message) -> Message {
        drop(spans::publishing(&self.pipeline, self.side, &mut message));
        message
    }

    /// Commits; see [`Output::commit`].
    pub async fn commit(&self, commit: Commit<'_>) -> Result<Put> {
        let output = self.output().await?;
        let committed = output.commit(commit).await;
        self.noted(&output, committed)
    }

    /// What a call came to, for those who call next.
    fn noted<T>(&self, output: &Arc<dyn Output>, published: Result<T>) -> Result<T> {
        let mut slot = self.slot();
        match &published {
            // What became of another instance meanwhile is told by those who use that.
            _ if !slot.holds(output) => {}
            Ok(_) => self.recovered(&mut slot),
            // The message is at fault, which says nothing of the output.
            Err(error) if error.verdict() == Verdict::Permanent => {}
            Err(error) => {
                slot.unpublished_at = Some(Instant::now());
                self.failed(&mut slot, error);
            }
        }
        drop(slot);
        published
    }

    /// The output as it stands, or the one that is being built.
    async fn output(&self) -> Result<Arc<dyn Output>> {
        let building = {
            let mut slot = self.slot();
            match &slot.state {
                State::Built(output) => return Ok(Arc::clone(output)),
                State::Failed(error, until) if *until > Instant::now() => return Err(error.clone()),
                State::Building(building) => building.clone(),
                State::Empty | State::Failed(..) => {
                    let build = Arc::clone(&self.build);
                    let building = async move { build.build().await.map(Arc::from) };
                    let building = building.boxed().shared();
                    slot.state = State::Building(building.clone());
                    building
                }
            }
        };
        let built = building.clone().await;
        let mut slot = self.slot();
        // Of all who waited for it, the first one notes it.
        if matches!(&slot.state, State::Building(current) if current.ptr_eq(&building)) {
            match &built {
                Ok(output) => slot.state = State::Built(Arc::clone(output)),
                Err(error) => self.failed(&mut slot, error),
            }
        }
        drop(slot);
        built
    }

    /// Tries the output every now and then. Never ends.
    pub async fn watch(&self) {
        loop {
            let next = self.check().await;
            tokio::time::sleep_until(next).await;
        }
    }

    /// Builds the output, or another one beside it, and says when to do so again.
    async fn check(&self) -> Instant {
        let stands = matches!(self.slot().state, State::Built(_));
        let checked =
            if stands { self.build.build().await.map(drop) } else { self.output().await.map(drop) };
        let mut slot = self.slot();
        match checked {
            Ok(()) if slot.unpublished_at.is_none_or(|at| at.elapsed() > BACK_WITHIN) => {
                self.recovered(&mut slot);
            }
            // The one that stands may still do; who publishes will see.
            Err(error) if stands => self.tell(&mut slot, Err(&error)),
            Ok(()) | Err(_) => {}
        }
        match &slot.state {
            State::Failed(_, until) => *until,
            State::Empty | State::Building(_) | State::Built(_) => Instant::now() + CHECK,
        }
    }

    /// The instance is done with. Another one is built at once, unless that is what has failed.
    fn failed(&self, slot: &mut Slot, error: &Error) {
        slot.failures += 1;
        slot.state = match slot.state {
            State::Built(_) if slot.failures == 1 => State::Empty,
            _ => State::Failed(error.clone(), Instant::now() + pause(slot.failures)),
        };
        self.tell(slot, Err(error));
    }

    fn recovered(&self, slot: &mut Slot) {
        slot.failures = 0;
        slot.unpublished_at = None;
        self.tell(slot, Ok(()));
    }

    /// Tells health, and the log when it has changed.
    fn tell(&self, slot: &mut Slot, known: Result<(), &Error>) {
        let (pipeline, output) = (&self.pipeline, self.side);
        let before = slot.well.replace(known.is_ok());
        match known {
            Ok(()) if before == Some(true) => return,
            Ok(()) if before == Some(false) => {
                tracing::info!(%pipeline, %output, "can be published to again");
            }
            Ok(()) => {}
            Err(error) => {
                let (code, failures) = (error.code(), slot.failures);
                if before == Some(false) {
                    tracing::debug!(%pipeline, %output, %code, %error, failures, "failed again");
                } else {
                    let cure = code.cure();
                    tracing::error!(%pipeline, %output, %code, %error, cure,
                        "cannot be published to; it is built anew");
                }
            }
        }
        self.health.output(self.side, known.map_err(Error::clone));
    }
}

impl Slot {
    fn holds(&self, output: &Arc<dyn Output>) -> bool {
        matches!(&self.state, State::Built(current) if Arc::ptr_eq(current, output))
    }
}

#[cfg(test)]
mod tests;
