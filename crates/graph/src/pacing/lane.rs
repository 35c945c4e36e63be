//! One mailbox's lane: its slots, its gate, its budget.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use mailbridge_core::{Budget, Code, Error, Scope, Verdict};
use tokio::{sync::Semaphore, time::Instant};

use super::page_size::PageSize;
use crate::{chance::jitter, config::Limits};

/// The first wait after a throttled answer that does not say how long.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// The windows of Graph's own budgets (learn.microsoft.com, graph throttling-limits, Outlook).
const REQUESTS_WINDOW: Duration = Duration::from_mins(10);
const UPLOAD_WINDOW: Duration = Duration::from_mins(5);
/// How long to stay away when all slots stay taken.
const BUSY_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Lane {
    pub(super) slots: Arc<Semaphore>,
    state: Mutex<State>,
    throttled_in_a_row: AtomicU32,
    pub(super) page_size: Mutex<PageSize>,
}

struct State {
    /// No request before this time.
    gate: Instant,
    requests: Budget,
    upload_bytes: Budget,
}

impl Lane {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let budget = |max, window: Duration| Budget::new(max, window / limits.scale.max(1), now);
        let requests = budget(limits.mailbox_requests_in_10_minutes.into(), REQUESTS_WINDOW);
        let upload_bytes = budget(limits.mailbox_upload_bytes_in_5_minutes, UPLOAD_WINDOW);
        Self {
            slots: Arc::new(Semaphore::new(limits.mailbox_requests_at_once)),
            state: Mutex::new(State { gate: now, requests, upload_bytes }),
            throttled_in_a_row: AtomicU32::new(0),
            page_size: Mutex::default(),
        }
    }

    /// Nothing is half done when a thread panics here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn opens_at(&self) -> Instant {
        self.lock().gate
    }

    /// Counts a request and its bytes, or says when to come back.
    pub(super) fn take(&self, bytes: usize, now: Instant) -> Result<(), Instant> {
        let mut state = self.lock();
        if state.gate > now {
            return Err(state.gate);
        }
        let bytes = bytes as u64;
        state.upload_bytes.room_for(bytes, now)?;
        state.requests.take(1, now)?;
        state.upload_bytes.take(bytes, now)
    }

    /// Whether so many bytes can be uploaded now, or when.
    pub(super) fn room_for(&self, bytes: u64, now: Instant) -> Result<(), Instant> {
        self.lock().upload_bytes.room_for(bytes, now)
    }

    pub(super) fn throttled(&self, asked: Option<Duration>, now: Instant) -> Duration {
        let mut state = self.lock();
        let wait = asked.unwrap_or_else(|| {
            // answers to requests that were on their way together are one refusal
            let fresh = u32::from(state.gate <= now);
            let before = self.throttled_in_a_row.fetch_add(fresh, Relaxed);
            let doubled = BACKOFF_MIN * 2_u32.saturating_pow((before + fresh).clamp(1, 8) - 1);
            jitter(doubled.min(BACKOFF_MAX), 0.5)
        });
        state.gate = state.gate.max(now + wait);
        state.gate - now
    }

    pub(super) fn passed(&self) {
        if self.throttled_in_a_row.load(Relaxed) != 0 {
            self.throttled_in_a_row.store(0, Relaxed);
        }
    }

    /// Whether forgetting it would change nothing.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.gate <= now
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

/// All slots stay taken.
pub(super) fn busy() -> Error {
    let verdict = Verdict::Blocked { scope: Scope::Mailbox, after: Some(BUSY_WAIT) };
    let detail = "the mailbox has as many requests on their way as it may";
    Error::new(Code::GraphThrottled, verdict, detail)
}
