//! Whether a decoded mail can be sent at all: the limits that Graph would refuse later, after a round
//! trip and with less to say. A refusal names the field and never repeats its value.

use std::io;

use base64::{engine::general_purpose::STANDARD, read::DecoderReader};
use mail_parser::MessageParser;

use super::{Address, Attachment, Composed, MimeMail, Operation, OutgoingMail, Request};
use crate::{
    Code, Error, Result,
    limits::{
        ATTACHMENT_BYTES_MAX, BODY_BYTES_MAX, HEADER_CHARS_MAX, HEADERS_MAX, ID_CHARS_MAX,
        RECIPIENTS_MAX, SUBJECT_CHARS_MAX,
    },
};

impl Request {
    /// Checks every limit that can be checked without the mailbox. All failures are permanent.
    pub fn check(&self) -> Result<()> {
        if let Some(id) = &self.id
            && (id.is_empty() || id.chars().count() > ID_CHARS_MAX)
        {
            return Err(refuse(Code::RequestBadId, "the id is empty or too long", "id")
                .with("characters_max", ID_CHARS_MAX));
        }
        match &self.operation {
            Operation::Send(OutgoingMail::Composed(mail)) => composed(mail),
            Operation::Send(OutgoingMail::Mime(mail)) => mime(mail),
        }
    }
}

fn refuse(code: Code, detail: &'static str, field: impl std::fmt::Display) -> Error {
    Error::permanent(code, detail).with("field", field)
}

fn composed(mail: &Composed) -> Result<()> {
    let lists = [("to", &mail.to), ("cc", &mail.cc), ("bcc", &mail.bcc)];
    recipients(lists.iter().map(|(_, list)| list.len()).sum())?;
    for (field, list) in lists.into_iter().chain([("reply_to", &mail.reply_to)]) {
        for (index, address) in list.iter().enumerate() {
            plausible(address, &format!("{field}[{index}]"))?;
        }
    }
    if let Some(from) = &mail.from {
        plausible(from, "from")?;
    }
    if mail.subject.chars().count() > SUBJECT_CHARS_MAX {
        return Err(refuse(Code::RequestSubjectTooLong, "the subject is too long", "subject")
            .with("characters_max", SUBJECT_CHARS_MAX));
    }
    if mail.subject.chars().any(|c| c == '\r' || c == '\n') {
        return Err(refuse(Code::RequestBadHeader, "the subject is not one line", "subject"));
    }
    headers(mail)?;
    mail.attachments.iter().enumerate().try_for_each(|(at, file)| attachment(at, file))?;
    whole(mail)
}

fn recipients(count: usize) -> Result<()> {
    if count == 0 {
        return Err(refuse(Code::RequestNoRecipient, "the mail has no recipient", "to"));
    }
    if count > RECIPIENTS_MAX {
        return Err(refuse(
            Code::RequestTooManyRecipients,
            "the mail has too many recipients",
            "to",
        )
        .with("found", count)
        .with("max", RECIPIENTS_MAX));
    }
    Ok(())
}

fn plausible(address: &Address, field: &str) -> Result<()> {
    if address.is_plausible() {
        return Ok(());
    }
    Err(refuse(Code::RequestBadAddress, "this is not a mail address", field))
}

fn headers(mail: &Composed) -> Result<()> {
    if mail.headers.len() > HEADERS_MAX {
        return Err(refuse(Code::RequestTooManyHeaders, "too many custom headers", "headers")
            .with("found", mail.headers.len())
            .with("max", HEADERS_MAX));
    }
    for (index, (name, value)) in mail.headers.iter().enumerate() {
        let field = format!("headers[{index}]");
        let named = name.len() > 2
            && name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !named {
            return Err(refuse(
                Code::RequestBadHeader,
                "a header's name must start with x- and hold only letters, digits, - and _",
                field,
            ));
        }
        if value.chars().any(char::is_control) || value.chars().count() > HEADER_CHARS_MAX {
            return Err(refuse(
                Code::RequestBadHeader,
                "a header's value must be one line without control characters",
                field,
            )
            .with("characters_max", HEADER_CHARS_MAX));
        }
    }
    Ok(())
}

fn attachment(index: usize, file: &Attachment) -> Result<()> {
    let field = format!("attachments[{index}]");
    let bad = |detail| Err(refuse(Code::RequestBadAttachment, detail, &field));
    if file.name.is_empty() || file.name.chars().any(char::is_control) {
        return bad("an attachment needs a name, in one line");
    }
    // base64 that is longer than the limit's own is too large whatever it holds.
    if file.content.len() / 4 * 3 > ATTACHMENT_BYTES_MAX + 2 {
        return Err(refuse(
            Code::RequestAttachmentTooLarge,
            "the attachment is too large to go inline",
            field,
        )
        .with("bytes_max", ATTACHMENT_BYTES_MAX));
    }
    let mut decoder = DecoderReader::new(file.content.as_bytes(), &STANDARD);
    match io::copy(&mut decoder, &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(_) => bad("the attachment's content is not standard base64"),
    }
}

/// What the JSON to Graph comes to, less the few hundred bytes of its own keys.
fn whole(mail: &Composed) -> Result<()> {
    let body = match &mail.body {
        super::Body::Text(text) | super::Body::Html(text) => text.len(),
        super::Body::Both { text, html } => text.len() + html.len(),
    };
    let files: usize = mail.attachments.iter().map(|file| file.content.len()).sum();
    fits(body + files)
}

fn fits(bytes: usize) -> Result<()> {
    // Room for keys, recipients and JSON's escapes.
    let bytes_max = BODY_BYTES_MAX - 128 * 1024;
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::permanent(Code::RequestTooLarge, "the mail as a whole is too large for one request")
        .with("bytes", bytes)
        .with("bytes_max", bytes_max))
}

fn mime(mail: &MimeMail) -> Result<()> {
    let bad = |detail| Err(refuse(Code::RequestBadMime, detail, "mime"));
    let Some(parsed) = MessageParser::new().parse_headers(&mail.raw[..]) else {
        return bad("the MIME message has no headers");
    };
    let lists = [parsed.to(), parsed.cc(), parsed.bcc()];
    let mut count = 0;
    for address in lists.into_iter().flatten().flat_map(mail_parser::Address::iter) {
        count += 1;
        let plausible = address.address().is_some_and(|text| Address::parse(text).is_plausible());
        if !plausible {
            return bad("a recipient of the MIME message is not a mail address");
        }
    }
    recipients(count)?;
    fits(mail.raw.len().div_ceil(3) * 4)
}
