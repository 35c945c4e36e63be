//! What a connection is made of: the keys under `connections.<name>`, and what they come to.
//!
//! Everything that can be seen to be wrong without asking Microsoft is refused here, with the key
//! and the mistake by name. Nothing is opened and no secret is read.

mod check;
mod credentials;
mod patterns;

use std::{collections::BTreeMap, time::Duration};

use mailbridge_core::{Result, SecretSource};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::check::{is_guid, is_personal};
pub(crate) use self::credentials::IDENTITY_HEADER;
pub use self::credentials::{
    Algorithm, Certificate, Credential, Credentials, Environment, FederatedToken, Kind,
    ManagedIdentity,
};
use crate::{
    cloud::{self, Cloud, Endpoints, refuse},
    credential,
};

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
    /// Instead of `tenant`, for one app that is installed in several tenants: each tenant with the
    /// mailboxes that are in it, `*` for any run of characters.
    #[serde(default)]
    pub tenants: BTreeMap<String, Vec<String>>,
    /// The app's application (client) id, a GUID.
    #[serde(default)]
    pub client_id: Option<String>,
    /// What the app proves itself with: one credential, or a list of two during a rotation, tried
    /// in order.
    #[serde(default)]
    pub credential: Option<Credentials>,
    /// The cloud the tenant is in; `global` when absent. With `sandbox`, tenant, client id and
    /// credential may be left out.
    #[serde(default)]
    pub cloud: Cloud,
    /// The v2 token endpoint, when it is not the cloud's own for this tenant.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// Continuous access evaluation: tokens that live for a day and can be revoked within minutes.
    #[serde(default)]
    pub cae: bool,
    /// What one mailbox is asked at most.
    #[serde(default)]
    pub limits: Limits,
    /// What Azure has put into the program's environment.
    #[serde(skip)]
    pub environment: Environment,
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

/// What one mailbox is asked at most by this worker. The defaults are Graph's own limits for an app
/// and a mailbox (learn.microsoft.com, graph throttling-limits, Outlook). Workers of a pool need no
/// less: what Graph refuses tells each its share.
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
    /// How many times shorter these minutes are, 1 to 600; 1 when absent. For a sandbox with
    /// `--budgets-scale`: Graph's minutes are minutes.
    pub scale: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox_requests_at_once: 4,
            mailbox_requests_in_10_minutes: 10_000,
            mailbox_upload_bytes_in_5_minutes: 150 * 1024 * 1024,
            scale: 1,
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
    /// The app, unless the machine's own identity is all that is used.
    pub(crate) app: Option<App>,
    /// The Graph host with its version, no slash at the end.
    pub(crate) graph: String,
    /// The resource that tokens are for: the Graph host.
    pub(crate) resource: String,
    /// In the order in which they are tried.
    pub(crate) credentials: Vec<Credential>,
    pub(crate) cae: bool,
    pub(crate) limits: Limits,
    pub(crate) environment: Environment,
}

/// An app in one tenant.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) token_endpoint: Url,
    pub(crate) client_id: String,
}

impl Resolved {
    /// What a token is asked for (learn.microsoft.com, entra v2-oauth2-client-creds-grant-flow).
    pub(crate) fn scope(&self) -> String {
        format!("{}/.default", self.resource)
    }
}

/// One tenant of a connection.
#[derive(Clone, Debug)]
pub struct Tenancy {
    /// The tenant as it was given; none where the machine's identity says it.
    pub tenant: Option<String>,
    /// The mailboxes in it; `*` alone where the connection has one tenant.
    pub mailboxes: Vec<String>,
    /// The connection to it.
    pub resolved: Resolved,
}

/// What is wrong with a credential, as far as that shows here.
#[derive(Debug)]
pub struct Flaw {
    /// The keys that lead to it, below the connection.
    pub key: String,
    /// What it is.
    pub error: mailbridge_core::Error,
    /// A file or variable is not there. It may be where the program will run.
    pub absent: bool,
}

impl Connection {
    /// Reads the credentials as far as they can be judged without asking Microsoft, and says what is
    /// wrong with each: files that are empty or no keys, a key of another certificate, an expired
    /// one.
    pub async fn inspect(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        // with what the environment adds; a mistake in the keys themselves is told when they are read
        let Ok(all) = check::credentials(self.credential.clone(), &self.environment) else {
            return flaws;
        };
        for (index, credential) in all.iter().enumerate() {
            let key = |it: &Credentials| it.key(index, credential.kind.name());
            if let Err(error) = credential::inspect(credential).await {
                let key = self.credential.as_ref().map(key).unwrap_or_default();
                let missing = |path: &std::path::PathBuf| !path.exists();
                let absent = error.field("variable").is_some()
                    || credential::files(credential).iter().any(missing);
                flaws.push(Flaw { key, error, absent });
            }
        }
        flaws
    }

    /// Whether a mailbox, or some that fit a pattern, can be used through this connection: with
    /// `tenants`, whether one of them has it.
    pub fn reaches(&self, pattern: &str) -> bool {
        let mut all = self.tenants.values().flatten();
        self.tenants.is_empty() || all.any(|own| patterns::meet(own, pattern))
    }

