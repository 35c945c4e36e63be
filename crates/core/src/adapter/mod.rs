//! What a bus lacks, supplied by a wrapper, so that the engine needs no capability flags.

mod redeliver;
mod watermark;

pub use redeliver::Redeliver;
pub use watermark::Watermark;
