//! mailbridge with the buses that it ships with.

use std::process::ExitCode;

use mailbridge::Registry;

/// A request costs some hundred small allocations, and the system's allocator keeps what many threads
/// have freed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let registry = Registry::new();
    #[cfg(feature = "nats")]
    let registry = registry.with::<mailbridge_nats::Nats>();
    #[cfg(feature = "kafka")]
    let registry = registry.with::<mailbridge_kafka::Kafka>();
    mailbridge::main(&registry.with::<mailbridge_local::Local>())
}
