//! The identity that Azure gives a machine, an app or a container: the platform keeps the secret and
//! hands out tokens on a local endpoint.
//!
//! Two shapes: IMDS on virtual machines (learn.microsoft.com, entra how-to-use-vm-token), and the
//! endpoint of App Service, Functions and Container Apps (overview-managed-identity). Both write
//! numbers as text. The platform caches tokens for hours itself and cannot be made to refresh.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use mailbridge_core::{Code, Error, Result, Scope, Secret, SecretSource, Verdict};
use reqwest::{Client, StatusCode, Url, header, redirect, retry};
use serde::Deserialize;

use crate::{
    cloud::refuse,
    config::{IDENTITY_HEADER, ManagedIdentity as Source, Resolved},
    http,
    pacing::retry_after,
    token::{Issued, Issuer},
};

const IMDS: &str = "http://169.254.169.254";
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// It is on this machine or next to it.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long IMDS may be away while it is being updated (how-to-use-vm-token, 410).
const UPDATE_WAIT: Duration = Duration::from_secs(10);

pub(super) struct ManagedIdentity {
    client: Client,
    url: Url,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Imds,
    AppService,
}

impl ManagedIdentity {
    pub(super) fn new(source: &Source, resolved: &Resolved) -> Result<Self> {
        let environment = &resolved.environment;
        let (shape, base) = match (&source.endpoint, &environment.identity_endpoint) {
            (Some(endpoint), _) => (Shape::Imds, endpoint.clone()),
            (None, Some(endpoint)) => (Shape::AppService, endpoint.clone()),
            (None, None) => {
                let host = environment.imds_host.as_deref().unwrap_or(IMDS);
                (Shape::Imds, format!("{}{IMDS_PATH}", host.trim_end_matches('/')))
            }
        };
        let mut url = Url::parse(&base).map_err(|_| {
            refuse("credential.managed_identity", "the identity's endpoint is not a URL")
        })?;
        if shape == Shape::Imds && url.path() == "/" {
            url.set_path(IMDS_PATH);
        }
        let version = match shape {
            Shape::Imds => "2018-02-01",
            Shape::AppService => "2019-08-01",
        };
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .append_pair("resource", &format!("{}/", resolved.resource));
        if let Some((name, id)) = which(source, shape) {
            url.query_pairs_mut().append_pair(name, id);
        }
        // the address is this machine's own: a proxy would ask another's
        // and neither the platform's header nor a token follows a redirect
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(CONNECT_MAX)
            .build();
        let client = client.map_err(|_| {
            Error::blocked(Code::Internal, "a client for the identity endpoint cannot be built")
        })?;
        Ok(Self { client, url, shape })
    }
}

/// The parameter that names one of several identities.
fn which(source: &Source, shape: Shape) -> Option<(&'static str, &str)> {
    let object = match shape {
        Shape::Imds => "object_id",
        Shape::AppService => "principal_id",
    };
    let resource = match shape {
        Shape::Imds => "msi_res_id",
        Shape::AppService => "mi_res_id",
    };
    let ids = [
        ("client_id", &source.client_id),
        (object, &source.object_id),
        (resource, &source.resource_id),
    ];
    ids.into_iter().find_map(|(name, id)| Some((name, id.as_deref()?)))
}

#[async_trait]
impl Issuer for ManagedIdentity {
    /// Claims are not asked for: continuous access evaluation is not for managed identities
    /// (concept-continuous-access-evaluation-workload).
    async fn issue(&self, _claims: Option<&str>) -> Result<Issued> {
        let mut request = self.client.get(self.url.clone());
        request = match self.shape {
            Shape::Imds => request.header("Metadata", "true"),
            Shape::AppService => {
                let secret = SecretSource::Env(IDENTITY_HEADER.to_owned()).read().await?;
                let mut value = header::HeaderValue::from_str(secret.expose()).map_err(|_| {
                    Error::blocked(Code::CredentialUnreadable, "the header's value is not one line")
                        .with("variable", IDENTITY_HEADER)
                })?;
                value.set_sensitive(true);
                request.header("X-IDENTITY-HEADER", value)
            }
        };
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let wait = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after::parse(value.as_bytes(), SystemTime::now()));
        let body = http::body(&mut response, ANSWER_BYTES_MAX).await.map_err(|fault| {
            let detail = "the identity endpoint's answer broke off or is too long";
            Error::blocked(Code::LoginUnexpected, detail).with("cause", fault)
        })?;
        if status.is_success() {
            return read(&body, Timestamp::now());
        }
        Err(refusal(status, wait, &body))
    }
}

