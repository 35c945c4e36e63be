//! A message as an event: what templates see of it, and what its request is known by.
//!
//! Takes CloudEvents 1.0, structured and binary, and plain JSON. (cloudevents.io, spec v1.0.2.) What
//! a request has to hold is not looked at here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{
    Code, Error, Headers, Message, Position, Result, contract::decode::TRUNCATED_HEADER,
};
use serde_json::{Map, Value, json};

/// The media type of a structured event.
const STRUCTURED: &str = "application/cloudevents+json";

/// An event.
pub(crate) struct Event {
    /// Its attributes, and `headers`, `position` and `address`.
    pub(crate) attributes: Value,
    /// Its payload.
    pub(crate) data: Value,
    /// The message that carries its request: the same identity, and no payload yet.
    pub(crate) envelope: Message,
}

impl Event {
    /// Reads a message.
    pub(crate) fn of(message: &Message, position: &Position) -> Result<Self> {
        if message.headers.get(TRUNCATED_HEADER).is_some() {
            let detail = "the message is longer than the bus takes; only its beginning was read";
            return Err(Error::permanent(Code::RequestTooLarge, detail));
        }
        let declared = message.headers.get("content-type").map(media_type);
        if let Some(attributes) = binary(&message.headers) {
            json_type(declared.as_deref())?;
            let data = if blank(&message.payload) { Value::Null } else { read(&message.payload)? };
            return Ok(Self::new(message, position, attributes, data));
        }
        if blank(&message.payload) {
            return Err(Error::permanent(Code::RequestEmpty, "the message is empty"));
        }
        let structured = declared.as_deref() == Some(STRUCTURED);
        if !structured {
            json_type(declared.as_deref())?;
        }
        match read(&message.payload)? {
            Value::Object(mut event)
                if structured || (declared.is_none() && event.contains_key("specversion")) =>
            {
                let data = data(&mut event)?;
                Ok(Self::new(message, position, event, data))
            }
            data => Ok(Self::new(message, position, plain(message, position), data)),
        }
    }

    fn new(
        message: &Message,
        position: &Position,
        mut event: Map<String, Value>,
        data: Value,
    ) -> Self {
        let envelope = envelope(message, &event);
        let text = message.headers.iter().filter_map(|(name, value)| {
            Some((name.to_ascii_lowercase(), Value::from(std::str::from_utf8(value).ok()?)))
        });
        // of a name that is given twice, the first, as everywhere
        let mut headers = Map::new();
        for (name, value) in text {
            headers.entry(name).or_insert(value);
        }
        event.insert("headers".to_owned(), Value::Object(headers));
        // what every event may have can be asked for: it is null where it is not
        for name in ["type", "source", "subject", "time"] {
            event.entry(name).or_insert(Value::Null);
        }
        event.insert("position".to_owned(), json!(position.as_str()));
        if let Some(address) = &message.address {
            event.insert("address".to_owned(), json!(address));
        }
        Self { attributes: Value::Object(event), data, envelope }
    }
}

/// What plain JSON is known by: the bus's id, else its place there.
fn plain(message: &Message, position: &Position) -> Map<String, Value> {
    let id = message.id.as_deref().unwrap_or(position.as_str());
    let mut event = Map::from_iter([("id".to_owned(), json!(id))]);
    for name in ["type", "source", "time"] {
        if let Some(value) = message.headers.get(name) {
            event.insert(name.to_owned(), json!(value));
        }
    }
    event
}

/// The attributes of binary mode: headers `ce-…` over NATS and HTTP, `ce_…` over Kafka.
fn binary(headers: &Headers) -> Option<Map<String, Value>> {
    let mut event = Map::new();
    for (name, value) in headers.iter() {
        if let (Some(name), Ok(value)) = (attribute(name), std::str::from_utf8(value)) {
            event.entry(name).or_insert(json!(value));
        }
    }
    event.contains_key("specversion").then_some(event)
}

fn attribute(header: &str) -> Option<String> {
    let prefix = header.get(..3)?.to_ascii_lowercase();
    let name = header.get(3..)?;
    (prefix == "ce-" || prefix == "ce_").then(|| name.to_ascii_lowercase())
}

/// Takes the payload out of a structured event, which then holds its attributes.
fn data(event: &mut Map<String, Value>) -> Result<Value> {
    let kind = event.get("datacontenttype").and_then(Value::as_str).map(media_type);
    json_type(kind.as_deref())?;
    match (event.remove("data"), event.remove("data_base64")) {
        (Some(data), None) => Ok(data),
        (None, Some(Value::String(text))) => {
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| {
                Error::permanent(Code::RequestInvalid, "this is not standard base64")
                    .with("field", "data_base64")
            })?;
            read(&bytes)
        }
        (None, None) => Ok(Value::Null),
        _ => Err(Error::permanent(
            Code::RequestInvalid,
            "a CloudEvent has its payload in `data` or, as base64, in `data_base64`",
        )
        .with("field", "data")),
    }
}

