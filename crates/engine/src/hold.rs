//! Holds a stream while its connection to mail is blocked, and finds out when it is open again.
//!
//! An expired secret or a revoked consent is no request's fault: the stream waits, whole. Whoever
//! wants to take a delivery passes here first. While it is held, nobody passes; after a pause the
//! connection is asked whether it is ready. A block that showed in that answer is over when the
//! answer changes. One that did not (some show only when mail is sent) is tried by *one* delivery,
//! the probe, whose fate opens the stream or holds it again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailbridge_core::{Error, Mail};
use tokio::{sync::Notify, time::Instant};

use crate::{backoff, health::Reporter, metric};

const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The gate of one pipeline.
#[derive(Clone)]
pub struct Hold(Arc<Inner>);

struct Inner {
    mail: Arc<dyn Mail>,
    health: Reporter,
    pipeline: String,
    gate: Mutex<Gate>,
    changed: Notify,
}

enum Gate {
    /// Nothing is known yet: the connection must prove itself first.
    Unproven {
        failures: u32,
        until: Instant,
    },
    Open,
    Held {
        block: Block,
        until: Instant,
    },
    /// One delivery is on its way to find out.
    Probing(Block),
}

/// What is known of a block.
#[derive(Clone, Copy)]
struct Block {
    since: Instant,
    failures: u32,
    /// The connection itself says that it is not ready, so its word is enough to open.
    shows: bool,
}

/// The right to take one delivery.
pub struct Pass {
    hold: Hold,
    at: Instant,
    probe: bool,
}

impl Hold {
    /// A gate that opens when `mail` is ready.
    pub fn new(pipeline: &str, mail: Arc<dyn Mail>, health: Reporter) -> Self {
        let gate = Mutex::new(Gate::Unproven { failures: 0, until: Instant::now() });
        let pipeline = pipeline.to_owned();
        Self(Arc::new(Inner { mail, health, pipeline, gate, changed: Notify::new() }))
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a delivery may be taken. Cancel safe.
    pub async fn pass(&self) -> Pass {
        loop {
            let changed = self.0.changed.notified();
            let until = match *self.gate() {
                Gate::Open => return self.ticket(false),
                Gate::Unproven { until, .. } | Gate::Held { until, .. } => Some(until),
                Gate::Probing(_) => None,
            };
            match until {
                None => changed.await,
                Some(until) if until > Instant::now() => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
                Some(_) => match self.0.mail.ready().await {
                    Err(error) => self.close(&error, None, true),
                    Ok(()) => {
                        if let Some(pass) = self.proven() {
                            return pass;
                        }
                    }
                },
            }
        }
    }

    /// Waits until the stream is open, without taking anything. Cancel safe.
    pub async fn open(&self) {
        loop {
            let changed = self.0.changed.notified();
            if matches!(*self.gate(), Gate::Open) {
                return;
            }
            changed.await;
        }
    }

    fn ticket(&self, probe: bool) -> Pass {
        Pass { hold: self.clone(), at: Instant::now(), probe }
    }

    /// The connection says that it is ready: open for the first time, or let one try.
    fn proven(&self) -> Option<Pass> {
        let mut gate = self.gate();
        match *gate {
            Gate::Unproven { failures, .. } => {
                *gate = Gate::Open;
                drop(gate);
                self.opened(failures > 0);
                None
            }
            Gate::Held { block: Block { shows: true, .. }, .. } => {
                *gate = Gate::Open;
                drop(gate);
                self.opened(true);
                None
            }
            Gate::Held { block, .. } => {
                *gate = Gate::Probing(block);
                Some(self.ticket(true))
            }
            Gate::Open | Gate::Probing(_) => None,
        }
    }

    /// Asks an idle connection whether it is still ready, so that an expired secret shows before the
    /// next request comes.
    pub async fn check(&self) {
        if matches!(*self.gate(), Gate::Open)
            && let Err(error) = self.0.mail.ready().await
        {
            self.close(&error, None, true);
        }
    }

    /// Holds the stream. `shows`: the connection itself said so.
    fn close(&self, error: &Error, after: Option<Duration>, shows: bool) {
        let now = Instant::now();
        let mut gate = self.gate();
        let mut block = match *gate {
            Gate::Open => Block { since: now, failures: 0, shows },
            Gate::Unproven { failures, .. } => Block { since: now, failures, shows },
            // Those that were on their way meet the same block: it was counted already.
            Gate::Held { until, .. } if until > now => return,
            Gate::Held { block, .. } | Gate::Probing(block) => block,
        };
        block.failures += 1;
        block.shows |= shows;
        let failures = block.failures;
        let pause = backoff::pause(failures, PAUSE_MIN, PAUSE_MAX);
        let until = now + after.unwrap_or_default().min(PAUSE_MAX).max(pause);
        *gate = match *gate {
            Gate::Unproven { .. } => Gate::Unproven { failures, until },
            _ => Gate::Held { block, until },
        };
        drop(gate);
        self.0.changed.notify_waiters();
        self.0.health.mail(Err(error.clone()));
        metrics::gauge!(metric::HELD, "pipeline" => self.0.pipeline.clone()).set(1.0);
        if failures == 1 {
            tracing::error!(
                pipeline = %self.0.pipeline, code = %error.code(), %error, cure = error.code().cure(),
                "the stream is held; nothing is lost, and it resumes by itself"
            );
        } else {
            tracing::debug!(pipeline = %self.0.pipeline, code = %error.code(), %error, "still held");
        }
    }

    fn opened(&self, was_held: bool) {
        self.0.changed.notify_waiters();
        self.0.health.mail(Ok(()));
        metrics::gauge!(metric::HELD, "pipeline" => self.0.pipeline.clone()).set(0.0);
        if was_held {
            tracing::info!(pipeline = %self.0.pipeline, "the stream resumes");
        }
    }
}

impl Pass {
    /// Mail answered: the path is open, unless the block came after this pass.
    pub fn open(&self) {
        let mut gate = self.hold.gate();
        let opens = match *gate {
            Gate::Open | Gate::Unproven { .. } => false,
            Gate::Held { block, .. } | Gate::Probing(block) => self.probe || self.at > block.since,
        };
        if opens {
            *gate = Gate::Open;
            drop(gate);
            self.hold.opened(true);
        }
    }

    /// Mail is blocked for all; says how long this delivery goes back for.
    pub fn close(&self, error: &Error, after: Option<Duration>) -> Duration {
        self.hold.close(error, after, false);
        after.unwrap_or_default().max(PAUSE_MIN)
    }
}

/// A probe that ended without an answer from mail (a bad request, a closed mailbox) proves nothing:
/// the next delivery is the probe.
impl Drop for Pass {
    fn drop(&mut self) {
        if !self.probe {
            return;
        }
        let mut gate = self.hold.gate();
        if let Gate::Probing(block) = *gate {
            *gate = Gate::Held { block, until: Instant::now() };
            drop(gate);
            self.hold.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
