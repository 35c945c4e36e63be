//! What events hold of a mail, and getting it.

use bytes::Bytes;
use mailbridge_core::{
    Result,
    changes::{Bodies, What},
    contract::{AttachmentKind, EventAttachment, LeftOut, MailEvent},
};

use crate::events::{
    content::{Called, Carrier, Kept, Missing, Place, file_name},
    encode::{Form, Format},
};

/// Bytes of attachments inside one event, together. So many are in memory at most for an event.
const INLINE_TOTAL_MAX: u64 = 16 * 1024 * 1024;

/// What events hold of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Which forms of the body.
    pub bodies: Bodies,
    /// How many bytes of each may be inside the event.
    pub body_max: u64,
    /// Whether they hold the internet headers.
    pub headers: bool,
    /// Whether they hold the mail as MIME. Of mails that are new only.
    pub mime: Mime,
    /// What they hold of attachments.
    pub attachments: Attachments,
    /// What the data is.
    pub format: Format,
    /// How it is put into a message.
    pub form: Form,
}

impl Default for Include {
    fn default() -> Self {
        Self {
            bodies: Bodies::default(),
            body_max: 256 * 1024,
            headers: false,
            mime: Mime::None,
            attachments: Attachments::None,
            format: Format::default(),
            form: Form::default(),
        }
    }
}

/// Whether an event holds the mail as MIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mime {
    /// No.
    #[default]
    None,
    /// Inside the event up to so many bytes, else in the store.
    Inline(u64),
    /// In the store.
    Store,
}

/// What an event holds of attachments. What is in them is told of mails that are new; of other
/// changes only what they are, since a mail that is read ten times has not ten times been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attachments {
    /// Nothing.
    #[default]
    None,
    /// What they are.
    Metadata,
    /// Their content too, each inside the event up to so many bytes, else in the store.
    Inline(u64),
    /// Their content too, in the store.
    Store,
}

impl Include {
    /// Puts bodies aside that are too large, and says whether there was one.
    pub(super) async fn bodies(&self, data: &mut MailEvent, carrier: Carrier<'_>) -> Result<bool> {
        let MailEvent { content, left_out, .. } = data;
        let before = left_out.len();
        for (form, body) in [(&TEXT, &mut content.text), (&HTML, &mut content.html)] {
            if let Some(text) = body.take_if(|text| text.len() as u64 > self.body_max) {
                left_out.push(put_body(form, text, carrier).await?);
            }
        }
        Ok(left_out.len() > before)
    }

    /// Gets what is in attachments, and the MIME.
    pub(super) async fn files(&self, data: &mut MailEvent, carrier: Carrier<'_>) -> Result<()> {
        let MailEvent { attachments, mime, left_out, .. } = data;
        let mut room = INLINE_TOTAL_MAX;
        for attachment in attachments.iter_mut().flatten() {
            let place = match self.attachments {
                Attachments::None | Attachments::Metadata => break,
                Attachments::Inline(max) => Place::Here(max.min(room)),
                Attachments::Store => Place::Store,
            };
            match get(attachment, place, carrier).await? {
                Ok(content) => {
                    if content.base64.is_some() {
                        room = room.saturating_sub(content.bytes);
                    }
                    attachment.content = Some(content);
                }
                Err(missing) => left_out.push(left_out_attachment(attachment, &missing)),
            }
        }
        let place = match self.mime {
            Mime::None => return Ok(()),
            Mime::Inline(max) => Place::Here(max),
            Mime::Store => Place::Store,
        };
        match carrier.fetch(What::Mime(carrier.id), MIME, place).await? {
            Ok(content) => *mime = Some(content),
            Err(missing) => left_out.push(left_out_as("mime", &missing)),
        }
        Ok(())
    }
}

/// A form of the body: its name in events, and how it is called in the store.
pub(super) struct BodyForm {
    pub(super) what: &'static str,
    extension: &'static str,
    content_type: &'static str,
}

pub(super) const TEXT: BodyForm =
    BodyForm { what: "text", extension: "txt", content_type: "text/plain; charset=utf-8" };
pub(super) const HTML: BodyForm =
    BodyForm { what: "html", extension: "html", content_type: "text/html; charset=utf-8" };
/// The mail as MIME, in the store.
pub(super) const MIME: Called<'static> =
    Called { name: "message.eml", content_type: Some("message/rfc822") };

/// Puts a body aside. Its name holds its digest: a draft's body changes, and an event of before
/// still means the one of before.
pub(super) async fn put_body(
    form: &BodyForm,
    text: String,
    carrier: Carrier<'_>,
) -> Result<LeftOut> {
    let BodyForm { what, extension, content_type } = form;
    let name = format!("{what}-{}.{extension}", file_name(&text, None));
    let called = Called { name: &name, content_type: Some(content_type) };
    let bytes = text.len() as u64;
    let stored = carrier.put(called, Bytes::from(text)).await?;
    let code = stored.as_ref().err().unwrap_or(&Missing::TOO_LARGE).code.as_str().to_owned();
    Ok(LeftOut { what: (*what).to_owned(), code, bytes: Some(bytes), stored: stored.ok() })
}

/// An attachment's name in the store.
pub(super) fn called(attachment: &EventAttachment) -> String {
    let own = attachment.name.as_deref();
    match attachment.kind {
        AttachmentKind::File | AttachmentKind::Reference => file_name(&attachment.id, own),
        // its name is a subject, and its form is told by the content alone
        AttachmentKind::Item => file_name(&attachment.id, Some("item")),
    }
}

async fn get(attachment: &EventAttachment, place: Place, carrier: Carrier<'_>) -> Result<Kept> {
    if let (Place::Here(max), AttachmentKind::File, None) = (place, attachment.kind, carrier.store)
        && attachment.size > stored_size(max)
    {
        return Ok(Err(Missing::TOO_LARGE));
    }
    let name = called(attachment);
    let called = Called { name: &name, content_type: attachment.content_type.as_deref() };
    carrier.fetch(What::Attachment(carrier.id, &attachment.id), called, place).await
}

/// What Exchange may say of a file of this size: it counts what it stores, some percent more
/// (learn.microsoft.com, outlook-large-attachments: 3,483,322 bytes show as 3,640,066).
fn stored_size(bytes: u64) -> u64 {
    bytes + bytes / 8 + 64 * 1024
}

pub(super) fn left_out_attachment(attachment: &EventAttachment, missing: &Missing) -> LeftOut {
    let mut left_out = left_out_as(&format!("attachments/{}", attachment.id), missing);
    if *missing == Missing::TOO_LARGE {
        left_out.bytes = Some(attachment.size);
    }
    left_out
}

pub(super) fn left_out_as(what: &str, missing: &Missing) -> LeftOut {
    let code = missing.code.as_str().to_owned();
    LeftOut { what: what.to_owned(), code, bytes: None, stored: None }
}
