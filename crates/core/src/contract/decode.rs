//! From a bus's message to a request.
//!
//! Takes plain JSON, CloudEvents (structured and binary) and RFC 5322 messages, told apart by the
//! content type; without one, by whether the JSON has a `specversion`. Errors name the field and what
//! was expected, and never repeat a value: they go to logs and dead letters' headers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_path_to_error::{Path, Segment};

use super::{
    Key, MimeMail, Operation, OutgoingMail, Request,
    cloud_event::{Attributes, STRUCTURED, Structured},
    json, replay,
};
use crate::{Code, Error, Mailbox, Message, Position, Result};

/// The header by which an RFC 5322 message names its mailbox.
pub const MAILBOX_HEADER: &str = "mailbridge-mailbox";
/// The header by which an RFC 5322 message gives its id.
pub const ID_HEADER: &str = "mailbridge-id";
/// The header by which an RFC 5322 message says until when it may be sent (RFC 3339).
pub const NOT_AFTER_HEADER: &str = "mailbridge-not-after";
/// The header by which a bus says that a message was too long for it: the payload is the beginning,
/// and the value is the whole's size in bytes.
pub const TRUNCATED_HEADER: &str = "mailbridge-truncated";

/// A request with what it is known by.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The request, checked.
    pub request: Request,
    /// Its key.
    pub key: Key,
    /// The producer's W3C `traceparent`.
    pub traceparent: Option<String>,
    /// When it may have been sent already, if it is the replay of a request whose end is unknown.
    pub doubt: Option<Timestamp>,
}

/// A message that is no request. Its key is known all the same, so its outcome can name it.
#[derive(Clone, Debug)]
pub struct Undecodable {
    /// The key, as far as it could be read.
    pub key: Key,
    /// Why not.
    pub error: Error,
    /// The producer's W3C `traceparent`.
    pub traceparent: Option<String>,
}

/// Reads a message as a request and checks it.
pub fn decode(message: &Message, position: &Position) -> Result<Decoded, Box<Undecodable>> {
    let envelope = match Envelope::open(message) {
        Ok(envelope) => envelope,
        Err(error) => {
            return Err(Box::new(undecodable(message, position, None, error)));
        }
    };
    let traceparent = traceparent(&envelope.attributes, message);
    let request = envelope.request(message).and_then(|request| {
        request.check()?;
        Ok(request)
    });
    match request {
        Ok(request) => {
            let key = key(request.id.as_deref(), &envelope.attributes, message, position);
            Ok(Decoded { request, key, traceparent, doubt: replay::doubt(message) })
        }
        Err(error) => {
            let id = envelope.peek_id();
            let key = key(id.as_deref(), &envelope.attributes, message, position);
            Err(Box::new(Undecodable { key, error, traceparent }))
        }
    }
}

/// What a message is known by that cannot be read as a request: by its request's `id` if that is
/// known, else by its headers and its place.
pub fn undecodable(
    message: &Message,
    position: &Position,
    id: Option<&str>,
    error: Error,
) -> Undecodable {
    let attributes = Attributes::from_headers(&message.headers).unwrap_or_default();
    let key = key(id.filter(|id| is_id(id)), &attributes, message, position);
    let traceparent = traceparent(&attributes, message);
    Undecodable { key, error, traceparent }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.chars().count() <= crate::limits::ID_CHARS_MAX
}

fn key(id: Option<&str>, event: &Attributes, message: &Message, position: &Position) -> Key {
    let (message_id, position) = replay::origin(message, position);
    match (id, &event.source, &event.id, &message_id) {
        (Some(id), ..) => Key::of_id(id),
        (_, Some(source), Some(id), _) => Key::of_cloud_event(source, id),
        (_, _, _, Some(id)) => Key::of_message_id(id),
        _ => Key::of_position(&position),
    }
}

fn traceparent(event: &Attributes, message: &Message) -> Option<String> {
    let header = || message.headers.get("traceparent").map(str::to_owned);
    event.traceparent.clone().or_else(header)
}

