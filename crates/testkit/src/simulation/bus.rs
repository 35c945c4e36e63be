//! A bus with leases, delays and delivery counts, as JetStream has them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{
    Code, Delivery, Disposition, Error, Input, Message, Output, Position, Receipt, Result,
    SeenBefore, Settle, Settled, plugin::Build,
};
use tokio::{sync::Notify, time::Instant};

use super::{Dice, Power};

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
    /// The ids by which repeats are known.
    ids: HashSet<String>,
    /// How often each target was published to, whatever came of it.
    tries: HashMap<&'static str, usize>,
    troubles: HashMap<&'static str, Trouble>,
    /// When each input that was asked to stop was asked.
    stops: Vec<Instant>,
}

struct Entry {
    message: Message,
    delivered: u64,
    /// Not to be handed out before.
    due: Instant,
    /// A worker has it in hand.
    leased: bool,
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

/// What is wrong with a target that workers publish to.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// It takes nothing.
    Down,
    /// So many percent of what is published is not confirmed. Half of that is stored all the same.
    Unsure(u64, Dice),
    /// It never takes a message of more bytes than this, headers and payload together.
    Small(usize),
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
        self.push_delivered(message, 0);
    }

    /// Puts a request on the bus that was handed out so often already, to workers that were never
    /// heard of again.
    pub fn push_delivered(&self, message: Message, delivered: u64) {
        let due = Instant::now();
        self.state().queue.push(Entry { message, delivered, due, leased: false, settled: None });
        self.0.changed.notify_waiters();
    }

    /// Ends every lease at once: whoever held one is known to be dead. What was sent back for a while
    /// stays away for that while.
    pub fn end_leases(&self) {
        for entry in self.state().queue.iter_mut().filter(|entry| entry.leased) {
            (entry.due, entry.leased) = (Instant::now(), false);
        }
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

    /// Repeats of what was published so far are not known as such any more: its window is over.
    pub fn forget_ids(&self) {
        self.state().ids.clear();
    }

    /// How much was published, repeats by id not counted.
    pub fn count(&self) -> usize {
        self.state().posted.len()
    }

    /// Something is wrong with a target from now on.
    pub fn trouble(&self, target: &'static str, trouble: Trouble) {
        self.state().troubles.insert(target, trouble);
    }

    /// Nothing is wrong with a target any more.
    pub fn mend(&self, target: &'static str) {
        self.state().troubles.remove(target);
    }

    /// When inputs were asked to take no more.
    pub fn stops(&self) -> Vec<Instant> {
        self.state().stops.clone()
    }

    /// How often a target was published to so far, whatever came of it.
    pub fn tries(&self, target: &'static str) -> usize {
        self.state().tries.get(target).copied().unwrap_or_default()
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
        (entry.due, entry.leased) = (now + lease, true);
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
        entry.leased = false;
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

    async fn stop(&mut self) {
        self.bus.state().stops.push(Instant::now());
    }
}

#[async_trait]
impl Output for Ports {
    async fn publish(&self, message: Message) -> Result<()> {
        self.power.step().await;
        self.bus.state().publish(self.target, message)?;
        self.power.step().await;
        Ok(())
    }
}

impl State {
    fn publish(&mut self, target: &'static str, message: Message) -> Result<()> {
        *self.tries.entry(target).or_default() += 1;
        let unconfirmed = || Err(Error::transient(Code::BusPublishFailed, "not confirmed"));
        let confirmed = match self.troubles.get_mut(target) {
            Some(Trouble::Down) => return unconfirmed(),
            Some(Trouble::Unsure(percent, dice)) => {
                match (dice.chance(*percent), dice.chance(50)) {
                    (true, true) => return unconfirmed(),
                    (unsure, _) => !unsure,
                }
            }
            Some(Trouble::Small(bytes_max)) if size(&message) > *bytes_max => {
                return Err(Error::permanent(Code::BusPayloadTooLarge, "too large"));
            }
            None | Some(Trouble::Small(_)) => true,
        };
        if message.id.as_ref().is_none_or(|id| self.ids.insert(id.clone())) {
            self.posted.push(Posted { target, message });
        }
        if confirmed { Ok(()) } else { unconfirmed() }
    }
}

fn size(message: &Message) -> usize {
    let headers = message.headers.iter().map(|(name, value)| name.len() + value.len());
    headers.sum::<usize>() + message.payload.len()
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
