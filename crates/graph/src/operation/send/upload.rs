//! An upload session: a file in pieces, in order, each read when it is its turn.
//!
//! The session says which byte it waits for, and that is believed: after an answer that is missing,
//! a piece that came twice, a pause. A session that is gone in the middle is replaced by another.
//! One that is gone after the last piece, without an answer to it, may have ended well: whether the
//! file is there nobody can say for sure, so the draft is given up.

use mailbridge_core::{Code, Error, Result};
use reqwest::Url;
use serde::Deserialize;

use super::{
    draft::Draft,
    part::{Part, Reader},
    persist::{TRIES_MAX, is_passing, pause, persist},
};
use crate::{
    cloud,
    http::{Body, Operation, Progress},
    operation::{Session, answer},
    wire::file::upload_session,
};

/// Bytes of a piece: below the 4 MB that Microsoft names, a multiple of 320 KiB as its other upload
/// sessions want, and of 3 as base64 wants.
pub(super) const PIECE_BYTES: u64 = 12 * 320 * 1024;
/// Sessions for one file.
const SESSIONS_MAX: u32 = 3;

/// How a session ended.
enum End {
    Complete,
    /// It was gone before the last piece was on its way.
    Gone,
}

/// Uploads a file to a draft.
pub(super) async fn upload(session: &Session<'_>, draft: &Draft, part: &Part<'_>) -> Result<()> {
    let mut reader = Reader::new(part);
    for _ in 0..SESSIONS_MAX {
        let url = open(session, draft, part).await?;
        match pieces(session, &url, part, &mut reader).await {
            Ok(End::Complete) => return reader.finish(),
            Ok(End::Gone) => {}
            Err(error) => {
                cancel(session, &url).await;
                return Err(error);
            }
        }
    }
    let detail = "the upload sessions of an attachment end before their time";
    Err(Error::transient(Code::GraphUploadFailed, detail).with("sessions", SESSIONS_MAX))
}

/// Opens a session (learn.microsoft.com, attachment-createuploadsession). One that is opened and not
/// used does no harm, so a passing failure is tried again.
async fn open(session: &Session<'_>, draft: &Draft, part: &Part<'_>) -> Result<Url> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Opened {
        upload_url: String,
    }
    let id = part.content_id.as_deref();
    let body = Body::Json(upload_session(&part.name, &part.content_type, id, part.bytes)?.into());
    let path = draft.path("/attachments/createUploadSession")?;
    let opened = persist(session, Operation::CreateUploadSession, &path, body).await?;
    let opened: Opened = answer(&opened, "graph's answer about an upload session cannot be read")?;
    // the mail's bytes go there, in the clear on this machine only
    cloud::endpoint("uploadUrl", &opened.upload_url).map_err(|_| {
        let detail = "graph's upload session leads to a place that is not safe";
        Error::transient(Code::GraphUnexpected, detail)
    })
}

/// Brings all pieces to a session.
async fn pieces(
    session: &Session<'_>,
    url: &Url,
    part: &Part<'_>,
    reader: &mut Reader<'_>,
) -> Result<End> {
    let (mut at, mut stuck) = (0, 0);
    let mut ahead = None;
    let range_at = |at: u64| at..(at + PIECE_BYTES).min(part.bytes);
    loop {
        let range = range_at(at);
        let (last, next) = (range.end == part.bytes, range_at(range.end));
        let bytes = match ahead.take() {
            Some((from, bytes)) if from == at => bytes,
            _ => reader.read(range.clone()).await,
        }?;
        // the next piece is read while this one is on its way
        let from = next.start;
        let (sent, read) = tokio::join!(
            session.upload(Operation::UploadChunk, url, Some((bytes, range, part.bytes))),
            reader.read(next),
        );
        ahead = Some((from, read));
        let (told, ends) = match sent {
            Ok(Progress::Misplaced) => (ask(session, url).await?, last),
            Ok(progress) => (progress, false),
            Err(error) if is_passing(&error) && stuck < TRIES_MAX => {
                pause(session, &error, stuck + 1).await?;
                (ask(session, url).await?, last)
            }
            Err(error) => return Err(error),
        };
        match told {
            Progress::Complete => return Ok(End::Complete),
            Progress::Gone if ends => {
                let detail = "an upload session ended without an answer to its last piece";
                return Err(Error::transient(Code::GraphUploadFailed, detail));
            }
            Progress::Gone => return Ok(End::Gone),
            Progress::Next(next) if next < part.bytes && next <= at + PIECE_BYTES => {
                if next > at {
                    stuck = 0;
                    session.deadline().progress();
                } else {
                    stuck += 1;
                }
                at = next;
            }
            Progress::Next(_) | Progress::Misplaced => stuck = TRIES_MAX,
        }
        if stuck >= TRIES_MAX {
            let detail = "an upload session takes no more pieces";
            return Err(Error::transient(Code::GraphUploadFailed, detail).with("at_byte", at));
        }
    }
}

/// Asks a session what it waits for, also through passing failures.
async fn ask(session: &Session<'_>, url: &Url) -> Result<Progress> {
    let mut tries = 1;
    loop {
        match session.upload(Operation::ReadUploadSession, url, None).await {
            Err(error) if is_passing(&error) && tries < TRIES_MAX => {
                pause(session, &error, tries).await?;
                tries += 1;
            }
            other => return other,
        }
    }
}

/// Gives a session up, so that what it holds is not kept. If that fails, it expires.
async fn cancel(session: &Session<'_>, url: &Url) {
    if let Err(error) = session.upload(Operation::CancelUploadSession, url, None).await {
        tracing::debug!(code = %error.code(), "an upload session could not be cancelled");
    }
}
