//! Puts a configuration together: parses every section with whoever knows its type, and connects
//! names with what they name. Rules between values are in [`rules`](super::rules).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mailbridge_core::plugin::{self, Build, Bus, Malformed};
use mailbridge_graph::Connection;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Purpose, connection,
    load::Loaded,
    locate::Places,
    model::{self, RequestsSection},
    parse,
    problem::{Problem, Problems},
    rules,
    setup::{NamedBus, Pipeline, Port, Setup},
};
use crate::{
    names::{known, name_fits},
    registry::Registry,
    sandboxes,
};

/// Checks everything that can be checked offline.
pub fn assemble(loaded: Loaded, registry: &Registry, purpose: Purpose) -> Result<Setup, Problems> {
    let Loaded { tree, places } = loaded;
    let mut assembly = Assembly {
        registry,
        places,
        problems: Vec::new(),
        warnings: Vec::new(),
        used_connections: BTreeSet::new(),
        used_buses: BTreeSet::new(),
    };
    let setup = assembly.setup(tree);
    let nothing = setup.as_ref().is_some_and(|setup| setup.pipelines.is_empty());
    if purpose == Purpose::Run && nothing && assembly.problems.is_empty() {
        assembly.fault(&["pipelines"], "there is no pipeline: nothing would run".to_owned());
    }
    match setup {
        Some(mut setup) if assembly.problems.is_empty() => {
            setup.warnings = assembly.warnings;
            Ok(setup)
        }
        _ => Err(Problems::new(assembly.problems)),
    }
}

/// The keys that lead to a section.
type Key<'a> = &'a [&'a str];

struct Assembly<'a> {
    registry: &'a Registry,
    places: Places,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    used_connections: BTreeSet<String>,
    used_buses: BTreeSet<String>,
}

