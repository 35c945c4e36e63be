//! A request that could not be carried out, kept as it came.
//!
//! The payload is the original's, byte for byte; only where the bus does not take a message of that
//! size it is left out, and what is left says so. So are the headers, with what mailbridge has to say
//! added as `mailbridge-…`; headers by which NATS itself is steered (`Nats-…`), and the one that is
//! the original's id on Kafka (`message-id`), are kept under `mailbridge-original-…`, since they
//! would steer the dead letter, which has an id of its own.

use jiff::Timestamp;

use super::{Mark, OutcomeData};
use crate::{Error, Headers, Message};

/// The prefix of all headers that mailbridge adds.
pub const PREFIX: &str = "mailbridge-";

/// A dead letter.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// What was delivered.
    pub original: &'a Message,
    /// How the request ended, and why.
    pub outcome: &'a OutcomeData,
    /// The request's mark.
    pub mark: &'a Mark,
    /// When it was given up.
    pub time: Timestamp,
}

/// Why a dead letter has no payload: the code of the failure that left it out.
pub const PAYLOAD_LEFT_OUT_HEADER: &str = "mailbridge-payload-left-out";

impl DeadLetter<'_> {
    /// The same without the payload, for a bus that does not take all of it because of `error`. Says
    /// so, and how many bytes the payload had.
    pub fn to_message_without_payload(&self, error: &Error) -> Message {
        let mut message = self.to_message();
        message.headers.push(PAYLOAD_LEFT_OUT_HEADER, error.code().as_str());
        let bytes = std::mem::take(&mut message.payload).len();
        message.headers.push(format!("{PREFIX}payload-bytes"), bytes.to_string());
        message
    }

    /// The message to publish. Its id is derived, so that a replay is the same message.
    pub fn to_message(&self) -> Message {
        let Self { original, outcome, mark, time } = self;
        let mut headers = Headers::new();
        for (name, value) in original.headers.iter() {
            let is_id = name.eq_ignore_ascii_case("message-id")
                && original.id.as_ref().is_some_and(|id| id.as_bytes() == value.as_ref());
            if is_id || name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
                headers.push(format!("{PREFIX}original-{}", name.to_lowercase()), value.clone());
            } else {
                headers.push(name, value.clone());
            }
        }
        let mut add = |name: &str, value: &str| {
            headers.push(format!("{PREFIX}{name}"), one_line(value));
        };
        add("status", outcome.status.as_str());
        add("code", outcome.code.as_deref().unwrap_or_default());
        add("reason", outcome.reason.as_deref().unwrap_or_default());
        add("attempts", &outcome.attempts.to_string());
        add("key", &outcome.key);
        add("pipeline", &outcome.pipeline);
        add("position", &outcome.position);
        add("time", &time.to_string());
        if let Some(address) = &original.address {
            add("address", address);
        }
        Message {
            id: Some(mark.derive(&format!("dead:{}", outcome.position)).to_string()),
            key: original.key.clone(),
            headers,
            payload: original.payload.clone(),
            ..Message::default()
        }
    }
}

/// A header's value cannot break its line.
fn one_line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
