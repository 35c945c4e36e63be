//! The connection against the sandbox, which keeps the truth of what was really sent and of what is
//! in its mailboxes.

#![cfg(test)]

mod bounce;
mod changes;
mod full;
mod once;
mod rig;
