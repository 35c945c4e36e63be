//! Microsoft Graph behind the ports [`Mail`](mailbridge_core::Mail), which sends, and
//! [`Changes`](mailbridge_core::Changes), which tells what happens.
//!
//! One [`Graph`] is one connection: an app in a tenant, its token, its HTTP client and the pace of
//! each of its mailboxes. [`config`] says what a connection is made of, `operation` has one module
//! for each thing that can be done in a mailbox, and every request leaves through `http`, the one
//! door. What an answer means is decided in [`classify`], a pure function, and nowhere else.
//!
//! This crate retries nothing that may have happened, keeps nothing on disk, and knows no bus.

mod bearer;
mod chance;
pub mod classify;
pub mod cloud;
pub mod config;
mod credential;
pub mod doctor;
mod grants;
mod graph;
mod http;
pub mod metric;
mod operation;
mod pacing;
mod preview;
#[doc(hidden)]
pub mod probe;
mod tenants;
mod token;
mod wire;

pub use bearer::Bearer;
pub use config::{Connection, Limits, Options, Resolved, SandboxAccess};
pub use credential::{Expiring, Expiry, Notify};
pub use graph::Graph;
pub use preview::{Preview, PreviewBody, preview};
pub use tenants::{Tenants, Trouble};
pub use wire::message::MARK_PROPERTY;
