//! A request that could not be carried out, kept as it came.
//!
//! The payload is the original's, byte for byte. So are the headers, with what mailbridge has to say
//! added as `mailbridge-…`; headers by which NATS itself is steered (`Nats-…`) are kept under
//! `mailbridge-original-…`, since they would steer the dead letter.

use jiff::Timestamp;

use super::{Mark, OutcomeData};
use crate::{Headers, Message};

/// The prefix of all headers that mailbridge adds.
pub const PREFIX: &str = "mailbridge-";

/// Why a dead letter has no payload: the code of the failure that left it out.
pub const PAYLOAD_LEFT_OUT_HEADER: &str = "mailbridge-payload-left-out";

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

impl DeadLetter<'_> {
    /// The message to publish. Its id is derived, so that a replay is the same message.
    pub fn to_message(&self) -> Message {
        let Self { original, outcome, mark, time } = self;
        let mut headers = Headers::new();
        for (name, value) in original.headers.iter() {
            if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
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
            address: None,
        }
    }
}

/// A header's value cannot break its line.
fn one_line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
