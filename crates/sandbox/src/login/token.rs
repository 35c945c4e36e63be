//! Access tokens: they look like Graph's, and are known by being remembered.
//!
//! The signature is random: nobody but the sandbox may check it, as nobody but Graph may check
//! Graph's (learn.microsoft.com/entra/identity-platform/access-tokens).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

use super::refusal::{self, Refusal};
use crate::clock;
use crate::dice;
use crate::directory::Grant;
use crate::world::World;

/// Graph's own application id: another way to name the resource.
const GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000";

const GRAPH_HOSTS: [&str; 4] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
];

pub struct Request<'a> {
    pub tenant: usize,
    pub tenant_id: &'a str,
    pub app: u32,
    pub client_id: &'a str,
    pub audience: &'a str,
    pub roles: Arc<[String]>,
    pub lifetime: Duration,
}

/// The resource that a scope names: one of Graph's hosts, or this sandbox under any name of its
/// own.
pub fn audience<'a>(scope: &'a str, tenant: &str) -> Result<&'a str, Refusal> {
    let resource = scope.strip_suffix("/.default").ok_or_else(|| refusal::invalid_scope(scope))?;
    if resource.is_empty() || resource.contains(' ') {
        return Err(refusal::invalid_scope(scope));
    }
    let bare = resource.trim_end_matches('/');
    let local = ["http://", "https://"].iter().any(|scheme| {
        let Some(rest) = bare.strip_prefix(scheme) else { return false };
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            rest.strip_prefix(host).is_some_and(|tail| tail.is_empty() || tail.starts_with(':'))
        })
    });
    if local || bare == GRAPH_APP || GRAPH_HOSTS.contains(&bare) {
        return Ok(bare);
    }
    Err(refusal::unknown_resource(resource, tenant))
}

/// Makes a token, and remembers what it stands for.
pub fn issue(world: &World, request: Request<'_>, now: Timestamp) -> String {
    let expires = clock::after(now, request.lifetime);
    let service_principal = dice::hash(world.settings.seed, request.client_id.as_bytes());
    let header = json!({
        "typ": "JWT",
        "nonce": URL_SAFE_NO_PAD.encode(world.dice.bytes::<32>()),
        "alg": "RS256",
        "kid": "sandbox",
    });
    let mut claims = json!({
        "aud": request.audience,
        "iss": format!("https://sts.windows.net/{}/", request.tenant_id),
        "iat": now.as_second(),
        "nbf": now.as_second(),
        "exp": expires.as_second(),
        "app_displayname": "sandbox",
        "appid": request.client_id,
        "appidacr": "1",
        "idtyp": "app",
        "oid": dice::guid(service_principal, dice::mix(service_principal)),
        "tid": request.tenant_id,
        "uti": URL_SAFE_NO_PAD.encode(world.dice.bytes::<16>()),
        "ver": "1.0",
    });
    // an app without permissions gets a token without the claim, not an error
    if !request.roles.is_empty() {
        claims["roles"] = json!(request.roles.as_ref());
    }
    let token = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string()),
        URL_SAFE_NO_PAD.encode(world.dice.bytes::<256>()),
    );
    let grant = Grant {
        tenant: request.tenant,
        app: request.app,
        client_id: request.client_id.into(),
        roles: request.roles,
        expires,
    };
    world.directory.remember(&token, grant, now);
    token
}
