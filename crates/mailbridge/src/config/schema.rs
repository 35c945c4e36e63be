//! The JSON Schema of the configuration, for editors: the file's own keys, with the sections of
//! every plugin put where they go.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::model::File;
use crate::registry::Registry;

/// The schema of a file, for the plugins of this program.
pub fn config(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let root: Schema = generator.root_schema_for::<File>();
    let mut root = root.to_value();
    let mut parts = Parts::default();
    for plugin in registry.iter() {
        let [config, source, target, store] = (plugin.schemas)(&mut generator);
        parts.buses.push(json!({
            "type": "object",
            "properties": { plugin.name: config },
            "required": [plugin.name],
            "additionalProperties": false
        }));
        parts.sources.push(on_a_bus(&mut generator, source));
        parts.targets.push(on_a_bus(&mut generator, target));
        parts.stores.push(on_a_bus(&mut generator, store));
    }
    // Before anything is put into one of them: they come as their types have them.
    if let Some(Value::Object(definitions)) = root.get_mut("$defs") {
        definitions.extend(generator.take_definitions(true));
    }
    put(&mut root, "/properties/buses/additionalProperties", any_of(parts.buses));
    put(&mut root, "/properties/state", any_of(parts.stores));
    let requests = "/$defs/RequestsSection/properties";
    put(&mut root, &format!("{requests}/from"), any_of(parts.sources));
    for key in ["outcomes", "dead_letters"] {
        put(&mut root, &format!("{requests}/{key}"), any_of(parts.targets.clone()));
    }
    let events = "/$defs/EventsSection/properties";
    for key in ["to", "dead_letters"] {
        put(&mut root, &format!("{events}/{key}"), any_of(parts.targets.clone()));
    }
    // a connection's own type knows no bus
    if let Some(connection) = root.pointer_mut("/$defs/Connection/properties")
        && let Value::Object(keys) = connection
    {
        let description = "Where it is told that a credential ends, from 30 days before, as \
                           CloudEvents of type `mailbridge.credential.expiring`: `bus`, and the \
                           keys of its plugin.";
        keys.insert("notify".to_owned(), json!({ "description": description }));
        let notify = "/$defs/Connection/properties/notify";
        put(&mut root, notify, any_of(parts.targets));
    }
    // What is not there has no default to tell of.
    if let Some(Value::Object(keys)) = root.get_mut("properties") {
        for key in keys.values_mut().filter_map(Value::as_object_mut) {
            key.retain(|name, value| name != "default" || !value.is_null());
        }
    }
    root
}

#[derive(Default)]
struct Parts {
    buses: Vec<Value>,
    sources: Vec<Value>,
    targets: Vec<Value>,
    stores: Vec<Value>,
}

/// A plugin's section beside the key `bus`. Its own definition is copied: it allows no other key.
fn on_a_bus(generator: &mut SchemaGenerator, section: Schema) -> Value {
    let section = section.to_value();
    let name = section.get("$ref").and_then(Value::as_str).and_then(|it| it.rsplit('/').next());
    let definition = name.and_then(|name| generator.definitions().get(name).cloned());
    let mut section = definition.unwrap_or(section);
    for schema in objects(&mut section) {
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            let bus = json!({ "type": "string", "description": "a name under `buses`" });
            properties.insert("bus".to_owned(), bus);
        }
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required {
            required.push(json!("bus"));
        }
    }
    section
}

/// The schema itself, or each of its alternatives.
fn objects(schema: &mut Value) -> Vec<&mut Map<String, Value>> {
    let alternatives = ["anyOf", "oneOf"].into_iter().find(|key| schema.get(*key).is_some());
    match alternatives {
        Some(key) => match schema.get_mut(key) {
            Some(Value::Array(all)) => all.iter_mut().filter_map(Value::as_object_mut).collect(),
            _ => Vec::new(),
        },
        None => schema.as_object_mut().into_iter().collect(),
    }
}

fn any_of(mut alternatives: Vec<Value>) -> Value {
    if alternatives.len() == 1 { alternatives.remove(0) } else { json!({ "anyOf": alternatives }) }
}

/// Replaces what stands there, keeping its description.
fn put(root: &mut Value, pointer: &str, mut schema: Value) {
    let Some(there) = root.pointer_mut(pointer) else { return };
    if let (Some(description), Value::Object(schema)) = (there.get("description"), &mut schema) {
        schema.insert("description".to_owned(), description.clone());
    }
    *there = schema;
}
