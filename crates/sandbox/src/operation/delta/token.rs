//! The tokens in delta links: opaque, and all there is of a client's progress.
//!
//! A token holds where the client stands and the options of its first request, masked and checked.
//! The sandbox keeps nothing for it, so a link can be fetched twice, and a thousand clients cost
//! what one costs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dice::{hash, mix};

/// A place in a round.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Place {
    Start,
    Step(u64),
    Time(Timestamp, u64),
}

/// How far a client is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Token {
    /// Of which folder; none when it is about the folders themselves
    pub folder: Option<u64>,
    pub epoch: u64,
    /// Everything up to this step is known
    pub base: u64,
    /// Where the round ends; none between two rounds
    pub top: Option<u64>,
    pub after: Place,
    /// Where the page before began
    pub before: Place,
    /// Number of the page in its round
    pub page: u32,
    /// How many pages in a row came empty on purpose
    pub empty: u8,
    /// How many items the round may still have
    pub left: Option<usize>,
    /// The query of the first request
    pub options: String,
}

impl Token {
    /// Opaque text, the same for the same place.
    pub fn seal(&self, secret: u64) -> String {
        let mut body = serde_json::to_vec(self).unwrap_or_default();
        let check = hash(secret, &body);
        mask(check, &mut body);
        let mut bytes = (check ^ mix(secret)).to_le_bytes().to_vec();
        bytes.extend(body);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for anything that was not sealed with this secret.
    pub fn open(secret: u64, text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (check, body) = bytes.split_first_chunk::<8>()?;
        let check = u64::from_le_bytes(*check) ^ mix(secret);
        let mut body = body.to_vec();
        mask(check, &mut body);
        if hash(secret, &body) != check {
            return None;
        }
        serde_json::from_slice(&body).ok()
    }

    /// What the faults of this page follow from.
    pub fn number(&self, secret: u64) -> u64 {
        hash(secret ^ self.epoch, self.seal(secret).as_bytes())
    }
}

fn mask(nonce: u64, body: &mut [u8]) {
    let mut state = nonce;
    for chunk in body.chunks_mut(8) {
        state = mix(state ^ 0x64_656c_7461);
        for (byte, key) in chunk.iter_mut().zip(state.to_le_bytes()) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_where_it_was_made_and_nowhere_else() {
        let token = Token {
            folder: Some(1),
            epoch: 7,
            base: 3,
            top: Some(9),
            after: Place::Time(Timestamp::UNIX_EPOCH, 4),
            before: Place::Start,
            page: 2,
            empty: 0,
            left: None,
            options: "$select=subject".to_owned(),
        };
        let text = token.seal(5);
        assert!(!text.contains("subject") && text == token.seal(5));
        assert_eq!(Token::open(5, &text), Some(token));
        assert_eq!(Token::open(6, &text), None);
        assert_eq!(Token::open(5, &text[1..]), None);
        assert_eq!(Token::open(5, "x"), None);
    }
}
