//! What the tests of this project stand on: real servers and the real program as child processes.
//! Never part of the program.

pub mod child;
pub mod conformance;
pub mod program;
pub mod server;
pub mod shelf;
pub mod simulation;
