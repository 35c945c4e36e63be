//! A mail address with an optional display name.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits::ADDRESS_CHARS_MAX;

/// A recipient or sender. Written as `local@domain`, `Name <local@domain>`, or an object with
/// `address` and `name`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    /// `local@domain`.
    pub address: String,
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Address {
    /// Reads `local@domain` or `Name <local@domain>`.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if let Some((name, rest)) = text.rsplit_once('<')
            && let Some(address) = rest.strip_suffix('>')
        {
            let name = name.trim().trim_matches('"').trim();
            return Self {
                address: address.trim().to_owned(),
                name: (!name.is_empty()).then(|| name.to_owned()),
            };
        }
        Self { address: text.to_owned(), name: None }
    }

    /// Whether it can be a mail address at all: one `@` between two non-empty parts, no space or
    /// control character, no longer than RFC 5321 allows. Whether it exists, only its server knows.
    pub fn is_plausible(&self) -> bool {
        let address = &self.address;
        let no_odd = |c: char| !c.is_whitespace() && !c.is_control() && !"<>,;\"()[]\\".contains(c);
        address.chars().count() <= ADDRESS_CHARS_MAX
            && address.chars().all(no_odd)
            && address.rsplit_once('@').is_some_and(|(local, domain)| {
                !local.is_empty()
                    && !local.contains('@')
                    && !domain.is_empty()
                    && !domain.starts_with('.')
                    && !domain.ends_with('.')
                    && !domain.contains("..")
            })
            && self.name.as_ref().is_none_or(|name| !name.chars().any(char::is_control))
    }
}

/// Shows nothing: recipients never reach a log.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(***)")
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Object {
            address: String,
            name: Option<String>,
        }

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address as text, or an object with `address` and `name`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                Ok(Address::parse(text))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Address, A::Error> {
                let object = Object::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Address { address: object.address, name: object.name })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "string", "examples": ["bob@example.com", "Bob <bob@example.com>"] },
                { "type": "object",
                  "properties": { "address": { "type": "string" }, "name": { "type": "string" } },
                  "required": ["address"], "additionalProperties": false }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_write_one() {
        let bob = Address { address: "bob@x.org".into(), name: Some("Bob B".into()) };
        for text in [
            r#""Bob B <bob@x.org>""#,
            r#""\"Bob B\" <bob@x.org>""#,
            r#"{"address":"bob@x.org","name":"Bob B"}"#,
        ] {
            assert!(serde_json::from_str::<Address>(text).unwrap() == bob, "{text}");
        }
        assert_eq!(Address::parse(" bob@x.org ").name, None);
    }

    #[test]
    fn plausible_or_not() {
        for good in ["a@b", "ä@exämple.org", "a+b.c'd@x-y.z"] {
            assert!(Address::parse(good).is_plausible(), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b@c", "a@.b", "a@b.", "a@b..c", "a@b\r\nx"] {
            let address = Address { address: bad.into(), name: None };
            assert!(!address.is_plausible(), "{bad}");
        }
        let long = format!("{}@b", "a".repeat(320));
        assert!(!Address::parse(&long).is_plausible());
    }
}
