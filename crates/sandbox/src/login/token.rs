//! Access tokens: they look like Graph's, and are known by being remembered.
//!
//! The signature is random: nobody but the sandbox may check it, as nobody but Graph may check
//! Graph's (learn.microsoft.com/entra/identity-platform/access-tokens).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::claims::Answered;
use super::refusal::{self, Refusal};
use crate::clock;
use crate::dice;
use crate::directory::{AppEntry, Grant};
use crate::world::World;

/// Graph's own application id: another way to name the resource.
const GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000";

const GRAPH_HOSTS: [&str; 4] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
];

/// How long the tokens of managed identities live (learn.microsoft.com/azure/aks
/// workload-identity-overview).
pub const IDENTITY_LIFETIME: Duration = Duration::from_hours(24);

/// From this lifetime on an answer says when to refresh.
const LONG: Duration = Duration::from_hours(2);

/// A token, and what its holder is told of it.
pub struct Issued {
    pub token: String,
    pub from: Timestamp,
    pub expires: Timestamp,
    pub lifetime: Duration,
}

impl Issued {
    /// Half of the lifetime, for long-lived tokens.
    pub fn refresh_in(&self) -> Option<u64> {
        (self.lifetime >= LONG).then_some(self.lifetime.as_secs() / 2)
    }
}

/// The resource that a scope names: one of Graph's hosts, or this sandbox under any name of its
/// own.
pub fn audience<'a>(scope: &'a str, tenant: &str) -> Result<&'a str, Refusal> {
    let resource = scope.strip_suffix("/.default").ok_or_else(|| refusal::invalid_scope(scope))?;
    if resource.is_empty() || resource.contains(' ') {
        return Err(refusal::invalid_scope(scope));
    }
    known(resource, tenant)
}

/// The resource that v1 and managed identities are asked for by name.
pub fn resource<'a>(resource: &'a str, tenant: &str) -> Result<&'a str, Refusal> {
    known(resource, tenant)
}

fn known<'a>(resource: &'a str, tenant: &str) -> Result<&'a str, Refusal> {
    let bare = resource.trim_end_matches('/');
    let local = ["http://", "https://"].iter().any(|scheme| {
        let Some(rest) = bare.strip_prefix(scheme) else { return false };
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            rest.strip_prefix(host).is_some_and(|tail| tail.is_empty() || tail.starts_with(':'))
        })
    });
    if local || bare == GRAPH_APP || GRAPH_HOSTS.contains(&bare) || is_event_hubs(bare) {
        return Ok(bare);
    }
    Err(refusal::unknown_resource(resource, tenant))
}

/// Whether tokens are for a namespace of Azure Event Hubs.
fn is_event_hubs(resource: &str) -> bool {
    resource.starts_with("https://") && resource.ends_with(".servicebus.windows.net")
}

/// Makes a token for an app of a tenant (its number and id), and remembers what it stands for.
pub fn issue(
    world: &World,
    (tenant, tenant_id): (usize, &str),
    app: &Arc<AppEntry>,
    audience: &str,
    answered: Answered,
) -> Issued {
    let range = match answered {
        Some(_) => &world.settings.cae_lifetime,
        None if app.identity.is_some() => &(IDENTITY_LIFETIME..=IDENTITY_LIFETIME),
        None => &world.settings.token_lifetime,
    };
    let lifetime = world.dice.between(range);
    // by the sandbox's clock: a login host whose own clock is off is not believed by Graph
    let now = world.clock.now();
    let expires = clock::after(now, lifetime);
    let roles: Arc<[String]> = app.state().app.roles.clone().into();
    let claims = claims(world, app, (tenant_id, audience), &roles, (now, expires), answered);
    let nonce = URL_SAFE_NO_PAD.encode(world.dice.bytes::<32>());
    // for Event Hubs it is unsigned, as a Kafka broker takes it that has nobody's keys
    let (algorithm, signature) = if is_event_hubs(audience) {
        ("none", String::new())
    } else {
        ("RS256", URL_SAFE_NO_PAD.encode(world.dice.bytes::<256>()))
    };
    let header = json!({ "typ": "JWT", "nonce": nonce, "alg": algorithm, "kid": "sandbox" });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let token = format!("{header}.{claims}.{signature}");
    let grant = Grant {
        tenant,
        app: app.number,
        client_id: app.client_id.clone(),
        owner: app.clone(),
        roles,
        expires,
        answered,
    };
    world.directory.remember(&token, grant, now);
    Issued { token, from: now, expires, lifetime }
}

fn claims(
    world: &World,
    app: &AppEntry,
    (tenant_id, audience): (&str, &str),
    roles: &[String],
    (from, expires): (Timestamp, Timestamp),
    answered: Answered,
) -> Value {
    let service_principal = dice::hash(world.settings.seed, app.client_id.as_bytes());
    let mut claims = json!({
        "aud": audience,
        "iss": format!("https://sts.windows.net/{tenant_id}/"),
        "iat": from.as_second(),
        "nbf": from.as_second(),
        "exp": expires.as_second(),
        "app_displayname": "sandbox",
        "appid": app.client_id.as_ref(),
        "appidacr": "1",
        "sub": app.client_id.as_ref(),
        "idtyp": "app",
        "oid": dice::guid(service_principal, dice::mix(service_principal)),
        "tid": tenant_id,
        "uti": URL_SAFE_NO_PAD.encode(world.dice.bytes::<16>()),
        "ver": "1.0",
    });
    // an app without permissions gets a token without the claim, not an error
    if !roles.is_empty() {
        claims["roles"] = json!(roles);
    }
    if answered.is_some() {
        claims["xms_cc"] = json!(["CP1"]);
    }
    claims
}
