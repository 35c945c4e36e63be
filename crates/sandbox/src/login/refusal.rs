//! The token endpoint's refusals: OAuth error, AADSTS number, sentence and trace lines.
//!
//! Meanings: learn.microsoft.com/entra/identity-platform/reference-error-codes. Clients are told to
//! branch on `error`, so that is what is kept most carefully.

pub mod assertion;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use crate::answer::{Answer, Correlation};

/// One refused token request.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: &'static str,
    number: u32,
    message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, number: u32, message: String) -> Self {
        Self { status, error, number, message, retry_after: None }
    }

    /// The AADSTS number.
    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn into_answer(self, ids: &Correlation, now: Timestamp) -> Answer {
        let time = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let (trace, correlation) = (&ids.request_id, &ids.client_request_id);
        let description = format!(
            "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}",
            self.number, self.message
        );
        let body = json!({
            "error": self.error,
            "error_description": description,
            "error_codes": [self.number],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.number),
        });
        let kind = "application/json; charset=utf-8";
        let answer = Answer::bytes(self.status, kind, body.to_string().into());
        match self.retry_after {
            Some(wait) => answer.retry_after(wait),
            None => answer,
        }
    }
}

fn invalid_request(number: u32, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", number, message.into())
}

fn invalid_client(number: u32, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "invalid_client", number, message.into())
}

/// Something is there that cannot be read.
pub fn malformed() -> Refusal {
    invalid_request(9_002_313, "Invalid request. Request is malformed or invalid.")
}

pub fn missing(parameter: &str) -> Refusal {
    let message = format!("The request body must contain the following parameter: '{parameter}'.");
    invalid_request(900_144, message)
}

pub fn missing_credential() -> Refusal {
    let message = "The request body must contain the following parameter: 'client_assertion' or \
                   'client_secret'.";
    invalid_client(7_000_218, message)
}

pub fn wrong_method(method: &Method) -> Refusal {
    let message = format!("The endpoint only accepts POST requests. Received a {method} request.");
    invalid_request(900_561, message)
}

pub fn unsupported_grant(grant_type: &str) -> Refusal {
    let message = format!("The app requested an unsupported grant type '{grant_type}'.");
    Refusal::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", 70_003, message)
}

pub fn wrong_endpoint() -> Refusal {
    invalid_request(
        9_001_023,
        "The grant type is not supported over the /common or /consumers endpoints. Please use the \
         /organizations or tenant-specific endpoint.",
    )
}

pub fn tenant_not_found(tenant: &str) -> Refusal {
    invalid_request(
        90_002,
        format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and \
             are signing into the correct cloud. Check with your subscription administrator, this \
             may happen if there are no active subscriptions for the tenant."
        ),
    )
}

pub fn app_not_found(client_id: &str, tenant: &str) -> Refusal {
    let message = format!(
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. \
         This can happen if the application has not been installed by the administrator of the \
         tenant or consented to by any user in the tenant. You may have sent your authentication \
         request to the wrong tenant."
    );
    Refusal::new(StatusCode::BAD_REQUEST, "unauthorized_client", 700_016, message)
}

pub fn app_disabled(client_id: &str) -> Refusal {
    let message = format!("Application '{client_id}'(sandbox) is disabled.");
    Refusal::new(StatusCode::BAD_REQUEST, "unauthorized_client", 7_000_112, message)
}

pub fn wrong_secret(client_id: &str) -> Refusal {
    invalid_client(
        7_000_215,
        format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the \
             client secret value, not the client secret ID, for a secret added to app \
             '{client_id}'."
        ),
    )
}

pub fn expired_secret(client_id: &str) -> Refusal {
    invalid_client(
        7_000_222,
        format!(
            "The provided client secret keys for app '{client_id}' are expired. Visit the Azure \
             portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider \
             using certificate credentials for added security: https://aka.ms/certCreds."
        ),
    )
}

pub fn invalid_scope(scope: &str) -> Refusal {
    let message = format!(
        "The provided request must include a 'scope' input parameter. The provided value for the \
         input parameter 'scope' is not valid. The scope {scope} is not valid."
    );
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_scope", 70_011, message)
}

/// A v1 parameter at the v2 endpoint.
pub fn resource_in_v2() -> Refusal {
    invalid_request(901_002, "The 'resource' request parameter is not supported.")
}

/// learn.microsoft.com/entra reference-error-codes; `invalid_grant` from memory.
pub fn blocked() -> Refusal {
    let message = "Access has been blocked by Conditional Access policies. The access policy does \
                   not allow token issuance.";
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_grant", 53_003, message.to_owned())
}

/// learn.microsoft.com/entra/identity-platform reference-breaking-changes.
pub fn looped() -> Refusal {
    let message = "The server terminated an operation because it encountered a loop while \
                   processing a request.";
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_grant", 50_196, message.to_owned())
}

pub fn unknown_resource(resource: &str, tenant: &str) -> Refusal {
    let message = format!(
        "The resource principal named {resource} was not found in the tenant named {tenant}. This \
         can happen if the application has not been installed by the administrator of the tenant \
         or consented to by any user in the tenant. You might have sent your authentication \
         request to the wrong tenant."
    );
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_resource", 500_011, message)
}

pub fn unavailable() -> Refusal {
    let message = "The server is temporarily too busy to handle the request.".to_owned();
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", 90_033, message)
}

/// Throttled for a minute: learn.microsoft.com/entra/msal client-and-server-throttling.
pub fn throttled() -> Refusal {
    let message = "The tenant is throttled because of too many requests.".to_owned();
    let mut refusal =
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", 90_055, message);
    refusal.retry_after = Some(Duration::from_mins(1));
    refusal
}
