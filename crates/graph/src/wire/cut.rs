//! Taking large files out of a ready message, so that what is left fits into one request.
//!
//! Graph takes MIME up to 4 MB (learn.microsoft.com, user-post-messages: 413 above), and no upload
//! session takes MIME. But a file that is added to a draft arrives as the same file. So a message
//! may be taken apart where nothing that matters is lost by it, byte for byte in what is left:
//!
//! - only parts directly below the outermost `multipart/mixed`, never the first, which is the text;
//! - only files: with a name, in base64 that decodes, with no parameter of their type but the name;
//! - never of a message that is signed or encrypted: its bytes are what the signature is of.
//!
//! What is lost is the files' place among the other parts and headers such as a description. Anything
//! else is refused as too large.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mail_parser::{Encoding, MessageParser, MessagePart, MimeHeaders as _, PartType};
use mailbridge_core::{Code, Error, Result, limits::ATTACHMENT_BYTES_MAX};

/// A file that was taken out.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content_type: String,
    /// Of an inline image.
    pub(crate) content_id: Option<String>,
    pub(crate) bytes: Bytes,
}

/// Takes out as many files, the largest first, as it takes for the rest to have at most so many
/// bytes in base64. Gives the rest and the files, in the order of the message.
///
/// # Errors
/// `request_too_large`, when that cannot be done.
pub(crate) fn cut(raw: &[u8], base64_bytes_max: u64) -> Result<(Vec<u8>, Vec<File>)> {
    let refuse = |detail| {
        Error::permanent(Code::RequestTooLarge, detail)
            .with("field", "mime")
            .with("bytes", raw.len())
    };
    let parsed = MessageParser::new()
        .parse(raw)
        .ok_or_else(|| refuse("a large message cannot be taken apart: it cannot be read"))?;
    if parsed.parts.iter().any(is_sealed) {
        return Err(refuse("a signed or encrypted message is too large and stays whole"));
    }
    let root = parsed.parts.first().filter(|part| is_type(part, "multipart", "mixed"));
    let boundary = root.and_then(MessagePart::content_type).and_then(|it| it.attribute("boundary"));
    let (Some(PartType::Multipart(children)), Some(boundary)) = (root.map(|it| &it.body), boundary)
    else {
        return Err(refuse("the message is too large and has no files that can be taken out"));
    };
    let delimiter = format!("--{boundary}");
    let mut files: Vec<_> = children
        .iter()
        .skip(1)
        .filter_map(|id| parsed.parts.get(*id as usize))
        .filter_map(|part| Some((span(raw, part, delimiter.as_bytes())?, part)))
        .filter(|(_, part)| is_plain_file(part))
        .collect();
    files.sort_by_key(|(span, _)| std::cmp::Reverse(span.len()));
    let bytes_max = usize::try_from(base64_bytes_max / 4 * 3).unwrap_or(usize::MAX);
    let (mut left, mut taken) = (raw.len(), Vec::new());
    for (span, part) in files {
        if left <= bytes_max {
            break;
        }
        if let Some(file) = taken_out(raw, part) {
            left -= span.len();
            taken.push((span, file));
        }
    }
    if left > bytes_max {
        return Err(refuse(
            "the message is too large even without the files that can be taken out",
        ));
    }
    taken.sort_by_key(|(span, _)| span.start);
    let mut rest = Vec::with_capacity(left);
    let mut from = 0;
    for (span, _) in &taken {
        rest.extend_from_slice(&raw[from..span.start]);
        from = span.end;
    }
    rest.extend_from_slice(&raw[from..]);
    Ok((rest, taken.into_iter().map(|(_, file)| file).collect()))
}

fn is_type(part: &MessagePart<'_>, kind: &str, subtype: &str) -> bool {
    part.content_type().is_some_and(|it| {
        it.ctype().eq_ignore_ascii_case(kind)
            && it.subtype().is_some_and(|it| it.eq_ignore_ascii_case(subtype))
    })
}

/// S/MIME and PGP, as a whole or as a part.
fn is_sealed(part: &MessagePart<'_>) -> bool {
    is_type(part, "multipart", "signed")
        || is_type(part, "multipart", "encrypted")
        || ["pkcs7-mime", "x-pkcs7-mime", "pkcs7-signature", "pgp-encrypted", "pgp-signature"]
            .iter()
            .any(|subtype| is_type(part, "application", subtype))
}

fn is_plain_file(part: &MessagePart<'_>) -> bool {
    let leaf = !matches!(part.body, PartType::Multipart(_) | PartType::Message(_));
    let only_a_name = part.content_type().is_none_or(|kind| {
        let mut names = kind.attributes().into_iter().flatten();
        names.all(|it| it.name.eq_ignore_ascii_case("name"))
    });
    leaf && only_a_name && part.encoding == Encoding::Base64 && part.attachment_name().is_some()
}

/// From the delimiter before a part to the one after it.
fn span(raw: &[u8], part: &MessagePart<'_>, delimiter: &[u8]) -> Option<std::ops::Range<usize>> {
    let header = part.offset_header as usize;
    let is_line = |at: &usize| *at == 0 || raw.get(at - 1) == Some(&b'\n');
    let found = |from: usize, to: usize| {
        let windows = raw.get(from..to)?.windows(delimiter.len());
        Some(windows.enumerate().filter(|(_, it)| *it == delimiter).map(move |(at, _)| from + at))
    };
    let line_before = header.saturating_sub(delimiter.len() + 256);
    let start = found(line_before, header)?.rfind(is_line)?;
    let end = found(header, raw.len())?.find(is_line)?;
    Some(start..end)
}

fn taken_out(raw: &[u8], part: &MessagePart<'_>) -> Option<File> {
    let text = raw.get(part.offset_body as usize..part.offset_end as usize)?;
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(text).ok()?;
    if bytes.len() as u64 > ATTACHMENT_BYTES_MAX {
        return None;
    }
    let kind = part.content_type();
    let content_type = kind.map_or_else(
        || "application/octet-stream".to_owned(),
        |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("octet-stream")),
    );
    let inline = part.content_disposition().is_some_and(mail_parser::ContentType::is_inline);
    let content_id = part.content_id().filter(|_| inline).map(str::to_owned);
    let name = part.attachment_name()?.to_owned();
    Some(File { name, content_type, content_id, bytes: bytes.into() })
}

#[cfg(test)]
mod tests;
