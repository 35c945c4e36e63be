//! Whether a decoded mail can be sent at all: the limits that Graph would refuse later, after a round
//! trip and with less to say. A refusal names the field and never repeats its value.

mod attachment;

use mail_parser::MessageParser;

use super::{
    Address, AnswerKind, Categories, Composed, MessageId, MimeMail, Operation, OutgoingMail,
    Request,
};
use crate::{
    Code, Error, Result,
    limits::{
        BODY_BYTES_MAX, HEADER_CHARS_MAX, HEADERS_MAX, ID_CHARS_MAX, RECIPIENTS_MAX,
        SUBJECT_CHARS_MAX,
    },
};

/// Characters in an id or a name inside a mailbox; Graph's have about 150.
const MAILBOX_ID_CHARS_MAX: usize = 1024;

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
            Operation::Send(OutgoingMail::Composed(mail)) => composed(mail, 1),
            Operation::Send(OutgoingMail::Mime(mail)) => mime(mail),
            Operation::Answer(answer) => {
                message_id(&answer.message)?;
                composed(&answer.mail, usize::from(answer.kind == AnswerKind::Forward))
            }
            Operation::MarkRead { message, .. } | Operation::Delete { message } => {
                message_id(message)
            }
            Operation::Move { message, folder } => {
                message_id(message)?;
                if is_mailbox_id(folder) {
                    return Ok(());
                }
                let detail = "give a well-known name such as archive, or a folder's id";
                Err(refuse(Code::RequestInvalid, detail, "folder"))
            }
            Operation::Categorize { message, categories } => {
                message_id(message)?;
                categorized(categories)
            }
        }
    }
}

fn refuse(code: Code, detail: &'static str, field: impl std::fmt::Display) -> Error {
    Error::permanent(code, detail).with("field", field)
}

fn message_id(message: &MessageId) -> Result<()> {
    if is_mailbox_id(&message.0) {
        return Ok(());
    }
    let detail = "this is not the id of a message";
    Err(refuse(Code::RequestBadMessageId, detail, "message"))
}

/// Whether it can be an id inside a mailbox, or a folder's well-known name.
fn is_mailbox_id(text: &str) -> bool {
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    printable && !["", ".", ".."].contains(&text) && text.len() <= MAILBOX_ID_CHARS_MAX
}

fn categorized(categories: &Categories) -> Result<()> {
    let lists = match categories {
        Categories::Set(set) => vec![("set", set)],
        Categories::Change { add, remove } => vec![("add", add), ("remove", remove)],
    };
    for (field, list) in lists {
        // Outlook separates categories by commas and semicolons
        let odd = |c: char| c.is_control() || c == ',' || c == ';';
        let at = list.iter().position(|name| name.trim().is_empty() || name.chars().any(odd));
        if let Some(index) = at {
            let detail = "a category is a name without commas and semicolons";
            return Err(refuse(Code::RequestInvalid, detail, format!("{field}[{index}]")));
        }
    }
    Ok(())
}

fn composed(mail: &Composed, recipients_min: usize) -> Result<()> {
    let lists = [("to", &mail.to), ("cc", &mail.cc), ("bcc", &mail.bcc)];
    recipients(lists.iter().map(|(_, list)| list.len()).sum(), recipients_min)?;
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
    attachment::attachments(&mail.attachments)?;
    text(mail)
}

fn recipients(count: usize, min: usize) -> Result<()> {
    if count < min {
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

/// Text and html go in one request; as MIME, when there are both, which is base64.
fn text(mail: &Composed) -> Result<()> {
    let bytes = match &mail.body {
        super::Body::Text(text) | super::Body::Html(text) => text.len(),
        super::Body::Both { text, html } => (text.len() + html.len()).div_ceil(3) * 4,
    };
    // Room for keys, recipients and JSON's escapes.
    let bytes_max = BODY_BYTES_MAX - 128 * 1024;
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::permanent(Code::RequestTooLarge, "the mail's text is too large for one request")
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
    recipients(count, 1)
}
