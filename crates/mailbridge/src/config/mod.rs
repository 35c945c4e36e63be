//! The configuration: from files and environment to pipelines that are ready to run.
//!
//! ```text
//! load (files, environment) -> model (keys) -> assemble (plugins, connections, rules) -> Setup
//! ```
//!
//! All of it is pure but for reading the files: nothing is connected, no secret is read. So
//! `mailbridge check` and `mailbridge run` take the same way, and differ in what they do with the
//! [`Setup`].

mod assemble;
mod connection;
pub mod expectation;
mod fingerprint;
mod load;
mod locate;
pub mod model;
mod overrides;
mod parse;
mod problem;
mod rules;
pub mod schema;
mod setup;
mod size;
mod templates;
pub mod text;
mod uses;
mod written;

use std::path::PathBuf;

use crate::registry::Registry;

pub use fingerprint::Fingerprints;
pub use problem::Problems;
pub use setup::{Buses, EventsPipeline, LedgerSetup, Pipeline, Setup, TokenBus};
pub use uses::Use;
pub use written::Written;

/// Reads and checks a configuration that is to be run.
pub fn read(files: &[PathBuf], registry: &Registry) -> Result<Setup, Problems> {
    read_again(files, registry, &Buses::default())
}

/// Reads and checks a configuration that another one runs of. What has not changed of its buses is
/// taken over: a bus may keep in memory what was published.
pub fn read_again(
    files: &[PathBuf],
    registry: &Registry,
    buses: &Buses,
) -> Result<Setup, Problems> {
    assemble::assemble(load::load(files)?, registry, Purpose::Run, buses)
}

/// The mistakes of a configuration in YAML, each as `NAME:LINE: KEY: MESSAGE`; none, where it would run.
pub fn mistakes(name: &str, yaml: &str, registry: &Registry) -> Vec<String> {
    let setup = load::text(name, yaml)
        .and_then(|it| assemble::assemble(it, registry, Purpose::Run, &Buses::default()));
    setup.err().map(|problems| problems.lines()).unwrap_or_default()
}

/// What a configuration rests on, right or wrong.
pub fn fingerprints(files: &[PathBuf]) -> Result<Fingerprints, Problems> {
    load::load(files).map(|loaded| Fingerprints::of(&loaded.tree))
}

/// Reads and checks a configuration with all that stands beside it: the tests of its pipelines,
/// which a run has no need of.
pub fn read_with_tests(files: &[PathBuf], registry: &Registry) -> Result<Setup, Problems> {
    assemble::assemble(load::load(files)?, registry, Purpose::Check, &Buses::default())
}

/// Reads and checks a configuration whose connections are to be used.
pub fn read_connections(files: &[PathBuf], registry: &Registry) -> Result<Setup, Problems> {
    assemble::assemble(load::load(files)?, registry, Purpose::Connections, &Buses::default())
}

/// Reads what can be read of a configuration that need not be right.
pub fn read_as_written(files: &[PathBuf]) -> Result<Written, Problems> {
    load::load(files).map(|loaded| Written::of(&loaded))
}

/// What a configuration is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To run its pipelines; there must be one.
    Run,
    /// The same, with its tests.
    Check,
    /// To use its connections.
    Connections,
}

/// Whether a key of this name holds a secret.
fn secret_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["client_secret", "password", "token", "nkey", "credentials", "credential"]
        .contains(&name.as_str())
}
