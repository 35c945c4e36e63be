//! Managed identities, and the endpoints on a machine that give their tokens.
//!
//! One sandbox is one machine: all identities of all its tenants are assigned to it.

use serde::Deserialize;

use super::{App, MailboxGrant};

/// Where a sandbox stands in for App Service's `IDENTITY_ENDPOINT`.
pub const IDENTITY_PATH: &str = "/msi/token";
/// What it takes for `IDENTITY_HEADER`, unless told otherwise.
pub const DEMO_IDENTITY_HEADER: &str = "sandbox-identity-header-that-opens-nothing";

/// An identity that Azure gives to a machine, so that nobody keeps a secret.
///
/// It belongs to a tenant and has permissions as an app has; in the admin API it is named by its
/// client id as apps are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentity {
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) object_id: Option<String>,
    #[serde(default)]
    pub(crate) resource_id: Option<String>,
    #[serde(default)]
    pub(crate) system_assigned: bool,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) grants: Vec<MailboxGrant>,
}

impl ManagedIdentity {
    fn new(client_id: impl Into<String>, system_assigned: bool) -> Self {
        Self {
            client_id: client_id.into(),
            object_id: None,
            resource_id: None,
            system_assigned,
            roles: Vec::new(),
            grants: Vec::new(),
        }
    }

    /// The machine's own identity: whoever names none gets this one.
    pub fn system_assigned(client_id: impl Into<String>) -> Self {
        Self::new(client_id, true)
    }

    /// An identity that a user has made and assigned. The only one needs no naming either.
    pub fn user_assigned(client_id: impl Into<String>) -> Self {
        Self::new(client_id, false)
    }

    /// The object id, another way to name it.
    #[must_use]
    pub fn object_id(mut self, id: impl Into<String>) -> Self {
        self.object_id = Some(id.into());
        self
    }

    /// The resource id (`/subscriptions/...`), a third way to name it.
    #[must_use]
    pub fn resource_id(mut self, id: impl Into<String>) -> Self {
        self.resource_id = Some(id.into());
        self
    }

    /// As [`App::roles`].
    #[must_use]
    pub fn roles<I>(mut self, roles: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// As [`App::grant`].
    #[must_use]
    pub fn grant(mut self, grant: MailboxGrant) -> Self {
        self.grants.push(grant);
        self
    }

    /// What the directory keeps of it as an app.
    pub(crate) fn app(&self) -> App {
        App {
            roles: self.roles.clone(),
            grants: self.grants.clone(),
            ..App::new(self.client_id.clone())
        }
    }
}
