//! One answer on its way out: status, headers, body, and Graph's error shape.
//!
//! Every answer carries `request-id` and echoes `client-request-id`, as
//! learn.microsoft.com/graph/best-practices-concept tells clients to log them.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::GraphError;
use crate::message::Blob;
use crate::message::blob::PART;

const ODATA_JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;\
                          IEEE754Compatible=false;charset=utf-8";

const CHALLENGE: &str = "Bearer realm=\"\", \
     authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
     client_id=\"00000003-0000-0000-c000-000000000000\"";

/// The two ids by which a request is found again in logs.
#[derive(Clone, Debug)]
pub struct Correlation {
    pub request_id: String,
    /// What the client sent, or the request id again when it sent none.
    pub client_request_id: String,
}

/// A finished answer, before correlation headers are put on it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    body: Payload,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What an answer carries. A file is read while it is sent, so that its size costs no memory.
#[derive(Clone, Debug)]
enum Payload {
    Whole(Bytes),
    File(Blob),
}

impl From<Payload> for Body {
    fn from(payload: Payload) -> Self {
        let blob = match payload {
            Payload::Whole(bytes) => return bytes.into(),
            Payload::File(blob) => blob,
        };
        let parts = (0..blob.length).step_by(PART).map(move |start| blob.part(start, PART));
        Self::from_stream(stream::iter(parts))
    }
}

impl Answer {
    pub fn empty(status: StatusCode) -> Self {
        Self { status, body: Payload::Whole(Bytes::new()), headers: Vec::new() }
    }

    /// 200 with the bytes of a file.
    pub fn file(content_type: &str, blob: Blob) -> Self {
        let length = if blob.is_kept() { blob.length } else { 0 };
        let mut answer = Self::empty(StatusCode::OK);
        if length > 0 {
            answer.body = Payload::File(blob);
        }
        answer.header(CONTENT_TYPE, content_type).header(CONTENT_LENGTH, &length.to_string())
    }

    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self::bytes(status, ODATA_JSON, body.to_string().into())
    }

    pub fn bytes(status: StatusCode, content_type: &str, body: Bytes) -> Self {
        let mut answer = Self::empty(status);
        answer.body = Payload::Whole(body);
        answer.header(CONTENT_TYPE, content_type)
    }

    /// Adds a header; a value that HTTP cannot carry is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub fn retry_after(self, wait: Duration) -> Self {
        self.header(RETRY_AFTER, &decimal_seconds(wait))
    }

    pub fn location(self, url: &str) -> Self {
        self.header(LOCATION, url)
    }

    /// The refusal as Graph writes it (learn.microsoft.com/graph/errors).
    pub fn refusal(error: &GraphError, ids: &Correlation, now: Timestamp) -> Self {
        let date = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let body = json!({"error": {
            "code": error.code,
            "message": error.message,
            "innerError": {
                "date": date,
                "request-id": ids.request_id,
                "client-request-id": ids.client_request_id,
            },
        }});
        let mut answer = Self::bytes(error.status, "application/json", body.to_string().into());
        if error.status == StatusCode::UNAUTHORIZED {
            let mut challenge = CHALLENGE.to_owned();
            if let Some(claims) = &error.claims {
                let claims = STANDARD.encode(claims);
                challenge.push_str(", error=\"insufficient_claims\", claims=\"");
                challenge.push_str(&claims);
                challenge.push('"');
            }
            answer = answer.header(WWW_AUTHENTICATE, &challenge);
        }
        if let Some(location) = &error.location {
            answer = answer.location(location);
        }
        match error.retry_after {
            Some(wait) => answer.retry_after(wait),
            None => answer,
        }
    }

    /// Its headers and its whole body.
    pub fn into_parts(self) -> (Vec<(HeaderName, HeaderValue)>, Bytes) {
        let body = match self.body {
            Payload::Whole(bytes) => bytes,
            Payload::File(blob) => blob.read().unwrap_or_default(),
        };
        (self.headers, body)
    }

    /// The HTTP response; `Date` is added by the HTTP layer.
    pub fn into_response(self, ids: &Correlation) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        put(headers, "request-id", &ids.request_id);
        put(headers, "client-request-id", &ids.client_request_id);
        headers.insert("x-ms-ags-diagnostic", HeaderValue::from_static(DIAGNOSTIC));
        response
    }
}

/// Support asks for this header; here it says only that nobody real has answered.
const DIAGNOSTIC: &str = r#"{"ServerInfo":{"DataCenter":"Sandbox","RoleInstance":"SANDBOX01"}}"#;

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// `2.128`, or `60` when it is whole: clients must read both.
pub fn decimal_seconds(wait: Duration) -> String {
    let ms = wait.as_millis();
    match ms % 1000 {
        0 => (ms / 1000).to_string(),
        rest => format!("{}.{rest:03}", ms / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_decimal_unless_whole() {
        assert_eq!(decimal_seconds(Duration::from_millis(2128)), "2.128");
        assert_eq!(decimal_seconds(Duration::from_millis(40)), "0.040");
        assert_eq!(decimal_seconds(Duration::from_mins(1)), "60");
    }
}
