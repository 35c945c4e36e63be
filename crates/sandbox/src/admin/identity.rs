//! The admin side of identity: apps, credentials, permissions, tokens.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refused, read, unknown};
use crate::config::{App, Certificate, FederatedCredential, MailboxGrant, Secret};
use crate::handle::Handle;

pub fn dispatch(handle: &Handle, method: &str, path: &str, body: &[u8]) -> Result<Value, Refused> {
    match (method, path) {
        ("POST", "apps") => change_app(handle, &read(body)?)?,
        ("POST", "apps/add") => {
            let NewApp { tenant, app } = read(body)?;
            handle.add_app(&tenant, app)?;
        }
        ("POST", "apps/secrets") => change_secret(handle, &read(body)?)?,
        ("POST", "apps/certificates") => change_certificate(handle, &read(body)?)?,
        ("POST", "apps/federated") => change_federated(handle, &read(body)?)?,
        ("POST", "tokens/revoke") => {
            let revoked = match client(body)? {
                Some(id) => handle.revoke_tokens_of(&id),
                None => handle.revoke_tokens(),
            };
            return Ok(json!({"revoked": revoked}));
        }
        ("POST", "tokens/refresh") => {
            let id = client(body)?.ok_or_else(|| Refused::bad("it needs a client_id"))?;
            return Ok(json!({"refreshed": handle.refresh_tokens(&id)}));
        }
        ("GET", "tokens") => return Ok(json!({"tokens": handle.token_requests()})),
        (method, path) => return Err(unknown(method, path)),
    }
    Ok(json!({}))
}

/// An app for a tenant, named by its id or a domain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApp {
    tenant: String,
    app: App,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Client {
    client_id: Option<String>,
}

/// The client id in a body that may as well be empty.
fn client(body: &[u8]) -> Result<Option<String>, Refused> {
    if body.is_empty() { Ok(None) } else { Ok(read::<Client>(body)?.client_id) }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Add,
    Expire,
    Revoke,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretChange {
    client_id: String,
    action: Action,
    /// The secret's value, or its id; for expire and revoke without it: all
    #[serde(default)]
    secret: Option<String>,
    /// With `add`: the secret's own GUID
    #[serde(default)]
    id: Option<String>,
    /// With `add`: when it expires; with `expire`: in place of now
    #[serde(default)]
    expires: Option<Timestamp>,
}

fn change_secret(handle: &Handle, change: &SecretChange) -> Result<(), Refused> {
    let (app, which) = (&change.client_id, change.secret.as_deref());
    match change.action {
        Action::Add => {
            let value = which.ok_or_else(|| Refused::bad("add needs a secret"))?.to_owned();
            let (id, expires) = (change.id.clone(), change.expires);
            handle.add_secret(app, Secret { value, id, expires })?;
        }
        Action::Expire => {
            let at = change.expires.unwrap_or_else(|| handle.now());
            handle.expire_secret_at(app, which, at)?;
        }
        Action::Revoke => handle.revoke_secret(app, which)?,
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateChange {
    client_id: String,
    action: Action,
    /// With `add`: PEM, or the base64 of DER
    #[serde(default)]
    certificate: Option<Certificate>,
    /// SHA-1, hexadecimal; for expire and revoke without it: all
    #[serde(default)]
    thumbprint: Option<String>,
    /// With `expire`: in place of now
    #[serde(default)]
    expires: Option<Timestamp>,
}

fn change_certificate(handle: &Handle, change: &CertificateChange) -> Result<(), Refused> {
    let (app, which) = (&change.client_id, change.thumbprint.as_deref());
    match change.action {
        Action::Add => {
            let missing = || Refused::bad("add needs a certificate");
            handle.add_certificate(app, change.certificate.as_ref().ok_or_else(missing)?)?;
        }
        Action::Expire => {
            let at = change.expires.unwrap_or_else(|| handle.now());
            handle.expire_certificate(app, which, at)?;
        }
        Action::Revoke => handle.revoke_certificate(app, which)?,
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FederatedChange {
    client_id: String,
    action: Action,
    /// With `add`
    #[serde(default)]
    credential: Option<FederatedCredential>,
    /// With `revoke`: those of this subject; without it: all
    #[serde(default)]
    subject: Option<String>,
}

fn change_federated(handle: &Handle, change: &FederatedChange) -> Result<(), Refused> {
    let app = &change.client_id;
    match change.action {
        Action::Add => {
            let missing = || Refused::bad("add needs a credential");
            handle.add_federated(app, change.credential.as_ref().ok_or_else(missing)?)?;
        }
        Action::Revoke => handle.revoke_federated(app, change.subject.as_deref())?,
        Action::Expire => {
            return Err(Refused::bad("a federated credential does not expire; use revoke"));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    client_id: String,
    /// Its id or a domain: what changes, changes there only
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    disabled: Option<bool>,
    #[serde(default)]
    blocked: Option<bool>,
    #[serde(default)]
    installed: Option<bool>,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    grants: Option<Vec<MailboxGrant>>,
    #[serde(default)]
    access_policy: Option<Vec<String>>,
    /// Takes the policy away
    #[serde(default)]
    no_access_policy: bool,
}

fn change_app(handle: &Handle, change: &AppChange) -> Result<(), Refused> {
    let app = &change.client_id;
    let narrowed = change.tenant.as_deref().map(|tenant| handle.in_tenant(tenant)).transpose()?;
    let handle = narrowed.as_ref().unwrap_or(handle);
    if let Some(disabled) = change.disabled {
        handle.set_app_disabled(app, disabled)?;
    }
    if let Some(blocked) = change.blocked {
        handle.set_app_blocked(app, blocked)?;
    }
    if let Some(installed) = change.installed {
        handle.set_app_installed(app, installed)?;
    }
    if let Some(roles) = &change.roles {
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        handle.set_app_roles(app, &roles)?;
    }
    if let Some(grants) = &change.grants {
        handle.set_app_grants(app, grants)?;
    }
    if let Some(policy) = &change.access_policy {
        let policy: Vec<&str> = policy.iter().map(String::as_str).collect();
        handle.set_access_policy(app, Some(&policy))?;
    }
    if change.no_access_policy {
        handle.set_access_policy(app, None)?;
    }
    Ok(())
}
