//! What a connection is made of: the keys under `connections.<name>`, and what they come to.
//!
//! Everything that can be seen to be wrong without asking Microsoft is refused here, with the key
//! and the mistake by name. Nothing is opened and no secret is read.

use std::time::Duration;

use mailbridge_core::{Result, SecretSource, limits::BODY_BYTES_MAX};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::cloud::{self, Cloud, Endpoints, refuse};

/// A connection to Microsoft 365: an app, its tenant and its credential.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The mail provider.
    #[serde(default)]
    pub provider: Provider,
    /// How a token is got: as the app itself, with no user.
    #[serde(default)]
    pub grant_type: GrantType,
    /// The tenant: its GUID, or a domain such as `contoso.onmicrosoft.com`.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The app's application (client) id, a GUID.
    #[serde(default)]
    pub client_id: Option<String>,
    /// What the app proves itself with.
    #[serde(default)]
    pub credential: Option<CredentialSource>,
    /// The cloud the tenant is in; `global` when absent. With `sandbox`, tenant, client id and
    /// credential may be left out.
    #[serde(default)]
    pub cloud: Cloud,
    /// The v2 token endpoint, when it is not the cloud's own for this tenant.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// What one mailbox is asked at most.
    #[serde(default)]
    pub limits: Limits,
}

/// The mail providers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Provider {
    /// Microsoft 365, through Microsoft Graph.
    #[default]
    #[serde(rename = "microsoft365")]
    Microsoft365,
}

/// The ways to get a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// OAuth 2.0 client credentials: the app acts as itself.
    #[default]
    ClientCredentials,
}

/// What an app proves itself with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialSource {
    /// A client secret: the secret's value, not its id.
    ClientSecret(SecretSource),
}

/// What one mailbox is asked at most by this worker. The defaults are Graph's own limits for an app
/// and a mailbox (learn.microsoft.com, graph throttling-limits, Outlook): give each worker of a
/// pool its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in flight at once, 1 to 1000; 4 when absent.
    pub mailbox_requests_at_once: usize,
    /// Requests in any 10 minutes, 2 or more; 10000 when absent.
    pub mailbox_requests_in_10_minutes: u32,
    /// Bytes of requests in any 5 minutes, 4194304 or more; 157286400 when absent. A single larger
    /// attachment goes when nothing else is on its way.
    pub mailbox_upload_bytes_in_5_minutes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox_requests_at_once: 4,
            mailbox_requests_in_10_minutes: 10_000,
            mailbox_upload_bytes_in_5_minutes: 150 * 1024 * 1024,
        }
    }
}

/// How a [`Graph`](crate::Graph) behaves. Not part of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a request in doubt is looked up before it is sent again. Switched off only to prove
    /// that the look is what prevents duplicates.
    pub look_first: bool,
    /// How long to wait for a mailbox's own pace before giving the request back.
    pub patience: Duration,
    /// How long one request to Graph may take, within the attempt's deadline.
    pub request_timeout: Duration,
    /// How long after a request's end its forgotten drafts are deleted: longer than a mailbox takes
    /// to show what was done in it, and than an attempt may be under way unseen.
    pub sweep_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            look_first: true,
            patience: Duration::from_secs(2),
            request_timeout: Duration::from_secs(30),
            sweep_after: Duration::from_mins(3),
        }
    }
}

/// Where the sandbox of this process is, and who may enter: the demo tenant's app.
#[derive(Clone, Debug)]
pub struct SandboxAccess {
    /// Its login host.
    pub login: String,
    /// Its Graph host.
    pub graph: String,
    /// A tenant of it.
    pub tenant: String,
    /// An app of that tenant.
    pub client_id: String,
    /// The app's secret. It opens nothing but the sandbox.
    pub client_secret: SecretSource,
}

/// A connection that has been checked: where to go and as whom.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub(crate) token_endpoint: Url,
    /// The Graph host with its version, no slash at the end.
    pub(crate) graph: String,
    pub(crate) scope: String,
    pub(crate) client_id: String,
    pub(crate) credential: CredentialSource,
    pub(crate) limits: Limits,
}

