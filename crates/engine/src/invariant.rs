//! The promises of the engine, named once. The simulation checks all of them; what a type can hold
//! by itself is held by a type, the rest is asserted in debug builds.
//!
//! | name | promise | held by |
//! |---|---|---|
//! | F1 | a request is settled `Done` only after the effect is noted and the outcome durably published | [`Published`], the only key to it; a message that is no request has neither |
//! | F2 | the stored cursor is never ahead of what the bus has confirmed | `events::line`: the record moves once every event before it is confirmed |
//! | F3 | performed as fresh at most once unless every earlier attempt is known not to have happened | `memory`, and `Mail::perform`'s look |
//! | F4 | dead-lettered durably before `Rejected`, never both completed and dead-lettered | [`DeadLettered`], the only key to `Rejected`; `memory`, where an end that was decided stands |
//! | F5 | a blocked path dead-letters nothing and charges no attempt | `decide` |
//! | F6 | events of one folder are first published in Graph's order | `events::line`: one after the other, each confirmed before the next |
//! | F7 | in flight ≤ limit, every wait bounded | the slot every delivery holds |
//! | F8 | after a soft stop nothing new is taken, drain ends in time, the unsettled comes back | `Requests::run` |

/// Evidence that an outcome is durable.
#[must_use]
#[derive(Debug)]
pub struct Published(pub(crate) ());

/// Evidence that a dead letter is durable, and its outcome too.
#[must_use]
#[derive(Debug)]
pub struct DeadLettered(pub(crate) ());

/// Asserts an invariant in debug builds, by name.
macro_rules! invariant {
    ($name:ident, $holds:expr) => {
        debug_assert!($holds, concat!("invariant ", stringify!($name), " is broken"))
    };
}

pub(crate) use invariant;
