//! The login host: the token endpoint for client credentials, the endpoints of managed identities,
//! and the discovery documents.
//!
//! Facts: learn.microsoft.com/entra/identity-platform v2-oauth2-client-creds-grant-flow and
//! reference-error-codes. A credential kind is one file. No interactive flow, no refresh tokens:
//! this grant has none.

mod assertion;
mod certificate;
mod claims;
mod client;
mod discovery;
mod federated;
mod ledger;
mod managed_identity;
mod outage;
mod refusal;
mod token;

use axum::http::header::DATE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use crate::answer::{Answer, Correlation};
use crate::text::{pairs, percent_decode};
use crate::world::World;
use client::Client;
use refusal::Refusal;
use token::Issued;

pub use ledger::{Ledger, TokenCount, TokenCounts};
pub use outage::Outage;

/// What comes of a login request: an answer, or a dead line.
pub enum Reply {
    Answer(Answer),
    Reset,
    /// No answer for longer than anybody waits
    Hang,
}

/// The form of a token request. No `Debug`: it holds the credential.
pub struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| refusal::missing(name))
    }
}

/// The two generations of the token endpoint.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn of(path: &str) -> Option<Self> {
        match path {
            path if path.ends_with("/oauth2/v2.0/token") => Some(Self::V2),
            path if path.ends_with("/oauth2/token") => Some(Self::V1),
            _ => None,
        }
    }
}

/// Whether the path gives tokens: the login host's, or a managed identity's.
pub fn is_token_path(world: &World, path: &str) -> bool {
    managed_identity::is_path(world, path) || Version::of(path).is_some()
}

pub fn is_discovery_path(path: &str) -> bool {
    discovery::is_path(path)
}

/// Answers a discovery document; `base` is this sandbox as the client sees it.
pub fn discovery(world: &World, path: &str, base: &str, ids: &Correlation) -> Answer {
    let now = world.clock.login();
    let answer = discovery::answer(world, path, base)
        .unwrap_or_else(|tenant| refusal::tenant_not_found(&tenant).into_answer(ids, now));
    dated(answer, now)
}

/// Answers a token request; `base` is this sandbox as the client sees it.
pub fn token(world: &World, parts: &Parts, body: &[u8], base: &str, ids: &Correlation) -> Reply {
    if managed_identity::is_path(world, parts.uri.path()) {
        return Reply::Answer(managed_identity::answer(world, parts, ids));
    }
    let now = world.clock.login();
    let form = read_form(parts, body);
    let client = Client::read(parts, &form);
    let name = client.as_ref().map_or("", |client| &client.id);
    let looped = world.ledger.request(name, world.settings.loop_limit, now);
    let outage = world.outage();
    let outcome = match outage {
        Outage::None if looped => Err(refusal::looped()),
        Outage::None => grant(world, parts, &form, client.as_ref(), base, now),
        Outage::Unavailable => Err(refusal::unavailable()),
        Outage::Throttled => Err(refusal::throttled()),
        _ => return outage.reply(now),
    };
    let answer = match outcome {
        Ok(answer) => {
            world.ledger.granted(name);
            answer
        }
        Err(refusal) => {
            world.ledger.refused(name, refusal.number());
            refusal.into_answer(ids, now)
        }
    };
    Reply::Answer(dated(answer, now))
}

/// The login host's own clock in the answer's `Date`.
fn dated(answer: Answer, now: Timestamp) -> Answer {
    answer.header(DATE, &now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn grant(
    world: &World,
    parts: &Parts,
    form: &Form,
    client: Option<&Client>,
    base: &str,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    if parts.method != Method::POST {
        return Err(refusal::wrong_method(&parts.method));
    }
    let path = parts.uri.path();
    let version = Version::of(path).unwrap_or(Version::V2);
    let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let name = percent_decode(name).unwrap_or_default();
    let grant_type = form.require("grant_type")?;
    if grant_type != "client_credentials" {
        return Err(refusal::unsupported_grant(grant_type));
    }
    if ["common", "consumers"].contains(&name.to_ascii_lowercase().as_str()) {
        return Err(refusal::wrong_endpoint());
    }
    let found = world.directory.tenant(&name);
    let (tenant, entry) = found.ok_or_else(|| refusal::tenant_not_found(&name))?;
    let client = client.ok_or_else(|| refusal::missing("client_id"))?;
    let app = entry.app(&client.id).filter(|app| app.state().app.installed);
    let app = app.ok_or_else(|| refusal::app_not_found(&client.id, &entry.id))?;
    let audience = resource(version, form, &entry.id)?;
    let claims = claims::read(form)?;
    let endpoint = assertion::Endpoint { base, tenant: entry };
    client.authenticate(world, &app, form, &endpoint, now)?;
    if app.state().app.blocked {
        return Err(refusal::blocked());
    }
    let issued = token::issue(world, (tenant, &entry.id), &app, audience, claims);
    Ok(success(version, audience, &issued))
}

/// What the token is for: a `scope` in v2, a `resource` in v1, and neither takes the other's.
fn resource<'a>(version: Version, form: &'a Form, tenant: &str) -> Result<&'a str, Refusal> {
    match version {
        Version::V1 => token::resource(form.require("resource")?, tenant),
        Version::V2 if form.get("resource").is_some() => Err(refusal::resource_in_v2()),
        Version::V2 => token::audience(form.require("scope")?, tenant),
    }
}

/// v1 writes its numbers as strings, and more of them.
fn success(version: Version, audience: &str, issued: &Issued) -> Answer {
    let seconds = issued.lifetime.as_secs();
    let mut body = json!({
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": issued.token,
    });
    if let Some(refresh_in) = issued.refresh_in() {
        body["refresh_in"] = json!(refresh_in);
    }
    if version == Version::V1 {
        body["expires_in"] = json!(seconds.to_string());
        body["ext_expires_in"] = json!(seconds.to_string());
        body["expires_on"] = json!(issued.expires.as_second().to_string());
        body["not_before"] = json!(issued.from.as_second().to_string());
        body["resource"] = json!(audience);
    }
    Answer::json(StatusCode::OK, &body)
}

/// The body as a form; anything else reads as an empty one, as the real endpoint treats it.
fn read_form(parts: &Parts, body: &[u8]) -> Form {
    let kind = parts.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_form = kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let text = std::str::from_utf8(body).unwrap_or_default();
    Form(if is_form { pairs(text).unwrap_or_default() } else { Vec::new() })
}