impl Connection {
    /// Checks the connection and works out its endpoints. `sandbox` is the one that runs in this
    /// process, if one does.
    ///
    /// # Errors
    /// `config_invalid` with the field `key`: which key of the connection, dots between.
    pub fn resolve(self, sandbox: Option<&SandboxAccess>) -> Result<Resolved> {
        let named = |named| matches!(self.cloud, Cloud::Named(name) if name == named);
        let sandbox = match (named(cloud::Named::Sandbox), sandbox) {
            (true, None) => return Err(refuse("cloud", "no sandbox runs in this process")),
            (true, Some(sandbox)) => Some(sandbox),
            (false, _) => None,
        };
        let (login, graph) = hosts(&self.cloud, sandbox)?;
        let tenant = self.tenant.or_else(|| sandbox.map(|it| it.tenant.clone()));
        let tenant = checked_tenant(tenant)?;
        let client_id = self.client_id.or_else(|| sandbox.map(|it| it.client_id.clone()));
        let client_id = checked_client_id(client_id)?;
        let fallback =
            || sandbox.map(|it| CredentialSource::ClientSecret(it.client_secret.clone()));
        let credential = checked_credential(self.credential.or_else(fallback))?;
        let token_endpoint = match &self.token_endpoint {
            Some(text) => checked_token_endpoint(text)?,
            None => below("cloud", &login, &format!("/{tenant}/oauth2/v2.0/token"))?,
        };
        Ok(Resolved {
            token_endpoint,
            // tokens are for a resource: the Graph host itself (v2 client credentials, `/.default`)
            scope: format!("{}/.default", graph.origin().ascii_serialization()),
            graph: format!("{}/v1.0", graph.as_str().trim_end_matches('/')),
            client_id,
            credential,
            limits: checked_limits(self.limits)?,
        })
    }
}

fn hosts(cloud: &Cloud, sandbox: Option<&SandboxAccess>) -> Result<(Url, Url)> {
    let (login, graph) = match (cloud, sandbox) {
        (_, Some(sandbox)) => (sandbox.login.as_str(), sandbox.graph.as_str()),
        (Cloud::Explicit(Endpoints { login, graph }), None) => (login.as_str(), graph.as_str()),
        (Cloud::Named(name), None) => {
            name.hosts().ok_or_else(|| refuse("cloud", "no sandbox runs in this process"))?
        }
    };
    Ok((cloud::host("cloud.login", login)?, cloud::host("cloud.graph", graph)?))
}

fn below(key: &'static str, base: &Url, path: &str) -> Result<Url> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|_| refuse(key, "no token endpoint can be made of this"))
}

fn checked_tenant(tenant: Option<String>) -> Result<String> {
    let key = "tenant";
    let Some(tenant) = tenant else {
        return Err(refuse(
            key,
            "give the tenant's GUID or a domain such as contoso.onmicrosoft.com",
        ));
    };
    match tenant.to_ascii_lowercase().as_str() {
        "common" | "organizations" => {
            return Err(refuse(
                key,
                "this stands for any tenant, which an app without a user cannot sign in to; \
                 name the tenant",
            ));
        }
        "consumers" => {
            return Err(refuse(
                key,
                "personal accounts cannot be used by an app without a user; name a work tenant",
            ));
        }
        _ => {}
    }
    let letters = tenant.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    let domain = tenant.contains('.') && !tenant.starts_with('.') && !tenant.ends_with('.');
    if letters && (domain || is_guid(&tenant)) && !tenant.contains("..") {
        return Ok(tenant);
    }
    Err(refuse(key, "this is neither a GUID nor a domain such as contoso.onmicrosoft.com"))
}

fn checked_client_id(client_id: Option<String>) -> Result<String> {
    let key = "client_id";
    match client_id {
        None => Err(refuse(key, "give the app's application (client) id, a GUID")),
        Some(id) if is_guid(&id) => Ok(id),
        Some(_) => Err(refuse(
            key,
            "this is not a GUID; give the application (client) id, not the app's name or secret",
        )),
    }
}

fn checked_credential(credential: Option<CredentialSource>) -> Result<CredentialSource> {
    match credential {
        None => {
            Err(refuse("credential", "give a credential such as { client_secret: { file: PATH } }"))
        }
        Some(CredentialSource::ClientSecret(SecretSource::Literal(secret)))
            if is_guid(secret.expose()) =>
        {
            Err(refuse(
                "credential.client_secret",
                "this is the secret's id, a GUID; give the secret's value, which the portal shows \
                 only once",
            ))
        }
        Some(credential) => Ok(credential),
    }
}

fn checked_token_endpoint(text: &str) -> Result<Url> {
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

fn checked_limits(limits: Limits) -> Result<Limits> {
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
    Ok(limits)
}

/// Whether a text is a GUID as the portal shows it.
pub(crate) fn is_guid(text: &str) -> bool {
    let text = text.trim();
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests;
