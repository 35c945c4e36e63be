//! The `claims` of a token request: what this client can do, and what Graph's last claims challenge
//! asked for.
//!
//! learn.microsoft.com, entra claims-challenge and app-resilience-continuous-access-evaluation.
//! Claims are for the login service alone. What is in them is neither looked at nor shown.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value, json};

/// A challenge is a few hundred bytes.
const ENCODED_BYTES_MAX: usize = 8 * 1024;

/// The claims that a token must have for Graph to take it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Challenge(Map<String, Value>);

impl Challenge {
    /// Reads the parameter `claims` of a challenge: a JSON object in base64, in either alphabet,
    /// padded or not.
    pub(crate) fn decode(encoded: &str) -> Option<Self> {
        if encoded.len() > ENCODED_BYTES_MAX {
            return None;
        }
        let config = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        let url_safe = encoded.contains(['-', '_']);
        let alphabet = if url_safe { alphabet::URL_SAFE } else { alphabet::STANDARD };
        let json = GeneralPurpose::new(&alphabet, config).decode(encoded.trim()).ok()?;
        serde_json::from_slice(&json).ok().map(Self)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(***)")
    }
}

/// The form field of one token request. `cae`: the client says that it understands challenges
/// (client capability `cp1`), and is given long-lived tokens in return.
pub(super) fn field(cae: bool, challenge: Option<&Challenge>) -> Option<String> {
    let mut claims = challenge.map(|challenge| Value::Object(challenge.0.clone()));
    if cae {
        let capability = json!({ "access_token": { "xms_cc": { "values": ["cp1"] } } });
        merge(claims.get_or_insert_with(|| Value::Object(Map::new())), capability);
    }
    claims.map(|claims| claims.to_string())
}

/// Puts `more` into `into`, object by object. Elsewhere `more` takes the place of what was there.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    fn challenge(claims: &Value) -> Challenge {
        Challenge::decode(&STANDARD.encode(claims.to_string())).unwrap()
    }

    #[test]
    fn any_base64_is_read_and_anything_else_is_no_challenge() {
        // its encodings differ in both alphabets and in padding
        let text = r#"{"access_token":{"x":"?>~~? "}}"#;
        let encoded =
            [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|it| it.encode(text));
        assert_ne!(encoded[0], encoded[1]);
        assert_ne!(encoded[1], encoded[3]);
        for encoded in encoded {
            let expected = serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(Some(expected), Challenge::decode(&encoded).map(|it| Value::Object(it.0)));
        }
        let too_long = STANDARD.encode(format!(r#"{{"a":"{}"}}"#, "x".repeat(ENCODED_BYTES_MAX)));
        let list = STANDARD.encode("[1]");
        for none in ["", "{}", "?", "bm8=", &list, &too_long] {
            assert!(Challenge::decode(none).is_none(), "{none}");
        }
    }

    #[test]
    fn the_capability_is_merged_into_the_challenge() {
        let nbf = json!({ "essential": true, "value": "1604106651" });
        let asked = challenge(&json!({ "access_token": { "nbf": nbf }, "id_token": {} }));
        let capability = json!({ "values": ["cp1"] });
        let read = |text: Option<String>| serde_json::from_str::<Value>(&text.unwrap()).unwrap();
        assert_eq!(
            read(field(true, Some(&asked))),
            json!({ "access_token": { "nbf": nbf, "xms_cc": capability }, "id_token": {} })
        );
        assert_eq!(field(true, None).unwrap(), r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#);
        assert_eq!(
            read(field(false, Some(&asked))),
            json!({ "access_token": { "nbf": nbf }, "id_token": {} })
        );
        assert_eq!(field(false, None), None);
        // something that is no object gives way
        let odd = challenge(&json!({ "access_token": 5 }));
        assert_eq!(read(field(true, Some(&odd))), read(field(true, None)));
    }

    #[test]
    fn a_challenge_cannot_be_printed() {
        let asked = challenge(&json!({ "access_token": { "nbf": { "value": "1604106651" } } }));
        assert!(!format!("{asked:?}").contains("1604106651"));
    }
}
