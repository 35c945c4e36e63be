//! A request that is a whole RFC 5322 message. The input is the message.

use mailbridge_core::{Headers, Message};

use super::said;

/// Reads it plainly and inside an event.
pub fn run(input: &[u8]) {
    let kind = "message/rfc822";
    let headers = Headers::new()
        .with("content-type", kind)
        .with("mailbridge-mailbox", "orders@contoso.com")
        .with("mailbridge-id", "order-1");
    let message = Message { headers, payload: input.to_vec().into(), ..Message::default() };
    said::is_the_same_wrapped(&message, kind);
}
