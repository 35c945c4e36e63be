//! What a bus or a place lacks, supplied by a wrapper, so that nobody needs capability flags.

mod bounded;
mod ranges;
mod redeliver;
mod watermark;

pub use bounded::Bounded;
pub use ranges::{Chunks, Ranges};
pub use redeliver::Redeliver;
pub use watermark::Watermark;
