//! How a mail goes to Graph: whole in one request, or as a draft that its files are added to.
//!
//! | what | how |
//! |---|---|
//! | all of it fits into one request | that request: JSON, or MIME where JSON cannot say it |
//! | it does not | a draft without its files, then each file: in one piece, or by an upload session |
//!
//! One request holds about 4 MB, and base64 makes three bytes four, so files of nearly 3 MB
//! together fit. Microsoft documents the limit for one kind of request only, and not whether its MB
//! are of 10^6 bytes; so the smaller is counted with, and a refusal for size takes the other way.

use jiff::Timestamp;
use mailbridge_core::{
    Attempt, Code, Error, Result,
    contract::{Answer, Body as Text, Composed, Content, MimeMail, OutgoingMail},
};

use super::{build::tags, part::Part};
use crate::{
    http::Body,
    wire::{self, file::Embedded, message::Tags},
};

/// What one request is filled with at most.
pub(super) const REQUEST_BYTES_MAX: u64 = 4_000_000 - 8 * 1024;
/// What a file takes in a request beside its base64 and its names.
const FILE_OVERHEAD: u64 = 512;

/// What is to be sent.
#[derive(Clone, Copy)]
pub(super) enum Letter<'a> {
    Composed(&'a Composed),
    Mime(&'a MimeMail),
    Answer(&'a Answer),
}

impl<'a> From<&'a OutgoingMail> for Letter<'a> {
    fn from(mail: &'a OutgoingMail) -> Self {
        match mail {
            OutgoingMail::Composed(mail) => Self::Composed(mail),
            OutgoingMail::Mime(mail) => Self::Mime(mail),
        }
    }
}

impl<'a> Letter<'a> {
    fn attachments(self) -> &'a [mailbridge_core::contract::Attachment] {
        match self {
            Self::Composed(mail) => &mail.attachments,
            Self::Answer(answer) => &answer.mail.attachments,
            Self::Mime(_) => &[],
        }
    }

    /// A new mail from parts.
    pub(super) fn composed(self) -> Option<&'a Composed> {
        match self {
            Self::Composed(mail) => Some(mail),
            Self::Mime(_) | Self::Answer(_) => None,
        }
    }

    /// Whether one `sendMail` cannot say all of it, whatever its size.
    pub(super) fn needs_a_draft(self) -> bool {
        match self {
            Self::Composed(mail) => wire::mime::leaves_out(mail),
            Self::Answer(_) => true,
            Self::Mime(_) => false,
        }
    }

    pub(super) fn save_to_sent_items(self) -> bool {
        match self {
            Self::Composed(mail) => mail.save_to_sent_items,
            Self::Mime(_) | Self::Answer(_) => true,
        }
    }

    /// Whether an attempt may have made a draft and added files to it one by one.
    pub(super) fn may_go_in_pieces(self) -> bool {
        let inline = |content: &Content| match content {
            Content::Inline(base64) => Some(base64.len() as u64),
            Content::Reference(_) => None,
        };
        if let Self::Mime(mail) = self {
            return base64_bytes(mail.raw.len()) > REQUEST_BYTES_MAX / 2;
        }
        let sizes: Option<u64> = self.attachments().iter().map(|file| inline(&file.content)).sum();
        // half: they may be in base64 twice
        sizes.is_none_or(|bytes| bytes > REQUEST_BYTES_MAX / 2)
    }
}

/// A mail, packed.
pub(super) struct Parcel<'a> {
    pub(super) letter: Letter<'a>,
    /// Its files, opened.
    parts: Vec<Part<'a>>,
    /// What is left of a message when its files have been taken out.
    rest: Option<Vec<u8>>,
    /// Whether the files go one by one.
    apart: bool,
}

impl<'a> Parcel<'a> {
    /// Opens the mail's files and sees whether they fit.
    pub(super) async fn pack(letter: Letter<'a>, attempt: &Attempt<'a>) -> Result<Self> {
        let mut parts = Vec::with_capacity(letter.attachments().len());
        for attachment in letter.attachments() {
            parts.push(Part::open(attachment, attempt).await?);
        }
        let mut parcel = Self { letter, parts, rest: None, apart: false };
        if !parcel.fits() {
            parcel.take_apart()?;
        }
        Ok(parcel)
    }

