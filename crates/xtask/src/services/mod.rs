//! The servers that tests run as child processes. `cargo xtask services` gets each of them once;
//! starting and stopping them is the business of the launchers in `testkit`.
//!
//! A server has one row in [`SERVICES`] and one module beside this file.

mod debian;
mod kafka;
mod nats;
mod prometheus;

use std::path::PathBuf;

use crate::Result;

/// A server that is there and can be started.
pub struct Ready {
    /// What was found or got, for one line of output: version and place.
    pub what: String,
    /// What tells the launchers in the tests to use exactly this one.
    pub environment: Vec<(&'static str, PathBuf)>,
}

struct Service {
    name: &'static str,
    /// Finds it, or gets it. The second time it must find it, quickly and without a network.
    provide: fn() -> Result<Ready>,
}

const SERVICES: &[Service] = &[
    Service { name: "nats-server", provide: nats::provide },
    Service { name: "kafka", provide: kafka::provide },
    Service { name: "prometheus", provide: prometheus::provide },
];

pub fn run(arguments: &[String]) -> Result {
    if let Some(argument) = arguments.first() {
        return Err(format!("`services` takes no arguments, found `{argument}`").into());
    }
    provide().map(drop)
}

/// Makes every service available, with one line of output for each.
pub fn provide() -> Result<Vec<Ready>> {
    let mut ready = Vec::new();
    for service in SERVICES {
        let found = (service.provide)().map_err(|e| format!("no {}: {e}", service.name))?;
        println!("{} {}", service.name, found.what);
        ready.push(found);
    }
    Ok(ready)
}
