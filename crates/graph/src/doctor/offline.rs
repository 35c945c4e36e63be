//! Mistakes that show in the configuration itself, by the step that they belong to.
//!
//! The configuration's own check refuses each of them, with file and line; this only says which
//! step of the setup it is.

use mailbridge_core::SecretSource;

use super::Finding;
use crate::config::{Connection, CredentialSource, is_guid};

/// What is wrong with a connection as it is written.
pub(super) fn mistakes(connection: &Connection) -> Vec<Finding> {
    let mut found = Vec::new();
    let tenant = connection.tenant.as_deref().map(str::trim).unwrap_or_default();
    if let Some(client_id) = connection.client_id.as_deref() {
        if !is_guid(client_id) {
            found.push(Finding::ClientIdMalformed);
        } else if client_id.trim().eq_ignore_ascii_case(tenant) {
            found.push(Finding::ClientIdIsTenant);
        }
    }
    if let Some(CredentialSource::ClientSecret(SecretSource::Literal(secret))) =
        &connection.credential
        && is_guid(secret.expose())
    {
        found.push(Finding::SecretIsId);
    }
    if names_no_tenant(tenant) {
        found.push(Finding::TenantUnnamed);
    }
    found.extend(connection.token_endpoint.as_deref().and_then(endpoint));
    found
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

/// Whether an address is of a personal account: Microsoft's consumer domains, under any country.
pub(crate) fn is_personal(mailbox: &str) -> bool {
    let domain = mailbox.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
    let domain = domain.unwrap_or_default();
    if ["msn.com", "passport.com", "windowslive.com"].contains(&domain.as_str()) {
        return true;
    }
    let Some((name, rest)) = domain.split_once('.') else { return false };
    let country = match rest.split_once('.') {
        None => rest == "com" || rest.len() == 2,
        Some((second, country)) => ["co", "com"].contains(&second) && country.len() == 2,
    };
    ["outlook", "hotmail", "live"].contains(&name) && country
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

    #[test]
    fn personal_accounts_by_their_domain() {
        for yes in
            ["a@outlook.com", "a@Hotmail.co.uk", "a@live.nl", "a@msn.com", "a@outlook.com.br"]
        {
            assert!(is_personal(yes), "{yes}");
        }
        for no in ["a@contoso.com", "a@live.contoso.com", "a@outlook.contoso.co", "a-guid", "a@x"] {
            assert!(!is_personal(no), "{no}");
        }
    }
}
