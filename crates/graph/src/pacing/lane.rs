//! One mailbox's lane: its slots, its gate, its budget, and what of them is this worker's.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use mailbridge_core::{Budget, Code, Error, Result, Scope, Verdict};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    page_size::PageSize,
    share::{Limit, Rate, Slots},
};
use crate::{
    chance::{dice, jitter},
    config::Limits,
};

/// The first wait after a throttled answer that does not say how long.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// The windows of Graph's own budgets (learn.microsoft.com, graph throttling-limits, Outlook).
const REQUESTS_WINDOW: Duration = Duration::from_mins(10);
const UPLOAD_WINDOW: Duration = Duration::from_mins(5);
/// How long to stay away when all slots stay taken, here or by others.
const BUSY_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Lane {
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    throttled_in_a_row: AtomicU32,
    pub(super) page_size: Mutex<PageSize>,
}

struct State {
    /// No request before this time.
    gate: Instant,
    requests: Budget,
    upload_bytes: Budget,
    slots: Slots,
    /// Permits that the semaphore has beyond `slots`: in use, and forgotten when they come back.
    surplus: usize,
    rate: Rate,
}

impl Lane {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let scaled = |window: Duration| window / limits.scale.max(1);
        let requests_max = limits.mailbox_requests_in_10_minutes.into();
        let upload_bytes_max = limits.mailbox_upload_bytes_in_5_minutes;
        let slots = Slots::new(limits.mailbox_requests_at_once, now);
        Self {
            slots: Arc::new(Semaphore::new(slots.mine())),
            state: Mutex::new(State {
                gate: now,
                requests: Budget::new(requests_max, scaled(REQUESTS_WINDOW), now),
                upload_bytes: Budget::new(upload_bytes_max, scaled(UPLOAD_WINDOW), now),
                slots,
                surplus: 0,
                rate: Rate::new(requests_max, scaled(REQUESTS_WINDOW), now),
            }),
            throttled_in_a_row: AtomicU32::new(0),
            page_size: Mutex::default(),
        }
    }

    /// Nothing is half done when a thread panics here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot until then.
    ///
    /// # Errors
    /// *Blocked* for the mailbox, with how long to stay away.
    pub(super) async fn slot(&self, now: Instant, until: Instant) -> Result<OwnedSemaphorePermit> {
        let gate = self.lock().gate;
        if gate > until {
            return Err(wait_longer(gate - now));
        }
        if self.is_away(now) {
            return Err(taken());
        }
        let slot = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => match timeout_at(until, Arc::clone(&self.slots).acquire_owned()).await {
                Ok(Ok(slot)) => slot,
                _ => return Err(busy()),
            },
        };
        // the last slot may have been lost to others while it was waited for
        if self.is_away(Instant::now()) {
            self.release(slot);
            return Err(taken());
        }
        Ok(slot)
    }

    pub(super) fn share(&self) -> f64 {
        self.lock().slots.share()
    }

    fn is_away(&self, now: Instant) -> bool {
        self.lock().slots.away_until() > now
    }

    /// Gives a slot back, unless it is not this worker's any more.
    pub(super) fn release(&self, slot: OwnedSemaphorePermit) {
        let mut state = self.lock();
        if state.surplus > 0 {
            state.surplus -= 1;
            slot.forget();
        }
    }

    /// Counts a request and its bytes, or says when to come back.
    pub(super) fn take(&self, bytes: usize, now: Instant) -> Result<(), Instant> {
        let mut state = self.lock();
        if state.gate > now {
            return Err(state.gate);
        }
        let bytes = bytes as u64;
        state.upload_bytes.room_for(bytes, now)?;
        let mine = state.rate.mine(now);
        state.requests.set_max(mine);
        state.requests.take(1, now)?;
        state.upload_bytes.take(bytes, now)
    }

    /// Whether so many bytes can be uploaded now, or when.
    pub(super) fn room_for(&self, bytes: u64, now: Instant) -> Result<(), Instant> {
        self.lock().upload_bytes.room_for(bytes, now)
    }

    pub(super) fn throttled(
        &self,
        asked: Option<Duration>,
        limit: Option<Limit>,
        now: Instant,
    ) -> Duration {
        let mut guard = self.lock();
        let state = &mut *guard;
        // answers to requests that were on their way together are one refusal
        if state.gate <= now {
            match limit {
                Some(Limit::AtOnce) => self.lose_slot(state, now),
                Some(Limit::Rate) => state.rate.refused(state.requests.counted(now), now),
                None => {}
            }
        }
        let wait = asked.unwrap_or_else(|| {
            let fresh = u32::from(state.gate <= now);
            let before = self.throttled_in_a_row.fetch_add(fresh, Relaxed);
            let doubled = BACKOFF_MIN * 2_u32.saturating_pow((before + fresh).clamp(1, 8) - 1);
            jitter(doubled.min(BACKOFF_MAX), 0.5)
        });
        state.gate = state.gate.max(now + wait);
        state.gate - now
    }

    /// One slot less: one that is free, or the first that comes back.
    fn lose_slot(&self, state: &mut State, now: Instant) {
        let before = state.slots.mine();
        state.slots.refused(dice(), now);
        let lost = before - state.slots.mine();
        state.surplus += lost - self.slots.forget_permits(lost);
    }

    pub(super) fn passed(&self, now: Instant) {
        if self.throttled_in_a_row.load(Relaxed) != 0 {
            self.throttled_in_a_row.store(0, Relaxed);
        }
        if self.slots.available_permits() > 0 {
            return;
        }
        let mut state = self.lock();
        // more slots do not help where it is the rate that holds
        if state.requests.room_for(1, now).is_err() {
            return;
        }
        let before = state.slots.mine();
        state.slots.passed();
        let won = state.slots.mine() - before;
        let kept = won.min(state.surplus);
        state.surplus -= kept;
        self.slots.add_permits(won - kept);
    }

    /// Whether forgetting it would change nothing.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.gate.max(state.slots.away_until()) <= now
            && state.requests.is_untouched(now)
            && state.upload_bytes.is_untouched(now)
    }
}

/// The mailbox has to wait longer than an attempt may.
pub(super) fn wait_longer(wait: Duration) -> Error {
    let verdict = Verdict::Blocked { scope: Scope::Mailbox, after: Some(wait) };
    Error::new(Code::GraphThrottled, verdict, "the mailbox keeps the pace that graph asks for")
        .with("wait_seconds", format_args!("{:.1}", wait.as_secs_f64()))
}

/// Other workers have all slots.
fn taken() -> Error {
    busy().with("slots", "taken")
}

/// All slots stay taken.
fn busy() -> Error {
    let verdict = Verdict::Blocked { scope: Scope::Mailbox, after: Some(BUSY_WAIT) };
    let detail = "the mailbox has as many requests on their way as it may";
    Error::new(Code::GraphThrottled, verdict, detail)
}
