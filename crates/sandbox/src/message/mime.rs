//! MIME in and out: a base64 request body to [`Incoming`], a message to RFC 5322 text for `$value`.
//!
//! Outlook does not store MIME either; what it gives back is built anew
//! (learn.microsoft.com/graph/outlook-get-mime-message), unless the message came as MIME and is
//! unchanged.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use mail_parser::{
    Address, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};

use super::parse::ATTACHMENT_LIMIT;
use super::{
    Attachment, AttachmentKind, Attachments, Body, Content, Importance, Incoming, Recipient,
};
use crate::dice::hash;
use crate::error::GraphError;

/// Decodes the body of a `text/plain` request; line breaks inside the base64 are fine
/// (learn.microsoft.com/graph/api/user-sendmail).
pub fn decode(body: &[u8]) -> Result<Vec<u8>, GraphError> {
    let packed: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    if packed.is_empty() {
        return Err(GraphError::invalid_base64_mime());
    }
    STANDARD.decode(packed).map_err(|_| GraphError::invalid_base64_mime())
}

/// Reads an RFC 5322 message that a client wants to send.
pub fn parse(raw: Vec<u8>, now: Timestamp) -> Result<Incoming, GraphError> {
    let raw = Bytes::from(raw);
    let message = open(&raw)?;
    let incoming = read(&message, &raw, now);
    let limit = ATTACHMENT_LIMIT + ATTACHMENT_LIMIT / 3;
    if incoming.attachments.iter().any(|one| one.data.length >= limit) {
        return Err(GraphError::attachment_too_large());
    }
    Ok(incoming)
}

/// Reads a mail that has arrived: with all its headers, and with a sender of its own.
pub fn receive(raw: Vec<u8>, now: Timestamp) -> Result<Incoming, GraphError> {
    let raw = Bytes::from(raw);
    let message = open(&raw)?;
    let mut incoming = read(&message, &raw, now);
    let content = &mut incoming.content;
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.trim().to_owned());
    content.headers = message.headers_raw().map(own).collect();
    let sender = addresses(message.sender()).into_iter().next();
    content.sender = sender.or_else(|| content.from.clone()).or_else(|| Some(Recipient::default()));
    // Exchange shows the status of a report as its body, not as a file
    incoming.attachments.retain(|one| {
        !one.content_type.as_ref().is_some_and(|kind| kind.ends_with("/delivery-status"))
    });
    Ok(incoming)
}

fn open(raw: &[u8]) -> Result<Message<'_>, GraphError> {
    let message = MessageParser::default().parse(raw).ok_or_else(GraphError::invalid_mime)?;
    if message.headers().is_empty() { Err(GraphError::invalid_mime()) } else { Ok(message) }
}

fn read(message: &Message<'_>, raw: &Bytes, now: Timestamp) -> Incoming {
    let mut content = Content {
        subject: message.subject().unwrap_or_default().to_owned(),
        body: body(message),
        from: addresses(message.from()).into_iter().next(),
        to: addresses(message.to()),
        cc: addresses(message.cc()),
        bcc: addresses(message.bcc()),
        reply_to: addresses(message.reply_to()),
        headers: other_headers(message),
        importance: importance(message),
        mime: Some(raw.clone()),
        ..Content::default()
    };
    if let Some(id) = message.message_id() {
        content.internet_message_id = format!("<{id}>");
    }
    let attachments = message.attachments().map(|part| attachment(part, now)).collect();
    Incoming { content, attachments }
}

fn attachment(part: &MessagePart<'_>, now: Timestamp) -> Attachment {
    let (kind, bytes) = match &part.body {
        PartType::Message(inner) => (AttachmentKind::Item, inner.raw_message().to_vec()),
        _ => (AttachmentKind::File, part.contents().to_vec()),
    };
    Attachment {
        key: 0,
        broken: false,
        kind,
        name: part.attachment_name().unwrap_or("attachment").to_owned(),
        content_type: part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        }),
        content_id: part.content_id().map(str::to_owned),
        is_inline: part.content_disposition().is_some_and(|d| d.ctype() == "inline"),
        data: bytes.into(),
        modified: now,
    }
}

