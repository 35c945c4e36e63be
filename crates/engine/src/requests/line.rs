//! One delivery's way: decode, perform, publish the outcome, settle.
//!
//! Every step before the last can be repeated; only settling lets the bus forget. Each way out says
//! what the worker's memory is to know of it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use mailbridge_core::{
    Decoder, Delivery, Disposition, Files, Mail, Mailbox, Message, Position, Receipt, Result,
    Settled, contract::Status, trace::Scope,
};
use tokio::time::Instant;

use super::{
    Observer,
    request::{self, Admitted, admit},
    slot::Slot,
};
use crate::{
    Settings,
    bounces::{Senders, Watch},
    hold::{Hold, Pass},
    host::OutputHost,
    invariant::{DeadLettered, Published},
    keep_alive::keep_alive,
    ledger::Ledger,
    mailboxes::Mailboxes,
    memory::{Ended, Known, Memory, Recall},
    metric, spans,
    waiting::Waiting,
};

/// What a line leads to.
pub struct Ports {
    pub decoder: Arc<dyn Decoder>,
    pub mail: Arc<dyn Mail>,
    pub files: Arc<dyn Files>,
    pub ledger: Option<Ledger>,
    pub outcomes: Option<Arc<OutputHost>>,
    pub dead_letters: OutputHost,
    pub observer: Option<Arc<dyn Observer>>,
}

/// What all lines of a pipeline share.
pub struct Line {
    pub(super) pipeline: String,
    pub(super) settings: Settings,
    pub(super) ports: Ports,
    pub(super) memory: Memory,
    pub(super) mailboxes: Mailboxes,
    /// Who is watched for mails that come back, if that is asked for.
    pub(super) senders: Option<Senders>,
    pub(super) received: metrics::Counter,
    pub(super) in_flight: metrics::Gauge,
    pub(super) waiting: Waiting,
    pub(super) seconds: metrics::Histogram,
}

/// One delivery while it is carried.
pub(super) struct Job<'a> {
    pub(super) message: &'a Message,
    pub(super) position: &'a Position,
    pub(super) known: request::Known,
    /// Which try it is, as far as this worker knows.
    pub(super) attempts: u32,
    pub(super) started: Instant,
    /// What is done for it is told below this.
    pub(super) scope: Scope,
    /// Its place among all.
    pub(super) slot: &'a Slot,
}

/// How a delivery's work ended, with the evidence that its disposition needs.
pub(super) enum End {
    Completed(Published),
    Rejected(DeadLettered),
    /// The message asks for nothing here.
    Skipped,
    Again(Duration),
}

impl Line {
    pub fn new(pipeline: String, settings: Settings, ports: Ports) -> Self {
        let labels = [("pipeline", pipeline.clone())];
        Self {
            memory: Memory::new(settings.settle_time),
            mailboxes: Mailboxes::paced(settings.budgets.mail_each()),
            // a rehearsal sends nothing that could come back
            senders: settings.bounces.filter(|_| !settings.dry_run).map(|_| Senders::default()),
            received: metrics::counter!(metric::RECEIVED, &labels),
            in_flight: metrics::gauge!(metric::IN_FLIGHT, &labels),
            waiting: Waiting::new(metrics::gauge!(metric::WAITING, &labels)),
            seconds: metrics::histogram!(metric::SECONDS, &labels),
            pipeline,
            settings,
            ports,
        }
    }

    /// The watch for mails that come back, if it is asked for and somebody is told of them.
    pub fn bounces(&self, hold: &Hold) -> Option<Watch> {
        let senders = self.senders.clone()?;
        let plain = self.settings.allow_mailboxes.iter().filter(|pattern| !pattern.contains('*'));
        for mailbox in plain.map(Mailbox::new).chain(self.settings.mailbox.clone()) {
            // an earlier worker may have sent from it
            senders.sending(&mailbox);
        }
        Some(Watch {
            pipeline: self.pipeline.clone(),
            mail: Arc::clone(&self.ports.mail),
            outcomes: Arc::clone(self.ports.outcomes.as_ref()?),
            hold: hold.clone(),
            mailboxes: self.mailboxes.clone(),
            senders,
            every: self.settings.bounces?,
            settle_time: self.settings.settle_time,
        })
    }

