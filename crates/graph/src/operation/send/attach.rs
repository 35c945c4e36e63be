//! Adding files to a draft, one by one: in one piece, or by an upload session.
//!
//! A file of less than 3 MB goes in one piece and a larger one by a session
//! (learn.microsoft.com, outlook-large-attachments). No page says whether those MB are of 10^6
//! bytes, so a file that is refused for its size goes the other way, once. There may be sizes, a few
//! hundred bytes below 3 MiB, that go neither way: 4 MiB are too little for their base64 with what
//! stands around it, and a session may want more. Such a mail is refused as what it is.
//!
//! Adding the same file twice would send it twice. So a piece of which nobody knows whether it was
//! added ends the draft: it is known unsent, and the next attempt makes another.

use mailbridge_core::{Code, Error, Result};

use super::{draft::Draft, parcel::REQUEST_BYTES_MAX, part::Part, upload};
use crate::{
    http::{Body, Operation},
    operation::Session,
};

/// Adds all of them, in their order.
pub(super) async fn attach(session: &Session<'_>, draft: &Draft, parts: &[Part<'_>]) -> Result<()> {
    for part in parts {
        let whole = part.base64_bytes() + 1024 < REQUEST_BYTES_MAX;
        let first = if whole {
            in_one_piece(session, draft, part).await
        } else {
            upload::upload(session, draft, part).await
        };
        let other = match first {
            Err(error) if whole && error.code() == Code::GraphTooLarge => {
                upload::upload(session, draft, part).await
            }
            Err(error) if !whole && error.code() == Code::GraphAttachmentTooSmall => {
                in_one_piece(session, draft, part).await
            }
            first => {
                first?;
                Ok(())
            }
        };
        other.map_err(|error| neither(error, part))?;
        session.deadline().progress();
    }
    Ok(())
}

/// A file that is refused for its size by both ways.
fn neither(error: Error, part: &Part<'_>) -> Error {
    let sizes = [Code::GraphTooLarge, Code::GraphAttachmentTooSmall, Code::RequestTooLarge];
    if !sizes.contains(&error.code()) {
        return error;
    }
    let code = Code::GraphAttachmentTooSmall;
    let error = error
        .fields()
        .fold(Error::permanent(code, code.meaning()), |new, (name, value)| new.with(name, value));
    error.with("attachment", &part.name).with("attachment_bytes", part.bytes)
}

/// `POST attachments` (learn.microsoft.com, message-post-attachments).
async fn in_one_piece(session: &Session<'_>, draft: &Draft, part: &Part<'_>) -> Result<()> {
    let body = Body::Json(part.embed().await?.attachment()?.into());
    let path = draft.path("/attachments")?;
    session.insist(Operation::AddAttachment, &path, body).await.map(drop)
}
