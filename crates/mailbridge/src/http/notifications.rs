//! `/notifications/{pipeline}` and `/notifications/{pipeline}/lifecycle`: where Graph calls
//! (learn.microsoft.com, change-notifications-delivery-webhooks).
//!
//! The only input that the HTTP side takes, and it comes from the internet. A call wakes, and tells
//! nothing that is believed: who may wake whom is known by the engine. Here it is seen to that a call
//! is small, is read in bounded time and is answered well before Graph's three seconds are over.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest as _, Path, Query, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use mailbridge_engine::events::callback::Callbacks;
use serde::Deserialize;
use tokio::time::timeout;

use crate::run::seen::Seen;

/// Bytes of one call: Graph puts up to some hundred notifications into one, of less than a kilobyte
/// each.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Characters of a handshake's token. Graph's have about a hundred.
const TOKEN_CHARS_MAX: usize = 1024;
/// How long a call may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(2);

/// Who is called. Cheap to clone.
#[derive(Clone)]
pub struct Called {
    /// The pipelines that Graph may call.
    pub pipelines: Seen,
    /// Where calls are noted.
    pub callbacks: Callbacks,
}

/// What the query of a call may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake {
    validation_token: Option<String>,
}

/// Answers a handshake or a call.
pub async fn called(
    State(called): State<Called>,
    Path(pipeline): Path<String>,
    Query(handshake): Query<Handshake>,
    request: Request,
) -> Response {
    if !called.pipelines.borrow().called.contains(&pipeline) {
        return (StatusCode::NOT_FOUND, "no pipeline of this name is called\n").into_response();
    }
    if let Some(token) = handshake.validation_token {
        return shake(token);
    }
    match timeout(ARRIVES_WITHIN, Bytes::from_request(request, &())).await {
        Err(_) => {
            (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response()
        }
        Ok(Err(refused)) => refused.into_response(),
        Ok(Ok(body)) => match called.callbacks.receive(&pipeline, &body) {
            Ok(received) => {
                tracing::debug!(%pipeline, ?received, "notified");
                StatusCode::ACCEPTED.into_response()
            }
            Err(error) => {
                tracing::debug!(%pipeline, code = %error.code(), %error, "a call was refused");
                (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
            }
        },
    }
}

/// Gives the token back, as Graph wants it: decoded, as plain text. Anybody can ask for this, so what
/// could be markup or a script anywhere is refused.
fn shake(token: String) -> Response {
    let plain = |c: char| c.is_ascii_graphic() && !"<>&\"'`".contains(c) || c == ' ';
    if token.is_empty() || token.len() > TOKEN_CHARS_MAX || !token.chars().all(plain) {
        return (StatusCode::BAD_REQUEST, "this is no token of Graph's\n").into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    (headers, token).into_response()
}