/// The same message without its payload, with the event's identity where every reader of requests
/// looks for it.
fn envelope(message: &Message, event: &Map<String, Value>) -> Message {
    let mut headers = Headers::new();
    for (name, value) in message.headers.iter() {
        if attribute(name).is_none() && !name.eq_ignore_ascii_case("content-type") {
            headers.push(name, value.clone());
        }
    }
    headers.push("content-type", "application/json");
    for name in ["specversion", "source", "id", "traceparent"] {
        let value = event.get(name).and_then(Value::as_str);
        if let Some(value) = value.filter(|_| event.contains_key("specversion")) {
            headers.push(format!("ce-{name}"), value.to_owned());
        }
    }
    let (address, id, key) = (message.address.clone(), message.id.clone(), message.key.clone());
    Message { address, id, key, headers, ..Message::default() }
}

fn read(payload: &[u8]) -> Result<Value> {
    mailbridge_core::contract::decode::read(payload)
}

fn blank(payload: &[u8]) -> bool {
    payload.iter().all(u8::is_ascii_whitespace)
}

fn media_type(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether it is JSON of one event.
fn json_type(media_type: Option<&str>) -> Result<()> {
    match media_type {
        None | Some("" | "application/json" | "text/json") => Ok(()),
        Some(other)
            if other.ends_with("+json") && other != "application/cloudevents-batch+json" =>
        {
            Ok(())
        }
        Some(_) => Err(Error::permanent(
            Code::RequestContentType,
            "requests are composed of JSON events, and the content type says otherwise",
        )
        .with("expected", "application/json or application/cloudevents+json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(headers: Headers, payload: &str) -> Result<Event> {
        let message = Message {
            id: Some("m-1".to_owned()),
            address: Some("shop.orders".to_owned()),
            headers,
            payload: payload.to_owned().into(),
            ..Message::default()
        };
        Event::of(&message, &Position::new("nats:S:7"))
    }

    #[test]
    fn three_forms_of_one_event() {
        let structured = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.created",
            "time":"2026-01-31T12:00:00Z","tenant":"t1","data":{"a":1}}"#;
        let structured = event(Headers::new().with("X-A", "b"), structured).unwrap();
        let headers = Headers::new()
            .with("X-A", "b")
            .with("ce-specversion", "1.0")
            .with("Ce-Id", "7")
            .with("ce_source", "/shop")
            .with("ce-type", "order.created")
            .with("ce-time", "2026-01-31T12:00:00Z")
            .with("ce-tenant", "t1");
        let binary = event(headers, r#"{"a":1}"#).unwrap();
        for event in [&structured, &binary] {
            assert_eq!(event.data, json!({ "a": 1 }));
            for (name, value) in [("id", "7"), ("type", "order.created"), ("tenant", "t1")] {
                assert_eq!(event.attributes[name], value);
            }
            assert_eq!(event.attributes["headers"]["x-a"], "b");
            assert_eq!(event.attributes["position"], "nats:S:7");
            let header = |name| event.envelope.headers.get(name);
            assert_eq!(header("ce-id"), Some("7"));
            assert_eq!(header("ce-source"), Some("/shop"));
            assert_eq!(header("content-type"), Some("application/json"));
            assert_eq!(event.envelope.headers.len(), 5);
        }
        let plain = event(Headers::new(), r#"[{"a":1}]"#).unwrap();
        assert_eq!(plain.attributes["id"], "m-1");
        assert_eq!(plain.attributes["address"], "shop.orders");
        assert_eq!(plain.attributes["type"], Value::Null);
        assert_eq!(plain.envelope.headers.get("ce-id"), None);
    }

    #[test]
    fn what_is_no_event_says_why() {
        let typed = |kind: &str| Headers::new().with("content-type", kind.to_owned());
        for (headers, payload, code) in [
            (Headers::new(), " ", Code::RequestEmpty),
            (Headers::new(), "{", Code::RequestNotJson),
            (typed("message/rfc822"), "To: a@b", Code::RequestContentType),
            (typed("application/cloudevents-batch+json"), "[]", Code::RequestContentType),
            (Headers::new().with(TRUNCATED_HEADER, "9"), "{}", Code::RequestTooLarge),
            (Headers::new(), r#"{"specversion":"1.0","data_base64":"%"}"#, Code::RequestInvalid),
            (
                Headers::new(),
                r#"{"specversion":"1.0","datacontenttype":"text/xml","data":"<a/>"}"#,
                Code::RequestContentType,
            ),
        ] {
            assert_eq!(event(headers, payload).err().unwrap().code(), code, "{payload}");
        }
        let empty = Headers::new().with("ce-specversion", "1.0");
        assert_eq!(event(empty, "").unwrap().data, Value::Null);
    }
}
