//! One module for each command: its arguments and what it does.

pub mod check;
pub mod explain;
pub mod schema;
