//! A file on its way into a mail: what it is called, how long it is, and its bytes piece by piece.
//!
//! Bytes that are elsewhere are read as they are needed and never whole, unless they are few. Their
//! checksum grows with them: at the last byte it is known whether they are what the request says.

use std::{borrow::Cow, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mailbridge_core::{
    Attempt, Code, Deadline, Error, File, Files, Result,
    contract::{Attachment, Content},
    limits::ATTACHMENT_BYTES_MAX,
};
use sha2::{Digest, Sha256};
use tokio::time::timeout_at;

use crate::wire::file::{Embedded, UNKNOWN_TYPE};

/// A file of a mail, opened.
pub(super) struct Part<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) content_type: Cow<'a, str>,
    pub(super) content_id: Option<Cow<'a, str>>,
    pub(super) bytes: u64,
    source: Source<'a>,
}

enum Source<'a> {
    /// In the request, in base64.
    Base64(&'a str),
    /// In memory, because its mail came whole.
    Memory(Bytes),
    /// Elsewhere.
    File { access: Access<'a>, file: File, sha256: Option<[u8; 32]> },
}

/// The way to what is elsewhere, within the attempt's time.
#[derive(Clone, Copy)]
struct Access<'a> {
    files: &'a dyn Files,
    deadline: &'a Deadline,
}

impl Access<'_> {
    async fn open(&self, url: &str) -> Result<File> {
        timeout_at(self.deadline.at(), self.files.open(url)).await.unwrap_or_else(|_| late())
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        timeout_at(self.deadline.at(), self.files.read(file, range))
            .await
            .unwrap_or_else(|_| late())
    }
}

fn late<T>() -> Result<T> {
    let detail = "the place that holds the file did not answer in time";
    Err(Error::transient(Code::AttachmentUnavailable, detail))
}

impl<'a> Part<'a> {
    /// Opens an attachment: finds out how long it is, and reads nothing of it.
    pub(super) async fn open(attachment: &'a Attachment, attempt: &Attempt<'a>) -> Result<Self> {
        let (source, bytes, told_type) = match &attachment.content {
            Content::Inline(base64) => (Source::Base64(base64), decoded_bytes(base64), None),
            Content::Reference(reference) => {
                let access = Access { files: attempt.files, deadline: attempt.deadline };
                let file = access.open(&reference.url).await?;
                let (bytes, told_type) = (file.bytes, file.content_type.clone());
                if let Some(size) = reference.size.filter(|size| *size != bytes) {
                    return Err(mismatch("the file has another size", &attachment.name)
                        .with("bytes", bytes)
                        .with("expected", size));
                }
                (Source::File { access, file, sha256: reference.sha256 }, bytes, told_type)
            }
        };
        if bytes > ATTACHMENT_BYTES_MAX {
            let detail = "the attachment is larger than graph takes";
            return Err(Error::permanent(Code::RequestAttachmentTooLarge, detail)
                .with("attachment", &attachment.name)
                .with("bytes", bytes)
                .with("bytes_max", ATTACHMENT_BYTES_MAX));
        }
        let given = attachment.content_type.as_deref().map(Cow::Borrowed);
        let content_type = given.or(told_type.map(Cow::Owned)).unwrap_or(UNKNOWN_TYPE.into());
        Ok(Self {
            name: Cow::Borrowed(&attachment.name),
            content_type,
            content_id: attachment.content_id.as_deref().map(Cow::Borrowed),
            bytes,
            source,
        })
    }

    /// A file whose bytes are in memory.
    pub(super) fn in_memory(
        name: String,
        content_type: String,
        content_id: Option<String>,
        bytes: Bytes,
    ) -> Self {
        Self {
            name: name.into(),
            content_type: content_type.into(),
            content_id: content_id.map(Cow::Owned),
            bytes: bytes.len() as u64,
            source: Source::Memory(bytes),
        }
    }

    /// How long it is in base64.
    pub(super) fn base64_bytes(&self) -> u64 {
        self.bytes.div_ceil(3) * 4
    }

