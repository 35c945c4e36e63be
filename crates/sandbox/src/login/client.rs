//! Who asks, and by which kind of credential: a secret in the form or as HTTP Basic, or an
//! assertion, which is a certificate's or another issuer's.

use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::assertion::{Assertion, Endpoint};
use super::refusal::{self, Refusal};
use super::{Form, certificate, federated};
use crate::config::App;
use crate::directory::AppEntry;
use crate::text::form_decode;
use crate::world::World;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who asks. No `Debug`: it holds the secret.
pub struct Client {
    pub id: String,
    basic_secret: Option<String>,
}

impl Client {
    /// The client id and, when it came as HTTP Basic, the secret with it.
    pub fn read(parts: &Parts, form: &Form) -> Option<Self> {
        if let Some((id, secret)) = basic(parts) {
            return Some(Self { id, basic_secret: Some(secret) });
        }
        form.get("client_id").map(|id| Self { id: id.to_owned(), basic_secret: None })
    }

    /// Checks the proof that came with the request.
    pub fn authenticate(
        &self,
        world: &World,
        app: &AppEntry,
        form: &Form,
        endpoint: &Endpoint<'_>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let known = app.state().app.clone();
        if known.disabled {
            return Err(refusal::app_disabled(&self.id));
        }
        if let Some(text) = form.get("client_assertion") {
            if form.require("client_assertion_type")? != JWT_BEARER {
                return Err(refusal::malformed());
            }
            let assertion = Assertion::parse(text)?;
            return if assertion.is_own(&self.id)? {
                certificate::check(world, &known, &assertion, endpoint, now)
            } else {
                federated::check(&known, &assertion, now)
            };
        }
        let secret = self.basic_secret.as_deref().or_else(|| form.get("client_secret"));
        check_secret(&known, secret.ok_or_else(refusal::missing_credential)?, now)
    }
}

fn check_secret(app: &App, secret: &str, now: Timestamp) -> Result<(), Refusal> {
    let mut matching = app.secrets.iter().filter(|known| known.value == secret).peekable();
    if matching.peek().is_none() {
        return Err(refusal::wrong_secret(&app.client_id));
    }
    let good = matching.any(|known| known.expires.is_none_or(|at| now < at));
    if good { Ok(()) } else { Err(refusal::expired_secret(&app.client_id)) }
}

/// RFC 6749 2.3.1: both parts are form-encoded before they are joined.
fn basic(parts: &Parts) -> Option<(String, String)> {
    let value = parts.headers.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (id, secret) = joined.split_once(':')?;
    Some((form_decode(id)?, form_decode(secret)?))
}
