//! Gives a bus that cannot hand a message out twice the power to do so.
//!
//! JetStream takes a negative acknowledgement with a delay; a log does not. [`Redeliver`] wraps a
//! log's input: what is settled `Again`, or dropped unsettled, is parked here and handed out again
//! when its time has come, while the log's own receipt stays open, so its position does not pass it.
//! Parked deliveries are bounded; at the bound only parked ones are handed out.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use crate::{
    Delivery, Disposition, Input, Message, Position, Receipt, Result, SeenBefore, Settle, Settled,
};

/// How long what was dropped unsettled stays away: whoever drops it because it is in hand already
/// must not be given it without a pause.
const DROPPED: Duration = Duration::from_millis(20);

/// An input whose deliveries can be settled `Again`.
pub struct Redeliver<I> {
    inner: I,
    /// The log has ended; what is parked or out may still come.
    ended: bool,
    /// The last delivery came from the park: the log's turn, if it has something.
    logs_turn: bool,
    park: Arc<Park>,
}

struct Park {
    lot: Mutex<Lot>,
    changed: Notify,
    parked_max: usize,
}

#[derive(Default)]
struct Lot {
    parked: BinaryHeap<Reverse<Parked>>,
    /// Deliveries handed out and neither settled nor parked.
    out: usize,
    serial: u64,
}

/// A delivery that waits for its turn.
struct Parked {
    due: Instant,
    /// Keeps the order of those due at once, and makes every entry different.
    serial: u64,
    held: Held,
}

/// What must be kept to hand a delivery out again.
struct Held {
    message: Message,
    position: Position,
    /// What the log itself said.
    seen_before: SeenBefore,
    /// How often it was handed out here.
    times: u64,
    receipt: Receipt,
}

impl<I: Input> Redeliver<I> {
    /// Wraps an input, parking at most `parked_max` deliveries.
    pub fn new(inner: I, parked_max: usize) -> Self {
        let park =
            Park { lot: Mutex::default(), changed: Notify::new(), parked_max: parked_max.max(1) };
        Self { inner, ended: false, logs_turn: false, park: Arc::new(park) }
    }
}

#[async_trait]
impl<I: Input> Input for Redeliver<I> {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            // Registered before the lot is read, so a change in between is not missed.
            let changed = self.park.changed.notified();
            // Those that come back at once must not keep out those that wait in the log.
            if std::mem::take(&mut self.logs_turn) && !self.ended && !self.park.is_full() {
                let next = tokio::select! {
                    biased;
                    next = self.inner.next() => Some(next?),
                    () = std::future::ready(()) => None,
                };
                match next {
                    Some(Some(delivery)) => {
                        return Ok(Some(self.park.hand_out(Held::from(delivery))));
                    }
                    Some(None) => self.ended = true,
                    None => {}
                }
            }
            let (due, full, idle) = match self.park.take_due() {
                Take::Due(held) => {
                    self.logs_turn = true;
                    return Ok(Some(self.park.hand_out(*held)));
                }
                Take::Wait { due, full, idle } => (due, full, idle),
            };
            if self.ended && idle {
                return Ok(None);
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(due) => {}
                next = self.inner.next(), if !self.ended && !full => match next? {
                    None => self.ended = true,
                    Some(delivery) => return Ok(Some(self.park.hand_out(Held::from(delivery)))),
                },
            }
        }
    }

    /// What is parked was in hand, and stays here until this is dropped.
    async fn stop(&mut self) {
        self.inner.stop().await;
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

enum Take {
    Due(Box<Held>),
    /// Nothing is due. `full`: nothing new may be taken; `idle`: nothing is parked or out.
    Wait {
        due: Option<Instant>,
        full: bool,
        idle: bool,
    },
}

impl Park {
    fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing new may be taken.
    fn is_full(&self) -> bool {
        self.lot().parked.len() >= self.parked_max
    }

    fn take_due(&self) -> Take {
        let mut lot = self.lot();
        // what went to somebody else while it was parked is theirs to hand out
        while lot.parked.peek().is_some_and(|Reverse(first)| first.held.receipt.is_stale()) {
            lot.parked.pop();
        }
        let due = lot.parked.peek().map(|Reverse(first)| first.due);
        if due.is_some_and(|due| due <= Instant::now())
            && let Some(Reverse(parked)) = lot.parked.pop()
        {
            return Take::Due(Box::new(parked.held));
        }
        let full = lot.parked.len() >= self.parked_max;
        Take::Wait { due, full, idle: lot.parked.is_empty() && lot.out == 0 }
    }

    fn hand_out(self: &Arc<Self>, held: Held) -> Delivery {
        self.lot().out += 1;
        let seen_before = match (held.seen_before, held.times) {
            (told, 0) => told,
            // That the log cannot tell what was before was told with the first of these.
            (SeenBefore::No | SeenBefore::Maybe, times) => SeenBefore::Times(times),
            (SeenBefore::Times(before) | SeenBefore::Untouched(before), times) => {
                SeenBefore::Times(before + times)
            }
        };
        Delivery {
            message: held.message.clone(),
            position: held.position.clone(),
            seen_before,
            receipt: Receipt::new(Ticket { park: Arc::clone(self), held: Some(held) }),
        }
    }

    fn park(&self, mut held: Held, after: Duration) {
        held.times += 1;
        let mut lot = self.lot();
        lot.out -= 1;
        lot.serial += 1;
        let serial = lot.serial;
        lot.parked.push(Reverse(Parked { due: Instant::now() + after, serial, held }));
        drop(lot);
        self.changed.notify_one();
    }
}

/// One delivery that counts as out, until this goes.
struct Out<'a>(&'a Park);

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.0.lot().out -= 1;
        self.0.changed.notify_one();
    }
}

/// The receipt of a delivery that can be parked.
struct Ticket {
    park: Arc<Park>,
    /// Gone once settled.
    held: Option<Held>,
}

#[async_trait]
impl Settle for Ticket {
    async fn settle(mut self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        let Some(held) = self.held.take() else { return Ok(Settled::Stale) };
        if let Disposition::Again { after } = disposition {
            self.park.park(held, after);
            return Ok(Settled::Yes);
        }
        // Counted as out until the log has taken it, so the input does not end before; a guard, so
        // that a settle that is cancelled half-way does not keep the input from ending.
        let _out = Out(&self.park);
        held.receipt.settle(disposition).await
    }

    async fn extend(&mut self) -> Result<()> {
        match &mut self.held {
            Some(held) => held.receipt.extend().await,
            None => Ok(()),
        }
    }

    fn is_stale(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held.receipt.is_stale())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.park.park(held, DROPPED);
        }
    }
}

impl From<Delivery> for Held {
    fn from(Delivery { message, position, seen_before, receipt }: Delivery) -> Self {
        Self { message, position, seen_before, times: 0, receipt }
    }
}

impl Ord for Parked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.serial).cmp(&(other.due, other.serial))
    }
}

impl PartialOrd for Parked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Parked {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Parked {}

#[cfg(test)]
mod tests;
