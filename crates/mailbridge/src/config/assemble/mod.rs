//! Puts a configuration together: parses every section with whoever knows its type, and connects
//! names with what they name. Rules between values are in [`rules`](super::rules).
//!
//! A mistake is noted and the work goes on, so that all of them are told at once.

mod events;
mod pipelines;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mailbridge_core::plugin::{self, Malformed};
use mailbridge_graph::{Connection, config::Environment};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::pipelines::Pipelines;
use super::{
    Purpose, connection,
    fingerprint::Fingerprints,
    load::Loaded,
    locate::Places,
    model, parse,
    problem::{Problem, Problems},
    rules,
    setup::{Buses, NamedBus, Setup, TokenBus},
};
use crate::{
    names::{known, name_fits},
    registry::Registry,
    sandboxes,
};

/// Checks everything that can be checked offline.
///
/// Buses of `kept` that have not changed since are taken from there.
pub fn assemble(
    loaded: Loaded,
    registry: &Registry,
    purpose: Purpose,
    kept: &Buses,
) -> Result<Setup, Problems> {
    let Loaded { tree, places } = loaded;
    let fingerprints = Fingerprints::of(&tree);
    let notes = Notes { places, problems: Vec::new(), warnings: Vec::new() };
    let used = Used::default();
    let mut assembly = Assembly {
        registry,
        purpose,
        kept,
        fingerprints,
        notes,
        used,
        state: None,
        listening: false,
    };
    let setup = assembly.setup(tree);
    let mut notes = assembly.notes;
    let nothing = setup.as_ref().is_some_and(Setup::is_empty);
    if purpose != Purpose::Connections && nothing && notes.problems.is_empty() {
        notes.fault(&["pipelines"], "there is no pipeline: nothing would run");
    }
    match setup {
        Some(setup) if notes.problems.is_empty() => Ok(Setup { warnings: notes.warnings, ..setup }),
        _ => Err(Problems::new(notes.problems)),
    }
}

/// The keys that lead to a section.
type Key<'a> = &'a [&'a str];

/// What pipelines can name; `None` for those whose mistake was told.
struct Named {
    connections: BTreeMap<String, Option<Connection>>,
    buses: BTreeMap<String, Option<NamedBus>>,
}

/// What pipelines did name.
#[derive(Default)]
struct Used {
    connections: BTreeSet<String>,
    buses: BTreeSet<String>,
    state: bool,
}

struct Assembly<'a> {
    registry: &'a Registry,
    purpose: Purpose,
    kept: &'a Buses,
    fingerprints: Fingerprints,
    notes: Notes,
    used: Used,
    /// The file's `state`, as it stands.
    state: Option<Value>,
    /// Whether the program has an HTTP side.
    listening: bool,
}

