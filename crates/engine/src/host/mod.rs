//! Hosts the ports of a bus: builds them, uses them, drops them after an error, and builds others
//! after a pause. A plugin has no half-open state to get wrong, because it never lives on after an
//! error.

mod input;
mod output;
mod store;

use std::time::Duration;

pub use input::InputHost;
pub use output::OutputHost;
pub use store::StoreHost;

use crate::backoff;

/// The pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    backoff::pause(failures, Duration::from_millis(250), Duration::from_secs(10))
}
