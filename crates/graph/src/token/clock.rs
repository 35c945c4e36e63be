//! The login service's clock and this machine's. An assertion is valid by the login service's clock
//! and signed by this one, so it tells when they are too far apart.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use reqwest::{Url, header::HeaderMap};

use crate::http::Skew;

/// From here on assertions are refused (learn.microsoft.com, entra certificate-credentials: valid
/// for five to ten minutes).
const SKEW_MAX: Duration = Duration::from_mins(5);

/// Compares the clocks at each answer.
#[derive(Default)]
pub(crate) struct Clock {
    /// It is off, and that has been told.
    told: AtomicBool,
}

impl Clock {
    /// How far it is off, by an answer of the login service that came just now, if that is too far.
    /// Logs it once for as long as it is.
    pub(super) fn check(&self, login: &Url, headers: &HeaderMap) -> Option<Skew> {
        let skew = Skew::of(headers)?;
        let off = skew.exceeds(SKEW_MAX);
        if off && !self.told.swap(true, Relaxed) {
            tracing::warn!(
                login_host = login.host_str(),
                clock_skew_seconds = skew.seconds(),
                cure = "set the machine's clock by NTP",
                "this machine's clock is not the login service's; positive when it is ahead"
            );
        } else if !off {
            self.told.store(false, Relaxed);
        }
        off.then_some(skew)
    }
}
