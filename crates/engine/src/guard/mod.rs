//! Guard rails: what a pipeline may send to whom, how much, and whether at all.
//!
//! [`Recipients`] looks at a request before anything is done. [`Guarded`] stands before `Mail`: it
//! keeps budgets, which hold a mailbox and never fail a request, and it keeps a rehearsal from
//! sending.

mod guarded;
mod recipients;

pub use guarded::{Budgets, Guarded};
pub use recipients::Recipients;
