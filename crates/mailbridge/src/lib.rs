//! The program: command line, configuration, registry, wiring, HTTP side.
//!
//! It is the only part that reads files of its own accord, the environment, arguments and signals.
//! What is done with mail and buses is elsewhere: the engine's flows, the bus plugins, Graph.
//! `main` names the plugins; a program with a bus of its own is another `main` of ten lines.

mod cli;
mod command;
mod compare;
mod config;
mod exit;
mod http;
mod letters;
mod log;
mod names;
mod registry;
mod rehearsal;
mod replay;
mod run;
mod sandboxes;
mod single;
mod telemetry;
mod tour;

pub use cli::main;
pub use config::mistakes;
pub use registry::Registry;
