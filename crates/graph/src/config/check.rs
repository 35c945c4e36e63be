//! The mistakes people make with a connection's fields, each with the step that cures it.

use std::collections::BTreeMap;

use mailbridge_core::{Code, Error, Result, SecretSource, limits::BODY_BYTES_MAX};
use reqwest::Url;
use uuid::Uuid;

use super::{Credential, Credentials, Environment, Kind, Limits, ManagedIdentity, patterns};
use crate::cloud::{self, refuse};

/// Tenants with the mailboxes in them.
type Tenants = Vec<(Option<String>, Vec<String>)>;

fn at(key: impl std::fmt::Display, detail: &'static str) -> Error {
    Error::permanent(Code::ConfigInvalid, detail).with("key", key)
}

/// The tenants of a connection. `tenant` is the one that counts when `tenants` is empty.
pub(super) fn tenants(
    given: Option<&str>,
    tenants: &BTreeMap<String, Vec<String>>,
    tenant: Option<String>,
    machine: bool,
) -> Result<Tenants> {
    let everywhere = || vec!["*".to_owned()];
    if machine {
        if given.is_some() || !tenants.is_empty() {
            let key = if given.is_some() { "tenant" } else { "tenants" };
            return Err(at(key, "a managed identity is of its own tenant: leave this out"));
        }
        return Ok(vec![(None, everywhere())]);
    }
    if tenants.is_empty() {
        return Ok(vec![(Some(one_tenant("tenant", tenant)?), everywhere())]);
    }
    if given.is_some() {
        return Err(at("tenants", "give `tenant`, or `tenants` with the mailboxes of each"));
    }
    let mut all = Vec::with_capacity(tenants.len());
    for (tenant, mailboxes) in tenants {
        let key = format!("tenants.{tenant}");
        let checked = one_tenant(&key, Some(tenant.clone()))?;
        if mailboxes.is_empty() {
            return Err(at(key, "give the mailboxes of this tenant, such as \"*@contoso.com\""));
        }
        let earlier = tenants.iter().take_while(|(other, _)| *other != tenant);
        for (other, theirs) in earlier {
            if mailboxes.iter().any(|own| theirs.iter().any(|their| patterns::meet(own, their))) {
                let detail = "a pattern here and one of another tenant name the same mailboxes, \
                              and a mailbox is in one tenant";
                return Err(at(key, detail).with("other", other));
            }
        }
        all.push((Some(checked), mailboxes.clone()));
    }
    Ok(all)
}

fn one_tenant(key: &str, tenant: Option<String>) -> Result<String> {
    let Some(tenant) = tenant else {
        return Err(at(key, "give the tenant's GUID or a domain such as contoso.onmicrosoft.com"));
    };
    let lower = tenant.to_ascii_lowercase();
    match lower.as_str() {
        "common" | "organizations" => {
            let detail = "this stands for any tenant, which an app without a user cannot sign in \
                          to; name the tenant";
            return Err(at(key, detail));
        }
        "consumers" => {
            let detail = "personal accounts cannot be used by an app without a user; name a work \
                          tenant";
            return Err(at(key, detail));
        }
        _ if is_personal(&format!("x@{lower}")) => {
            let detail = "this is a domain of personal accounts, which an app without a user \
                          cannot use; name a work tenant";
            return Err(at(key, detail));
        }
        _ => {}
    }
    let letters = tenant.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    let domain = tenant.contains('.') && !tenant.starts_with('.') && !tenant.ends_with('.');
    if letters && (domain || is_guid(&tenant)) && !tenant.contains("..") {
        return Ok(tenant);
    }
    Err(at(key, "this is neither a GUID nor a domain such as contoso.onmicrosoft.com"))
}

pub(super) fn client_id(client_id: Option<&str>, tenant: &str) -> Result<String> {
    let key = "client_id";
    match client_id {
        None => Err(refuse(key, "give the app's application (client) id, a GUID")),
        Some(id) if id.eq_ignore_ascii_case(tenant) => {
            Err(refuse(key, "this is the tenant's id; give the app's application (client) id"))
        }
        Some(id) if is_guid(id) => Ok(id.to_owned()),
        Some(_) => Err(refuse(
            key,
            "this is not a GUID; give the application (client) id, not the app's name or secret",
        )),
    }
}

