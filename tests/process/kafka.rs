//! The built program over a real Kafka broker: workers that come and go, a broker that restarts,
//! records that nobody should have written, and records of clients that nobody here wrote.

mod bad_input;
mod blocked;
mod denied;
mod events;
mod hub;
mod letters;
pub mod rig;
mod third_party;
mod token;
mod workers;
