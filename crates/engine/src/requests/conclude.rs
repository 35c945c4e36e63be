//! Ending: the dead letter, the outcome, and what is left to the worker's memory. How a request
//! ends is noted before anything of it is published, and is not decided again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mailbridge_core::{
    Code, Completion, Error, Result, Verdict,
    contract::{DeadLetter, Outcome, OutcomeData, Status},
};

use super::{
    line::{End, Job, Line},
    request::{self, Admitted},
};
use crate::{
    backoff,
    invariant::{DeadLettered, Published},
    memory::{Durable, Ended, GivenUp, Known},
    metric,
    settings::Policy,
};

/// How long after the end of an outage an outcome is published, at the latest.
const AFTER_OUTAGE: Duration = Duration::from_secs(10);

impl Line {
    /// The mail is out: says so.
    pub(super) async fn complete(
        &self,
        job: &Job<'_>,
        mut memory: Known,
        completion: &Completion,
        admitted: Option<&Admitted>,
    ) -> End {
        let mut data = self.outcome(job, Status::Accepted, memory.tally.attempts + 1);
        data.mailbox = admitted.map(|admitted| admitted.mailbox.clone());
        if let Completion::Sent { internet_message_id, .. } = completion {
            data.internet_message_id.clone_from(internet_message_id);
        }
        job.scope.succeeded();
        // The mail is out, whatever becomes of its outcome.
        memory.ended(Ended::Completed(completion.clone()));
        job.slot.conclude().await;
        match self.publish_outcome(job, data).await {
            Ok(published) => End::Completed(published),
            Err(error) => self.not_published(job, memory, &error),
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
        let attempts = memory.tally.attempts + u32::from(admitted.is_some());
        let mut data = self.outcome(job, status, attempts);
        data.mailbox = admitted.map(|admitted| admitted.mailbox.clone());
        let outcome = Arc::new(data.because(error));
        job.scope.failed(error);
        self.publish_end(job, memory, GivenUp { outcome, durable: Durable::Nothing }).await
    }

    /// It was given up: publishes what of that is not durable yet.
    pub(super) async fn publish_end(
        &self,
        job: &Job<'_>,
        mut memory: Known,
        given_up: GivenUp,
    ) -> End {
        match self.publish_given_up(job, &mut memory, given_up).await {
            Ok(dead_lettered) => End::Rejected(dead_lettered),
            Err(error) => self.not_published(job, memory, &error),
        }
    }

    async fn publish_given_up(
        &self,
        job: &Job<'_>,
        memory: &mut Known,
        mut given_up: GivenUp,
    ) -> Result<DeadLettered> {
        memory.ended(Ended::GivenUp(given_up.clone()));
        job.slot.conclude().await;
        if given_up.durable < Durable::DeadLetter {
            self.publish_dead_letter(job, &given_up.outcome).await?;
            given_up.durable = Durable::DeadLetter;
            memory.ended(Ended::GivenUp(given_up.clone()));
        }
        if given_up.durable < Durable::All {
            let outcome = OutcomeData::clone(&given_up.outcome);
            let Published(()) = self.publish_outcome(job, outcome).await?;
            given_up.durable = Durable::All;
            memory.ended(Ended::GivenUp(given_up));
        }
        Ok(DeadLettered(()))
    }

    async fn publish_dead_letter(&self, job: &Job<'_>, outcome: &OutcomeData) -> Result<()> {
        let time = Timestamp::now();
        let letter = DeadLetter { original: job.message, outcome, mark: &job.known.mark, time };
        let error = match self.ports.dead_letters.publish(letter.to_message()).await {
            Err(error) if error.code() == Code::BusPayloadTooLarge => error,
            published => return published,
        };
        // Without its end the request would come back for ever, and never end otherwise.
        self.ports.dead_letters.publish(letter.to_message_without_payload(&error)).await?;
        let (pipeline, position, code) = (&self.pipeline, job.position, error.code());
        let (payload_bytes, cure) = (job.message.payload.len(), code.cure());
        tracing::warn!(%pipeline, %position, %code, %error, payload_bytes, cure,
            "the dead letter is stored without its payload, which its bus does not take");
        Ok(())
    }

    async fn publish_outcome(&self, job: &Job<'_>, data: OutcomeData) -> Result<Published> {
        let request::Known { mark, traceparent, .. } = &job.known;
        let traceparent = traceparent.clone().or_else(|| job.scope.traceparent());
        let outcome = Outcome::of(data, mark, traceparent, Timestamp::now());
        if let Some(outcomes) = &self.ports.outcomes {
            outcomes.publish(outcome.to_message()?).await?;
        }
        let data = &outcome.data;
        job.scope.note(|| [("mailbridge.status", data.status.as_str().into())]);
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
        data.dry_run = self.settings.dry_run;
        data
    }

    /// It comes back, and only the publishing is tried again. What the bus will never take as it is
    /// comes ever more seldom, until somebody gives it room; an outage is over for all at once, so
    /// nothing waits long after it.
    fn not_published(&self, job: &Job<'_>, memory: Known, error: &Error) -> End {
        let (pipeline, position, code) = (&self.pipeline, job.position, error.code());
        let (cure, times) = (code.cure(), memory.unpublished());
        let Policy { backoff_min, backoff_max, .. } = self.settings.policy;
        let outage = error.verdict() != Verdict::Permanent;
        let longest = if outage { backoff_max.min(AFTER_OUTAGE) } else { backoff_max };
        let pause = backoff::pause(times, backoff_min, longest.max(backoff_min));
        if outage && times > 1 {
            tracing::debug!(%pipeline, %position, %code, %error, times, "still not published");
        } else {
            tracing::warn!(%pipeline, %position, %code, %error, cure,
                "not published; it comes back");
        }
        End::Again(pause)
    }
}