fn body(message: &Message<'_>) -> Body {
    let html = message.html_bodies().any(mail_parser::MessagePart::is_text_html);
    let text = if html { message.body_html(0) } else { message.body_text(0) };
    let text = text.unwrap_or_default().into_owned();
    let plain = message.text_bodies().any(|part| part.is_text() && !part.is_text_html());
    let alternative = (html && plain).then(|| message.body_text(0)).flatten();
    let alternative = alternative.map(std::borrow::Cow::into_owned);
    Body { is_html: html, length: text.len(), text, alternative }
}

fn addresses(list: Option<&Address<'_>>) -> Vec<Recipient> {
    let Some(list) = list else { return Vec::new() };
    list.iter()
        .map(|one| Recipient {
            address: one.address().unwrap_or_default().to_owned(),
            name: one.name().map(str::to_owned),
        })
        .collect()
}

/// Headers without a property of their own, as they stand in the message.
fn other_headers(message: &Message<'_>) -> Vec<(String, String)> {
    message
        .headers()
        .iter()
        .zip(message.headers_raw())
        .filter(|(header, _)| {
            matches!(
                header.name,
                HeaderName::Other(_)
                    | HeaderName::InReplyTo
                    | HeaderName::References
                    | HeaderName::Keywords
                    | HeaderName::ListUnsubscribe
            )
        })
        .map(|(_, (name, value))| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn importance(message: &Message<'_>) -> Importance {
    let text = |name: &'static str| {
        message.header(name).and_then(|value| value.as_text()).unwrap_or_default().to_lowercase()
    };
    match (text("Importance").as_str(), text("X-Priority").get(..1)) {
        ("high", _) | ("", Some("1" | "2")) => Importance::High,
        ("low", _) | ("", Some("4" | "5")) => Importance::Low,
        _ => Importance::Normal,
    }
}

/// The message as RFC 5322 text.
pub fn render(
    content: &Content,
    from: &Recipient,
    attachments: &Attachments,
    at: Timestamp,
) -> Bytes {
    if let Some(mime) = &content.mime {
        return mime.clone();
    }
    let mut out = String::with_capacity(1024 + content.body.text.len() * 4 / 3);
    header(&mut out, "From", &mailbox(content.from.as_ref().unwrap_or(from)));
    for (name, list) in [
        ("To", &content.to),
        ("Cc", &content.cc),
        ("Bcc", &content.bcc),
        ("Reply-To", &content.reply_to),
    ] {
        if !list.is_empty() {
            header(&mut out, name, &list.iter().map(mailbox).collect::<Vec<_>>().join(",\r\n "));
        }
    }
    header(&mut out, "Subject", &word(&content.subject));
    header(&mut out, "Date", &date(at));
    header(&mut out, "Message-ID", &content.internet_message_id);
    for (name, value) in &content.headers {
        header(&mut out, name, value);
    }
    header(&mut out, "MIME-Version", "1.0");
    let reference = |one: &&std::sync::Arc<Attachment>| one.kind == AttachmentKind::Reference;
    let files: Vec<_> = attachments.iter().filter(|one| !reference(one)).collect();
    if files.is_empty() {
        text_part(&mut out, &content.body);
        return out.into();
    }
    // an item carries parts of its own, which end where their boundary says
    let boundary = format!("{BOUNDARY}{:x}_", hash(0, content.internet_message_id.as_bytes()));
    header(&mut out, "Content-Type", &format!("multipart/mixed; boundary=\"{boundary}\""));
    write!(out, "\r\n--{boundary}\r\n").unwrap_or_default();
    text_part(&mut out, &content.body);
    for file in files {
        write!(out, "--{boundary}\r\n").unwrap_or_default();
        file_part(&mut out, file);
    }
    write!(out, "--{boundary}--\r\n").unwrap_or_default();
    out.into()
}

const BOUNDARY: &str = "_000_sandbox_part_boundary_";

fn header(out: &mut String, name: &str, value: &str) {
    // writing to a string cannot fail
    write!(out, "{name}: {value}\r\n").unwrap_or_default();
}

fn mailbox(recipient: &Recipient) -> String {
    match &recipient.name {
        Some(name) if name.is_ascii() => {
            format!("\"{}\" <{}>", name.replace(['"', '\\', '\r', '\n'], ""), recipient.address)
        }
        Some(name) => format!("{} <{}>", word(name), recipient.address),
        None => format!("<{}>", recipient.address),
    }
}

/// A time as RFC 5322 writes it.
pub fn date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// RFC 2047 when it is not plain ASCII.
pub fn word(text: &str) -> String {
    if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut chunk = String::new();
    for c in text.chars() {
        // an encoded word is at most 75 characters long
        if chunk.len() + c.len_utf8() > 42 {
            words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(std::mem::take(&mut chunk))));
        }
        chunk.push(c);
    }
    words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(chunk)));
    words.join("\r\n ")
}

