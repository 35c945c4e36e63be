//! Whether an attachment can be sent, as far as its request says. What stands behind a reference is
//! seen only when it is opened.

use std::io;

use base64::{engine::general_purpose::STANDARD, read::DecoderReader};

use super::refuse;
use crate::{
    Code, Result,
    contract::{Attachment, Content, Reference},
    limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX},
};

/// The schemes that a reference may have.
const SCHEMES: [&str; 7] =
    ["https://", "http://", "file://", "s3://", "az://", "gs://", "nats-object://"];
/// Characters in a reference: what proxies and stores take of a URL.
const URL_CHARS_MAX: usize = 4096;

pub(super) fn attachments(files: &[Attachment]) -> Result<()> {
    if files.len() > ATTACHMENTS_MAX {
        let detail = "the mail has too many attachments";
        return Err(refuse(Code::RequestTooManyAttachments, detail, "attachments")
            .with("found", files.len())
            .with("max", ATTACHMENTS_MAX));
    }
    files.iter().enumerate().try_for_each(|(index, file)| attachment(index, file))
}

fn attachment(index: usize, file: &Attachment) -> Result<()> {
    let field = format!("attachments[{index}]");
    let bad = |detail| Err(refuse(Code::RequestBadAttachment, detail, &field));
    if file.name.is_empty() || file.name.chars().any(char::is_control) {
        return bad("an attachment needs a name, in one line");
    }
    if let Some(kind) = &file.content_type
        && (!kind.chars().all(|c| c.is_ascii_graphic() || c == ' ') || !kind.contains('/'))
    {
        return bad("an attachment's content_type is not a media type such as image/png");
    }
    let odd = |c: char| !c.is_ascii_graphic() || c == '<' || c == '>';
    if file.content_id.as_ref().is_some_and(|id| id.is_empty() || id.chars().any(odd)) {
        return bad("an attachment's content_id is not a word such as logo or logo@example");
    }
    let bytes = match &file.content {
        Content::Inline(base64) => {
            let mut decoder = DecoderReader::new(base64.as_bytes(), &STANDARD);
            match io::copy(&mut decoder, &mut io::sink()) {
                Ok(bytes) => bytes,
                Err(_) => return bad("the attachment's content is not standard base64"),
            }
        }
        Content::Reference(reference) => {
            if let Some(detail) = wrong_reference(reference) {
                return bad(detail);
            }
            reference.size.unwrap_or(0)
        }
    };
    if bytes > ATTACHMENT_BYTES_MAX {
        let detail = "the attachment is larger than graph takes";
        return Err(refuse(Code::RequestAttachmentTooLarge, detail, field)
            .with("bytes", bytes)
            .with("bytes_max", ATTACHMENT_BYTES_MAX));
    }
    Ok(())
}

fn wrong_reference(reference: &Reference) -> Option<&'static str> {
    let url = &reference.url;
    if url.len() > URL_CHARS_MAX || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("a reference is a URL of at most 4096 characters, without blanks");
    }
    let known = SCHEMES.iter().any(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && url.len() > scheme.len()
    });
    (!known).then_some(
        "a reference starts with https://, file://, s3://, az://, gs:// or nats-object://",
    )
}
