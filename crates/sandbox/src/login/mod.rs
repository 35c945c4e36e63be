//! The login host: the v2 token endpoint for client credentials, and the discovery documents.
//!
//! Facts: learn.microsoft.com/entra/identity-platform v2-oauth2-client-creds-grant-flow and
//! reference-error-codes. A credential kind is one file beside `client_secret`. No interactive
//! flow, no refresh tokens: this grant has none.

mod client_secret;
mod discovery;
mod refusal;
mod token;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::{Answer, Correlation};
use crate::text::{pairs, percent_decode};
use crate::world::World;
use refusal::Refusal;

/// How the login host misbehaves.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It does not
    #[default]
    None,
    /// 503 `temporarily_unavailable`
    Unavailable,
    /// 429 with `Retry-After: 60`, as the token service throttles apps that do not cache
    Throttled,
    /// A gateway's HTML page in place of JSON
    Html,
    /// The connection is reset without an answer
    Reset,
}

/// What comes of a login request: an answer, or a dead line.
pub enum Reply {
    Answer(Answer),
    Reset,
}

/// The form of a token request.
pub struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Whether the path is the login host's, and which document of it.
pub fn is_token_path(path: &str) -> bool {
    path.ends_with("/oauth2/v2.0/token")
}

pub fn is_discovery_path(path: &str) -> bool {
    discovery::is_path(path)
}

/// Answers a discovery document; `base` is this sandbox as the client sees it.
pub fn discovery(world: &World, path: &str, base: &str, ids: &Correlation) -> Answer {
    discovery::answer(world, path, base).unwrap_or_else(|tenant| {
        refusal::tenant_not_found(&tenant).into_answer(ids, world.clock.now())
    })
}

/// Answers a token request.
pub fn token(world: &World, parts: &Parts, body: &[u8], ids: &Correlation) -> Reply {
    let now = world.clock.now();
    let refused = match world.outage() {
        Outage::None => match grant(world, parts, body, now) {
            Ok(answer) => return Reply::Answer(answer),
            Err(refusal) => refusal,
        },
        Outage::Unavailable => refusal::unavailable(),
        Outage::Throttled => refusal::throttled(),
        Outage::Html => {
            let page = "<!DOCTYPE html><html><head><title>Service Unavailable</title></head>\
                        <body><h1>HTTP Error 503</h1></body></html>";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Reply::Answer(Answer::bytes(status, "text/html", page.into()));
        }
        Outage::Reset => return Reply::Reset,
    };
    Reply::Answer(refused.into_answer(ids, now))
}

fn grant(world: &World, parts: &Parts, body: &[u8], now: Timestamp) -> Result<Answer, Refusal> {
    if parts.method != Method::POST {
        return Err(refusal::wrong_method(&parts.method));
    }
    let path = parts.uri.path();
    let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let name = percent_decode(name).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let form = read_form(parts, body);
    let grant_type = form.get("grant_type").ok_or_else(|| refusal::missing("grant_type"))?;
    if grant_type != "client_credentials" {
        return Err(refusal::unsupported_grant(grant_type));
    }
    if lower == "common" || lower == "consumers" {
        return Err(refusal::wrong_endpoint());
    }
    let (tenant, entry) =
        world.directory.tenant(&name).ok_or_else(|| refusal::tenant_not_found(&name))?;
    let client = client_secret::client(parts, &form)?;
    if !world.directory.knows(tenant, &client.id) {
        return Err(refusal::app_not_found(&client.id, &entry.id));
    }
    let scope = form.get("scope").ok_or_else(|| refusal::missing("scope"))?;
    let audience = token::audience(scope, &entry.id)?;
    let (app, roles) = client_secret::authenticate(world, tenant, &client, &form, now)?;
    let lifetime = world.dice.between(&world.settings.token_lifetime);
    let request = token::Request {
        tenant,
        tenant_id: &entry.id,
        app,
        client_id: &client.id,
        audience,
        roles,
        lifetime,
    };
    let token = token::issue(world, request, now);
    let seconds = lifetime.as_secs();
    let body = json!({
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": token,
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// The body as a form; anything else reads as an empty one, as the real endpoint treats it.
fn read_form(parts: &Parts, body: &[u8]) -> Form {
    let kind = parts.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_form = kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let text = std::str::from_utf8(body).unwrap_or_default();
    Form(if is_form { pairs(text).unwrap_or_default() } else { Vec::new() })
}