fn text_part(out: &mut String, body: &Body) {
    let kind = if body.is_html { "text/html" } else { "text/plain" };
    header(out, "Content-Type", &format!("{kind}; charset=\"utf-8\""));
    base64_part(out, body.text.as_bytes());
}

fn file_part(out: &mut String, file: &Attachment) {
    let usual = match file.kind {
        AttachmentKind::Item => "message/rfc822",
        _ => "application/octet-stream",
    };
    header(out, "Content-Type", file.content_type.as_deref().unwrap_or(usual));
    let disposition = if file.is_inline { "inline" } else { "attachment" };
    let name = file.name.replace(['"', '\\', '\r', '\n'], "");
    header(out, "Content-Disposition", &format!("{disposition}; filename=\"{}\"", word(&name)));
    if let Some(id) = &file.content_id {
        header(out, "Content-ID", &format!("<{id}>"));
    }
    let bytes = file.data.read().unwrap_or_default();
    if file.kind == AttachmentKind::Item {
        // RFC 2046, section 5.2.1: never encoded
        write!(out, "\r\n{}\r\n", String::from_utf8_lossy(&bytes)).unwrap_or_default();
        return;
    }
    base64_part(out, &bytes);
}

fn base64_part(out: &mut String, bytes: &[u8]) {
    header(out, "Content-Transfer-Encoding", "base64");
    out.push_str("\r\n");
    for line in bytes.chunks(57) {
        out.push_str(&STANDARD.encode(line));
        out.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &str = "From: Anna <anna@b.example>\r\nTo: bob@b.example, Carl <c@b.example>\r\n\
        Cc: d@b.example\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\nMessage-ID: <1@b.example>\r\n\
        In-Reply-To: <0@b.example>\r\nX-Key: 42\r\nX-Priority: 1\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n";

    #[test]
    fn a_message_is_read() {
        let packed = STANDARD.encode(RAW);
        let folded = packed[..76].to_owned() + "\r\n" + &packed[76..];
        let read =
            parse(decode(folded.as_bytes()).unwrap(), Timestamp::UNIX_EPOCH).unwrap().content;
        assert_eq!(read.subject, "Grüße");
        assert_eq!(read.to.len(), 2);
        assert_eq!(read.internet_message_id, "<1@b.example>");
        assert_eq!(read.importance, Importance::High);
        assert_eq!(read.body.text.trim(), "hello");
        let names: Vec<_> = read.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["In-Reply-To", "X-Key", "X-Priority"]);
    }

    #[test]
    fn bad_base64_has_its_own_code() {
        for bad in ["", "not base64!", "QUJD*"] {
            let error = decode(bad.as_bytes()).unwrap_err();
            assert_eq!(error.code, "ErrorMimeContentInvalidBase64String");
        }
    }

    #[test]
    fn what_is_rendered_reads_back_the_same() {
        let mut incoming = parse(RAW.as_bytes().to_vec(), Timestamp::UNIX_EPOCH).unwrap();
        incoming.content.mime = None;
        let file = Attachment {
            key: 1,
            kind: AttachmentKind::File,
            name: "a.bin".into(),
            content_type: Some("application/pdf".into()),
            content_id: None,
            is_inline: false,
            data: vec![7; 200].into(),
            broken: false,
            modified: Timestamp::UNIX_EPOCH,
        };
        let from = Recipient { address: "anna@b.example".into(), name: None };
        let text = render(&incoming.content, &from, &vec![file.into()], Timestamp::UNIX_EPOCH);
        let again = parse(text.to_vec(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(again.content.subject, "Grüße");
        assert_eq!(again.content.to, incoming.content.to);
        assert_eq!(again.content.body.text.trim(), "hello");
        assert_eq!(again.attachments[0].data.read().unwrap(), vec![7; 200]);
    }
}
