//! Reading a request body within Graph's limit.

use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};

use crate::error::GraphError;

/// Over it the answer is 413. Documented for S/MIME
/// (learn.microsoft.com/graph/api/user-post-messages), and reported for every request.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// A body somewhat over the limit is still taken off the wire, so that the client hears the refusal
/// and not a broken pipe; beyond this the connection ends.
const DRAIN_LIMIT: usize = 64 * 1024 * 1024;

/// The whole body, or why it is refused.
pub async fn read(body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, GraphError> {
    // SDKs that compress try again without it when they are told
    let encoding = headers.get("content-encoding").and_then(|value| value.to_str().ok());
    let refused = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    let mut body = body;
    let mut first = None;
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = next(&mut body).await? {
        length += chunk.len();
        if length > DRAIN_LIMIT {
            break;
        }
        if length > limit {
            whole = BytesMut::new();
            first = None;
            continue;
        }
        // most bodies come in one piece, which is then used as it is
        match first.take() {
            None if whole.is_empty() => first = Some(chunk),
            None => whole.extend_from_slice(&chunk),
            Some(before) => {
                whole.reserve(length);
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&chunk);
            }
        }
    }
    if length > limit {
        return Err(GraphError::request_too_large());
    }
    if let Some(encoding) = refused {
        return Err(GraphError::unsupported_media_type(encoding));
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, GraphError> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(GraphError::bad_request("The request body ended too early."));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
