//! Real servers as child processes on free loopback ports, each with a folder of its own that
//! goes when the launcher is dropped.
//!
//! A launcher finds its server's program; it never gets one: that is `cargo xtask services`. When
//! there is none it fails, and so does the test: a test that quietly did not run proves nothing.

mod kafka;
mod nats;
mod prometheus;

pub use kafka::{InUse, KafkaOptions, KafkaServer, SharedKafka, shared as shared_kafka};
pub use nats::NatsServer;
pub use prometheus::{Prometheus, promtool};
