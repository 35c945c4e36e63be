//! A message as a bus carries it: bytes and headers, with what the bus itself knows about it.
//!
//! Says nothing about what the bytes mean; that is [`crate::contract`].

use std::fmt;

use bytes::Bytes;

/// One message, on its way in or out.
#[derive(Clone, Default)]
pub struct Message {
    /// In: the subject, topic or file it came from. Out: where to publish it, when that differs from
    /// the output's own target.
    pub address: Option<String>,
    /// The id by which the bus drops repeats (`Nats-Msg-Id`), where it has one.
    pub id: Option<String>,
    /// The partitioning key, where the bus has one.
    pub key: Option<Bytes>,
    /// Headers in the order they were given; a name may repeat.
    pub headers: Headers,
    /// The body, as it is.
    pub payload: Bytes,
    /// Out: what an address template such as `mail.received.{mailbox}` may name. Not published.
    pub labels: Labels,
}

/// Shows sizes only: payloads and header values hold mail, which never reaches a log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("address", &self.address)
            .field("headers", &self.headers)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Values by the names that templates in addresses and keys have for them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<[(&'static str, String)]>);

impl Labels {
    /// The names that there may be: a template that names another is refused when it is read.
    pub const NAMES: [&'static str; 4] = ["pipeline", "mailbox", "folder", "change"];

    /// Adds a value under one of the [`Labels::NAMES`].
    #[must_use]
    pub fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        let mut all = self.0.into_vec();
        all.push((name, value.into()));
        Self(all.into())
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// An ordered multimap of headers. Names compare without regard to case; values are bytes, because
/// Kafka's are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Bytes)>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one more value under `name`.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// The same, by value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.push(name, value);
        self
    }

    /// Has `value` be the only one under `name`, or nothing.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    /// The first value under `name`, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Shows the names only.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_compare_without_case_and_values_may_be_any_bytes() {
        let headers = Headers::new().with("Content-Type", "a").with("raw", vec![0xff]);
        assert_eq!(headers.get("content-type"), Some("a"));
        assert_eq!(headers.get("raw"), None);
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn debug_shows_no_content() {
        let message = Message {
            headers: Headers::new().with("to", "bob@example.com"),
            payload: Bytes::from_static(b"dear bob"),
            ..Message::default()
        };
        let shown = format!("{message:?}");
        assert!(!shown.contains("bob"), "{shown}");
        assert!(shown.contains("payload_bytes: 8"), "{shown}");
    }
}
