//! Reading what came back: a bounded body, and the error codes in it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Response, StatusCode,
    header::{self, HeaderMap},
};
use serde_json::Value;

use super::challenge;
use crate::{
    pacing::{Limit, retry_after},
    token::Challenge,
};

/// How deep codes are looked for in an error body.
const DEPTH_MAX: usize = 8;

/// How the body of an answer is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take {
    /// One that is longer is given up.
    pub(super) bytes_max: usize,
    /// That of a success is left to whoever asked.
    pub(super) pieces: bool,
}

impl Take {
    /// For answers that hold no whole messages.
    pub(crate) const ORDINARY: Self = Self { bytes_max: 8 * 1024 * 1024, pieces: false };
}

/// What Graph answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<String>,
    /// What a token must have for this to be answered, if that was why it was refused.
    pub(super) challenge: Option<Challenge>,
    /// What could be read of it. The status is definite even if the body is not.
    pub(crate) body: Bytes,
    /// Why the body is not here.
    pub(super) flaw: Option<Flaw>,
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The connection broke in its middle.
    BrokenOff,
    /// It is longer than is taken.
    TooLong,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokenOff => "broken off",
            Self::TooLong => "too long",
        })
    }
}

impl Answer {
    pub(super) async fn read(mut response: Response, take: Take) -> Self {
        let head = Self::head(response.status(), response.headers());
        let (body, flaw) = match body(&mut response, take.bytes_max).await {
            Ok(body) => (body, None),
            Err(flaw) => (Bytes::new(), Some(flaw)),
        };
        Self { body, flaw, ..head }
    }

    /// All that comes before the body.
    pub(crate) fn head(status: StatusCode, headers: &HeaderMap) -> Self {
        let retry_after = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after::parse(value.as_bytes(), SystemTime::now()));
        let request_id =
            headers.get("request-id").and_then(|value| value.to_str().ok()).map(printable);
        let challenge =
            if matches!(status.as_u16(), 401 | 403) { challenge::find(headers) } else { None };
        let (status, body) = (status.as_u16(), Bytes::new());
        Self { status, retry_after, request_id, challenge, body, flaw: None }
    }

    /// The error codes of the body, the outermost first. `innerError` is spelled and nested in more
    /// than one way (learn.microsoft.com, graph errors).
    pub(crate) fn codes(&self) -> Vec<String> {
        let mut codes = Vec::new();
        let Ok(Value::Object(body)) = serde_json::from_slice(&self.body) else { return codes };
        let mut level = body.get("error");
        for _ in 0..DEPTH_MAX {
            let Some(Value::Object(error)) = level else { break };
            if let Some(Value::String(code)) = error.get("code") {
                codes.push(printable(code));
            }
            let inner = |(name, value): (&String, _)| {
                name.eq_ignore_ascii_case("innerError").then_some(value)
            };
            level = error.iter().find_map(inner);
        }
        codes
    }

    /// Of what there was too much, of a throttled answer. The code does not always tell; the
    /// sentence does: "Application is over its MailboxConcurrency limit." (learn.microsoft.com,
    /// answers 734143). It is not documented; whoever is refused without it makes fewer requests.
    pub(super) fn limit(&self) -> Limit {
        const AT_ONCE: &[u8] = b"Concurrency";
        let named = self.body.windows(AT_ONCE.len()).any(|window| window == AT_ONCE);
        if named { Limit::AtOnce } else { Limit::Rate }
    }
}

/// Reads a body up to a limit.
pub(crate) async fn body(response: &mut Response, bytes_max: usize) -> Result<Bytes, Flaw> {
    let Some(first) = response.chunk().await.map_err(|_| Flaw::BrokenOff)? else {
        return Ok(Bytes::new());
    };
    // most bodies come in one piece
    let Some(second) = response.chunk().await.map_err(|_| Flaw::BrokenOff)? else {
        return if first.len() <= bytes_max { Ok(first) } else { Err(Flaw::TooLong) };
    };
    let mut all = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if all.len() + piece.len() > bytes_max {
            return Err(Flaw::TooLong);
        }
        all.extend_from_slice(&piece);
        next = response.chunk().await.map_err(|_| Flaw::BrokenOff)?;
    }
    Ok(all.freeze())
}

/// A server's id or code, if it is a short plain word; it may end up in logs.
pub(crate) fn printable(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !text.is_empty() && text.len() <= 80 && text.chars().all(plain) {
        text.to_owned()
    } else {
        "…".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(body: &'static str) -> Vec<String> {
        let body = Bytes::from_static(body.as_bytes());
        let (retry_after, request_id, challenge, flaw) = (None, None, None, None);
        Answer { status: 400, retry_after, request_id, challenge, body, flaw }.codes()
    }

    #[test]
    fn codes_are_found_however_they_nest() {
        assert_eq!(
            codes(
                r#"{"error":{"code":"A","message":"m","innererror":{"date":"d","code":"B",
                   "innerError":{"code":"C"}}}}"#
            ),
            ["A", "B", "C"]
        );
        assert_eq!(codes(r#"{"error":{"code":"A","innerError":{"request-id":"x"}}}"#), ["A"]);
        for none in ["", "<html>", "[]", "{}", r#"{"error":"text"}"#, r#"{"error":{"code":5}}"#] {
            assert!(codes(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn what_is_no_plain_word_is_not_repeated() {
        assert_eq!(printable("ErrorItemNotFound"), "ErrorItemNotFound");
        for odd in ["", "a b", "a\r\nb", "é", &"x".repeat(81)] {
            assert_eq!(printable(odd), "…");
        }
    }
}
