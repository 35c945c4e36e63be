//! What is tried with bytes from outside, and what must hold whatever they are.
//!
//! Each module has one `run`, which a fuzz target and the test of the kept corpus both call. It fails
//! by panicking. Nothing here makes up input.

pub mod cloud_event;
pub mod config;
pub mod graph_answer;
pub mod mime;
pub mod notification;
pub mod request;
mod said;
