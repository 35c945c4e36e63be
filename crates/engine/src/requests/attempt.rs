//! Trying: who may try when, one attempt, and what follows from how it ended.

use std::time::Duration;

use mailbridge_core::{
    Attempt, Code, Completion, Deadline, Doubt, Error, Guarantee, Result, Scope, Verdict,
    contract::Status,
};
use tokio::time::Instant;

use super::{
    line::{End, Job, Line},
    request::{self, Admitted, Known as Request},
};
use crate::{
    Settings,
    bounces::Origin,
    decide::{Decision, decide, may_try},
    hold::Pass,
    mailboxes::{Here, Turn, Why},
    memory::Known,
    metric,
};

/// What an attempt was made with.
struct Step<'a> {
    admitted: &'a Admitted,
    here: &'a Here,
    pass: &'a Pass,
}

/// How long a mailbox is left alone when it does not say for how long.
const MAILBOX_PAUSE: Duration = Duration::from_secs(5);

impl Line {
    /// Carries out an admitted request, or sends its delivery back.
    pub(super) async fn perform(
        &self,
        job: &Job<'_>,
        admitted: Admitted,
        mut memory: Known,
        pass: Pass,
    ) -> End {
        let expired = request::expired(&admitted.request);
        if let Some(error) = &expired {
            // Nothing tells whether a change of a message was this request's.
            let looks = self.looks_first() && !admitted.request.operation.is_idempotent();
            let ended = match (memory.doubt, looks) {
                (Doubt::None, _) => Some(Status::Expired),
                (Doubt::Young | Doubt::Old, false) => Some(Status::Unknown),
                // A look tells, and sends nothing.
                (Doubt::Young | Doubt::Old, true) => None,
            };
            if let Some(status) = ended {
                return self.give_up(job, memory, status, Some(&admitted), error).await;
            }
        }
        if !may_try(memory.tally, self.settings.guarantee, &self.settings.policy) {
            let code = Code::SendInDoubt;
            let error = Error::in_doubt(code, "an earlier attempt may have sent it");
            return self.give_up(job, memory, Status::Unknown, Some(&admitted), &error).await;
        }
        let here = match self.mailboxes.enter(&admitted.mailbox) {
            Turn::Here(here) => here,
            Turn::Back(after) => {
                memory.harmless(false);
                return End::Again(after);
            }
        };
        if let Some(expired) = expired.filter(|_| memory.doubt == Doubt::Old) {
            let step = Step { admitted: &admitted, here: &here, pass: &pass };
            return self.look_for_the_last_time(job, memory, step, &expired).await;
        }
        loop {
            let result = self.attempt(job, &admitted, memory.doubt, &here).await;
            let policy = &self.settings.policy;
            let decision = decide(result.as_ref(), memory.tally, self.settings.guarantee, policy);
            if result.is_ok() {
                pass.open();
            }
            let step = Step { admitted: &admitted, here: &here, pass: &pass };
            match (decision, result) {
                (Decision::Fresh, _) => memory.cleared(),
                (Decision::Complete, Ok(completion)) => {
                    // the mailbox has nothing to do with how it is told
                    drop(here);
                    return self.complete(job, memory, &completion, Some(&admitted)).await;
                }
                (Decision::Again { after, doubt: true, .. }, result) if self.looks_first() => {
                    return self.look_once_more(job, memory, step, after, result.err()).await;
                }
                (decision, result) => {
                    return self.not_done(job, memory, step, decision, result.err()).await;
                }
            }
        }
    }

    fn looks_first(&self) -> bool {
        self.settings.guarantee == Guarantee::Once
    }

    /// The mail may just have been sent. While the delivery is still ours, one look after a moment
    /// tells most of the time. If not, it goes back for the whole settle time: no worker, whatever
    /// it remembers, then meets this attempt while it is too young to show.
    async fn look_once_more(
        &self,
        job: &Job<'_>,
        memory: Known,
        step: Step<'_>,
        after: Duration,
        error: Option<Error>,
    ) -> End {
        let decision = Decision::Again { after, charged: true, doubt: true };
        self.log(job, &step, decision, error.as_ref());
        tokio::time::sleep(after).await;
        let seen = self.look(job, &step).await;
        if let Ok(completion @ (Completion::Sent { .. } | Completion::Done)) = seen {
            return self.complete(job, memory, &completion, Some(step.admitted)).await;
        }
        memory.doubtful();
        End::Again(self.settings.settle_time)
    }

