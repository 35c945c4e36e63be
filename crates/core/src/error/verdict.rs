//! What may be done about a failure.

use std::time::Duration;

/// What a failure means for the request that met it. Read in one place only, `engine::decide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did not happen; it may next time.
    Transient {
        /// How long the other side asked to wait.
        after: Option<Duration>,
    },
    /// It may have happened: look before trying again.
    InDoubt,
    /// It did not happen and never will: the request is at fault.
    Permanent,
    /// It did not happen, and nothing is wrong with the request: the path is down for all who use
    /// it. Charges no attempt and dead-letters nothing.
    Blocked {
        /// Who else is in the same place.
        scope: Scope,
        /// How long the other side asked to wait.
        after: Option<Duration>,
    },
}

/// How far a blocked path reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One mailbox (throttled, full, denied): the others go on.
    Mailbox,
    /// The whole connection (identity, login host): the stream is held.
    Connection,
}
