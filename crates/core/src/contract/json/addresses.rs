//! One address, or a list of them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::contract::Address;

/// One address, or a list of them.
#[derive(Default, JsonSchema)]
#[schemars(with = "OneOrMany")]
pub(crate) struct Addresses(pub(crate) Vec<Address>);

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum OneOrMany {
    One(Address),
    Many(Vec<Address>),
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses(vec![Address::parse(text)]))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Addresses, A::Error> {
                let map = de::value::MapAccessDeserializer::new(map);
                Ok(Addresses(vec![Address::deserialize(map)?]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Addresses, A::Error> {
                let seq = de::value::SeqAccessDeserializer::new(seq);
                Ok(Addresses(Vec::deserialize(seq)?))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
