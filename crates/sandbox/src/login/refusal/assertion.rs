//! What is wrong with a client assertion, in the service's words.
//!
//! The sentences of 50027, 90014, 5002723, 5002738, 5002741, 700021, 700024, 700027, 70025 and of
//! 700211 to 700213 are those that clients have reported in public issues; 700023 is from
//! learn.microsoft.com, 50048 from reference-error-codes. Those of 50012 and 50013 are made up
//! around what the reference says of the number.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::{Refusal, invalid_client, invalid_request};
use crate::config::Certificate;
use crate::text::hex;

const REVIEW: &str = "Review the documentation at \
    https://learn.microsoft.com/entra/identity-platform/certificate-credentials .";

pub fn malformed() -> Refusal {
    invalid_request(50_027, "JWT token is invalid or malformed.")
}

pub fn missing(claim: &str) -> Refusal {
    invalid_request(
        90_014,
        format!(
            "The required field '{claim}' is missing from the credential. Ensure that you have all \
             the necessary parameters for the login request."
        ),
    )
}

pub fn no_thumbprint() -> Refusal {
    invalid_client(
        5_002_723,
        "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor \
         keyId specified in token header.",
    )
}

pub fn unsupported_algorithm(name: &str, known: &str) -> Refusal {
    invalid_client(
        5_002_738,
        format!(
            "Invalid JWT token. '{name}' is not a supported signature algorithm. Supported signing \
             algorithms are: '{known}'"
        ),
    )
}

pub fn several_audiences(count: usize) -> Refusal {
    invalid_client(
        5_002_741,
        format!(
            "Number of audience values in the provided client credential exceed maximum allowed. \
             {count} audience values provided, maximum allowed is 1."
        ),
    )
}

pub fn subject_is_not_issuer() -> Refusal {
    invalid_client(50_048, "Subject must match the issuer claim in the client assertion.")
}

pub fn other_client() -> Refusal {
    invalid_client(
        700_021,
        format!(
            "Client assertion application identifier doesn't match 'client_id' parameter. {REVIEW}"
        ),
    )
}

pub fn other_audience() -> Refusal {
    invalid_client(
        700_023,
        format!("Client assertion audience claim does not match Realm issuer. {REVIEW}"),
    )
}

pub fn out_of_time(now: Timestamp, from: Timestamp, until: Timestamp) -> Refusal {
    let text = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S.%7fZ").to_string();
    invalid_client(
        700_024,
        format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion \
             valid from {}, expiry time of assertion {}. {REVIEW}",
            text(now),
            text(from),
            text(until)
        ),
    )
}

pub fn replayed() -> Refusal {
    invalid_client(50_012, "Authentication failed. The client assertion has been used before.")
}

/// The header's thumbprint is base64url; the sentence shows it in hexadecimal.
pub fn unknown_key(client_id: &str, thumbprint: Option<&str>) -> Refusal {
    let bare = thumbprint.unwrap_or_default().trim_end_matches('=');
    let bytes = URL_SAFE_NO_PAD.decode(bare).unwrap_or_default();
    let shown = hex(&bytes).to_ascii_uppercase();
    invalid_client(
        700_027,
        format!(
            "The certificate with identifier used to sign the client assertion is not registered \
             on application. [Reason - The key was not found., Thumbprint of key used by client: \
             '{shown}', {}]",
            visit(client_id)
        ),
    )
}

pub fn expired_key(client_id: &str, certificate: &Certificate) -> Refusal {
    invalid_client(
        700_027,
        format!(
            "The certificate with identifier used to sign the client assertion is expired on \
             application. [Reason - The key used is expired., {}, {}]",
            found(certificate),
            visit(client_id)
        ),
    )
}

pub fn bad_signature(client_id: &str, certificate: &Certificate) -> Refusal {
    invalid_client(
        700_027,
        format!(
            "Client assertion contains an invalid signature. [Reason - The provided signature \
             value did not match the expected signature value., {}, {}]",
            found(certificate),
            visit(client_id)
        ),
    )
}

fn found(certificate: &Certificate) -> String {
    let text = |at: Timestamp| at.strftime("%m/%d/%Y %H:%M:%S").to_string();
    format!(
        "Thumbprint of key used by client: '{}', Found key 'Start={}, End={}'",
        certificate.thumbprint(),
        text(certificate.valid_from),
        text(certificate.valid_until)
    )
}

fn visit(client_id: &str) -> String {
    format!(
        "Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured \
         keys for app Id '{client_id}'. Review the documentation at \
         https://docs.microsoft.com/en-us/graph/deployments to determine the corresponding service \
         endpoint and https://docs.microsoft.com/en-us/graph/api/application-get?view=\
         graph-rest-1.0&tabs=http to build a query request URL, such as \
         'https://graph.microsoft.com/beta/applications/{client_id}'"
    )
}

pub fn not_federated(client_id: &str) -> Refusal {
    let message = format!(
        "The client '{client_id}'(sandbox) has no configured federated identity credentials."
    );
    invalid_client(70_025, message)
}

/// Which of issuer, subject and audience has no record.
pub fn no_record_for(what: &str, value: &str, number: u32) -> Refusal {
    invalid_client(
        number,
        format!(
            "No matching federated identity record found for presented assertion {what} '{value}'. \
             Check your federated identity credential Subject, Audience and Issuer against the \
             presented assertion. \
             https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
        ),
    )
}

pub fn unknown_issuer_key(id: &str) -> Refusal {
    let reason = format!("The key was not found., Key identifier: '{id}'");
    assertion_failed(&reason)
}

pub fn bad_issuer_signature() -> Refusal {
    assertion_failed("The provided signature value did not match the expected signature value.")
}

fn assertion_failed(reason: &str) -> Refusal {
    let message = format!("Assertion failed signature validation. [Reason - {reason}]");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_grant", 50_013, message)
}
