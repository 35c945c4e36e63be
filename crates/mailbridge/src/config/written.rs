//! A configuration as far as it can be read, for whoever helps with one that is not right yet.

use std::collections::BTreeMap;

use mailbridge_core::plugin;
use mailbridge_engine::Settings;
use mailbridge_graph::Connection;
use serde_json::Value;

use super::{connection::take_notify, load::Loaded, model::RequestsSection};

/// What could be read; what could not is left out.
#[derive(Default)]
pub struct Written {
    /// Connections by name, as they stand.
    pub connections: BTreeMap<String, Connection>,
    /// The connection and the settings of each pipeline.
    pub pipelines: Vec<(String, Settings)>,
}

impl Written {
    pub(super) fn of(loaded: &Loaded) -> Self {
        let sections = |name: &str| {
            let section = loaded.tree.get(name).and_then(Value::as_object);
            section.into_iter().flatten()
        };
        let connection = |(name, section): (&String, &Value)| {
            let mut section = section.clone();
            take_notify(&mut section);
            Some((name.clone(), plugin::parse(section).ok()?))
        };
        let pipeline = |(_, section): (&String, &Value)| {
            let section: RequestsSection = plugin::parse(section.get("requests")?.clone()).ok()?;
            let settings = section.settings();
            Some((section.connection, settings))
        };
        Self {
            connections: sections("connections").filter_map(connection).collect(),
            pipelines: sections("pipelines").filter_map(pipeline).collect(),
        }
    }
}
