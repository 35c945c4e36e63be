//! One delivery's way: decode, perform, publish the outcome, settle.
//!
//! Every step before the last can be repeated; only settling lets the bus forget. Each way out says
//! what the worker's memory is to know of it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use mailbridge_core::{
    Attempt, Completion, Delivery, Disposition, Doubt, Error, Mail, Message, Position, Receipt,
    Result, Scope, Settled,
    contract::{DeadLetter, Outcome, OutcomeData, Status},
};
use tokio::time::Instant;

use super::{
    Observer,
    request::{self, Admitted, admit},
};
use crate::{
    Settings, backoff,
    decide::{Decision, decide},
    hold::Pass,
    host::OutputHost,
    invariant::{DeadLettered, Published},
    keep_alive::keep_alive,
    mailboxes::{Here, Mailboxes, Turn},
    memory::{Ended, Known, Memory, Recall},
    metric,
};

/// What a line leads to.
pub struct Ports {
    pub mail: Arc<dyn Mail>,
    pub outcomes: Option<OutputHost>,
    pub dead_letters: OutputHost,
    pub observer: Option<Arc<dyn Observer>>,
}

/// What all lines of a pipeline share.
pub struct Line {
    pipeline: String,
    settings: Settings,
    ports: Ports,
    memory: Memory,
    mailboxes: Mailboxes,
    received: metrics::Counter,
    in_flight: metrics::Gauge,
    seconds: metrics::Histogram,
}

/// One delivery while it is carried.
struct Job<'a> {
    message: &'a Message,
    position: &'a Position,
    known: request::Known,
    started: Instant,
}

/// How a delivery's work ended, with the evidence that its disposition needs.
enum End {
    Completed(Published),
    Rejected(DeadLettered),
    Again(Duration),
}

impl Line {
    pub fn new(pipeline: String, settings: Settings, ports: Ports) -> Self {
        let labels = [("pipeline", pipeline.clone())];
        Self {
            memory: Memory::new(settings.settle_time),
            mailboxes: Mailboxes::default(),
            received: metrics::counter!(metric::RECEIVED, &labels),
            in_flight: metrics::gauge!(metric::IN_FLIGHT, &labels),
            seconds: metrics::histogram!(metric::SECONDS, &labels),
            pipeline,
            settings,
            ports,
        }
    }

    /// Carries one delivery to its end. A panic on the way leaves the delivery unsettled.
    pub async fn carry(&self, delivery: Delivery, pass: Pass) {
        self.received.increment(1);
        self.in_flight.increment(1.0);
        let position = delivery.position.clone();
        let carried = AssertUnwindSafe(self.carry_delivery(delivery, pass)).catch_unwind().await;
        self.in_flight.decrement(1.0);
        if carried.is_err() {
            tracing::error!(pipeline = %self.pipeline, %position, "a line panicked; its delivery comes back");
        }
    }

    async fn carry_delivery(&self, delivery: Delivery, pass: Pass) {
        let Delivery { message, position, seen_before, mut receipt } = delivery;
        let started = Instant::now();
        let Recall::Go(memory) = self.memory.recall(&position, seen_before) else {
            tracing::debug!(pipeline = %self.pipeline, %position, "in hand already");
            return;
        };
        // Half of what an attempt may take is well within the bus's deadline, which is longer.
        let every = self.settings.deadline / 2;
        // On the heap, so that a line is small to move and to keep.
        let work = Box::pin(self.work(&message, &position, started, memory, pass));
        let end = keep_alive(&mut receipt, every, work).await;
        self.settle(receipt, &position, end, started).await;
    }

    async fn settle(&self, receipt: Receipt, position: &Position, end: End, started: Instant) {
        let disposition = match end {
            End::Completed(Published(())) => Disposition::Done,
            End::Rejected(DeadLettered(())) => Disposition::Rejected,
            End::Again(after) => Disposition::Again { after },
        };
        let pipeline = &self.pipeline;
        match receipt.settle(disposition).await {
            Ok(Settled::Yes) if !matches!(disposition, Disposition::Again { .. }) => {
                self.seconds.record(started.elapsed());
            }
            Ok(Settled::Yes) => {}
            Ok(Settled::Stale) => {
                metrics::counter!(metric::STALE, "pipeline" => pipeline.clone()).increment(1);
                tracing::debug!(%pipeline, %position, "settled too late; it comes back");
            }
            Err(error) => {
                let code = error.code();
                tracing::warn!(%pipeline, %position, %code, %error, "not settled; it comes back");
            }
        }
    }

    async fn work(
        &self,
        message: &Message,
        position: &Position,
        started: Instant,
        memory: Known,
        pass: Pass,
    ) -> End {
        let (known, admitted) = admit(&self.pipeline, &self.settings, message, position);
        let job = Job { message, position, known, started };
        match memory.ended.clone() {
            Some(Ended::Completed(completion)) => {
                return self.complete(&job, memory, &completion, admitted.ok()).await;
            }
            Some(Ended::DeadLettered) => {
                memory.ended(Ended::DeadLettered);
                return End::Rejected(DeadLettered(()));
            }
            None => {}
        }
        match admitted {
            Ok(admitted) => self.perform(&job, admitted, memory, pass).await,
            Err(error) => self.give_up(&job, memory, Status::Rejected, None, &error).await,
        }
    }