    /// An answer's draft is Graph's own, so its files are always added to it.
    fn fits(&self) -> bool {
        let files = |times: u64| -> u64 {
            let one = |part: &Part<'_>| part.base64_bytes() * times / 3 + part_overhead(part);
            self.parts.iter().map(one).sum()
        };
        match self.letter {
            Letter::Answer(_) => self.parts.is_empty(),
            Letter::Mime(mail) => base64_bytes(mail.raw.len()) <= REQUEST_BYTES_MAX,
            Letter::Composed(mail) => match &mail.body {
                // a body alone has been checked, and JSON's escapes make it longer
                _ if self.parts.is_empty() => true,
                Text::Text(text) | Text::Html(text) => {
                    text.len() as u64 * 2 + files(3) + recipients(mail) <= REQUEST_BYTES_MAX
                }
                // base64 in base64, with line breaks
                Text::Both { text, html } => {
                    let text = (text.len() + html.len()) as u64 * 2;
                    text + files(5) + recipients(mail) <= REQUEST_BYTES_MAX
                }
            },
        }
    }

    /// Lets the files go one by one.
    ///
    /// # Errors
    /// *Permanent*, when there is nothing to take out of it.
    pub(super) fn take_apart(&mut self) -> Result<()> {
        if let Letter::Mime(mail) = self.letter
            && self.rest.is_none()
        {
            let (rest, files) = wire::cut::cut(&mail.raw, REQUEST_BYTES_MAX)?;
            self.rest = Some(rest);
            self.parts = files
                .into_iter()
                .map(|it| Part::in_memory(it.name, it.content_type, it.content_id, it.bytes))
                .collect();
        }
        self.apart = true;
        Ok(())
    }

    /// Whether taking it apart would change anything.
    pub(super) fn can_be_taken_apart(&self) -> bool {
        !self.apart && (!self.parts.is_empty() || matches!(self.letter, Letter::Mime(_)))
    }

    /// The files that go one by one.
    pub(super) fn apart(&self) -> &[Part<'a>] {
        if self.apart { &self.parts } else { &[] }
    }

    /// The files that go with the mail.
    async fn within(&self) -> Result<Vec<Embedded<'_>>> {
        let mut files = Vec::new();
        if !self.apart {
            for part in &self.parts {
                files.push(part.embed().await?);
            }
        }
        Ok(files)
    }

    /// The body that makes a draft, and whether the draft carries its mark. MIME carries none.
    pub(super) async fn draft(&self, attempt: &Attempt<'_>, mark: &str) -> Result<(Body, bool)> {
        match self.letter {
            Letter::Composed(mail) if !matches!(mail.body, Text::Both { .. }) => {
                let body = wire::message::draft(mail, &self.within().await?, tags(attempt, mark))?;
                Ok((Body::Json(body.into()), true))
            }
            _ => Ok((self.mime(attempt).await?, false)),
        }
    }

    /// The body that sends it in one request. As MIME it carries no origin.
    pub(super) async fn send_mail(&self, attempt: &Attempt<'_>) -> Result<Body> {
        match self.letter {
            Letter::Composed(mail) if !matches!(mail.body, Text::Both { .. }) => {
                let tags = Tags { mark: None, origin: attempt.origin };
                let body = wire::message::send_mail(mail, &self.within().await?, tags)?;
                Ok(Body::Json(body.into()))
            }
            _ => self.mime(attempt).await,
        }
    }

    async fn mime(&self, attempt: &Attempt<'_>) -> Result<Body> {
        let raw = match (self.letter, &self.rest) {
            (_, Some(rest)) => wire::mime::encoded(rest),
            (Letter::Mime(mail), None) => wire::mime::encoded(&mail.raw),
            (Letter::Composed(mail), None) => {
                let files = self.within().await?;
                let now = Timestamp::now();
                let raw = wire::mime::build(mail, attempt.mailbox, attempt.mark, now, &files)?;
                wire::mime::encoded(&raw)
            }
            (Letter::Answer(_), None) => {
                return Err(Error::permanent(Code::Internal, "an answer is never sent as MIME"));
            }
        };
        Ok(Body::Mime(raw.into()))
    }
}

fn base64_bytes(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(3) * 4
}

fn part_overhead(part: &Part<'_>) -> u64 {
    let id = part.content_id.as_ref().map_or(0, |id| id.len());
    FILE_OVERHEAD + (part.name.len() + part.content_type.len() + id) as u64 * 6
}

fn recipients(mail: &Composed) -> u64 {
    let lists = [&mail.to, &mail.cc, &mail.bcc, &mail.reply_to];
    let one = |address: &mailbridge_core::contract::Address| {
        64 + (address.address.len() + address.name.as_ref().map_or(0, String::len)) as u64 * 6
    };
    lists.into_iter().flatten().map(one).sum::<u64>() + 4096
}
