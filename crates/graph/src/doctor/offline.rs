//! Mistakes that show in the configuration itself, by the step that they belong to.
//!
//! The configuration's own check refuses each of them, with file and line; this only says which
//! step of the setup it is.

use mailbridge_core::SecretSource;

use super::Finding;
use crate::config::{Connection, Credential, Kind, is_guid};

/// What is wrong with a connection as it is written.
pub(super) fn mistakes(connection: &Connection) -> Vec<Finding> {
    let mut found = Vec::new();
    let tenants = || connection.tenant.iter().chain(connection.tenants.keys()).map(|it| it.trim());
    if let Some(client_id) = connection.client_id.as_deref() {
        if !is_guid(client_id) {
            found.push(Finding::ClientIdMalformed);
        } else if tenants().any(|tenant| client_id.trim().eq_ignore_ascii_case(tenant)) {
            found.push(Finding::ClientIdIsTenant);
        }
    }
    if connection.credential.iter().flat_map(|it| &it.all).any(is_id) {
        found.push(Finding::SecretIsId);
    }
    if tenants().any(names_no_tenant) {
        found.push(Finding::TenantUnnamed);
    }
    found.extend(connection.token_endpoint.as_deref().and_then(endpoint));
    found
}

fn is_id(credential: &Credential) -> bool {
    match &credential.kind {
        Kind::ClientSecret(SecretSource::Literal(secret)) => is_guid(secret.expose()),
        _ => false,
    }
}

fn endpoint(text: &str) -> Option<Finding> {
    let url = reqwest::Url::parse(text).ok()?;
    let path = url.path().to_ascii_lowercase();
    let first = path.split('/').find(|part| !part.is_empty()).unwrap_or_default();
    if path.ends_with("/authorize") {
        Some(Finding::EndpointOfUsers)
    } else if names_no_tenant(first) {
        Some(Finding::TenantUnnamed)
    } else if path.ends_with("/oauth2/token") {
        Some(Finding::EndpointV1)
    } else {
        None
    }
}

fn names_no_tenant(text: &str) -> bool {
    ["common", "organizations", "consumers"].contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_mistake_has_its_finding_and_a_right_connection_has_none() {
        let (app, tenant) =
            ("11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555");
        let right = json!({ "tenant": tenant, "client_id": app,
            "credential": { "client_secret": { "file": "secret" } } });
        let found = |key: &str, value: serde_json::Value| {
            let mut connection = right.clone();
            connection[key] = value;
            mistakes(&serde_json::from_value(connection).unwrap())
        };
        assert_eq!(found("tenant", json!(tenant)), []);
        let login = "https://login.microsoftonline.com";
        for (key, value, finding) in [
            ("client_id", json!("mailbridge"), Finding::ClientIdMalformed),
            ("client_id", json!(tenant), Finding::ClientIdIsTenant),
            ("credential", json!({ "client_secret": app }), Finding::SecretIsId),
            ("tenant", json!("Common"), Finding::TenantUnnamed),
            ("tenant", json!("consumers"), Finding::TenantUnnamed),
            (
                "token_endpoint",
                json!(format!("{login}/common/oauth2/v2.0/token")),
                Finding::TenantUnnamed,
            ),
            (
                "token_endpoint",
                json!(format!("{login}/{tenant}/oauth2/token")),
                Finding::EndpointV1,
            ),
            (
                "token_endpoint",
                json!(format!("{login}/{tenant}/oauth2/v2.0/authorize")),
                Finding::EndpointOfUsers,
            ),
        ] {
            assert_eq!(found(key, value), [finding]);
        }
    }
}