    async fn perform(
        &self,
        job: &Job<'_>,
        admitted: Admitted,
        mut memory: Known,
        pass: Pass,
    ) -> End {
        // A young doubt is only looked into, which sends nothing.
        let overdue = request::expired(&admitted.request).filter(|_| memory.doubt != Doubt::Young);
        if let Some(error) = overdue {
            let doubtful = memory.doubt == Doubt::Old;
            let status = if doubtful { Status::Unknown } else { Status::Rejected };
            return self.give_up(job, memory, status, Some(&admitted), &error).await;
        }
        let here = match self.mailboxes.enter(&admitted.mailbox) {
            Turn::Here(here) => here,
            Turn::Back(after) => {
                memory.harmless(false);
                return End::Again(after);
            }
        };
        loop {
            let result = self.attempt(job, &admitted, memory.doubt, &here).await;
            let policy = &self.settings.policy;
            let decision = decide(result.as_ref(), memory.tally, self.settings.guarantee, policy);
            if result.is_ok() {
                pass.open();
            }
            match (decision, result) {
                (Decision::Fresh, _) => memory.cleared(),
                (Decision::Complete, Ok(completion)) => {
                    return self.complete(job, memory, &completion, Some(admitted)).await;
                }
                (decision, result) => {
                    let step = Step { admitted: &admitted, here: &here, pass: &pass };
                    return self.not_done(job, memory, step, decision, result.err()).await;
                }
            }
        }
    }

    /// One attempt, which ends by its deadline whatever `Mail` does.
    async fn attempt(
        &self,
        job: &Job<'_>,
        admitted: &Admitted,
        doubt: Doubt,
        here: &Here,
    ) -> Result<Completion> {
        let begun = Instant::now();
        let attempt = Attempt {
            request: &admitted.request,
            mailbox: &admitted.mailbox,
            mark: &job.known.mark,
            guarantee: self.settings.guarantee,
            doubt,
            deadline: begun + self.settings.deadline,
        };
        // `Mail` ends by the deadline itself; a second more, and it is taken for hung.
        let limit = self.settings.deadline + Duration::from_secs(1);
        let result = tokio::time::timeout(limit, self.ports.mail.perform(attempt)).await;
        here.took(begun.elapsed());
        result.unwrap_or_else(|_| {
            let code = mailbridge_core::Code::GraphTimeout;
            Err(Error::in_doubt(code, "the attempt did not end by its deadline"))
        })
    }

    /// Everything that follows an attempt that did not complete the request.
    async fn not_done(
        &self,
        job: &Job<'_>,
        memory: Known,
        step: Step<'_>,
        decision: Decision,
        error: Option<Error>,
    ) -> End {
        self.log(job, &step, decision, error.as_ref());
        let error = error.unwrap_or_else(|| {
            Error::in_doubt(mailbridge_core::Code::Internal, "an attempt ended without a result")
        });
        let admitted = Some(step.admitted);
        match decision {
            Decision::Reject => self.give_up(job, memory, Status::Rejected, admitted, &error).await,
            Decision::Complete | Decision::Fresh | Decision::GiveUp => {
                self.give_up(job, memory, Status::Unknown, admitted, &error).await
            }
            Decision::Again { after, doubt: true, .. } => {
                memory.doubtful();
                End::Again(after)
            }
            Decision::Again { after, charged: true, .. } => {
                memory.harmless(true);
                End::Again(after)
            }
            Decision::Again { after, .. } => {
                memory.unsettled();
                End::Again(after)
            }
            Decision::Wait { scope, after } => {
                let back = match scope {
                    Scope::Mailbox => step.here.close(after.unwrap_or(MAILBOX_PAUSE)),
                    Scope::Connection => step.pass.close(&error, after),
                };
                memory.harmless(false);
                End::Again(back)
            }
        }
    }

    fn log(&self, job: &Job<'_>, step: &Step<'_>, decision: Decision, error: Option<&Error>) {
        let Some(error) = error else { return };
        let (pipeline, position, mailbox) = (&self.pipeline, job.position, &step.admitted.mailbox);
        let code = error.code();
        metrics::counter!(
            metric::AGAIN, "pipeline" => pipeline.clone(), "code" => code.as_str()
        )
        .increment(u64::from(!matches!(decision, Decision::Reject | Decision::GiveUp)));
        if matches!(decision, Decision::Wait { .. }) {
            tracing::debug!(%pipeline, %position, %mailbox, %code, %error, "has to wait");
        } else {
            tracing::warn!(%pipeline, %position, %mailbox, %code, %error, "an attempt failed");
        }
    }

    async fn complete(
        &self,
        job: &Job<'_>,
        memory: Known,
        completion: &Completion,
        admitted: Option<Admitted>,
    ) -> End {
        let mut data = self.outcome(job, Status::Accepted, memory.tally.attempts + 1);
        data.mailbox = admitted.map(|admitted| admitted.mailbox);
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

    async fn give_up(
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
                    Status::Unknown => memory.unsettled(),
                    Status::Accepted | Status::Rejected => memory.harmless(false),
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

/// What an attempt was made with.
struct Step<'a> {
    admitted: &'a Admitted,
    here: &'a Here,
    pass: &'a Pass,
}

/// How long a mailbox is left alone when it does not say for how long.
const MAILBOX_PAUSE: Duration = Duration::from_secs(5);
