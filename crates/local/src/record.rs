//! A message as one line of JSON.
//!
//! In its short form the line is the payload, which is then a JSON object. Where there is more to a
//! message, the line is a record:
//!
//! ```json
//! {"headers": {"content-type": "message/rfc822"}, "id": "7", "key": "k", "payload": "From: …"}
//! ```
//!
//! `payload` is a string, whose text is the payload, or any other JSON, which is then the payload
//! itself; `payload_base64` holds other bytes. A header's value is a string, `{"base64": "…"}`, or
//! a list of them. Headers of one name keep their order, and names that of their first appearance.
//!
//! A line that is neither is not refused here: it is a payload all the same, and whoever reads it
//! says what is wrong with it.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mailbridge_core::{Code, Error, Headers, Message, Result};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    #[serde(default)]
    headers: InOrder,
    id: Option<String>,
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    payload_base64: Option<String>,
}

/// The message that a line holds.
pub fn read(line: &Bytes) -> Message {
    as_record(line).unwrap_or_else(|| Message { payload: line.clone(), ..Message::default() })
}

fn as_record(line: &Bytes) -> Option<Message> {
    let Read { headers, id, key, key_base64, payload, payload_base64 } =
        serde_json::from_slice(line).ok()?;
    let payload = match (payload, payload_base64) {
        (Some(json), None) if json.get().starts_with('"') => {
            serde_json::from_str::<String>(json.get()).ok()?.into()
        }
        (Some(json), None) => line.slice_ref(json.get().as_bytes()),
        (None, Some(text)) => STANDARD.decode(text).ok()?.into(),
        _ => return None,
    };
    let key = match (key, key_base64) {
        (None, None) => None,
        (Some(text), None) => Some(text.into()),
        (None, Some(text)) => Some(STANDARD.decode(text).ok()?.into()),
        (Some(_), Some(_)) => return None,
    };
    Some(Message { id, key, headers: headers.0, payload, ..Message::default() })
}

/// What of a message in its short form stands in the payload itself.
#[derive(Default, Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
}

/// The id of the message that a line holds.
pub(crate) fn id(line: &Bytes) -> Option<String> {
    match as_record(line) {
        Some(message) => message.id,
        None => serde_json::from_slice::<Told<'_>>(line).ok()?.id.map(Cow::into_owned),
    }
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "no_headers")]
    headers: Grouped<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// Adds a message to `lines`, in its short form where that loses nothing.
pub fn write(message: &Message, lines: &mut Vec<u8>) -> Result<()> {
    if payload_says_all(message) {
        lines.extend_from_slice(&message.payload);
    } else {
        let (key, key_base64) = text_or_base64(message.key.as_deref());
        let (payload, payload_base64) = text_or_base64(Some(&message.payload));
        let headers = Grouped(&message.headers);
        let record = Written {
            headers,
            id: message.id.as_deref(),
            key,
            key_base64,
            payload,
            payload_base64,
        };
        serde_json::to_writer(&mut *lines, &record).map_err(|_| {
            Error::permanent(Code::Internal, "a message cannot be written as a line of JSON")
        })?;
    }
    lines.push(b'\n');
    Ok(())
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<&str>, Option<String>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| STANDARD.encode(bytes))) {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(base64)) => (None, Some(base64)),
    }
}

/// Whether the payload is a line by itself and says all that the message does.
fn payload_says_all(message: &Message) -> bool {
    let Message { address: _, id, key, headers, payload, labels: _ } = message;
    let one_line =
        payload.starts_with(b"{") && payload.ends_with(b"}") && !payload.contains(&b'\n');
    let Some(told) = one_line.then(|| serde_json::from_slice::<Told<'_>>(payload).ok()).flatten()
    else {
        return false;
    };
    let same = |value: Option<&[u8]>, told: Option<Cow<'_, str>>| {
        value.is_none_or(|value| told.is_some_and(|told| told.as_bytes() == value))
    };
    same(id.as_ref().map(String::as_bytes), told.id)
        && same(key.as_deref(), told.subject)
        && same(headers.get("traceparent").map(str::as_bytes), told.traceparent)
        && headers.iter().all(|(name, value)| {
            name.eq_ignore_ascii_case("traceparent")
                || name.eq_ignore_ascii_case("content-type") && is_json(value)
        })
        && as_record(payload).is_none()
}

fn is_json(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = media_type.trim_ascii().to_ascii_lowercase();
    media_type == b"application/json" || media_type.ends_with(b"+json")
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes { base64: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(Value),
    Many(Vec<Value>),
}

/// Headers in the order in which they stand; a map would sort them.
#[derive(Default)]
struct InOrder(Headers);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = InOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
                let mut headers = Headers::new();
                while let Some((name, values)) = map.next_entry::<String, Values>()? {
                    let values = match values {
                        Values::One(value) => vec![value],
                        Values::Many(values) => values,
                    };
                    for value in values {
                        let bytes = match value {
                            Value::Text(text) => text.into_bytes(),
                            Value::Bytes { base64 } => {
                                STANDARD.decode(base64).map_err(serde::de::Error::custom)?
                            }
                        };
                        headers.push(name.clone(), bytes);
                    }
                }
                Ok(InOrder(headers))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// Headers with all values of one name together.
struct Grouped<'a>(&'a Headers);

fn no_headers(headers: &Grouped<'_>) -> bool {
    headers.0.is_empty()
}

impl Serialize for Grouped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut groups: Vec<(&str, Vec<HeaderValue<'_>>)> = Vec::new();
        for (name, value) in self.0.iter() {
            let value = HeaderValue(value);
            match groups.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, values)) => values.push(value),
                None => groups.push((name, vec![value])),
            }
        }
        let mut map = serializer.serialize_map(Some(groups.len()))?;
        for (name, values) in &groups {
            match values.as_slice() {
                [one] => map.serialize_entry(name, one)?,
                many => map.serialize_entry(name, many)?,
            }
        }
        map.end()
    }
}

struct HeaderValue<'a>(&'a [u8]);

impl Serialize for HeaderValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(self.0))?;
        map.end()
    }
}

#[cfg(test)]
mod tests;
