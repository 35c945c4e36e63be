//! With a ledger: one claim for each request over all workers and all copies of it, taken before an
//! attempt and ended by what came of it.
//!
//! While an attempt goes on, its claim is renewed. Should that fail until the claim is nearly over,
//! the attempt is given up in the middle, as if the worker had died: what is left is a doubt, and a
//! doubt is looked into.

use std::{pin::pin, time::Duration};

use mailbridge_core::{Completion, Error};
use tokio::time::{Instant, sleep_until};

use super::{
    line::{End, Job, Line},
    request::Admitted,
};
use crate::{
    hold::Pass,
    ledger::{Claim, Done, Ledger, Turn},
    memory::{Known, Standing},
    metric,
};

/// How soon somebody who has to wait for another copy asks again, at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How soon after the ledger could not be reached.
const LEDGER_PAUSE: Duration = Duration::from_secs(2);

impl Line {
    /// Carries out an admitted request if it is this delivery's turn.
    pub(super) async fn perform_in_turn(
        &self,
        job: &Job<'_>,
        admitted: Admitted,
        mut memory: Known,
        pass: Pass,
    ) -> End {
        let ledger = self.ports.ledger.as_ref();
        // to do such a thing twice is to do it once
        let ledger = ledger.filter(|_| !admitted.request.operation.is_idempotent());
        let Some(ledger) = ledger else { return self.perform(job, admitted, memory, pass).await };
        let claim = match ledger.claim(&job.known.mark).await {
            Ok(Turn::Mine(claim)) => claim,
            Ok(Turn::Wait(after)) => {
                memory.harmless(false);
                return End::Again(after.min(ASK_AGAIN));
            }
            Ok(Turn::Done(Done { internet_message_id })) => {
                metrics::counter!(metric::COPIES, "pipeline" => self.pipeline.clone()).increment(1);
                let completion = Completion::Sent { internet_message_id, found: true };
                return self.complete(job, memory, &completion, Some(&admitted)).await;
            }
            Err(error) => {
                memory.harmless(false);
                return self.unreachable(job, &error);
            }
        };
        if let Some(ago) = claim.doubt {
            memory.doubted(ago);
        }
        let work = self.perform(job, admitted, memory, pass);
        let (end, claim) = renewing(ledger, claim, work).await;
        match end {
            Some(end) => self.enter(job, ledger, claim, end).await,
            None => End::Again(self.settings.settle_time),
        }
    }

    /// Notes in the ledger what came of a request. That it happened must be noted before the bus may
    /// forget; anything else the claim's own end would say too, later.
    async fn enter(&self, job: &Job<'_>, ledger: &Ledger, claim: Claim, end: End) -> End {
        let noted = match self.memory.standing(job.position) {
            Standing::Completed(completion) => {
                return match ledger.done(&job.known.mark, &done(&completion)).await {
                    Ok(()) => end,
                    Err(error) => self.unreachable(job, &error),
                };
            }
            Standing::InDoubt(ago) => ledger.doubt(claim, ago).await,
            Standing::Clear => ledger.release(claim).await,
        };
        if let Err(error) = noted {
            let (pipeline, position, code) = (&self.pipeline, job.position, error.code());
            tracing::debug!(%pipeline, %position, %code, %error, "the claim is left to run out");
        }
        end
    }

    /// The same for a request that had ended before, and only comes to be settled.
    pub(super) async fn enter_again(
        &self,
        job: &Job<'_>,
        completion: &Completion,
        end: End,
    ) -> End {
        let Some(ledger) = &self.ports.ledger else { return end };
        match ledger.done(&job.known.mark, &done(completion)).await {
            Ok(()) => end,
            Err(error) => self.unreachable(job, &error),
        }
    }

    fn unreachable(&self, job: &Job<'_>, error: &Error) -> End {
        let (pipeline, position, code) = (&self.pipeline, job.position, error.code());
        let cure = code.cure();
        tracing::warn!(%pipeline, %position, %code, %error, cure, "no ledger; it comes back");
        End::Again(LEDGER_PAUSE)
    }
}

fn done(completion: &Completion) -> Done {
    match completion {
        Completion::Sent { internet_message_id, .. } => {
            Done { internet_message_id: internet_message_id.clone() }
        }
        Completion::Done | Completion::Unsettled | Completion::Absent => Done::default(),
    }
}

/// Works as long as the claim lasts. No end, if it could not be kept.
async fn renewing(
    ledger: &Ledger,
    mut claim: Claim,
    work: impl Future<Output = End>,
) -> (Option<End>, Claim) {
    let mut work = pin!(work);
    let third = ledger.lease() / 3;
    let mut over = Instant::now() + third * 2;
    loop {
        let due = (Instant::now() + third).min(over);
        tokio::select! {
            biased;
            end = &mut work => return (Some(end), claim),
            () = sleep_until(due) => {}
        }
        let asked = Instant::now();
        // the work does not wait for the ledger
        let renewed = tokio::select! {
            biased;
            end = &mut work => return (Some(end), claim),
            renewed = ledger.renew(&mut claim) => renewed,
        };
        match renewed {
            Ok(true) => over = asked + third * 2,
            Ok(false) => return (None, claim),
            Err(_) if Instant::now() >= over => return (None, claim),
            Err(_) => {}
        }
    }
}
