//! What each part of a configuration rests on, so that a later reading of it can be compared.
//!
//! A fingerprint is of a section and of everything that it names: connections, buses, the state
//! store, the texts of templates. It tells whether something has changed, and nothing of what it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

use serde_json::Value;

use super::templates;

/// The sections that are read once, when the program starts.
const FIXED: [&str; 4] = ["http", "log", "telemetry", "report"];

/// Of one section. Two that are equal are of the same values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// Of all sections, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprints {
    /// Of pipelines, less their tests.
    pub pipelines: BTreeMap<String, Fingerprint>,
    /// Of connections.
    pub connections: BTreeMap<String, Fingerprint>,
    /// Of buses.
    pub buses: BTreeMap<String, Fingerprint>,
    /// Of what another start is needed for.
    pub fixed: BTreeMap<&'static str, Fingerprint>,
}

impl Fingerprints {
    /// Of a configuration, right or wrong.
    pub fn of(tree: &Value) -> Self {
        let all = |kind: &'static str, of: fn(&Value, &Value) -> Fingerprint| {
            let sections = tree.get(kind).and_then(Value::as_object).into_iter().flatten();
            sections.map(|(name, section)| (name.clone(), of(tree, section))).collect()
        };
        let fixed = FIXED.map(|name| (name, fingerprint(tree, &tree[name])));
        Self {
            pipelines: all("pipelines", pipeline),
            connections: all("connections", fingerprint),
            buses: all("buses", fingerprint),
            fixed: fixed.into(),
        }
    }
}

fn pipeline(tree: &Value, section: &Value) -> Fingerprint {
    let mut section = section.clone();
    for kind in section.as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
        kind.as_object_mut().map(|keys| keys.remove("tests"));
    }
    fingerprint(tree, &section)
}

fn fingerprint(tree: &Value, section: &Value) -> Fingerprint {
    let mut parts = Parts { tree, met: BTreeSet::new(), hasher: DefaultHasher::new() };
    parts.add(section);
    Fingerprint(parts.hasher.finish())
}

/// A section, and what was met on the way through it.
struct Parts<'a> {
    tree: &'a Value,
    met: BTreeSet<(&'static str, String)>,
    hasher: DefaultHasher,
}

impl Parts<'_> {
    fn add(&mut self, section: &Value) {
        section.hash(&mut self.hasher);
        self.follow(section);
    }

    fn follow(&mut self, value: &Value) {
        match value {
            Value::Object(keys) => {
                for (key, value) in keys {
                    match (key.as_str(), value.as_str()) {
                        ("bus", Some(name)) => self.named("buses", name),
                        ("connection", Some(name)) => self.named("connections", name),
                        ("templates", Some(folder)) => self.texts(folder),
                        // what is told once is kept in the state store
                        ("events" | "dedupe", None) => {
                            self.named("state", "");
                            self.follow(value);
                        }
                        _ => self.follow(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.follow(value)),
            _ => {}
        }
    }

    /// `name` is empty for a section that there is one of.
    fn named(&mut self, kind: &'static str, name: &str) {
        if !self.met.insert((kind, name.to_owned())) {
            return;
        }
        (kind, name).hash(&mut self.hasher);
        let tree = self.tree;
        let section = if name.is_empty() { tree.get(kind) } else { tree[kind].get(name) };
        if let Some(section) = section {
            self.add(section);
        }
    }

    /// A folder that cannot be read is a mistake, which is told where it is used.
    fn texts(&mut self, folder: &str) {
        let texts = templates::read(Path::new(folder)).map(|files| files.texts);
        texts.hash(&mut self.hasher);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree() -> Value {
        json!({
            "connections": {
                "contoso": { "client_secret": { "env": "A" } },
                "fabrikam": { "notify": { "bus": "audit" } },
            },
            "buses": {
                "events": { "nats": {} },
                "audit": { "kafka": { "sasl": { "connection": "contoso" } } },
            },
            "state": { "bus": "events", "bucket": "a" },
            "pipelines": {
                "orders": { "requests": {
                    "from": { "bus": "events" }, "connection": "contoso", "tests": ["one"],
                } },
                "alerts": { "requests": {
                    "from": { "bus": "events" }, "connection": "fabrikam", "dedupe": {},
                } },
                "inbox": { "events": { "connection": "contoso", "to": { "bus": "events" } } },
            },
        })
    }

    /// The pipelines that are another's after a value was changed.
    fn changed(pointer: &str, value: Value) -> Vec<String> {
        let (before, mut tree) = (Fingerprints::of(&tree()), tree());
        *tree.pointer_mut(pointer).unwrap() = value;
        let after = Fingerprints::of(&tree);
        let same = |name: &String| before.pipelines[name] == after.pipelines[name];
        after.pipelines.keys().filter(|name| !same(name)).cloned().collect()
    }

    #[test]
    fn a_pipeline_has_changed_with_whatever_it_rests_on_and_with_nothing_else() {
        for (pointer, value, expected) in [
            ("/pipelines/orders/requests/from", json!({ "bus": "audit" }), vec!["orders"]),
            ("/pipelines/orders/requests/tests", json!(["one", "two"]), vec![]),
            ("/buses/events/nats", json!({ "servers": "a" }), vec!["alerts", "inbox", "orders"]),
            // by way of a connection's `notify`
            ("/buses/audit/kafka/sasl", json!({ "connection": "fabrikam" }), vec!["alerts"]),
            // and of that bus's own connection
            (
                "/connections/contoso/client_secret/env",
                json!("B"),
                vec!["alerts", "inbox", "orders"],
            ),
            ("/connections/fabrikam/notify", json!(null), vec!["alerts"]),
            ("/state/bucket", json!("b"), vec!["alerts", "inbox"]),
        ] {
            assert_eq!(changed(pointer, value), expected, "{pointer}");
        }
    }

    #[test]
    fn sections_that_name_each_other_in_a_circle_are_read_once() {
        let mut tree = tree();
        tree["connections"]["contoso"]["notify"] = json!({ "bus": "audit" });
        let fingerprints = Fingerprints::of(&tree);
        assert_eq!(fingerprints, Fingerprints::of(&tree));
        assert_ne!(fingerprints.connections["contoso"], fingerprints.connections["fabrikam"]);
    }

    #[test]
    fn a_template_belongs_to_its_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let tree = json!({ "pipelines": { "orders": { "requests": {
            "compose": { "templates": folder.path() },
        } } } });
        let write = |text: &str| std::fs::write(folder.path().join("order.txt"), text).unwrap();
        write("Hello");
        let before = Fingerprints::of(&tree);
        assert_eq!(Fingerprints::of(&tree), before);
        write("Good day");
        assert_ne!(Fingerprints::of(&tree), before);
    }

    #[test]
    fn what_needs_another_start_is_known() {
        let mut tree = tree();
        let before = Fingerprints::of(&tree);
        tree["http"] = json!({ "listen": "127.0.0.1:1" });
        let after = Fingerprints::of(&tree);
        assert_eq!(after.pipelines, before.pipelines);
        assert_ne!(after.fixed["http"], before.fixed["http"]);
        assert_eq!(after.fixed["log"], before.fixed["log"]);
    }
}
