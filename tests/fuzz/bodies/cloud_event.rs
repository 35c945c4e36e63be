//! A message with headers, of any type, structured or binary. The input is `name: value` lines, an
//! empty line and the payload.

use mailbridge_core::{Headers, Message};

use super::said;

/// Reads it.
pub fn run(input: &[u8]) {
    let mut headers = Headers::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let name = String::from_utf8_lossy(&line[..colon]);
        headers.push(name.into_owned(), line[colon + 1..].trim_ascii().to_vec());
    }
    let message = Message { headers, payload: rest.to_vec().into(), ..Message::default() };
    said::decoded(&message).ok();
}
