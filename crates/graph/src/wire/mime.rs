//! A mail as MIME: for a mail with both text and html, which Graph's JSON cannot hold, and for one
//! that came ready made.
//!
//! Graph takes MIME as base64 with the type `text/plain` (learn.microsoft.com,
//! outlook-send-mime-message), and reads the blind recipients from its `Bcc` header.
//!
//! Two things are left out of it, since no page says what Graph makes of their headers: categories,
//! which are the sender's own and which a `Keywords` header would show to every recipient, and
//! receipts. The draft is given them afterwards, so such a mail never goes without one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use mail_builder::{
    MessageBuilder,
    headers::{address::Address as Header, content_type::ContentType, raw::Raw, text::Text},
    mime::MimePart,
};
use mailbridge_core::{
    Code, Error, Mailbox, Result,
    contract::{Address, Body, Composed, Mark},
};

use super::{file::Embedded, message::importance};

/// A MIME message as Graph takes it.
pub(crate) fn encoded(raw: &[u8]) -> Vec<u8> {
    STANDARD.encode(raw).into_bytes()
}

/// Whether a mail goes as MIME and has something that MIME leaves out.
pub(crate) fn leaves_out(mail: &Composed) -> bool {
    let more = !mail.categories.is_empty() || mail.read_receipt || mail.delivery_receipt;
    more && matches!(mail.body, Body::Both { .. })
}

/// Builds the MIME of a composed mail with these of its files. Its `Message-ID` depends on the mark
/// alone, so that a receiver can tell a repeat.
pub(crate) fn build(
    mail: &Composed,
    mailbox: &Mailbox,
    mark: &Mark,
    now: Timestamp,
    files: &[Embedded<'_>],
) -> Result<Vec<u8>> {
    let mut builder = MessageBuilder::new()
        .message_id(message_id(mailbox, mark))
        .date(now.as_second())
        .subject(mail.subject.as_str());
    if let Some(from) = sender(mail, mailbox) {
        builder = builder.from(from);
    }
    for (name, list) in
        [("To", &mail.to), ("Cc", &mail.cc), ("Bcc", &mail.bcc), ("Reply-To", &mail.reply_to)]
    {
        if !list.is_empty() {
            builder = builder.header(name, Header::new_list(list.iter().map(header).collect()));
        }
    }
    if let Some(level) = mail.importance {
        builder = builder.header("Importance", Raw::new(importance(level)));
    }
    for (name, value) in &mail.headers {
        builder = builder.header(name.as_str(), Text::new(value.as_str()));
    }
    builder.body(structure(mail, files)?).write_to_vec().map_err(|_| unbuildable())
}

fn unbuildable() -> Error {
    Error::permanent(Code::Internal, "the mail cannot be written as MIME")
}

/// The local part says nothing about the request; the domain is the mailbox's own.
fn message_id(mailbox: &Mailbox, mark: &Mark) -> String {
    let domain = mailbox.as_str().rsplit_once('@').map_or("mailbridge.invalid", |(_, it)| it);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let domain = if domain.chars().all(plain) { domain } else { "mailbridge.invalid" };
    format!("{}@{domain}", mark.derive("message-id"))
}

/// `From`: as asked, else the mailbox, when it is given by its address; else Graph fills it in.
fn sender<'a>(mail: &'a Composed, mailbox: &'a Mailbox) -> Option<Header<'a>> {
    let own = || mailbox.as_str().contains('@').then(|| mailbox.as_str().into());
    mail.from.as_ref().map(header).or_else(own)
}

fn header(address: &Address) -> Header<'_> {
    Header::new_address(address.name.as_deref(), address.address.as_str())
}

/// `mixed(related(alternative(text, html), inline…), files…)`, less the shells that hold one part.
fn structure<'a>(mail: &'a Composed, files: &'a [Embedded<'a>]) -> Result<MimePart<'a>> {
    let body = match &mail.body {
        Body::Text(text) => MimePart::new("text/plain", text.as_str()),
        Body::Html(html) => MimePart::new("text/html", html.as_str()),
        Body::Both { text, html } => MimePart::new(
            "multipart/alternative",
            vec![
                MimePart::new("text/plain", text.as_str()),
                MimePart::new("text/html", html.as_str()),
            ],
        ),
    };
    let (inline, files): (Vec<_>, Vec<_>) =
        files.iter().partition(|file| file.content_id.is_some());
    shell("multipart/mixed", shell("multipart/related", body, &inline)?, &files)
}

fn shell<'a>(
    kind: &'a str,
    first: MimePart<'a>,
    files: &[&'a Embedded<'a>],
) -> Result<MimePart<'a>> {
    if files.is_empty() {
        return Ok(first);
    }
    let mut parts = Vec::with_capacity(files.len() + 1);
    parts.push(first);
    for file in files {
        parts.push(part(file)?);
    }
    Ok(MimePart::new(kind, parts))
}

/// A file as a part. Its type and its content id, which go into headers as they are, have been
/// checked with the request.
fn part<'a>(file: &'a Embedded<'a>) -> Result<MimePart<'a>> {
    let bytes = STANDARD.decode(file.base64.as_bytes()).map_err(|_| {
        let detail = "an attachment's content is not standard base64";
        Error::permanent(Code::RequestBadAttachment, detail)
    })?;
    let part = MimePart::new(&*file.content_type, bytes);
    Ok(match &file.content_id {
        // an inline image keeps its name too
        Some(id) => part
            .header(
                "Content-Disposition",
                ContentType::new("inline").attribute("filename", &*file.name),
            )
            .cid(&**id),
        None => part.attachment(&*file.name),
    })
}

#[cfg(test)]
mod tests;
