//! The plugin against a real broker: who is let in, what is refused, what happens when partitions
//! come and go. The promises of the ports themselves are the conformance suite's.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by them")]

mod commit;
mod groups;
mod output;
mod records;
mod rig;
mod security;
mod state;