/// A message with its CloudEvents wrapping, if any, taken off.
struct Envelope {
    attributes: Attributes,
    form: Form,
    data: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Mime,
}

impl Envelope {
    fn open(message: &Message) -> Result<Self> {
        if message.payload.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::permanent(Code::RequestEmpty, "the message is empty"));
        }
        if message.headers.get(TRUNCATED_HEADER).is_some() {
            let detail = "the message is longer than the bus takes; only its beginning was read";
            return Err(Error::permanent(Code::RequestTooLarge, detail));
        }
        let declared = message.headers.get("content-type").map(media_type);
        if let Some(attributes) = Attributes::from_headers(&message.headers) {
            let form = form_of(declared.as_deref())?;
            return Ok(Self { attributes, form, data: message.payload.clone() });
        }
        let structured = match declared.as_deref() {
            Some(kind) => kind == STRUCTURED,
            None => looks_structured(&message.payload),
        };
        if structured {
            return Self::unwrap_structured(&message.payload);
        }
        let form = form_of(declared.as_deref())?;
        Ok(Self { attributes: Attributes::default(), form, data: message.payload.clone() })
    }

    fn unwrap_structured(payload: &Bytes) -> Result<Self> {
        let event: Structured<'_> = from_json(payload)?;
        let (data, is_json) = match (event.data, event.data_base64) {
            (Some(data), None) => (payload.slice_ref(data.get().as_bytes()), true),
            (None, Some(text)) => (decode_base64(&text, "data_base64")?, false),
            _ => {
                return Err(invalid(
                    "a CloudEvent carries the request in `data` or `data_base64`",
                    "data",
                ));
            }
        };
        let attributes = Attributes {
            source: event.source,
            id: event.id,
            content_type: event.datacontenttype,
            traceparent: event.traceparent,
        };
        let form = form_of(attributes.content_type.as_deref().map(media_type).as_deref())?;
        let data = match form {
            // A MIME message as `data` is a JSON string; one in `data_base64` may begin with a quote.
            Form::Mime if is_json && data.first() == Some(&b'"') => {
                Bytes::from(from_json::<String>(&data)?)
            }
            _ => data,
        };
        Ok(Self { attributes, form, data })
    }

    fn request(&self, message: &Message) -> Result<Request> {
        match self.form {
            Form::Json => json::read(&self.data),
            Form::Mime => self.mime_request(message),
        }
    }

    fn mime_request(&self, message: &Message) -> Result<Request> {
        let header = |name| message.headers.get(name);
        let not_after = header(NOT_AFTER_HEADER)
            .map(|text| {
                text.parse().map_err(|_| invalid("expected an RFC 3339 time", NOT_AFTER_HEADER))
            })
            .transpose()?;
        Ok(Request {
            id: header(ID_HEADER).map(str::to_owned),
            mailbox: header(MAILBOX_HEADER).map(Mailbox::new),
            not_after,
            operation: Operation::Send(OutgoingMail::Mime(MimeMail { raw: self.data.clone() })),
        })
    }

    /// The id of a request that does not decode, if it can be read at all.
    fn peek_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Id {
            id: Option<String>,
        }
        let id = serde_json::from_slice::<Id>(&self.data).ok()?.id?;
        is_id(&id).then_some(id)
    }
}

fn media_type(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn form_of(media_type: Option<&str>) -> Result<Form> {
    match media_type {
        None | Some("" | "application/json" | "text/json") => Ok(Form::Json),
        Some("message/rfc822") => Ok(Form::Mime),
        Some(other)
            if other.ends_with("+json") && other != "application/cloudevents-batch+json" =>
        {
            Ok(Form::Json)
        }
        Some(other) => Err(Error::permanent(
            Code::RequestContentType,
            "the content type is not one that carries a request",
        )
        .with("found", printable(other))
        .with("expected", "application/json, application/cloudevents+json or message/rfc822")),
    }
}

/// Whether untyped JSON is a CloudEvent: an object with a `specversion`.
fn looks_structured(payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        specversion: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(payload).is_ok_and(|probe| probe.specversion.is_some())
}

pub(super) fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>, field: &str) -> Error {
    Error::permanent(Code::RequestInvalid, detail).with("field", field)
}

