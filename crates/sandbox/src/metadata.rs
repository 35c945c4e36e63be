//! The types of Graph's mail part, and whether a JSON body fits them.
//!
//! `metadata/graph.json` holds names and types out of Graph's published CSDL
//! (github.com/microsoftgraph/msgraph-metadata). The wording of a refusal is that of the OData
//! library Graph is built with. Meaning (too many headers, bad addresses) is checked elsewhere.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::GraphError;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../metadata/graph.json")).unwrap_or_default()
});

#[derive(Debug, Default, Deserialize)]
struct Schema {
    types: HashMap<String, Type>,
}

#[derive(Debug, Deserialize)]
struct Type {
    kind: Kind,
    base: Option<String>,
    #[serde(default)]
    members: Vec<String>,
    #[serde(default)]
    properties: HashMap<String, Property>,
    #[serde(default)]
    navigation: HashMap<String, Property>,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Kind {
    #[serde(rename = "EntityType")]
    Entity,
    #[serde(rename = "ComplexType")]
    Complex,
    #[serde(rename = "EnumType")]
    Enum,
}

#[derive(Debug, Deserialize)]
struct Property {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default = "yes")]
    nullable: bool,
}

fn yes() -> bool {
    true
}

/// Whether the type (or one it is based on) has the property or navigation.
pub fn has_property(type_name: &str, property: &str) -> bool {
    find(type_name, property).is_some()
}

/// The declared type of a property, such as `Edm.String` or `Collection(recipient)`.
pub fn property_type(type_name: &str, property: &str) -> Option<&'static str> {
    find(type_name, property).map(|property| property.type_name.as_str())
}

/// The type that a navigation leads to, of one or of many.
pub fn navigation_type(type_name: &str, navigation: &str) -> Option<&'static str> {
    let declared = property_type(type_name, navigation)?;
    let member = declared.strip_prefix("Collection(").and_then(|inner| inner.strip_suffix(')'));
    let is_entity = |name: &&str| {
        let found = SCHEMA.types.get(*name);
        found.is_some_and(|found| found.kind == Kind::Entity)
    };
    Some(member.unwrap_or(declared)).filter(is_entity)
}

/// A type by its full name, in any case, as a cast in a path spells it.
pub fn named(full: &str) -> Option<&'static str> {
    let (space, short) = full.rsplit_once('.')?;
    let mut names = SCHEMA.types.keys();
    let known = names.find(|known| known.eq_ignore_ascii_case(short));
    known.filter(|_| space.eq_ignore_ascii_case("microsoft.graph")).map(String::as_str)
}

pub fn is_enum(type_name: &str) -> bool {
    SCHEMA.types.get(type_name).is_some_and(|found| found.kind == Kind::Enum)
}

fn find(type_name: &str, property: &str) -> Option<&'static Property> {
    let mut next = SCHEMA.types.get(type_name);
    while let Some(found) = next {
        let hit = found.properties.get(property).or_else(|| found.navigation.get(property));
        if hit.is_some() {
            return hit;
        }
        next = found.base.as_ref().and_then(|base| SCHEMA.types.get(base));
    }
    None
}

/// Refuses an object that has a property its type lacks, or a value of the wrong type.
///
/// Control information (`@odata.type`, `toRecipients@odata.type`) passes; names are case-sensitive.
pub fn check_object(type_name: &str, object: &Map<String, Value>) -> Result<(), GraphError> {
    let type_name = derived(type_name, object)?;
    for (name, value) in object {
        if name.contains('@') {
            continue;
        }
        let Some(property) = find(type_name, name) else {
            return Err(GraphError::body_read(format!(
                "The property '{name}' does not exist on type 'microsoft.graph.{type_name}'. Make \
                 sure to only use property names that are defined by the type or mark the type as \
                 open type."
            )));
        };
        check(name, property, value)?;
    }
    Ok(())
}

/// The type that `@odata.type` names, when it is the expected one or based on it.
fn derived<'a>(expected: &'a str, object: &'a Map<String, Value>) -> Result<&'a str, GraphError> {
    let Some(Value::String(named)) = object.get("@odata.type") else { return Ok(expected) };
    let short = named.trim_start_matches('#');
    let short = short.strip_prefix("microsoft.graph.").unwrap_or(short);
    let mut next = Some(short);
    while let Some(name) = next {
        if name == expected {
            return Ok(short);
        }
        next = SCHEMA.types.get(name).and_then(|found| found.base.as_deref());
    }
    Err(GraphError::body_read(format!(
        "A type named '{short}' could not be resolved by the model. When a model is available, \
         each type name must resolve to a valid type."
    )))
}

fn check(name: &str, property: &Property, value: &Value) -> Result<(), GraphError> {
    if value.is_null() {
        if property.nullable {
            return Ok(());
        }
        return Err(GraphError::body_read(format!(
            "A null value was found for the property named '{name}', which has the expected type \
             '{}[Nullable=False]'. The expected type does not allow null values.",
            property.type_name
        )));
    }
    let item = property.type_name.strip_prefix("Collection(").and_then(|t| t.strip_suffix(')'));
    match (item, value) {
        (Some(item), Value::Array(values)) => {
            values.iter().try_for_each(|value| check_one(name, item, value))
        }
        (Some(_), other) => Err(unexpected(node(other), "StartArray")),
        (None, value) => check_one(name, &property.type_name, value),
    }
}