    /// All of it, to go whole. For files that are small enough.
    pub(super) async fn embed(&self) -> Result<Embedded<'_>> {
        let base64 = if let Source::Base64(base64) = self.source {
            Cow::Borrowed(base64)
        } else {
            let mut reader = Reader::new(self);
            let bytes = reader.read(0..self.bytes).await?;
            reader.finish()?;
            Cow::Owned(STANDARD.encode(bytes))
        };
        Ok(Embedded {
            name: Cow::Borrowed(&self.name),
            content_type: Cow::Borrowed(&self.content_type),
            content_id: self.content_id.as_deref().map(Cow::Borrowed),
            base64,
        })
    }
}

/// Reads a part, front to back or the same piece again, and checks its sum.
pub(super) struct Reader<'a> {
    part: &'a Part<'a>,
    hash: Sha256,
    hashed: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(part: &'a Part<'a>) -> Self {
        Self { part, hash: Sha256::new(), hashed: 0 }
    }

    /// The bytes of a range that begins no later than the earlier ones ended.
    pub(super) async fn read(&mut self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        match &self.part.source {
            Source::Memory(bytes) => Ok(bytes.slice(place(range.start)..place(range.end))),
            Source::Base64(text) => decoded(text, &range),
            Source::File { access, file, sha256 } => {
                let bytes = access.read(file, range.clone()).await?;
                if bytes.len() as u64 != range.end - range.start {
                    let detail = "the file is not as long any more as it was";
                    return Err(Error::permanent(Code::AttachmentChanged, detail)
                        .with("attachment", &self.part.name));
                }
                if sha256.is_some() && self.hashed < range.end && range.start <= self.hashed {
                    self.hash.update(&bytes[place(self.hashed - range.start)..]);
                    self.hashed = range.end;
                }
                Ok(bytes)
            }
        }
    }

    /// Whether it was what the request says, now that all of it has been read.
    pub(super) fn finish(self) -> Result<()> {
        let Source::File { sha256: Some(expected), .. } = &self.part.source else { return Ok(()) };
        if self.hashed == self.part.bytes && self.hash.finalize()[..] == expected[..] {
            return Ok(());
        }
        Err(mismatch("the file has another checksum", &self.part.name))
    }
}

fn mismatch(detail: &'static str, name: &str) -> Error {
    Error::permanent(Code::AttachmentMismatch, detail).with("attachment", name)
}

/// A place in something that is in memory, and so no longer than memory.
fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// How many bytes a base64 text stands for.
fn decoded_bytes(base64: &str) -> u64 {
    let padding = base64.bytes().rev().take(2).take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding) as u64
}

/// The bytes of a range of what a base64 text stands for.
fn decoded(base64: &str, range: &Range<u64>) -> Result<Bytes> {
    let first = place(range.start) / 3;
    let text = base64.get(first * 4..place(range.end).div_ceil(3) * 4).unwrap_or_default();
    let bytes = STANDARD.decode(text).map_err(|_| {
        let detail = "an attachment's content is not standard base64";
        Error::permanent(Code::RequestBadAttachment, detail)
    })?;
    let bytes = Bytes::from(bytes);
    Ok(bytes.slice(place(range.start) - first * 3..place(range.end) - first * 3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_range_of_base64_is_the_range_of_its_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            (from, to) in (0.0_f64..1.0, 0.0_f64..1.0),
        ) {
            let text = STANDARD.encode(&bytes);
            prop_assert_eq!(decoded_bytes(&text), bytes.len() as u64);
            #[expect(
                clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                reason = "a small number that is not negative"
            )]
            let at = |share: f64| (share * bytes.len() as f64) as usize;
            let (from, to) = (at(from.min(to)), at(from.max(to)));
            let range = decoded(&text, &(from as u64..to as u64)).unwrap();
            prop_assert_eq!(&range[..], &bytes[from..to]);
        }
    }
}