pub(super) fn decode_base64(text: &str, field: &'static str) -> Result<Bytes> {
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(compact);
    decoded.map(Bytes::from).map_err(|_| invalid("this is not standard base64", field))
}

pub(super) fn from_json<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let cause = error.inner();
        let detail = without_values(&cause.to_string());
        if cause.is_data() {
            let keys = path_keys(error.path());
            return if keys.is_empty() {
                Error::permanent(Code::RequestInvalid, detail)
            } else {
                invalid(detail, &keys.join("."))
            };
        }
        Error::permanent(Code::RequestNotJson, detail)
    })?;
    json.end().map_err(|cause| {
        Error::permanent(Code::RequestNotJson, without_values(&cause.to_string()))
    })?;
    Ok(value)
}

/// Reads JSON of our own making, for tests and tools.
pub fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    from_json(payload)
}

/// The keys of a path, each made printable. An index is a key too.
pub fn path_keys(path: &Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(printable(key)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// A short plain word, or nothing of it: keys come from outside and may hold anything.
fn printable(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    if text.len() <= 64 && text.chars().all(plain) { text.to_owned() } else { "…".to_owned() }
}

/// A serde message without the value it quotes, and with the nearest known name where a field or
/// variant is unknown.
pub fn without_values(message: &str) -> String {
    let (text, place) = split_place(message);
    let told = if let Some(rest) = text.strip_prefix("unknown field `") {
        unknown_field(rest)
    } else if let Some(rest) = text.strip_prefix("unknown variant `") {
        let expected = rest.rsplit_once("`, expected ").map_or("another", |(_, known)| known);
        format!("expected {expected}")
    } else if let Some((found, expected)) = found_and_expected(text) {
        format!("expected {expected}, found {found}")
    } else if text.contains('"') {
        "this does not have the expected form".to_owned()
    } else {
        text.to_owned()
    };
    told + place
}

/// Splits off the ` at line 1 column 2` that serde_json ends with. What a message quotes may say
/// ` at line ` too, so nothing but numbers counts as a place.
fn split_place(message: &str) -> (&str, &str) {
    let at = message.rfind(" at line ").filter(|at| {
        let numbers = message[at + " at line ".len()..].split_once(" column ");
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        numbers.is_some_and(|(line, column)| is_number(line) && is_number(column))
    });
    message.split_at(at.unwrap_or(message.len()))
}

/// The name is anybody's text and stands first, so what is known is looked for from the end.
fn unknown_field(rest: &str) -> String {
    let (name, known) = if rest.ends_with("`, there are no fields") {
        (rest, "")
    } else {
        rest.rsplit_once("`, expected ").unwrap_or((rest, ""))
    };
    let name = printable(name.trim_end_matches('`').split('`').next().unwrap_or_default());
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let near = names
        .iter()
        .map(|known| (strsim::jaro_winkler(known, &name), *known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, near)) => format!("unknown key `{name}`; did you mean `{near}`?"),
        None if names.is_empty() => format!("unknown key `{name}`; none is expected here"),
        None => format!("unknown key `{name}`; known are {}", names.join(", ")),
    }
}

/// Splits "invalid type: string \"x\", expected y" into the kind found and what was expected.
fn found_and_expected(text: &str) -> Option<(&str, &str)> {
    let rest =
        ["invalid type: ", "invalid value: "].iter().find_map(|start| text.strip_prefix(start))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let kind = found.split(['"', '`']).next().unwrap_or_default().trim();
    Some((kind, expected))
}

#[cfg(test)]
mod tests;
