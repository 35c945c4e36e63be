//! The documents that authentication libraries read before they ask for a token.
//!
//! OpenID configuration per tenant, and instance discovery. Endpoints in them point back at the
//! sandbox under the name by which the client reached it. No keys are published: nobody may check
//! the tokens.

use axum::http::StatusCode;
use serde_json::json;

use crate::answer::Answer;
use crate::world::World;

const OPENID: &str = "/v2.0/.well-known/openid-configuration";
const INSTANCE: &str = "/discovery/instance";
const KEYS: &str = "/discovery/v2.0/keys";

pub fn is_path(path: &str) -> bool {
    path.ends_with(OPENID) || path.ends_with(INSTANCE) || path.ends_with(KEYS)
}

/// The document, or the tenant that is not known.
pub fn answer(world: &World, path: &str, base: &str) -> Result<Answer, String> {
    if path.ends_with(KEYS) {
        return Ok(Answer::json(StatusCode::OK, &json!({"keys": []})));
    }
    let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if path.ends_with(INSTANCE) {
        let host = base.split_once("://").map_or(base, |(_, host)| host);
        let body = json!({
            "tenant_discovery_endpoint": format!("{base}/{name}{OPENID}"),
            "api-version": "1.1",
            "metadata": [{
                "preferred_network": host, "preferred_cache": host, "aliases": [host],
            }],
        });
        return Ok(Answer::json(StatusCode::OK, &body));
    }
    let id = match world.directory.tenant(name) {
        Some((_, tenant)) => tenant.id.as_str(),
        None if ["common", "organizations", "consumers"].contains(&name) => "{tenantid}",
        None => return Err(name.to_owned()),
    };
    let body = json!({
        "token_endpoint": format!("{base}/{name}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": [
            "client_secret_post", "private_key_jwt", "client_secret_basic",
        ],
        "jwks_uri": format!("{base}/{name}{KEYS}"),
        "issuer": format!("{base}/{id}/v2.0"),
        "authorization_endpoint": format!("{base}/{name}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/{name}/oauth2/v2.0/devicecode"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "tenant_region_scope": null,
        "cloud_instance_name": "microsoftonline.com",
        "msgraph_host": "graph.microsoft.com",
    });
    Ok(Answer::json(StatusCode::OK, &body))
}
