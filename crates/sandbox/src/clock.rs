//! The sandbox's own clock: real time plus what a test has advanced it by.
//!
//! Token expiry, budget windows and visibility delays read it, so a test can let an hour
//! pass without waiting. Latency and hanging are real waits and do not. The login host may have a
//! clock of its own that is off.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Real time plus an offset that only grows.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: AtomicI64,
    login_skew: AtomicI64,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_millis(self.ahead_ms.load(Ordering::Relaxed));
        Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// What the login host takes for now.
    pub fn login(&self) -> Timestamp {
        let skew = SignedDuration::from_secs(self.login_skew.load(Ordering::Relaxed));
        self.now().saturating_add(skew).unwrap_or(Timestamp::MAX)
    }

    /// Sets the login host's clock off by so many seconds.
    pub fn set_login_skew(&self, seconds: i64) {
        self.login_skew.store(seconds, Ordering::Relaxed);
    }

    /// Lets time pass at once.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 2);
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

/// `at + by`, stopping at the end of time instead of failing.
pub fn after(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.saturating_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// How long from `now` until `then`; zero when it is past.
pub fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// Graph's form of a time: UTC, whole seconds, `Z`.
pub fn seconds_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
