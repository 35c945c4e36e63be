//! Making an event smaller that its bus does not take as it is.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{
    Result,
    contract::{FileContent, LeftOut, MailEvent},
};

use super::{
    Made,
    include::{HTML, MIME, TEXT, called, left_out_as, left_out_attachment, put_body},
};
use crate::events::{
    content::{Called, Carrier, Missing},
    encode,
};

/// What is smaller than this stays: a reference to it is hardly shorter.
const SMALL: usize = 1024;

/// How much of an event is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// All that was asked for.
    Whole,
    /// No body and no content inside it but small ones.
    Referring,
    /// Neither headers nor recipients nor any body.
    Short,
    /// What the mail is known by.
    Least,
}

impl Size {
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::Referring),
            Self::Referring => Some(Self::Short),
            Self::Short => Some(Self::Least),
            Self::Least => None,
        }
    }
}

/// Graph's names of what goes with the long lists.
const LONG: [&str; 9] = [
    "body",
    "uniqueBody",
    "bodyPreview",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "internetMessageHeaders",
    "attachments",
];

pub(super) async fn shrink(made: &mut Made, to: Size, carrier: Carrier<'_>) -> Result<()> {
    let Made { event, raw, .. } = made;
    let data = &mut event.event.data;
    match to {
        Size::Whole => {}
        Size::Referring => {
            put_bodies(data, SMALL, carrier).await?;
            put_files(data, carrier).await?;
            if let Some(whole) = raw {
                *raw = Some(encode::raw_without(whole, &[], true)?);
            }
        }
        Size::Short => {
            put_bodies(data, 0, carrier).await?;
            shorten(data);
            if let Some(whole) = raw {
                *raw = Some(encode::raw_without(whole, &LONG, false)?);
            }
        }
        Size::Least => least(data),
    }
    Ok(())
}

async fn put_bodies(data: &mut MailEvent, keep: usize, carrier: Carrier<'_>) -> Result<()> {
    let MailEvent { content, left_out, .. } = data;
    for (form, body) in [(&TEXT, &mut content.text), (&HTML, &mut content.html)] {
        if let Some(text) = body.take_if(|text| text.len() > keep) {
            left_out.push(put_body(form, text, carrier).await?);
        }
    }
    Ok(())
}

async fn put_files(data: &mut MailEvent, carrier: Carrier<'_>) -> Result<()> {
    let MailEvent { attachments, mime, left_out, .. } = data;
    for attachment in attachments.iter_mut().flatten() {
        let name = called(attachment);
        let content_type = attachment.content_type.clone();
        let called = Called { name: &name, content_type: content_type.as_deref() };
        if let Err(missing) = move_out(&mut attachment.content, called, carrier).await? {
            left_out.push(left_out_attachment(attachment, &missing));
        }
    }
    let bytes = mime.as_ref().map(|mime| mime.bytes);
    if let Err(missing) = move_out(mime, MIME, carrier).await? {
        left_out.push(LeftOut { bytes, ..left_out_as("mime", &missing) });
    }
    Ok(())
}

/// Moves content from inside the event to the store. What finds no place there is dropped.
async fn move_out(
    content: &mut Option<FileContent>,
    called: Called<'_>,
    carrier: Carrier<'_>,
) -> Result<Result<(), Missing>> {
    let inside =
        |content: &&mut FileContent| content.base64.as_ref().is_some_and(|text| text.len() > SMALL);
    let Some(FileContent { base64: Some(base64), .. }) = content.as_mut().filter(inside) else {
        return Ok(Ok(()));
    };
    // we wrote it, so it can be read
    let bytes = STANDARD.decode(std::mem::take(base64)).unwrap_or_default();
    let kept = carrier.put(called, bytes.into()).await?;
    *content = None;
    Ok(kept.map(|stored| *content = Some(stored)))
}

/// Takes the long lists out.
fn shorten(data: &mut MailEvent) {
    let MailEvent { content, left_out, .. } = data;
    let mut out = |what: &str, some: bool| {
        if some {
            left_out.push(left_out_as(what, &Missing::TOO_LARGE));
        }
    };
    out("headers", !std::mem::take(&mut content.headers).is_empty());
    for (what, list) in [
        ("to", &mut content.to),
        ("cc", &mut content.cc),
        ("bcc", &mut content.bcc),
        ("reply_to", &mut content.reply_to),
    ] {
        out(what, !std::mem::take(list).is_empty());
    }
    out("preview", content.preview.take().is_some());
}

/// Takes attachments out too, and whatever was said of each.
fn least(data: &mut MailEvent) {
    let MailEvent { content, attachments, left_out, .. } = data;
    left_out.retain(|out| !out.what.starts_with("attachments/"));
    for (what, some) in [
        ("attachments", attachments.take().is_some_and(|all| !all.is_empty())),
        ("categories", !std::mem::take(&mut content.categories).is_empty()),
        ("web_link", content.web_link.take().is_some()),
    ] {
        if some {
            left_out.push(left_out_as(what, &Missing::TOO_LARGE));
        }
    }
}
