//! mailbridge with the buses that it ships with.

use std::process::ExitCode;

use mailbridge::Registry;
use mailbridge_local::Local;
use mailbridge_nats::Nats;

/// A request costs some hundred small allocations, and the system's allocator keeps what many threads
/// have freed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mailbridge::main(&Registry::new().with::<Nats>().with::<Local>())
}
