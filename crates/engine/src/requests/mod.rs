//! The requests flow: takes deliveries, as many as may be in flight, and carries each along its
//! line. This is the loop around it; one delivery's way is in [`line`], its tries in [`attempt`], its end
//! in [`conclude`].

mod attempt;
mod claim;
mod conclude;
mod line;
mod request;
mod slot;

use std::{pin::pin, sync::Arc, time::Duration};

use mailbridge_core::{
    Decoder, Delivery, Files, Input, Mail, Output, Result, contract::OutcomeData, plugin::Build,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::request::{Admitted, Known, admit};
use self::{
    line::{Line, Ports},
    slot::{Slot, Slots},
};
use crate::{
    Settings,
    guard::Guarded,
    health::{Reporter, Side},
    hold::{Hold, Pass},
    host::{InputHost, OutputHost},
    invariant::invariant,
    ledger::Ledger,
};

/// How often what concluded requests left behind is removed.
const TIDY: Duration = Duration::from_mins(1);
/// How often an idle pipeline asks whether it would still be let in.
const IDLE_CHECK: Duration = Duration::from_secs(15);

/// One requests pipeline, ready to run.
pub struct Requests {
    /// Its name in the configuration.
    pub name: String,
    /// Where requests come from.
    pub input: Arc<dyn Build<dyn Input>>,
    /// How messages become requests.
    pub decoder: Arc<dyn Decoder>,
    /// Who carries them out.
    pub mail: Arc<dyn Mail>,
    /// Where the files are that requests refer to.
    pub files: Arc<dyn Files>,
    /// Where outcomes go, if anybody wants them.
    pub outcomes: Option<Arc<dyn Build<dyn Output>>>,
    /// Where requests go that cannot be carried out.
    pub dead_letters: Arc<dyn Build<dyn Output>>,
    /// Who is at which request, over all workers and copies, if that is to be known.
    pub ledger: Option<Ledger>,
    /// How it works.
    pub settings: Settings,
    /// Where it tells how it is.
    pub health: Reporter,
    /// Who else is told of every final outcome.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Is told of every final outcome once it is durable.
pub trait Observer: Send + Sync {
    /// A request ended; `took` is the time since its delivery.
    fn outcome(&self, data: &OutcomeData, took: Duration);
}

impl Requests {
    /// Runs until the input has ended or `stop` is cancelled, then drains. What is still in flight
    /// when the drain time is over is dropped, and comes back.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let Settings { budgets, dry_run, .. } = self.settings;
        let mail = Guarded::before(self.mail, budgets, dry_run);
        let hold = Hold::new(&self.name, Arc::clone(&mail), self.health.clone());
        let mut input = InputHost::new(&self.name, self.input, self.health.clone());
        let output = |side, build| OutputHost::new(side, &self.name, build, self.health.clone());
        let ports = Ports {
            decoder: self.decoder,
            mail: Arc::clone(&mail),
            files: self.files,
            // what is only rehearsed must not count as sent
            ledger: self.ledger.filter(|_| !dry_run),
            outcomes: self.outcomes.map(|build| Arc::new(output(Side::Outcomes, build))),
            dead_letters: output(Side::DeadLetters, self.dead_letters),
            observer: self.observer,
        };
        let slots = Slots::new(self.settings.in_flight.max(1));
        let drain = self.settings.drain;
        let line = Arc::new(Line::new(self.name.clone(), self.settings, ports));
        let lines = TaskTracker::new();
        let abandon = CancellationToken::new();
        // ends with the input too, which nobody has to stop
        let tidying = stop.child_token();
        lines.spawn(tidying.clone().run_until_cancelled_owned(tidy(mail)));
        if let Some(watch) = line.bounces(&hold) {
            lines.spawn(tidying.clone().run_until_cancelled_owned(watch.run()));
        }
        let mut watching = pin!(line.watch());
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                () = &mut watching => None,
                taken = take(&slots, &hold, &mut input) => Some(taken),
            };
            let Some((slot, pass, Some(delivery))) = taken else { break };
            invariant!(F7, (1..=slots.max()).contains(&slots.at_work()));
            let (line, abandon) = (Arc::clone(&line), abandon.clone());
            lines.spawn(async move {
                abandon.run_until_cancelled_owned(line.carry(delivery, pass, slot)).await;
            });
        }
        tidying.cancel();
        self.health.draining();
        // first, so that others have it while this one finishes what it has begun
        input.stop().await;
        lines.close();
        let drained = tokio::time::timeout(drain, lines.wait()).await;
        if drained.is_err() {
            let left = lines.len();
            tracing::warn!(pipeline = %self.name, left, "the drain time is over; what is left comes back");
            abandon.cancel();
            lines.wait().await;
        }
        self.health.done();
        Ok(())
    }
}

/// Lets mail tidy up now and then, until it is dropped.
async fn tidy(mail: Arc<dyn Mail>) {
    loop {
        tokio::time::sleep(TIDY).await;
        mail.tidy().await;
    }
}

/// Waits for a slot, for mail to be open, and for a delivery, in this order, so that nothing is taken
/// that could not be worked on.
async fn take(slots: &Slots, hold: &Hold, input: &mut InputHost) -> (Slot, Pass, Option<Delivery>) {
    loop {
        let slot = slots.acquire().await;
        let pass = tokio::select! {
            biased;
            pass = hold.pass() => pass,
            () = input.stand_by() => continue,
        };
        tokio::select! {
            biased;
            next = input.next() => return (slot, pass, next),
            () = tokio::time::sleep(IDLE_CHECK) => {}
        }
        drop(pass);
        hold.check().await;
    }
}
