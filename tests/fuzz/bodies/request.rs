//! A request as plain JSON. The input is the payload.

use mailbridge_core::{Headers, Message};

use super::said;

/// Reads it plainly and inside an event.
pub fn run(input: &[u8]) {
    let kind = "application/json";
    let headers = Headers::new().with("content-type", kind);
    let message = Message { headers, payload: input.to_vec().into(), ..Message::default() };
    said::is_the_same_wrapped(&message, kind);
}