    /// Its time is over, and an earlier attempt has had the time to show. What the mailbox shows now
    /// is how it ended; only where it cannot be asked, time and again, nobody knows.
    async fn look_for_the_last_time(
        &self,
        job: &Job<'_>,
        memory: Known,
        step: Step<'_>,
        expired: &Error,
    ) -> End {
        let admitted = Some(step.admitted);
        match self.look(job, &step).await {
            Ok(completion @ (Completion::Sent { .. } | Completion::Done)) => {
                step.pass.open();
                self.complete(job, memory, &completion, admitted).await
            }
            // Nothing is there, or a draft that was not sent.
            Ok(Completion::Absent | Completion::Unsettled) => {
                step.pass.open();
                self.give_up(job, memory, Status::Expired, admitted, expired).await
            }
            Err(error) => {
                let Settings { guarantee, policy, .. } = &self.settings;
                let decision = decide(Err(&error), memory.tally, *guarantee, policy);
                self.not_done(job, memory, step, decision, Some(error)).await
            }
        }
    }

    /// Looks for the mail, and does nothing else, whatever is there: as if the doubt were young,
    /// since an old one has a draft sent that is found. Whether an empty mailbox settles the doubt
    /// is for the caller to say.
    async fn look(&self, job: &Job<'_>, step: &Step<'_>) -> Result<Completion> {
        self.attempt(job, step.admitted, Doubt::Young, step.here).await
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
        let origin = self.origin(job, admitted);
        let deadline = Deadline::new(self.settings.deadline, self.settings.deadline_max);
        let attempt = Attempt {
            request: &admitted.request,
            mailbox: &admitted.mailbox,
            mark: &job.known.mark,
            origin: origin.as_deref(),
            guarantee: self.settings.guarantee,
            doubt,
            deadline: &deadline,
            files: self.ports.files.as_ref(),
        };
        // `Mail` ends by the deadline itself; a second more, and it is taken for hung.
        let result = tokio::select! {
            biased;
            result = self.ports.mail.perform(attempt) => Some(result),
            () = deadline.passed(Duration::from_secs(1)) => None,
        };
        here.took(begun.elapsed(), self.ports.mail.share(&admitted.mailbox));
        let result = result.unwrap_or_else(|| {
            let detail = "the attempt did not end by its deadline";
            let again = admitted.request.operation.is_idempotent();
            let hung = if again { Error::transient } else { Error::in_doubt };
            Err(hung(Code::GraphTimeout, detail))
        });
        // A look without an answer has sent nothing: it leaves no doubt of its own.
        let only_looks = doubt == Doubt::Young && self.looks_first();
        result.map_err(|error| {
            let unanswered = only_looks && error.verdict() == Verdict::InDoubt;
            if unanswered { error.as_verdict(Verdict::Transient { after: None }) } else { error }
        })
    }

    /// What a mail carries with it so that it can be tied to its request should it come back. Notes
    /// whose inbox is to be watched for that.
    fn origin(&self, job: &Job<'_>, admitted: &Admitted) -> Option<String> {
        let senders = self.senders.as_ref()?;
        if admitted.request.operation.is_idempotent() {
            return None;
        }
        senders.sending(&admitted.mailbox);
        let Request { key, mark, traceparent, doubt: _ } = &job.known;
        let origin = Origin {
            pipeline: self.pipeline.clone(),
            key: key.as_str().to_owned(),
            position: job.position.as_str().to_owned(),
            mark: mark.as_str().to_owned(),
            guarantee: self.settings.guarantee,
            attempts: job.attempts,
            traceparent: traceparent.clone().or_else(|| job.scope.traceparent()),
        };
        origin.text()
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
            Error::in_doubt(Code::Internal, "an attempt ended without a result")
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
                    Scope::Mailbox => {
                        step.here.close(after.unwrap_or(MAILBOX_PAUSE), why_closed(&error))
                    }
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
        job.scope.failed(error);
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
}

fn why_closed(error: &Error) -> Why {
    match error.code() {
        Code::MailboxBudget => Why::Budget,
        _ if error.field("slots") == Some("taken") => Why::Away,
        _ => Why::Asked,
    }
}
