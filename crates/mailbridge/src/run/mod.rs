//! Running pipelines until their inputs end or somebody asks to stop.

pub mod latency;
pub mod notify;
mod place;
pub mod program;
pub mod progress;
pub mod reload;
pub mod report;
pub mod seen;
pub mod signals;
pub mod told;
pub mod wiring;