impl Assembly<'_> {
    fn setup(&mut self, tree: Value) -> Option<Setup> {
        for key in rules::literal_secrets(&tree) {
            self.notes.warn(&below(&[], &key), rules::LITERAL_SECRET);
        }
        let model::File { mut connections, buses, state, pipelines, http, log, telemetry, report } =
            self.top(tree)?;
        let http: Option<model::Http> = self.optional(&["http"], http);
        // one whose address is wrong is told by itself
        self.listening = http.as_ref().is_none_or(|http| http.listen.is_some());
        let log = self.optional(&["log"], log);
        let report = self.optional(&["report"], report);
        let telemetry = self.telemetry(telemetry);
        let notify = connections
            .iter_mut()
            .filter_map(|(name, section)| Some((name.clone(), connection::take_notify(section)?)));
        let notify: Vec<_> = notify.collect();
        let connections = self.connections(connections);
        let named = Named { connections, buses: self.buses(buses) };
        if let Some(state) = &state {
            self.state(state, &named);
        }
        self.state = state;
        let listen = http.as_ref().and_then(|http| http.listen.as_ref());
        let Pipelines { requests, events } = self.pipelines(pipelines, &named, listen);
        let notify = self.notify(notify, &named);
        let token_buses = self.token_buses(&named);
        self.warn_of_unused(&named);
        let fingerprints = std::mem::take(&mut self.fingerprints);
        let buses = named.buses.into_iter().filter_map(|(name, bus)| {
            let of = *fingerprints.buses.get(&name)?;
            Some((name, (of, bus?)))
        });
        let buses = buses.collect();
        let connections = named.connections.into_iter();
        Some(Setup {
            buses,
            fingerprints,
            connections: connections.filter_map(|(name, it)| Some((name, it?))).collect(),
            notify,
            token_buses,
            pipelines: requests,
            events,
            http: http?,
            log: log?,
            telemetry: telemetry?,
            report: report?,
            warnings: Vec::new(),
        })
    }

    fn telemetry(&mut self, section: Option<Value>) -> Option<model::telemetry::Telemetry> {
        let section: model::telemetry::Telemetry = self.optional(&["telemetry"], section)?;
        for (key, message) in rules::telemetry(&section) {
            self.notes.fault(&["telemetry", key], message);
        }
        Some(section)
    }

    /// Unknown keys are told and left out, so that what is under the known ones is checked too.
    fn top(&mut self, tree: Value) -> Option<model::File> {
        let Value::Object(mut keys) = tree else { return None };
        let known_keys = model::File::KEYS;
        keys.retain(|key, _| {
            let fits = known_keys.contains(&key.as_str());
            if !fits {
                let known = known("keys", key, known_keys);
                self.notes.fault(&[key], format!("unknown key `{key}`; {known}"));
            }
            fits
        });
        self.section(&[], Value::Object(keys), plugin::parse)
    }

    fn connections(
        &mut self,
        sections: BTreeMap<String, Value>,
    ) -> BTreeMap<String, Option<Connection>> {
        let connection = |(name, section): (String, Value)| {
            let key = ["connections", name.as_str()];
            self.check_name(&key, &name);
            let mut connection: Option<Connection> = self.section(&key, section, plugin::parse);
            if let Some(connection) = &mut connection {
                connection.environment = Environment::of(variable);
                let mistakes = connection::mistakes(connection, &sandboxes::stand_in());
                self.notes.faults(&key, mistakes);
            }
            (name, connection)
        };
        sections.into_iter().map(connection).collect()
    }

    fn buses(&mut self, sections: BTreeMap<String, Value>) -> BTreeMap<String, Option<NamedBus>> {
        let bus = |(name, section): (String, Value)| {
            let key = ["buses", name.as_str()];
            self.check_name(&key, &name);
            let bus = match self.kept.get(&name) {
                Some((of, bus)) if self.fingerprints.buses.get(&name) == Some(of) => {
                    Some(bus.clone())
                }
                _ => self.bus(&key, &name, section),
            };
            (name, bus)
        };
        sections.into_iter().map(bus).collect()
    }

    fn bus(&mut self, key: Key<'_>, name: &str, section: Value) -> Option<NamedBus> {
        let names = self.registry.names();
        let Some((plugin_name, config)) = only_entry(section) else {
            let one = format!("expected one key, the bus's plugin: {}", names.join(", "));
            return self.notes.refuse(key, one);
        };
        let key = [key, &[plugin_name.as_str()]].concat();
        let Some(plugin) = self.registry.find(&plugin_name) else {
            let known = known("plugins", &plugin_name, &names);
            let message = format!("there is no bus plugin `{plugin_name}`; {known}");
            return self.notes.refuse(&key, message);
        };
        let (open, plugin) = (plugin.open, plugin.name);
        let bus = self.section(&key, config, |config| open(name, config))?;
        Some(NamedBus { plugin, bus })
    }

    /// The buses in use that let themselves in by a connection's tokens.
    fn token_buses(&mut self, named: &Named) -> Vec<TokenBus> {
        let mut token_buses = Vec::new();
        for (name, bus) in &named.buses {
            let Some(NamedBus { plugin, bus }) = bus else { continue };
            let Some(wants) = bus.wants_tokens() else { continue };
            let key = ["buses", name, plugin, "sasl"];
            self.check_connection(&key, &wants.connection, named);
            let connection = named.connections.get(&wants.connection).and_then(Option::as_ref);
            if connection.is_some_and(|it| it.tenants.len() > 1) {
                let message = "this connection has several tenants, and a token is of one: give a \
                               connection with `tenant`";
                self.notes.fault(&[&key[..], &["connection"]].concat(), message);
            }
            if self.used.buses.contains(name) {
                token_buses.push(TokenBus { name: name.clone(), bus: Arc::clone(bus), wants });
            }
        }
        token_buses
    }

    fn warn_of_unused(&mut self, named: &Named) {
        let Used { connections, buses, state } = &self.used;
        if self.state.is_some() && !state {
            self.notes.warn(&["state"], "no pipeline of this configuration keeps state");
        }
        for name in named.connections.keys().filter(|name| !connections.contains(*name)) {
            self.notes.warn(&["connections", name], "no pipeline uses this connection");
        }
        for name in named.buses.keys().filter(|name| !buses.contains(*name)) {
            self.notes.warn(&["buses", name], "nothing uses this bus");
        }
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
        parse::all(section, parse).map_err(|mistakes| self.notes.faults(key, mistakes)).ok()
    }

    fn check_name(&mut self, key: Key<'_>, name: &str) {
        if !name_fits(name) {
            self.notes.fault(key, "a name is 1 to 64 characters of A-Z, a-z, 0-9, - and _");
        }
    }
}

/// What was found, each with its place.
struct Notes {
    places: Places,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Notes {
    fn fault(&mut self, key: Key<'_>, message: impl Into<String>) {
        let problem = self.problem(key, message.into());
        self.problems.push(problem);
    }

    fn faults(&mut self, key: Key<'_>, mistakes: Vec<Malformed>) {
        for Malformed { path, detail } in mistakes {
            self.fault(&below(key, &path), detail);
        }
    }

    /// Notes a mistake in place of a value.
    fn refuse<T>(&mut self, key: Key<'_>, message: String) -> Option<T> {
        self.fault(key, message);
        None
    }

    fn warn(&mut self, key: Key<'_>, message: &str) {
        let warning = self.problem(key, message.to_owned());
        self.warnings.push(warning);
    }

    fn problem(&self, key: Key<'_>, message: String) -> Problem {
        let key: Vec<_> = key.iter().map(|&part| part.to_owned()).collect();
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

/// A variable of the environment, if it is text.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}