    /// Keeps health and metrics true of what changes by itself. Never ends.
    pub async fn watch(&self) {
        let outcomes = async {
            match &self.ports.outcomes {
                Some(outcomes) => outcomes.watch().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(outcomes, self.ports.dead_letters.watch(), self.waiting.watch());
    }

    /// Carries one delivery to its end. A panic on the way leaves the delivery unsettled.
    pub async fn carry(&self, delivery: Delivery, pass: Pass, slot: Slot) {
        self.received.increment(1);
        self.in_flight.increment(1.0);
        let position = delivery.position.clone();
        let carried =
            AssertUnwindSafe(self.carry_delivery(delivery, pass, &slot)).catch_unwind().await;
        self.in_flight.decrement(1.0);
        if carried.is_err() {
            tracing::error!(pipeline = %self.pipeline, %position, "a line panicked; its delivery comes back");
        }
    }

    async fn carry_delivery(&self, delivery: Delivery, pass: Pass, slot: &Slot) {
        let Delivery { message, position, seen_before, mut receipt } = delivery;
        let started = Instant::now();
        let Recall::Go(memory) = self.memory.recall(&position, seen_before) else {
            tracing::debug!(pipeline = %self.pipeline, %position, "in hand already");
            return;
        };
        // Half of what an attempt may take is well within the bus's deadline, which is longer.
        let every = self.settings.deadline / 2;
        // On the heap, so that a line is small to move and to keep.
        let work = Box::pin(self.work(&message, &position, started, memory, pass, slot));
        let end = keep_alive(&mut receipt, every, work).await;
        if !matches!(end, End::Again(_)) {
            slot.conclude().await;
        }
        self.settle(receipt, &position, end, started).await;
    }

    async fn settle(&self, receipt: Receipt, position: &Position, end: End, started: Instant) {
        let disposition = match end {
            End::Completed(Published(())) | End::Skipped => Disposition::Done,
            End::Rejected(DeadLettered(())) => Disposition::Rejected,
            End::Again(after) => Disposition::Again { after },
        };
        let pipeline = &self.pipeline;
        // Before the bus begins to count, so that nothing is counted again when it returns.
        let sent_back_at = Instant::now();
        match receipt.settle(disposition).await {
            Ok(Settled::Yes) => match disposition {
                Disposition::Again { after } => self.waiting.add(sent_back_at + after),
                Disposition::Done | Disposition::Rejected => {
                    self.memory.forget(position);
                    self.seconds.record(started.elapsed());
                }
            },
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
        slot: &Slot,
    ) -> End {
        let decoder = self.ports.decoder.as_ref();
        let admitted = admit(&self.pipeline, &self.settings, decoder, message, position);
        let Some((known, admitted)) = admitted else {
            metrics::counter!(metric::SKIPPED, "pipeline" => self.pipeline.clone()).increment(1);
            memory.harmless(false);
            return End::Skipped;
        };
        let attempts = memory.tally.attempts + 1;
        let producer = known.traceparent.as_deref();
        let scope = spans::delivery(&self.pipeline, message, producer, position);
        let job = Job { message, position, known, attempts, started, scope, slot };
        let end = job.scope.run(self.pursue(&job, memory, admitted, pass)).await;
        if let End::Again(_) = end {
            job.scope.note(|| [("mailbridge.status", "again".into())]);
        }
        end
    }

    /// The rest of the way of what is for this pipeline.
    async fn pursue(
        &self,
        job: &Job<'_>,
        mut memory: Known,
        admitted: Result<Admitted>,
        pass: Pass,
    ) -> End {
        match memory.ended.clone() {
            Some(Ended::Completed(completion)) => {
                let admitted = admitted.ok();
                let end = self.complete(job, memory, &completion, admitted.as_ref()).await;
                return self.enter_again(job, &completion, end).await;
            }
            Some(Ended::GivenUp(given_up)) => {
                return self.publish_end(job, memory, given_up).await;
            }
            None => {}
        }
        if let Some(ago) = job.known.doubt {
            memory.doubted(ago);
        }
        match admitted {
            Ok(admitted) => self.perform_in_turn(job, admitted, memory, pass).await,
            Err(error) => self.give_up(job, memory, Status::Rejected, None, &error).await,
        }
    }
}
