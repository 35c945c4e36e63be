//! Error answers made up by a fault.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::seconds;
use crate::answer::{Answer, Correlation};
use crate::error::GraphError;
use crate::route::Operation;

/// An error answer that nothing in the sandbox has a reason for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fake {
    pub status: u16,
    /// Graph's error code; a usual one for the status when left out
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
    /// Seconds, rendered as a decimal
    #[serde(default)]
    pub retry_after: Option<f64>,
    /// A gateway's page in place of JSON
    #[serde(default)]
    pub html: bool,
}

impl Fake {
    pub fn answer(&self, operation: Operation, ids: &Correlation, now: Timestamp) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let wait = self.retry_after.map(seconds);
        if self.html {
            let page = format!("<!DOCTYPE html><html><body><h1>{status}</h1></body></html>");
            let answer = Answer::bytes(status, "text/html", page.into());
            return wait.map_or(answer.clone(), |wait| answer.retry_after(wait));
        }
        if operation == Operation::Token {
            let answer = self.login_answer(status);
            return wait.map_or(answer.clone(), |wait| answer.retry_after(wait));
        }
        let code = self.code.clone().unwrap_or_else(|| usual_code(self.status).to_owned());
        let message = self.message.clone().unwrap_or_else(|| status.to_string());
        let mut error = GraphError::new(status, code, message);
        error.retry_after = wait;
        Answer::refusal(&error, ids, now)
    }

    /// As the login host and the endpoints of managed identities write it.
    fn login_answer(&self, status: StatusCode) -> Answer {
        let usual = match self.status {
            400 => "invalid_request",
            401 => "invalid_client",
            404 => "not_found",
            _ => "temporarily_unavailable",
        };
        let body = json!({
            "error": self.code.as_deref().unwrap_or(usual),
            "error_description": self.message.clone().unwrap_or_else(|| status.to_string()),
        });
        Answer::json(status, &body)
    }
}

/// The code that Graph is known to send with a status.
fn usual_code(status: u16) -> &'static str {
    match status {
        400 => "BadRequest",
        401 => "InvalidAuthenticationToken",
        403 => "ErrorAccessDenied",
        404 => "ErrorItemNotFound",
        410 => "SyncStateNotFound",
        413 => "RequestEntityTooLarge",
        429 => "ApplicationThrottled",
        500 => "ErrorInternalServerError",
        503 => "serviceNotAvailable",
        504 => "UnknownError",
        507 => "QuotaExceededException",
        _ => "generalException",
    }
}
