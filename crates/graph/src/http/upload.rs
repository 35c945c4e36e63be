//! The other door: to the URL of an upload session, which is of another host than Graph's
//! (learn.microsoft.com, outlook-large-attachments).
//!
//! The URL is its own authorisation, so no token, no id and no header of ours goes with it, and it
//! stands in no log and no error.

use std::ops::Range;

use bytes::Bytes;
use mailbridge_core::{Code, Error, Result, Verdict};
use reqwest::{
    Request, Url,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::{
    Answer, Door, Operation,
    exchange::{Outcome, execute, failure},
    spans,
};
use crate::pacing::Permit;

/// One request to an upload session.
pub(crate) struct UploadCall<'a> {
    pub(crate) operation: Operation,
    pub(crate) url: &'a Url,
    /// The bytes and where they belong; nothing where the session is only asked or cancelled.
    pub(crate) piece: Option<(Bytes, Range<u64>, u64)>,
    pub(crate) deadline: Instant,
}

/// What an upload session says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The attachment is there.
    Complete,
    /// It waits for the byte at this place.
    Next(u64),
    /// It does not take this piece now: another one is due.
    Misplaced,
    /// There is no such session, or not any more.
    Gone,
}

impl Door {
    /// Makes a request to an upload session.
    ///
    /// # Errors
    /// As [`crate::classify`] has it; never *in doubt*, since nobody receives an attachment of a
    /// draft.
    pub(crate) async fn upload(&self, permit: &Permit, call: UploadCall<'_>) -> Result<Progress> {
        let bytes = call.piece.as_ref().map_or(0, |(bytes, ..)| bytes.len());
        permit.request(bytes, call.deadline).await?;
        let operation = call.operation;
        let start = Instant::now();
        let until = call.deadline.min(start + self.request_timeout);
        if until <= start {
            let verdict = Verdict::Transient { after: None };
            return Err(Error::new(Code::GraphTimeout, verdict, "no time was left to upload"));
        }
        let scope = spans::begin(operation);
        let outcome =
            match timeout_at(until, execute(&self.client, build(call)?, operation.take())).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::TimedOut,
            };
        self.note(operation, &outcome, start.elapsed(), None);
        spans::end(&scope, &outcome, None);
        match progress(&outcome) {
            Some(progress) => {
                permit.passed();
                Ok(progress)
            }
            None => judge(permit, operation, &outcome).inspect_err(|error| scope.failed(error)),
        }
    }
}

fn build(call: UploadCall<'_>) -> Result<Request> {
    let mut request = Request::new(call.operation.method(), call.url.clone());
    let Some((bytes, range, total)) = call.piece else { return Ok(request) };
    let last = range.end.saturating_sub(1);
    let range = format!("bytes {}-{last}/{total}", range.start);
    let range = HeaderValue::from_str(&range)
        .map_err(|_| Error::permanent(Code::Internal, "a range cannot be written as a header"))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    headers.insert(CONTENT_RANGE, range);
    *request.body_mut() = Some(bytes.into());
    Ok(request)
}

fn progress(outcome: &Outcome) -> Option<Progress> {
    if let Outcome::Answered(answer) = outcome { answered(answer) } else { None }
}

/// What an answer says of the session, where it does.
pub(crate) fn answered(answer: &Answer) -> Option<Progress> {
    match answer.status {
        201 | 204 => Some(Progress::Complete),
        200 | 202 => next(&answer.body).map(Progress::Next),
        404 | 410 => Some(Progress::Gone),
        409 | 416 => Some(Progress::Misplaced),
        _ => {
            let gone = |code: &String| code.to_ascii_lowercase().starts_with("erroruploadsession");
            answer.codes().iter().any(gone).then_some(Progress::Gone)
        }
    }
}

/// Everything else is a failure, but for a URL that opens nothing any more.
fn judge(permit: &Permit, operation: Operation, outcome: &Outcome) -> Result<Progress> {
    let error = failure(permit, operation, outcome, None);
    match outcome {
        Outcome::Answered(answer) if (200..300).contains(&answer.status) => {
            let detail = "the answer of an upload session cannot be read";
            Err(Error::transient(Code::GraphUnexpected, detail))
        }
        Outcome::Answered(answer)
            if [401, 403].contains(&answer.status) && error.code() != Code::MailboxFull =>
        {
            Ok(Progress::Gone)
        }
        _ => Err(error),
    }
}

/// The first byte that is expected: `"2097152"`, or `"2097152-"`, or `"2097152-4194303"`.
fn next(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Session {
        next_expected_ranges: Vec<String>,
    }
    let session: Session = serde_json::from_slice(body).ok()?;
    session.next_expected_ranges.first()?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_byte_in_each_of_its_forms() {
        let body =
            |range: &str| format!(r#"{{"ExpirationDateTime":"x","nextExpectedRanges":{range}}}"#);
        for (range, at) in [
            (r#"["0-"]"#, Some(0)),
            (r#"["2097152"]"#, Some(2_097_152)),
            (r#"["2097152-4194303"]"#, Some(2_097_152)),
            ("[]", None),
            (r#"["x"]"#, None),
            ("5", None),
        ] {
            assert_eq!(next(body(range).as_bytes()), at, "{range}");
        }
    }
}
