//! Sizes as users write them: `64KiB`, `1MiB`, or a bare number of bytes.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

const EXPECTED: &str = "a size such as 65536, 64KiB or 1MiB";
const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A number of bytes in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    fn read(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = if unit.is_empty() { "B" } else { unit.trim_start() };
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(*bytes).map(Self)
    }
}

/// In the largest unit that divides it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                let other = de::Unexpected::Other("another text");
                Size::read(text).ok_or_else(|| E::invalid_value(other, &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "description": "bytes, or a whole number and a unit: B, KiB, MiB or GiB",
            "minimum": 0,
            "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$",
            "examples": [65536, "64KiB", "1MiB"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_are_read_and_anything_else_says_what_is_expected() {
        for (text, bytes) in [("0", 0), ("512", 512), ("64KiB", 65_536), ("2 MiB", 2 << 20)] {
            assert_eq!(serde_json::from_value::<Size>(text.into()).unwrap(), Size(bytes), "{text}");
        }
        assert_eq!(serde_json::from_value::<Size>(7.into()).unwrap(), Size(7));
        for text in ["", "KiB", "1kb", "1.5MiB", "-1", "99999999999GiB"] {
            let error = serde_json::from_value::<Size>(text.into()).unwrap_err().to_string();
            assert!(error.contains("64KiB"), "{text}: {error}");
        }
        assert_eq!(Size(3 << 20).to_string(), "3MiB");
        assert_eq!((Size(0).to_string(), Size(1000).to_string()), ("0B".into(), "1000B".into()));
    }
}