    /// Checks the connection and works out its endpoints, for its only or its first tenant.
    /// `sandbox` is the one that runs in this process, if one does.
    ///
    /// # Errors
    /// `config_invalid` with the field `key`: which key of the connection, dots between.
    pub fn resolve(self, sandbox: Option<&SandboxAccess>) -> Result<Resolved> {
        let all = self.resolve_all(sandbox)?;
        let first = all.into_iter().next().map(|tenancy| tenancy.resolved);
        first.ok_or_else(|| refuse("tenant", "the connection has no tenant"))
    }

    /// The same for each of its tenants.
    ///
    /// # Errors
    /// As [`Connection::resolve`].
    pub fn resolve_all(self, sandbox: Option<&SandboxAccess>) -> Result<Vec<Tenancy>> {
        let named = |named| matches!(self.cloud, Cloud::Named(name) if name == named);
        let sandbox = match (named(cloud::Named::Sandbox), sandbox) {
            (true, None) => return Err(refuse("cloud", "no sandbox runs in this process")),
            (true, Some(sandbox)) => Some(sandbox),
            (false, _) => None,
        };
        let fallback = || {
            let secret = sandbox?.client_secret.clone();
            let (kind, expires) = (Kind::ClientSecret(secret), None);
            Some(Credentials::from(Credential { kind, expires }))
        };
        let credentials = self.credential.clone().or_else(fallback);
        let credentials = check::credentials(credentials, &self.environment)?;
        let federated = |it: &Credential| matches!(it.kind, Kind::FederatedToken(_));
        let federated = credentials.iter().any(federated);
        let of_webhook = self.environment.clone();
        let of_webhook = if federated { of_webhook } else { Environment::default() };
        let (login, graph) = hosts(&self.cloud, of_webhook.authority_host.as_deref(), sandbox)?;
        let machine = |it: &Credential| matches!(it.kind, Kind::ManagedIdentity(_));
        let machine = credentials.iter().all(machine);

        let client_id = self.client_id.clone().or(of_webhook.client_id);
        let client_id = client_id.or_else(|| sandbox.map(|it| it.client_id.clone()));
        let tenant = self.tenant.clone().or(of_webhook.tenant);
        let tenant = tenant.or_else(|| sandbox.map(|it| it.tenant.clone()));
        let tenants = check::tenants(self.tenant.as_deref(), &self.tenants, tenant, machine)?;
        let limits = check::limits(self.limits)?;
        let resource = graph.origin().ascii_serialization();
        let graph = format!("{}/v1.0", graph.as_str().trim_end_matches('/'));
        let mut all = Vec::with_capacity(tenants.len());
        for (tenant, mailboxes) in tenants {
            let app = match &tenant {
                None => None,
                Some(tenant) => {
                    let client_id = check::client_id(client_id.as_deref(), tenant)?;
                    let token_endpoint = match &self.token_endpoint {
                        Some(text) => check::token_endpoint(text)?,
                        None => below("cloud", &login, &format!("/{tenant}/oauth2/v2.0/token"))?,
                    };
                    Some(App { token_endpoint, client_id })
                }
            };
            let resolved = Resolved {
                app,
                graph: graph.clone(),
                resource: resource.clone(),
                credentials: credentials.clone(),
                cae: self.cae,
                limits,
                environment: self.environment.clone(),
            };
            all.push(Tenancy { tenant, mailboxes, resolved });
        }
        if all.len() > 1 && self.token_endpoint.is_some() {
            return Err(refuse(
                "token_endpoint",
                "with `tenants` each tenant has its own endpoint",
            ));
        }
        Ok(all)
    }
}

/// The login and the Graph host. The environment's login host counts where none was chosen.
fn hosts(
    cloud: &Cloud,
    authority: Option<&str>,
    sandbox: Option<&SandboxAccess>,
) -> Result<(Url, Url)> {
    let (login, graph) = match (cloud, sandbox) {
        (_, Some(sandbox)) => (sandbox.login.as_str(), sandbox.graph.as_str()),
        (Cloud::Explicit(Endpoints { login, graph }), None) => (login.as_str(), graph.as_str()),
        (Cloud::Named(name), None) => {
            name.hosts().ok_or_else(|| refuse("cloud", "no sandbox runs in this process"))?
        }
    };
    let (login, graph) = (cloud::host("cloud.login", login)?, cloud::host("cloud.graph", graph)?);
    let chosen = !matches!(cloud, Cloud::Named(cloud::Named::Global));
    match authority {
        Some(authority) if !chosen => {
            let login = cloud::host("cloud", authority)?;
            let graph = match cloud::graph_of(&login) {
                Some(graph) => cloud::host("cloud.graph", graph)?,
                None => graph,
            };
            Ok((login, graph))
        }
        _ => Ok((login, graph)),
    }
}

fn below(key: &'static str, base: &Url, path: &str) -> Result<Url> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|_| refuse(key, "no token endpoint can be made of this"))
}

#[cfg(test)]
mod tests;
