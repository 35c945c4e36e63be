//! The signals that ask the program to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A request to stop.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Its name, such as `SIGTERM`.
    pub name: &'static str,
    /// Its number.
    pub number: u8,
}

/// Requests to stop, from an operator's terminal or a supervisor.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over from the system, which would end the program.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next request to stop. Cancel safe.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Asked { name: "SIGINT", number: 2 },
            Some(()) = self.terminate.recv() => Asked { name: "SIGTERM", number: 15 },
            else => std::future::pending().await,
        }
    }
}
