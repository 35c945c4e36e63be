//! A whole sandbox as one document: what `mailbridge sandbox --config` reads.
//!
//! No paths in it: certificates and keys stand in the document itself.

use serde::Deserialize;

use super::{DEMO_IDENTITY_HEADER, IDENTITY_PATH, Tenant};

/// Tenants, and how the login host behaves. Unknown fields are errors.
///
/// ```yaml
/// tenants:
///   - id: 5a0d0001-5a0d-4000-8000-00000000da7a
///     domain: contoso.example
///     open_domains: [contoso.example]          # every mailbox of them exists
///     mailboxes: [anna@other.example]
///     apps:
///       - client_id: 5a0d0002-5a0d-4000-8000-0000000000a9
///         secrets: [a-secret, {value: old, id: its-guid, expires: 2026-01-01T00:00:00Z}]
///         certificates: ["-----BEGIN CERTIFICATE-----..."]
///         federated: [{issuer: https://i.example, subject: s, keys: {keys: []}}]
///         roles: [Mail.ReadWrite]              # Entra: every mailbox, shown in the token
///         grants: [{role: Application Mail.Send, mailboxes: [anna@*]}]  # Exchange RBAC
///         access_policy: ["*@contoso.example"] # legacy: what Entra grants is limited to these
///     identities: [{client_id: i, system_assigned: true, roles: [Mail.Send]}]
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    pub(crate) tenants: Vec<Tenant>,
    /// Over so many token requests a minute of one client, AADSTS50196
    pub(crate) loop_limit: Option<u32>,
    /// Whether a client assertion may be used only once
    pub(crate) refuse_replays: bool,
    /// App Service's shape of the managed identity endpoint
    pub(crate) app_service: AppService,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppService {
    pub path: String,
    pub header: String,
}

impl Default for AppService {
    fn default() -> Self {
        Self { path: IDENTITY_PATH.to_owned(), header: DEMO_IDENTITY_HEADER.to_owned() }
    }
}
