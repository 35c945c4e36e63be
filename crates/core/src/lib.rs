//! The nouns and ports of mailbridge.
//!
//! Everything here is shared by the engine, the bus plugins and the Graph side, and none of it knows
//! any of them. This crate opens no socket and spawns no task: a port is a trait, an adapter is a
//! value that wraps a port, and the contract types are what crosses the process boundary.
//!
//! Where to start reading: [`delivery`] (how a message is held and let go), [`port`] (the
//! ports), [`error`] (how a failure says what may be done about it), [`contract`] (what users
//! publish and receive).

pub mod adapter;
pub mod budget;
pub mod changes;
pub mod contract;
pub mod deadline;
pub mod delivery;
pub mod duration;
pub mod error;
pub mod file_store;
pub mod limits;
pub mod mailbox;
pub mod message;
pub mod plugin;
pub mod port;
pub mod report;
pub mod secret;
pub mod template;
pub mod trace;

pub use budget::Budget;
pub use changes::{Changes, Subscriptions};
pub use deadline::Deadline;
pub use delivery::{Delivery, Disposition, Position, Receipt, SeenBefore, Settle, Settled};
pub use duration::Span;
pub use error::{Code, Error, Result, Scope, Verdict};
pub use file_store::{FileStore, FileWriter};
pub use mailbox::Mailbox;
pub use message::{Headers, Labels, Message};
pub use port::{
    AsRequests, Attempt, Commit, Completion, Decoder, Doubt, File, Files, Filter, Guarantee, Input,
    Keep, LIST_MAX, Mail, Needs, NoFiles, Output, Put, Revision, Signals, StateStore, listed,
    too_many_keys,
};
pub use report::{Original, Report, Reports};
pub use secret::{Secret, SecretSource};
pub use template::Template;