impl ManagedIdentity {
    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let cause = if error.is_timeout() { "no answer in time" } else { "no connection" };
        let detail = match self.shape {
            Shape::Imds => {
                "this machine has no metadata service; a managed identity works inside azure only"
            }
            Shape::AppService => "the identity endpoint of the platform does not answer",
        };
        Error::blocked(Code::LoginUnreachable, detail).with("cause", cause)
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    /// Seconds, as text or as a number.
    #[serde(default)]
    expires_in: Option<Number>,
    /// Seconds since 1970, as text or as a number.
    #[serde(default)]
    expires_on: Option<Number>,
    /// When the platform would like to be asked again, in seconds from now.
    #[serde(default)]
    refresh_in: Option<Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Text(String),
}

impl Number {
    fn get(&self) -> Option<u64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

fn read(body: &[u8], now: Timestamp) -> Result<Issued> {
    let unexpected = || {
        let detail = "the identity endpoint's answer is not a token response";
        Error::blocked(Code::LoginUnexpected, detail)
    };
    let answer: Answer = serde_json::from_slice(body).map_err(|_| unexpected())?;
    let left = |number: &Number| {
        let now = u64::try_from(now.as_second()).ok()?;
        Some(number.get()?.saturating_sub(now))
    };
    let told = answer.expires_in.as_ref().and_then(Number::get);
    let told = told.or_else(|| answer.expires_on.as_ref().and_then(left));
    let seconds = told.ok_or_else(unexpected)?.clamp(1, 7 * 24 * 3600);
    Ok(Issued {
        access_token: answer.access_token,
        expires_in: Duration::from_secs(seconds),
        refresh_in: answer.refresh_in.as_ref().and_then(Number::get).map(Duration::from_secs),
    })
}

/// Which failures pass is IMDS's own word (how-to-use-vm-token, "Retry guidance").
fn refusal(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Error {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(default)]
        error: String,
    }
    let passes = matches!(status.as_u16(), 404 | 410 | 429) || status.is_server_error();
    let (code, after) = if passes {
        let update = (status == StatusCode::GONE).then_some(UPDATE_WAIT);
        (Code::LoginUnavailable, wait.or(update))
    } else {
        (Code::CredentialIdentityMissing, wait)
    };
    let verdict = Verdict::Blocked { scope: Scope::Connection, after };
    let said: Refusal = serde_json::from_slice(body).unwrap_or_default();
    Error::new(code, verdict, code.meaning())
        .with("status", status.as_u16())
        .with("error", http::printable(&said.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_as_text_and_the_end_as_a_time() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        for (body, seconds) in [
            (
                r#"{"access_token":"t","expires_in":"3599","expires_on":"1","refresh_token":""}"#,
                3599,
            ),
            (r#"{"access_token":"t","expires_on":"1700000100"}"#, 100),
            (r#"{"access_token":"t","expires_in":86400}"#, 86400),
        ] {
            let issued = read(body.as_bytes(), now).unwrap();
            assert_eq!(issued.expires_in, Duration::from_secs(seconds), "{body}");
        }
        for body in ["", "<html>", "{}", r#"{"access_token":"hush"}"#] {
            let error = read(body.as_bytes(), now).err().unwrap();
            assert_eq!(error.code(), Code::LoginUnexpected);
            assert!(!error.to_string().contains("hush"));
        }
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let code = |status: u16, body: &[u8]| {
            refusal(StatusCode::from_u16(status).unwrap(), None, body).code()
        };
        for passing in [404, 410, 429, 500, 503] {
            assert_eq!(code(passing, b""), Code::LoginUnavailable, "{passing}");
        }
        let unknown = br#"{"error":"invalid_request","error_description":"Identity not found"}"#;
        assert_eq!(code(400, unknown), Code::CredentialIdentityMissing);
        assert_eq!(code(403, b"<html>"), Code::CredentialIdentityMissing);
    }
}
