//! Durations as users write them: `250ms`, `30s`, `5m`, `1h`.
//!
//! One whole number and one unit, nothing else: no sums (`1h30m`), no fractions, no bare numbers
//! whose unit must be guessed.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const EXPECTED: &str = "a duration in quotes, such as \"250ms\", \"30s\", \"5m\" or \"1h\"";
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A duration in a configuration. Reads and writes the text form; has millisecond precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

impl Span {
    /// A span of whole seconds, for defaults.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

/// A text that is not a duration; says what is expected and does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADuration;

impl fmt::Display for NotADuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {EXPECTED}")
    }
}

impl std::error::Error for NotADuration {}

impl FromStr for Span {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let end = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotADuration)?;
        let (number, unit) = text.split_at(end);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(NotADuration)?;
        let number: u64 = number.parse().map_err(|_| NotADuration)?;
        number.checked_mul(*millis).map(Duration::from_millis).map(Self).ok_or(NotADuration)
    }
}

/// In the largest unit that divides it.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let fits = |(_, unit): &&(&str, u64)| millis.is_multiple_of(u128::from(*unit));
        let largest = if millis == 0 { UNITS.get(1) } else { UNITS.iter().rev().find(fits) };
        let (name, unit) = largest.unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", millis / u128::from(*unit))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                let other = de::Unexpected::Other("another text");
                text.parse().map_err(|_| E::invalid_value(other, &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "a whole number and a unit: ms, s, m or h",
            "pattern": "^[0-9]+(ms|s|m|h)$",
            "examples": ["250ms", "30s", "5m", "1h"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_goes_both_ways() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)]
        {
            let span: Span = serde_json::from_value(text.into()).unwrap();
            assert_eq!(span.get(), Duration::from_millis(millis));
            assert_eq!(span.to_string(), text);
            assert_eq!(serde_json::to_value(span).unwrap(), text);
        }
        assert_eq!(Span::from_secs(90).to_string(), "90s");
        assert_eq!(Span::from_secs(7200).to_string(), "2h");
    }

    #[test]
    fn anything_else_is_refused_with_the_form_that_is_expected() {
        for text in ["30", "s", "", "1.5s", "-1s", "1h30m", "1 s", "9d", "99999999999999999999s"] {
            let error = serde_json::from_value::<Span>(text.into()).unwrap_err().to_string();
            assert!(error.contains("\"30s\""), "{text}: {error}");
        }
        let error = serde_json::from_value::<Span>(30.into()).unwrap_err().to_string();
        assert!(error.contains("\"30s\""), "{error}");
    }
}
