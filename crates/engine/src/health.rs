//! What each pipeline can say of itself, for `/readyz` and for people.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use mailbridge_core::{Code, Error};

/// The state of all pipelines of a program. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, PipelineHealth>>>);

/// One pipeline's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineHealth {
    /// The pipeline's name.
    pub pipeline: String,
    /// How it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

/// How a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet proven: the bus is being reached, the first token fetched.
    Starting,
    /// Taking messages.
    Ready,
    /// The stream is held: the connection to mail is blocked, nothing is taken, nothing is lost.
    Held {
        /// Why; its page has the cure.
        code: Code,
        /// The same in a sentence, with the other side's own codes.
        reason: String,
    },
    /// A bus cannot be read, or not be published to; it is tried again.
    Disconnected {
        /// Why.
        code: Code,
        /// The same in a sentence. Names the output, where it is one.
        reason: String,
    },
    /// Stopping: what is in flight is being finished.
    Draining,
    /// The input has ended, or the pipeline has stopped.
    Done,
}

impl State {
    /// Whether a pipeline in this state does its work.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready | Self::Done)
    }

    /// A word for metrics and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Held { .. } => "held",
            Self::Disconnected { .. } => "disconnected",
            Self::Draining => "draining",
            Self::Done => "done",
        }
    }
}

impl Health {
    /// Knows of no pipeline yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pipeline, as starting.
    pub fn register(&self, pipeline: &str) -> Reporter {
        let facts = Arc::default();
        let reporter = Reporter { health: self.clone(), pipeline: pipeline.to_owned(), facts };
        reporter.note(|_| {});
        reporter
    }

    /// Forgets a pipeline that is run no more.
    pub fn forget(&self, pipeline: &str) {
        let mut pipelines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.remove(pipeline);
    }

    /// All pipelines, by name.
    pub fn snapshot(&self) -> Vec<PipelineHealth> {
        let pipelines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.values().cloned().collect()
    }
}

/// What a pipeline publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The outcomes.
    Outcomes,
    /// The dead letters.
    DeadLetters,
    /// Events about mails.
    Events,
}

/// As the configuration has it.
impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outcomes => "outcomes",
            Self::DeadLetters => "dead_letters",
            Self::Events => "to",
        })
    }
}

/// One pipeline's pen. It notes facts; the state follows from them.
#[derive(Clone)]
pub struct Reporter {
    health: Health,
    pipeline: String,
    facts: Arc<Mutex<Facts>>,
}

#[derive(Default)]
struct Facts {
    /// What is known of the connection to mail, once something is.
    mail: Option<Result<(), Error>>,
    /// What is known of the bus, once something is.
    bus: Option<Result<(), Error>>,
    /// What is known of each output, once something is.
    outputs: BTreeMap<Side, Option<Result<(), Error>>>,
    draining: bool,
    done: bool,
}

impl Facts {
    fn state(&self) -> State {
        let parts = |error: &Error| (error.code(), error.to_string());
        if self.done {
            return State::Done;
        }
        if self.draining {
            return State::Draining;
        }
        if let Some(Err(error)) = &self.mail {
            let (code, reason) = parts(error);
            return State::Held { code, reason };
        }
        if let Some(Err(error)) = &self.bus {
            let (code, reason) = parts(error);
            return State::Disconnected { code, reason };
        }
        let unpublishable = self.outputs.iter().find_map(|(side, known)| match known {
            Some(Err(error)) => Some((side, error)),
            Some(Ok(())) | None => None,
        });
        if let Some((side, error)) = unpublishable {
            let reason = format!("{side} cannot be published: {error}");
            return State::Disconnected { code: error.code(), reason };
        }
        let outputs = self.outputs.values().all(Option::is_some);
        if self.mail.is_some() && self.bus.is_some() && outputs {
            State::Ready
        } else {
            State::Starting
        }
    }
}

impl Reporter {
    /// Notes whether mail lets us in.
    pub(crate) fn mail(&self, known: Result<(), Error>) {
        self.note(|facts| facts.mail = Some(known));
    }

    /// Notes whether the bus can be read.
    pub(crate) fn bus(&self, known: Result<(), Error>) {
        self.note(|facts| facts.bus = Some(known));
    }

    /// Notes that there is an output, of which nothing is known yet.
    pub(crate) fn unproven(&self, output: Side) {
        self.note(|facts| drop(facts.outputs.insert(output, None)));
    }

    /// Notes whether an output can be published to.
    pub(crate) fn output(&self, output: Side, known: Result<(), Error>) {
        self.note(|facts| drop(facts.outputs.insert(output, Some(known))));
    }

    /// Notes that the pipeline is stopping.
    pub(crate) fn draining(&self) {
        self.note(|facts| facts.draining = true);
    }

    /// Notes that the pipeline has stopped.
    pub(crate) fn done(&self) {
        self.note(|facts| facts.done = true);
    }

    /// The same state again keeps its `since`.
    fn note(&self, change: impl FnOnce(&mut Facts)) {
        let state = {
            let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut facts);
            facts.state()
        };
        let mut pipelines = self.health.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match pipelines.get(&self.pipeline) {
            Some(known) if known.state.as_str() == state.as_str() => known.since,
            _ => Timestamp::now(),
        };
        let pipeline = self.pipeline.clone();
        pipelines.insert(pipeline.clone(), PipelineHealth { pipeline, state, since });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(health: &Health) -> &'static str {
        health.snapshot()[0].state.as_str()
    }

    #[test]
    fn ready_needs_every_side_and_the_mail_side_is_named_first() {
        let health = Health::new();
        let reporter = health.register("p");
        let failed = || Err(Error::transient(Code::BusLost, "gone"));
        assert_eq!(state(&health), "starting");
        reporter.mail(Ok(()));
        assert_eq!(state(&health), "starting");
        reporter.bus(Ok(()));
        assert_eq!(state(&health), "ready");
        reporter.bus(failed());
        assert_eq!(state(&health), "disconnected");
        reporter.mail(failed());
        assert_eq!(state(&health), "held");
        reporter.mail(Ok(()));
        assert_eq!(state(&health), "disconnected");
        reporter.bus(Ok(()));
        reporter.unproven(Side::DeadLetters);
        assert_eq!(state(&health), "starting");
        reporter.output(Side::DeadLetters, failed());
        let State::Disconnected { code: Code::BusLost, reason } = &health.snapshot()[0].state
        else {
            panic!("{:?}", health.snapshot());
        };
        assert_eq!(reason, "dead_letters cannot be published: gone");
        reporter.output(Side::DeadLetters, Ok(()));
        assert_eq!(state(&health), "ready");
        reporter.draining();
        assert_eq!(state(&health), "draining");
        reporter.done();
        assert!(health.snapshot()[0].state.is_ready());
    }
}