/// The credentials, with what the environment adds to them.
pub(super) fn credentials(
    credentials: Option<Credentials>,
    environment: &Environment,
) -> Result<Vec<Credential>> {
    let Some(mut credentials) = credentials else {
        let detail = "give a credential such as { client_secret: { file: PATH } }";
        return Err(refuse("credential", detail));
    };
    for index in 0..credentials.all.len() {
        let Some(credential) = credentials.all.get_mut(index) else { break };
        let refusal = match &mut credential.kind {
            Kind::ClientSecret(SecretSource::Literal(secret)) if is_guid(secret.expose()) => {
                Some((
                    "client_secret",
                    "this is the secret's id, a GUID; give the secret's value, which the portal shows \
                 only once",
                ))
            }
            Kind::ClientSecret(_) => None,
            Kind::Certificate(certificate) => certificate
                .file
                .as_os_str()
                .is_empty()
                .then_some(("certificate.file", "expected the path of a PEM or PFX file")),
            Kind::FederatedToken(token) => {
                token.file = token.file.take().or_else(|| environment.federated_token_file.clone());
                token.file.is_none().then_some((
                    "federated_token",
                    "give `file`; $AZURE_FEDERATED_TOKEN_FILE is not set (is the pod labelled \
                     azure.workload.identity/use: \"true\"?)",
                ))
            }
            Kind::ManagedIdentity(identity) => wrong_identity(identity),
        };
        if let Some((rest, detail)) = refusal {
            return Err(at(credentials.key(index, rest), detail));
        }
    }
    Ok(credentials.all)
}

fn wrong_identity(identity: &ManagedIdentity) -> Option<(&'static str, &'static str)> {
    let ids = [&identity.client_id, &identity.object_id, &identity.resource_id];
    if ids.iter().filter(|id| id.is_some()).count() > 1 {
        let detail = "give one of client_id, object_id, resource_id; each names the identity";
        return Some(("managed_identity", detail));
    }
    let guid = |id: &Option<String>| id.as_deref().is_none_or(is_guid);
    if !guid(&identity.client_id) {
        return Some(("managed_identity.client_id", "expected the identity's client id, a GUID"));
    }
    if !guid(&identity.object_id) {
        return Some(("managed_identity.object_id", "expected the identity's object id, a GUID"));
    }
    let endpoint = identity.endpoint.as_deref()?;
    let detail = "expected https://, or http:// on a loopback or link-local address";
    (!cloud::is_local_endpoint(endpoint)).then_some(("managed_identity.endpoint", detail))
}

pub(super) fn token_endpoint(text: &str) -> Result<Url> {
    let key = "token_endpoint";
    let url = cloud::endpoint(key, text)?;
    let path = url.path().to_ascii_lowercase();
    let first = path.split('/').find(|part| !part.is_empty()).unwrap_or_default();
    let detail = if path.ends_with("/authorize") {
        "this is the endpoint where users sign in; there is no user: give …/oauth2/v2.0/token"
    } else if matches!(first, "common" | "organizations" | "consumers") {
        "this endpoint names no tenant, and an app without a user signs in to one tenant"
    } else if path.ends_with("/oauth2/token") {
        "this is the v1 endpoint, which takes other fields; give …/oauth2/v2.0/token"
    } else if !path.ends_with("/oauth2/v2.0/token") {
        "a token endpoint ends in /oauth2/v2.0/token"
    } else {
        return Ok(url);
    };
    Err(refuse(key, detail))
}

pub(super) fn limits(limits: Limits) -> Result<Limits> {
    if !(1..=1000).contains(&limits.mailbox_requests_at_once) {
        return Err(refuse("limits.mailbox_requests_at_once", "give 1 to 1000"));
    }
    // one mail takes two requests
    if limits.mailbox_requests_in_10_minutes < 2 {
        return Err(refuse("limits.mailbox_requests_in_10_minutes", "give 2 or more"));
    }
    // one request
    if limits.mailbox_upload_bytes_in_5_minutes < BODY_BYTES_MAX as u64 {
        return Err(refuse("limits.mailbox_upload_bytes_in_5_minutes", "give 4194304 or more"));
    }
    if !(1..=600).contains(&limits.scale) {
        return Err(refuse("limits.scale", "give 1 to 600"));
    }
    Ok(limits)
}

/// Whether a text is a GUID as the portal shows it.
pub fn is_guid(text: &str) -> bool {
    let text = text.trim();
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

/// Whether an address is of a personal account: Microsoft's consumer domains, under any country.
pub fn is_personal(mailbox: &str) -> bool {
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
    use super::*;

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
