//! Ending: the outcome, the dead letter, and what is left to the worker's memory.

use jiff::Timestamp;
use mailbridge_core::{
    Completion, Error, Result,
    contract::{DeadLetter, Outcome, OutcomeData, Status},
};

use super::{
    line::{End, Job, Line},
    request::{self, Admitted},
};
use crate::{
    backoff,
    invariant::{DeadLettered, Published},
    memory::{Ended, Known},
    metric,
};

impl Line {
    /// The mail is out: says so.
    pub(super) async fn complete(
        &self,
        job: &Job<'_>,
        memory: Known,
        completion: &Completion,
        admitted: Option<&Admitted>,
    ) -> End {
        let mut data = self.outcome(job, Status::Accepted, memory.tally.attempts + 1);
        data.mailbox = admitted.map(|admitted| admitted.mailbox.clone());
        if let Completion::Sent { internet_message_id, .. } = completion {
            data.internet_message_id.clone_from(internet_message_id);
        }
        let published = self.publish_outcome(job, data).await;
        // The mail is out, whatever becomes of its outcome.
        memory.ended(Ended::Completed(completion.clone()));
        match published {
            Ok(published) => End::Completed(published),
            Err(error) => self.not_published(job, &error),
        }
    }

    /// It will not be tried again: keeps the original, and says so.
    pub(super) async fn give_up(
        &self,
        job: &Job<'_>,
        memory: Known,
        status: Status,
        admitted: Option<&Admitted>,
        error: &Error,
    ) -> End {
        let mut data =
            self.outcome(job, status, memory.tally.attempts + u32::from(admitted.is_some()));
        data.mailbox = admitted.map(|admitted| admitted.mailbox.clone());
        match self.dead_letter(job, data.because(error)).await {
            Ok(dead_lettered) => {
                memory.ended(Ended::DeadLettered);
                End::Rejected(dead_lettered)
            }
            Err(error) => {
                match status {
                    // The attempt that ended it may have happened a moment ago.
                    Status::Unknown => memory.doubtful(),
                    Status::Accepted | Status::Rejected | Status::Bounced => memory.harmless(false),
                }
                self.not_published(job, &error)
            }
        }
    }

    async fn dead_letter(&self, job: &Job<'_>, data: OutcomeData) -> Result<DeadLettered> {
        let letter = DeadLetter {
            original: job.message,
            outcome: &data,
            mark: &job.known.mark,
            time: Timestamp::now(),
        };
        self.ports.dead_letters.publish(letter.to_message()).await?;
        let Published(()) = self.publish_outcome(job, data).await?;
        Ok(DeadLettered(()))
    }

    async fn publish_outcome(&self, job: &Job<'_>, data: OutcomeData) -> Result<Published> {
        let request::Known { mark, traceparent, .. } = &job.known;
        let outcome = Outcome::of(data, mark, traceparent.clone(), Timestamp::now());
        if let Some(outcomes) = &self.ports.outcomes {
            outcomes.publish(outcome.to_message()?).await?;
        }
        let data = &outcome.data;
        metrics::counter!(
            metric::OUTCOMES,
            "pipeline" => self.pipeline.clone(),
            "status" => data.status.as_str(),
            "code" => data.code.clone().unwrap_or_default(),
        )
        .increment(1);
        if let Some(observer) = &self.ports.observer {
            observer.outcome(data, job.started.elapsed());
        }
        Ok(Published(()))
    }

    fn outcome(&self, job: &Job<'_>, status: Status, attempts: u32) -> OutcomeData {
        let guarantee = self.settings.guarantee;
        let mut data =
            OutcomeData::new(status, &self.pipeline, guarantee, &job.known.key, job.position);
        data.attempts = attempts;
        data
    }

    fn not_published(&self, job: &Job<'_>, error: &Error) -> End {
        let (pipeline, position, code) = (&self.pipeline, job.position, error.code());
        let cure = code.cure();
        tracing::warn!(%pipeline, %position, %code, %error, cure, "not published; it comes back");
        let policy = &self.settings.policy;
        End::Again(backoff::pause(1, policy.backoff_min, policy.backoff_max))
    }
}