fn check_one(name: &str, type_name: &str, value: &Value) -> Result<(), GraphError> {
    if type_name.starts_with("Edm.") {
        return check_primitive(name, type_name, value);
    }
    match SCHEMA.types.get(type_name) {
        Some(found) if found.kind == Kind::Enum => check_enum(name, type_name, found, value),
        _ => match value {
            Value::Object(object) => check_object(type_name, object),
            other => Err(unexpected(node(other), "StartObject")),
        },
    }
}

fn check_enum(name: &str, type_name: &str, found: &Type, value: &Value) -> Result<(), GraphError> {
    let Value::String(text) = value else {
        return Err(not_primitive(name, type_name, value));
    };
    if found.members.iter().any(|member| member.eq_ignore_ascii_case(text)) {
        return Ok(());
    }
    Err(GraphError::body_read(format!(
        "Cannot convert the literal '{text}' to the expected type 'microsoft.graph.{type_name}'. \
         Requested value '{text}' was not found."
    )))
}

fn check_primitive(name: &str, type_name: &str, value: &Value) -> Result<(), GraphError> {
    let fits = match (type_name, value) {
        ("Edm.Boolean", value) => value.is_boolean(),
        ("Edm.Int32", value) => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        ("Edm.Int64", value) => value.is_i64(),
        ("Edm.Double", value) => value.is_number(),
        ("Edm.DateTimeOffset", Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
        ("Edm.Guid", Value::String(text)) => uuid::Uuid::try_parse(text).is_ok(),
        ("Edm.Binary", Value::String(text)) => STANDARD.decode(text).is_ok(),
        (_, value) => value.is_string(),
    };
    if fits { Ok(()) } else { Err(not_primitive(name, type_name, value)) }
}

fn not_primitive(name: &str, type_name: &str, value: &Value) -> GraphError {
    match value {
        Value::Object(_) | Value::Array(_) => GraphError::body_read(format!(
            "A 'PrimitiveValue' node with non-null value was found when trying to read the value \
             of the property '{name}'; however, a '{}' node was found.",
            node(value)
        )),
        _ => GraphError::body_read(format!(
            "Cannot convert a primitive value to the expected type '{type_name}'. See the inner \
             exception for more details."
        )),
    }
}

fn unexpected(found: &str, wanted: &str) -> GraphError {
    GraphError::body_read(format!(
        "An unexpected '{found}' node was found when reading from the JSON reader. A '{wanted}' \
         node was expected."
    ))
}

fn node(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "StartObject",
        Value::Array(_) => "StartArray",
        _ => "PrimitiveValue",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(body: &Value) -> Option<GraphError> {
        check_object("message", body.as_object().unwrap()).err()
    }

    #[test]
    fn the_table_is_there() {
        assert!(has_property("message", "subject"));
        assert!(has_property("message", "categories"), "inherited from outlookItem");
        assert!(has_property("message", "attachments"), "a navigation");
        assert!(!has_property("message", "saveToSentItems"));
    }

    #[test]
    fn a_whole_message_passes() {
        let message = json!({
            "@odata.type": "#microsoft.graph.message",
            "subject": "hello", "importance": "HIGH", "isRead": true, "from": null,
            "body": {"contentType": "HTML", "content": "<p>x</p>"},
            "toRecipients": [{"emailAddress": {"address": "a@b.example", "name": "A"}}],
            "attachments": [{"@odata.type": "#microsoft.graph.fileAttachment", "name": "a",
                             "contentBytes": "AAAA"}],
            "singleValueExtendedProperties": [{"id": "String 0x1035", "value": "x"}],
        });
        assert_eq!(refusal(&message), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let cases = [
            (json!({"subjekt": "x"}), "'subjekt' does not exist on type 'microsoft.graph.message'"),
            (json!({"subject": 5}), "expected type 'Edm.String'"),
            (json!({"subject": {"a": 1}}), "'StartObject' node was found"),
            (json!({"isRead": "true"}), "expected type 'Edm.Boolean'"),
            (json!({"importance": "urgent"}), "Requested value 'urgent' was not found"),
            (json!({"toRecipients": {}}), "A 'StartArray' node was expected"),
            (json!({"toRecipients": ["a@b"]}), "A 'StartObject' node was expected"),
            (json!({"receivedDateTime": "yesterday"}), "'Edm.DateTimeOffset'"),
            (json!({"toRecipients": [{"emailAddress": {"adress": "a"}}]}), "'adress' does not"),
            (json!({"body": {"@odata.type": "#microsoft.graph.user"}}), "could not be resolved"),
            (json!({"attachments": [{"contentBytes": "AAAA"}]}), "'contentBytes' does not exist"),
            (
                json!({"attachments": [{"@odata.type": "#microsoft.graph.fileAttachment",
                                       "contentBytes": "*"}]}),
                "expected type 'Edm.Binary'",
            ),
        ];
        for (body, sentence) in cases {
            let error = refusal(&body).unwrap_or_else(|| panic!("{body} passed"));
            assert!(error.message.contains(sentence), "{body}: {}", error.message);
            assert_eq!(error.status.as_u16(), 400);
        }
    }
}
