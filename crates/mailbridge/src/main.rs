//! mailbridge with the buses that it ships with.

use std::process::ExitCode;

use mailbridge::Registry;
use mailbridge_local::Local;
use mailbridge_nats::Nats;

fn main() -> ExitCode {
    mailbridge::main(&Registry::new().with::<Nats>().with::<Local>())
}
