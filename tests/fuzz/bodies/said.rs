//! What must hold of every refusal of a message, and of one message in two wrappings.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{
    Code, Error, Headers, Message, Position, Verdict,
    contract::decode::{Decoded, Undecodable, decode},
};
use serde_json::json;

/// Text that no error may repeat: not as a value, and not as a key, since keys are shown only where
/// they are plain words.
pub const PLANTED: &str = "dear bob, the secret is";

/// An error is one short line that holds nothing of the input but plain words.
pub fn is_fit_to_show(error: &Error) {
    let shown = error.to_string();
    assert!(!error.detail().is_empty());
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert!(!shown.contains(PLANTED), "{shown}");
    assert!(shown.len() < 2048, "{shown}");
}

/// Decodes a message; a refusal is final, and the same at every reading.
pub fn decoded(message: &Message) -> Result<Decoded, Box<Undecodable>> {
    let place = Position::new("fuzz:1");
    let result = decode(message, &place);
    match (&result, decode(message, &place)) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first.key, second.key);
            first.request.check().expect("what was decoded was checked");
        }
        (Err(first), Err(second)) => {
            assert_eq!((first.error.code(), &first.key), (second.error.code(), &second.key));
            assert_eq!(first.error.verdict(), Verdict::Permanent);
            is_fit_to_show(&first.error);
            if first.error.code() == Code::RequestNotJson {
                assert!(first.error.to_string().contains(" at line "), "{}", first.error);
            }
        }
        _ => panic!("read twice, and not the same twice"),
    }
    result
}

/// Whether a payload of this type comes to the same plainly and inside a structured event.
pub fn is_the_same_wrapped(plain: &Message, media_type: &str) {
    if plain.payload.iter().all(u8::is_ascii_whitespace) {
        return; // an empty message is told as such, which an event with empty data is not
    }
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "/fuzz", "type": "t",
        "datacontenttype": media_type, "data_base64": STANDARD.encode(&plain.payload),
    });
    let wrapped = Message {
        headers: plain.headers.clone().replaced("content-type", "application/cloudevents+json"),
        payload: event.to_string().into_bytes().into(),
        ..Message::default()
    };
    match (decoded(plain), decoded(&wrapped)) {
        (Ok(plain), Ok(wrapped)) => {
            assert_eq!(plain.request.id, wrapped.request.id);
            assert_eq!(plain.request.not_after, wrapped.request.not_after);
            if plain.request.id.is_some() {
                assert_eq!(plain.key, wrapped.key);
            }
        }
        (Err(plain), Err(wrapped)) => {
            assert_eq!(plain.error.to_string(), wrapped.error.to_string());
        }
        (plain, wrapped) => panic!("plain: {}, wrapped: {}", plain.is_ok(), wrapped.is_ok()),
    }
}

trait Replaced {
    fn replaced(self, name: &str, value: &str) -> Self;
}

impl Replaced for Headers {
    fn replaced(mut self, name: &str, value: &str) -> Self {
        self.set(name, Some(value.to_owned()));
        self
    }
}
