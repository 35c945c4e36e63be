//! Apache Kafka as a bus.
