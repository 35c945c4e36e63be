//! The flows between buses and mail.
//!
//! One rule shapes everything here: **forget last**. Only the last step of a line lets the source
//! forget; every earlier step can be repeated. So there is no retry loop: retrying is reading again,
//! and a failure, a crash and a deploy take the same path.
//!
//! ```text
//! requests   Input.next -> decode -> Mail.perform -> publish outcome -> SETTLE
//! ```
//!
//! What happens after a failure is decided in one place, [`decide`]. The engine knows the ports of
//! `mailbridge-core` and nothing of any bus or of Graph.

mod backoff;
mod bounces;
pub mod decide;
pub mod events;
pub mod guard;
pub mod health;
mod hold;
mod host;
pub mod invariant;
mod keep_alive;
pub mod ledger;
mod mailboxes;
mod memory;
pub mod metric;
pub mod pool;
mod requests;
mod settings;
mod spans;
mod waiting;

pub use host::StoreHost;
pub use requests::{Admitted, Known, Observer, Requests, admit};
pub use settings::{InDoubt, Policy, Settings};
