//! A configuration as far as it can be read, for whoever helps with one that is not right yet.

use std::collections::BTreeMap;

use mailbridge_core::plugin;
use mailbridge_engine::Settings;
use mailbridge_graph::Connection;
use serde_json::Value;

use super::{
    connection::take_notify,
    load::Loaded,
    model::{RequestsSection, events::EventsSection},
    uses::Use,
};

/// What could be read; what could not is left out.
#[derive(Default)]
pub struct Written {
    /// Connections by name, as they stand.
    pub connections: BTreeMap<String, Connection>,
    /// The connection and the settings of each pipeline of requests.
    pub requests: Vec<(String, Settings)>,
    /// Each pipeline of events.
    pub events: Vec<EventsSection>,
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
        let requests = |(_, section): (&String, &Value)| {
            let section: RequestsSection = plugin::parse(section.get("requests")?.clone()).ok()?;
            let settings = section.settings();
            Some((section.connection, settings))
        };
        let events =
            |(_, section): (&String, &Value)| plugin::parse(section.get("events")?.clone()).ok();
        Self {
            connections: sections("connections").filter_map(connection).collect(),
            requests: sections("pipelines").filter_map(requests).collect(),
            events: sections("pipelines").filter_map(events).collect(),
        }
    }

    /// What is done with connections: each with its name.
    pub fn uses(&self) -> impl Iterator<Item = (&str, Use<'_>)> {
        let requests = self.requests.iter().map(|(of, it)| (of.as_str(), Use::Requests(it)));
        requests.chain(self.events.iter().map(|it| (it.connection.as_str(), Use::Events(it))))
    }
}
