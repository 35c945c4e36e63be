//! A file of a mail: its bytes in the request, or a reference to where they are.
//!
//! What may be referred to is the pipeline's to say, and what stands behind a reference is for
//! [`Files`](crate::Files) to find out; here is only the form.

use std::fmt;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;

/// A file of a mail.
#[derive(Clone)]
pub struct Attachment {
    /// The file's name, as the recipient sees it.
    pub name: String,
    /// Its media type, if the request says.
    pub content_type: Option<String>,
    /// The id by which html names it as `cid:…`; makes it an inline image.
    pub content_id: Option<String>,
    /// Its bytes.
    pub content: Content,
}

/// Where an attachment's bytes are.
#[derive(Clone)]
pub enum Content {
    /// Here, in standard base64, which the check has seen to be right.
    Inline(String),
    /// Elsewhere.
    Reference(Reference),
}

/// Bytes that are elsewhere, and what the producer knows about them.
#[derive(Clone)]
pub struct Reference {
    /// `https://…`, `file://…`, `s3://bucket/key`, `az://container/key`, `gs://bucket/key` or
    /// `nats-object://bucket/key`.
    pub url: String,
    /// The SHA-256 that the bytes must have.
    pub sha256: Option<[u8; 32]>,
    /// How many bytes there must be.
    pub size: Option<u64>,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("content", &self.content).finish_non_exhaustive()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(base64) => {
                f.debug_struct("Inline").field("base64_bytes", &base64.len()).finish()
            }
            // a reference may hold a signature that opens it
            Self::Reference(_) => f.write_str("Reference(***)"),
        }
    }
}

/// A file in a request. Either `content` or `url` says what is in it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Attachment")]
pub(crate) struct AttachmentForm {
    /// The file's name, as the recipient sees it. With `url`, its last part when absent.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Its media type. When absent: what the place behind `url` says, else
    /// `application/octet-stream`.
    #[serde(default)]
    pub(crate) content_type: Option<String>,
    /// Its bytes in standard base64.
    #[serde(default)]
    pub(crate) content: Option<String>,
    /// The id by which html names it as `cid:…`; makes it an inline image.
    #[serde(default)]
    pub(crate) content_id: Option<String>,
    /// Where its bytes are, up to 150 MB: `https://…`, `file://…`, `s3://bucket/key`,
    /// `az://container/key`, `gs://bucket/key` or `nats-object://bucket/key`, below a place that the
    /// pipeline allows.
    #[serde(default)]
    pub(crate) url: Option<String>,
    /// With `url`: the SHA-256 of its bytes, 64 hexadecimal digits. Another is not sent.
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    /// With `url`: how many bytes there are. Another number is not sent.
    #[serde(default)]
    pub(crate) size: Option<u64>,
}

impl AttachmentForm {
    /// The file, or what is wrong with it, in words that repeat no value.
    pub(crate) fn into_attachment(self) -> Result<Attachment, &'static str> {
        let Self { name, content_type, content, content_id, url, sha256, size } = self;
        let (name, content) = match (content, url) {
            (Some(base64), None) if sha256.is_none() && size.is_none() => {
                (name.unwrap_or_default(), Content::Inline(base64))
            }
            (Some(_), None) => return Err("`sha256` and `size` go with `url`, not with `content`"),
            (None, Some(url)) => {
                let sha256 = sha256.map(|text| digest(&text)).transpose()?;
                let name = name.or_else(|| last_part(&url)).unwrap_or_default();
                (name, Content::Reference(Reference { url, sha256, size }))
            }
            _ => return Err("an attachment has its bytes in `content` or behind `url`: give one"),
        };
        Ok(Attachment { name, content_type, content_id, content })
    }
}

fn digest(text: &str) -> Result<[u8; 32], &'static str> {
    let wrong = "`sha256` is 64 hexadecimal digits";
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong);
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong)?;
    }
    Ok(bytes)
}

/// The last part of a URL's path, decoded.
fn last_part(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, path) = path.split_once("://")?;
    let (_, last) = path.rsplit_once('/')?;
    let name = percent_decode_str(last).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_from_the_url_when_none_is_given() {
        let cases = [
            ("s3://bucket/a/report.pdf", Some("report.pdf")),
            ("https://x.org/f/Gr%C3%BC%C3%9Fe%20a.pdf?sig=s/t", Some("Grüße a.pdf")),
            ("file:///srv/100%.txt", Some("100%.txt")),
            ("https://x.org", None),
            ("https://x.org/f/", None),
            ("nothing", None),
        ];
        for (url, name) in cases {
            assert_eq!(last_part(url).as_deref(), name, "{url}");
        }
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        let text = "AB".repeat(32);
        assert_eq!(digest(&text), Ok([0xab; 32]));
        for wrong in ["", "ab", &"zz".repeat(32), &"+a".repeat(32), &"é".repeat(32)] {
            assert!(digest(wrong).is_err(), "{wrong}");
        }
    }
}
