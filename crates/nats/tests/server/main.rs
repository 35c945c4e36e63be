//! The plugin against real servers: who is let in, what is refused, what happens when the
//! connection or the consumer goes. The promises of the ports themselves are the conformance
//! suite's.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by them")]

mod connection;
mod credentials;
mod delivery;
mod object;
mod output;
mod refusal;
mod rig;
mod setup;
mod tls;
