//! One token request, from the form to a token or a failure by name.
//!
//! Shapes: learn.microsoft.com, entra v2-oauth2-client-creds-grant-flow. Nothing is cached or
//! retried here, and no word of a request or of an answer reaches a log.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use mailbridge_core::{Code, Error, Result, Secret};
use reqwest::{Client, StatusCode, Url, header};
use serde::{Deserialize, Deserializer, de};

use super::{
    Clock, aadsts,
    cache::{Issued, Issuer},
};
use crate::{
    credential::Credential,
    http::{self, Skew},
    pacing::retry_after,
};

/// A token response is a few kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The token endpoint of a tenant, asked as one app.
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) url: Url,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    pub(crate) credential: Box<dyn Credential>,
    pub(crate) clock: Clock,
}

#[async_trait]
impl Issuer for Endpoint {
    async fn issue(&self, claims: Option<&str>) -> Result<Issued> {
        let fields = self.credential.fields().await?;
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("scope", &self.scope),
        ];
        form.extend(claims.map(|claims| ("claims", claims)));
        form.extend(fields.iter().map(|(name, secret)| (*name, secret.expose())));
        let request = self
            .client
            .post(self.url.clone())
            .header(header::ACCEPT, "application/json")
            .form(&form)
            .build()
            .map_err(|_| Error::blocked(Code::Internal, "a token request could not be built"))?;
        let mut response =
            self.client.execute(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let wait = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after::parse(value.as_bytes(), SystemTime::now()));
        let skew = self.clock.check(&self.url, response.headers());
        let body = http::body(&mut response, ANSWER_BYTES_MAX).await.map_err(|fault| {
            let detail = "the login service's answer broke off or is too long";
            Error::blocked(Code::LoginUnexpected, detail).with("cause", fault)
        })?;
        read(status, wait, skew, &body)
    }
}

fn unreachable(error: &reqwest::Error) -> Error {
    let cause = if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    };
    Error::blocked(Code::LoginUnreachable, "the login service cannot be reached")
        .with("cause", cause)
}

/// Reads an answer of the login service.
pub(crate) fn read(
    status: StatusCode,
    wait: Option<Duration>,
    skew: Option<Skew>,
    body: &[u8],
) -> Result<Issued> {
    if !status.is_success() {
        return Err(aadsts::refusal(status.as_u16(), wait, skew, body));
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| {
        let detail = "the token endpoint's answer is not a token response";
        Error::blocked(Code::LoginUnexpected, detail).with("status", status.as_u16())
    })?;
    Ok(Issued {
        access_token: answer.access_token,
        expires_in: Duration::from_secs(answer.expires_in.clamp(1, 7 * 24 * 3600)),
        refresh_in: answer.refresh_in.map(Duration::from_secs),
    })
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    #[serde(deserialize_with = "seconds")]
    expires_in: u64,
    #[serde(default, deserialize_with = "some_seconds")]
    refresh_in: Option<u64>,
}

/// Seconds as a number, or as a number in quotes, as managed identities write them.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(|_| de::Error::custom("not seconds")),
    }
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    seconds(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_response_is_read_with_numbers_or_text() {
        for body in [
            r#"{"token_type":"Bearer","expires_in":3599,"access_token":"abc","refresh_in":100}"#,
            r#"{"expires_in":"3599","access_token":"abc","refresh_in":"100","more":1}"#,
        ] {
            let issued = read(StatusCode::OK, None, None, body.as_bytes()).unwrap();
            assert_eq!(issued.expires_in, Duration::from_secs(3599));
            assert_eq!(issued.refresh_in, Some(Duration::from_secs(100)));
            assert_eq!(issued.access_token.expose(), "abc");
        }
    }

    #[test]
    fn anything_else_with_200_is_not_a_token() {
        for body in ["<html>captive portal</html>", "{}", r#"{"access_token":"hush"}"#, ""] {
            let Err(error) = read(StatusCode::OK, None, None, body.as_bytes()) else {
                panic!("{body}")
            };
            assert_eq!(error.code(), Code::LoginUnexpected);
            assert!(!error.to_string().contains("hush"));
        }
    }
}
