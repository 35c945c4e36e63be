//! A configuration that has been checked: everything is built, nothing is opened.

use std::{collections::BTreeMap, sync::Arc};

use mailbridge_core::{
    Input, Output,
    plugin::{Build, Bus},
};
use mailbridge_engine::Settings;
use mailbridge_graph::Connection;

use super::{
    model::{Http, Log, Report},
    problem::Problem,
};

/// What would run.
pub struct Setup {
    /// Connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// By connection: where it is told that one of its credentials ends.
    pub notify: BTreeMap<String, Port<dyn Output>>,
    /// Pipelines in the order of their names.
    pub pipelines: Vec<Pipeline>,
    /// The HTTP side.
    pub http: Http,
    /// Logs.
    pub log: Log,
    /// What is told to a person.
    pub report: Report,
    /// What works, but should be known.
    pub warnings: Vec<Problem>,
}

/// One requests pipeline.
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The connection's name.
    pub connection: String,
    /// How it works.
    pub settings: Settings,
    /// Where requests come from.
    pub from: Port<dyn Input>,
    /// Where outcomes go.
    pub outcomes: Option<Port<dyn Output>>,
    /// Where dead letters go.
    pub dead_letters: Port<dyn Output>,
}

/// One end of a pipeline on a bus.
pub struct Port<P: ?Sized> {
    /// Builds it.
    pub build: Arc<dyn Build<P>>,
    /// The same in words, such as `events (nats): stream MAIL, consumer mailbridge`.
    pub told: String,
}

/// A bus with its plugin's name.
pub struct NamedBus {
    /// The plugin's name.
    pub plugin: &'static str,
    /// The bus.
    pub bus: Arc<dyn Bus>,
}
