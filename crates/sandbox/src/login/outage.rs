//! How the login host misbehaves as a whole. What strikes single requests is a fault rule.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Reply, dated};
use crate::answer::Answer;

/// How the login host misbehaves.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It does not
    #[default]
    None,
    /// 503 `temporarily_unavailable`
    Unavailable,
    /// 429 with `Retry-After: 60`, as the token service throttles apps that do not cache
    Throttled,
    /// A gateway's HTML page in place of JSON
    Html,
    /// 200 with JSON that breaks off
    Garbage,
    /// 200 without a body
    Empty,
    /// The connection is reset without an answer
    Reset,
    /// The request is taken, and no answer comes
    Hang,
}

impl Outage {
    /// What a token request gets, where that is not a refusal in the service's own words.
    pub fn reply(self, now: Timestamp) -> Reply {
        let (status, kind, body) = match self {
            Self::Reset => return Reply::Reset,
            Self::Hang => return Reply::Hang,
            Self::Garbage => (StatusCode::OK, "application/json", GARBAGE),
            Self::Empty => (StatusCode::OK, "application/json", ""),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "text/html", PAGE),
        };
        Reply::Answer(dated(Answer::bytes(status, kind, body.into()), now))
    }
}

const GARBAGE: &str = r#"{"token_type":"Bearer","expires_in":35"#;

const PAGE: &str = "<!DOCTYPE html><html><head><title>Service Unavailable</title></head>\
                    <body><h1>HTTP Error 503</h1></body></html>";
