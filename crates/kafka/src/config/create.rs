//! Whether to make a topic that is missing, and with what settings.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, value::MapAccessDeserializer},
};

use super::Scalar;

/// Whether to make what is missing, and with what settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create(Option<TopicSettings>);

impl Create {
    /// The settings, where a topic may be made.
    pub const fn settings(&self) -> Option<&TopicSettings> {
        self.0.as_ref()
    }

    /// The same, for a topic of one partition.
    pub(crate) fn with_one_partition(&self) -> Self {
        Self(self.0.clone().map(|settings| TopicSettings { partitions: Some(1), ..settings }))
    }
}

/// What a topic is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopicSettings {
    /// How many partitions; the brokers' default where it is not given.
    pub partitions: Option<u16>,
    /// How many brokers keep a copy; the brokers' default where it is not given.
    pub replicas: Option<u16>,
    /// Kafka's own topic settings, such as `retention.ms`.
    pub settings: BTreeMap<String, Scalar>,
}

impl<'de> Deserialize<'de> for Create {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Create;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false`, or the settings to make it with")
            }

            fn visit_bool<E>(self, asked: bool) -> Result<Create, E> {
                Ok(Create(asked.then(TopicSettings::default)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Create, A::Error> {
                let settings = TopicSettings::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Create(Some(settings)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Create {
    fn schema_name() -> Cow<'static, str> {
        "CreateTopic".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "whether to make the topic if it is missing, and with what settings",
            "default": false,
            "oneOf": [{ "type": "boolean" }, generator.subschema_for::<TopicSettings>()]
        })
    }
}
