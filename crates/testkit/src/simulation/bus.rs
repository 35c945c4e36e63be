//! A bus with leases, delays and delivery counts, as JetStream has them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{
    Delivery, Disposition, Input, Message, Output, Position, Receipt, Result, SeenBefore, Settle,
    Settled, plugin::Build,
};
use tokio::{sync::Notify, time::Instant};

use super::Power;

/// A bus. Clones are one; each worker takes its ports with its own power.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    lease: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    queue: Vec<Entry>,
    posted: Vec<Posted>,
}

struct Entry {
    message: Message,
    delivered: u64,
    /// Not to be handed out before.
    due: Instant,
    settled: Option<Disposition>,
}

/// A message that a worker has published.
#[derive(Clone, Debug)]
pub struct Posted {
    /// `outcomes` or `dead`.
    pub target: &'static str,
    /// The message.
    pub message: Message,
}

impl Bus {
    /// A bus that hands a message out again when it is not settled within `lease`.
    pub fn new(lease: Duration) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { lease, state, changed }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request on the bus.
    pub fn push(&self, message: Message) {
        let entry = Entry { message, delivered: 0, due: Instant::now(), settled: None };
        self.state().queue.push(entry);
        self.0.changed.notify_waiters();
    }

    /// How each message was settled, in the order of pushing; `None` while it is open.
    pub fn settled(&self) -> Vec<Option<Disposition>> {
        self.state().queue.iter().map(|entry| entry.settled).collect()
    }

    /// Waits until nothing is open.
    pub async fn all_settled(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.settled().iter().all(Option::is_some) {
                return;
            }
            changed.await;
        }
    }

    /// Everything published, repeats by id dropped, as a stream would.
    pub fn posted(&self) -> Vec<Posted> {
        self.state().posted.clone()
    }

    /// A worker's input.
    pub fn input(&self, power: &Power) -> Arc<dyn Build<dyn Input>> {
        Arc::new(Ports { bus: self.clone(), power: power.clone(), target: "" })
    }

    /// A worker's output.
    pub fn output(&self, power: &Power, target: &'static str) -> Arc<dyn Build<dyn Output>> {
        Arc::new(Ports { bus: self.clone(), power: power.clone(), target })
    }

    fn take_due(&self, power: &Power) -> Result<Delivery, Option<Instant>> {
        let now = Instant::now();
        let mut state = self.state();
        let lease = self.0.lease;
        let open = state.queue.iter_mut().enumerate().filter(|(_, entry)| entry.settled.is_none());
        let Some((index, entry)) = open.min_by_key(|(_, entry)| entry.due) else {
            return Err(None);
        };
        if entry.due > now {
            return Err(Some(entry.due));
        }
        entry.delivered += 1;
        entry.due = now + lease;
        let times = entry.delivered - 1;
        Ok(Delivery {
            message: entry.message.clone(),
            position: Position::new(format!("sim:{index}")),
            seen_before: if times == 0 { SeenBefore::No } else { SeenBefore::Times(times) },
            receipt: Receipt::new(Lease {
                bus: self.clone(),
                power: power.clone(),
                index,
                delivery: entry.delivered,
            }),
        })
    }

    fn settle(&self, index: usize, delivery: u64, disposition: Disposition) -> Settled {
        let mut state = self.state();
        let entry = &mut state.queue[index];
        if entry.settled.is_some() || entry.delivered != delivery {
            return Settled::Stale;
        }
        match disposition {
            Disposition::Again { after } => entry.due = Instant::now() + after,
            done => entry.settled = Some(done),
        }
        drop(state);
        self.0.changed.notify_waiters();
        Settled::Yes
    }
}

#[derive(Clone)]
struct Ports {
    bus: Bus,
    power: Power,
    target: &'static str,
}

#[async_trait]
impl Build<dyn Input> for Ports {
    async fn build(&self) -> Result<Box<dyn Input>> {
        self.power.step().await;
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Build<dyn Output> for Ports {
    async fn build(&self) -> Result<Box<dyn Output>> {
        self.power.step().await;
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Input for Ports {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            let changed = self.bus.0.changed.notified();
            match self.bus.take_due(&self.power) {
                Ok(delivery) => {
                    // A worker without power has taken the message and does nothing with it.
                    self.power.step().await;
                    return Ok(Some(delivery));
                }
                Err(Some(due)) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                Err(None) => changed.await,
            }
        }
    }
}

#[async_trait]
impl Output for Ports {
    async fn publish(&self, message: Message) -> Result<()> {
        self.power.step().await;
        {
            let mut state = self.bus.state();
            let repeat = message.id.is_some()
                && state.posted.iter().any(|posted| posted.message.id == message.id);
            if !repeat {
                state.posted.push(Posted { target: self.target, message });
            }
        }
        self.power.step().await;
        Ok(())
    }
}

struct Lease {
    bus: Bus,
    power: Power,
    index: usize,
    /// Which delivery this is the lease of.
    delivery: u64,
}

#[async_trait]
impl Settle for Lease {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        self.power.step().await;
        let settled = self.bus.settle(self.index, self.delivery, disposition);
        self.power.step().await;
        Ok(settled)
    }

    async fn extend(&mut self) -> Result<()> {
        self.power.step().await;
        let lease = self.bus.0.lease;
        let mut state = self.bus.state();
        let entry = &mut state.queue[self.index];
        if entry.delivered == self.delivery {
            entry.due = Instant::now() + lease;
        }
        Ok(())
    }
}