impl Assembly<'_> {
    fn setup(&mut self, tree: Value) -> Option<Setup> {
        for key in rules::literal_secrets(&tree) {
            self.warn(&below(&[], &key), rules::LITERAL_SECRET);
        }
        // What is wrong at the top is told, and what is under the right keys is checked all the same.
        let mut top = self.top(tree)?;
        let http = self.optional(&["http"], top.http.take());
        let log = self.optional(&["log"], top.log.take());
        let report = self.optional(&["report"], top.report.take());
        let connections = self.connections(std::mem::take(&mut top.connections));
        let buses = self.buses(std::mem::take(&mut top.buses));
        if let Some(state) = top.state.take() {
            self.port(&["state"], state, &buses, |bus, section| bus.state(section));
            self.warn(&["state"], "no pipeline of this configuration keeps state");
        }
        let pipelines = self.pipelines(std::mem::take(&mut top.pipelines), &connections, &buses);
        let (used_connections, used_buses) =
            (std::mem::take(&mut self.used_connections), std::mem::take(&mut self.used_buses));
        for name in connections.keys().filter(|name| !used_connections.contains(*name)) {
            self.warn(&["connections", name], "no pipeline uses this connection");
        }
        for name in buses.keys().filter(|name| !used_buses.contains(*name)) {
            self.warn(&["buses", name], "nothing uses this bus");
        }
        let connections = connections.into_iter().filter_map(|(name, it)| Some((name, it?)));
        Some(Setup {
            connections: connections.collect(),
            pipelines,
            http: http?,
            log: log?,
            report: report?,
            warnings: Vec::new(),
        })
    }

    fn top(&mut self, tree: Value) -> Option<model::File> {
        let Value::Object(mut keys) = tree else { return None };
        let known_keys = model::File::KEYS;
        let unknown: Vec<String> =
            keys.keys().filter(|key| !known_keys.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            let message = format!("unknown key `{key}`; {}", known("keys", &key, known_keys));
            self.fault(&[&key], message);
            keys.remove(&key);
        }
        self.section(&[], Value::Object(keys), plugin::parse)
    }

    fn connections(
        &mut self,
        sections: BTreeMap<String, Value>,
    ) -> BTreeMap<String, Option<Connection>> {
        let mut connections = BTreeMap::new();
        for (name, section) in sections {
            let key = ["connections", name.as_str()];
            self.check_name(&key, &name);
            let connection: Option<Connection> = self.section(&key, section, plugin::parse);
            let mistakes = connection
                .as_ref()
                .map(|it| connection::mistakes(it, &sandboxes::stand_in()))
                .unwrap_or_default();
            for Malformed { path, detail } in mistakes {
                self.fault(&below(&key, &path), detail);
            }
            connections.insert(name, connection);
        }
        connections
    }

    /// The buses by name; `None` for those whose mistake was told.
    fn buses(&mut self, sections: BTreeMap<String, Value>) -> BTreeMap<String, Option<NamedBus>> {
        let mut buses = BTreeMap::new();
        for (name, section) in sections {
            let key = ["buses", name.as_str()];
            self.check_name(&key, &name);
            let bus = self.bus(&key, &name, section);
            buses.insert(name, bus);
        }
        buses
    }

    fn bus(&mut self, key: Key<'_>, name: &str, section: Value) -> Option<NamedBus> {
        let names = self.registry.names();
        let Some((plugin_name, config)) = only_entry(section) else {
            let one = format!("expected one key, the bus's plugin: {}", names.join(", "));
            return self.refuse(key, one);
        };
        let key = [key, &[plugin_name.as_str()]].concat();
        let Some(plugin) = self.registry.find(&plugin_name) else {
            let known = known("plugins", &plugin_name, &names);
            return self.refuse(&key, format!("there is no bus plugin `{plugin_name}`; {known}"));
        };
        let (open, plugin) = (plugin.open, plugin.name);
        let bus = self.section(&key, config, |config| open(name, config))?;
        Some(NamedBus { plugin, bus })
    }

    fn pipelines(
        &mut self,
        sections: BTreeMap<String, Value>,
        connections: &BTreeMap<String, Option<Connection>>,
        buses: &BTreeMap<String, Option<NamedBus>>,
    ) -> Vec<Pipeline> {
        let mut pipelines = Vec::new();
        let mut readers = rules::Readers::default();
        for (name, section) in sections {
            let key = ["pipelines", name.as_str()];
            self.check_name(&key, &name);
            let Some((kind, section)) = only_entry(section) else {
                self.fault(&key, "expected one key, the pipeline's kind: requests".to_owned());
                continue;
            };
            let key = [&key[..], &[kind.as_str()]].concat();
            if kind != "requests" {
                let message = format!("there is no pipeline kind `{kind}`; known is requests");
                self.fault(&key, message);
                continue;
            }
            if let Some(other) = section.get("from").and_then(|from| readers.add(&name, from)) {
                let from = [&key[..], &["from"]].concat();
                self.fault(&from, other);
            }
            pipelines.extend(self.requests(&name, &key, section, connections, buses));
        }
        pipelines
    }

    fn requests(
        &mut self,
        name: &str,
        key: Key<'_>,
        section: Value,
        connections: &BTreeMap<String, Option<Connection>>,
        buses: &BTreeMap<String, Option<NamedBus>>,
    ) -> Option<Pipeline> {
        // The ends on buses are read from the section as it stands, so that their mistakes are told
        // beside those of the section itself.
        let part = |part: &str| section.get(part).cloned();
        let (from, outcomes, dead_letters) = (part("from"), part("outcomes"), part("dead_letters"));
        let typed: Option<RequestsSection> = self.section(key, section.clone(), plugin::parse);
        if let Some(typed) = &typed {
            self.check_connection(key, &typed.connection, connections);
            for (below, message) in rules::requests(typed) {
                let key: Vec<&str> = key.iter().copied().chain(below.split('.')).collect();
                self.fault(&key, message);
            }
        }
        let settings = typed.as_ref().map(RequestsSection::settings).unwrap_or_default();
        let needs = settings.needs();
        let under = |part| [key, &[part]].concat();
        let from = from.and_then(|from| {
            self.port(&under("from"), from, buses, |bus, section| bus.source(section, needs))
        });
        let target = |bus: Arc<dyn Bus>, section| bus.target(section);
        let wants_outcomes = outcomes.is_some();
        let outcomes = outcomes.and_then(|to| self.port(&under("outcomes"), to, buses, target));
        let dead_letters =
            dead_letters.and_then(|to| self.port(&under("dead_letters"), to, buses, target));
        if wants_outcomes && outcomes.is_none() {
            return None;
        }
        Some(Pipeline {
            name: name.to_owned(),
            connection: typed?.connection,
            settings,
            from: from?,
            outcomes,
            dead_letters: dead_letters?,
        })
    }

    fn check_connection(
        &mut self,
        key: Key<'_>,
        name: &str,
        connections: &BTreeMap<String, Option<Connection>>,
    ) {
        self.used_connections.insert(name.to_owned());
        if !connections.contains_key(name) {
            let names: Vec<_> = connections.keys().map(String::as_str).collect();
            let known = known("connections", name, &names);
            let key = [key, &["connection"]].concat();
            self.fault(&key, format!("there is no connection `{name}`; {known}"));
        }
    }

    /// One end on a bus: the `bus` key names it, the rest is its plugin's.
    fn port<P: ?Sized>(
        &mut self,
        key: Key<'_>,
        section: Value,
        buses: &BTreeMap<String, Option<NamedBus>>,
        take: impl Fn(Arc<dyn Bus>, Value) -> Result<Arc<dyn Build<P>>, Malformed>,
    ) -> Option<Port<P>> {
        let Value::Object(mut section) = section else {
            return self.refuse(key, "expected `bus`, and the keys of its plugin".to_owned());
        };
        let names: Vec<_> = buses.keys().map(String::as_str).collect();
        let Some(name) = section.remove("bus") else {
            let message = format!("the key `bus` is missing; {}", known("buses", "", &names));
            return self.refuse(key, message);
        };
        let bus_key = [key, &["bus"]].concat();
        let Value::String(name) = name else {
            return self.refuse(&bus_key, "expected a bus's name in text".to_owned());
        };
        self.used_buses.insert(name.clone());
        let Some(bus) = buses.get(&name) else {
            let known = known("buses", &name, &names);
            return self.refuse(&bus_key, format!("there is no bus `{name}`; {known}"));
        };
        let bus = bus.as_ref()?;
        let told = rules::told(&name, bus.plugin, &section);
        let take = |section| take(Arc::clone(&bus.bus), section);
        let build = self.section(key, Value::Object(section), take)?;
        Some(Port { build, told })
    }

    fn optional<T: DeserializeOwned + Default>(
        &mut self,
        key: Key<'_>,
        section: Option<Value>,
    ) -> Option<T> {
        match section {
            None | Some(Value::Null) => Some(T::default()),
            Some(section) => self.section(key, section, plugin::parse),
        }
    }

    /// Parses a section and notes its mistakes.
    fn section<T>(
        &mut self,
        key: Key<'_>,
        section: Value,
        parse: impl Fn(Value) -> Result<T, Malformed>,
    ) -> Option<T> {
        match parse::all(section, parse) {
            Ok(value) => Some(value),
            Err(mistakes) => {
                for Malformed { path, detail } in mistakes {
                    self.fault(&below(key, &path), detail);
                }
                None
            }
        }
    }

    fn check_name(&mut self, key: Key<'_>, name: &str) {
        if !name_fits(name) {
            let message = "a name is 1 to 64 characters of A-Z, a-z, 0-9, - and _".to_owned();
            self.fault(key, message);
        }
    }

    /// Notes a mistake.
    fn fault(&mut self, key: Key<'_>, message: String) {
        let key = key.iter().map(|&part| part.to_owned()).collect();
        let problem = self.problem(key, message);
        self.problems.push(problem);
    }

    fn warn(&mut self, key: Key<'_>, message: &str) {
        let key = key.iter().map(|&part| part.to_owned()).collect();
        let warning = self.problem(key, message.to_owned());
        self.warnings.push(warning);
    }

    /// Notes a mistake in place of a value.
    fn refuse<T>(&mut self, key: Key<'_>, message: String) -> Option<T> {
        self.fault(key, message);
        None
    }

    fn problem(&self, key: Vec<String>, message: String) -> Problem {
        Problem { place: self.places.find(&key), key, message }
    }
}

fn below<'a>(key: Key<'a>, path: &'a [String]) -> Vec<&'a str> {
    key.iter().copied().chain(path.iter().map(String::as_str)).collect()
}

/// The one entry of a mapping that has just one.
fn only_entry(section: Value) -> Option<(String, Value)> {
    let Value::Object(section) = section else { return None };
    let mut entries = section.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Some(entry),
        _ => None,
    }
}
