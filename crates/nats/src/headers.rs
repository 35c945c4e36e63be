//! Headers between core's multimap of bytes and NATS's map of text.
//!
//! NATS keeps the order of values under one name, not the order of names. Its header values are
//! lines of text: bytes that cannot stand in one (line breaks, what is not UTF-8) are
//! percent-encoded on the way out, and nothing is decoded on the way in.

use std::fmt::Write as _;

use async_nats::{
    HeaderMap,
    header::{HeaderName, HeaderValue, NATS_MESSAGE_ID},
};
use bytes::Bytes;
use mailbridge_core::{Headers, Message};

/// Headers by which NATS itself is steered. They are never passed on from a message, because they
/// would steer its publication: `Nats-Rollup` deletes, `Nats-Expected-…` refuses.
const STEERING: &str = "nats-";

/// The headers of a message that came in, all of them, and its id.
pub(crate) fn incoming(map: Option<&HeaderMap>) -> (Headers, Option<String>) {
    let mut headers = Headers::new();
    let Some(map) = map else { return (headers, None) };
    for (name, values) in map.iter() {
        for value in values {
            headers.push(name.to_string(), Bytes::copy_from_slice(value.as_str().as_bytes()));
        }
    }
    (headers, map.get(NATS_MESSAGE_ID).map(|id| id.as_str().to_owned()))
}

/// The headers to publish a message with: its own, and its id as `Nats-Msg-Id`.
pub(crate) fn outgoing(message: &Message) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in message.headers.iter() {
        if name.get(..STEERING.len()).is_some_and(|start| start.eq_ignore_ascii_case(STEERING)) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (fit_name(name), fit_value(value)) {
            map.append(name, value);
        }
    }
    if let Some(Ok(id)) = message.id.as_deref().map(|id| fit_value(id.as_bytes())) {
        map.insert(NATS_MESSAGE_ID, id);
    }
    map
}

/// A name that NATS takes: printable ASCII without a colon; anything else becomes a hyphen.
fn fit_name(name: &str) -> Result<HeaderName, async_nats::header::ParseHeaderNameError> {
    if name.bytes().all(|b| b.is_ascii_graphic() && b != b':') && !name.is_empty() {
        return name.parse();
    }
    let fit = |c: char| if c.is_ascii_graphic() && c != ':' { c } else { '-' };
    let fitted: String = name.chars().map(fit).collect();
    if fitted.is_empty() { "-".parse() } else { fitted.parse() }
}

fn fit_value(value: &[u8]) -> Result<HeaderValue, async_nats::header::ParseHeaderValueError> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains(['\r', '\n']) => text.parse(),
        _ => percent_encoded(value).parse(),
    }
}

fn percent_encoded(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len() * 3);
    for &byte in value {
        if byte.is_ascii_graphic() && byte != b'%' || byte == b' ' {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(text, "%{byte:02X}").ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_line_of_text_are_percent_encoded_and_steering_is_left_out() {
        let message = Message {
            id: Some("id 1".to_owned()),
            headers: Headers::new()
                .with("x-plain", "50 % ü")
                .with("x-lines", "a\r\nb%")
                .with("x-bytes", vec![0xff, b'a'])
                .with("x y:z", "named")
                .with("Nats-Rollup", "all")
                .with("nats-msg-id", "other"),
            ..Message::default()
        };
        let map = outgoing(&message);
        let value = |name: &str| map.get(name).map(HeaderValue::as_str);
        assert_eq!(value("x-plain"), Some("50 % ü"));
        assert_eq!(value("x-lines"), Some("a%0D%0Ab%25"));
        assert_eq!(value("x-bytes"), Some("%FFa"));
        assert_eq!(value("x-y-z"), Some("named"));
        assert_eq!(value("Nats-Rollup"), None);
        let (headers, id) = incoming(Some(&map));
        assert_eq!((id.as_deref(), headers.len()), (Some("id 1"), 5));
    }
}
